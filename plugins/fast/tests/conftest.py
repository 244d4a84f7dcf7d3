"""A host that gives tokens to Juliet and Romeo."""

import sys
from pathlib import Path

import pytest

# What several files of tests share is in a module beside them, which pytest's import mode puts
# in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from fast_client import PASSWORD


@pytest.fixture
def host(server):
    host = server.host("capulet.example", sasl2={}, fast={})
    host.create_account("juliet", PASSWORD)
    host.create_account("romeo", PASSWORD)
    return host
