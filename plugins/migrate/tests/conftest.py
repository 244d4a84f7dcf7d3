"""A host that keeps everything, and a shell at it."""

import sys
from pathlib import Path

import pytest

# Modules beside the tests are in nobody's reach by pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))

from moves import CAPULET, EVERYTHING, MemoryShell


@pytest.fixture
def capulet(server):
    """A host that keeps everything."""
    return server.host(CAPULET, **{name: {} for name in EVERYTHING})


@pytest.fixture
def shell(server) -> MemoryShell:
    return MemoryShell(server)
