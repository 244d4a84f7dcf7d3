"""Real servers with people on them, who then move to ours."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Modules beside the tests are in nobody's reach by pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))

from stonechat.testing.event_loop import EventLoop


@pytest.fixture(scope="session")
def loop() -> Iterator[EventLoop]:
    loop = EventLoop()
    yield loop
    loop.close()
