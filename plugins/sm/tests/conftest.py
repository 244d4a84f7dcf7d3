"""A host with stream management, and a store that can be told to refuse."""

import sys
from pathlib import Path

import pytest

# What several files of tests share is in a module beside them, which pytest's import mode puts
# in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from sm_clients import Store


@pytest.fixture
def host(server):
    return server.host("capulet.example", sm={}, offline={}, roster={})


@pytest.fixture
def store(host):
    return Store(host)
