"""A host with an account that somebody writes to, and what several files share."""

import sys
from pathlib import Path

import pytest

# What several files of tests share is in a module beside them, which pytest's import mode puts
# in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from offline_cast import ROMEO, Gate


@pytest.fixture
def host(server):
    host = server.host("capulet.example", offline={})
    host.create_account("juliet")
    return host


@pytest.fixture
def romeo(host):
    return host.connect(ROMEO)


@pytest.fixture
def gate(host, monkeypatch):
    """Makes a gate before, or after, what the spool does by a name."""

    def make(name, *, before=False):
        return Gate(monkeypatch, host.plugin("offline").spool, name, before=before)

    return make
