"""The stage that tests of robustness play on."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stonechat.testing import ServerProcess

# Modules beside the tests are in nobody's reach by pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))

from service import Stage

# For the connections of the largest crowd, and for ourselves.
DESCRIPTORS = 4096


@pytest.fixture
def stage(
    stonechat_process: Callable[[Mapping[str, Any] | str], ServerProcess],
) -> Iterator[Stage]:
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory and descriptors of a process are not to be seen here")
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < DESCRIPTORS:
        pytest.skip(f"needs {DESCRIPTORS} descriptors, and may have {most}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(now, DESCRIPTORS), most))
    with ExitStack() as stack:
        yield Stage(stonechat_process, stack)
