"""A host of the Capulets that speaks dialback, and the server of the Montagues."""

import sys
from pathlib import Path

import pytest

# What several files of tests share is in a module beside them, which pytest's import mode puts
# in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from dialback_cast import CAPULET, MONTAGUE


@pytest.fixture
def montague(server):
    """It shows no certificate, and need not."""
    server.configure(federation={"trust": "dialback"})
    return server.remote(MONTAGUE, certificate=False)


@pytest.fixture
def capulet(server, montague):
    return server.host(CAPULET, dialback={})


@pytest.fixture
def juliet(capulet):
    juliet = capulet.connect(f"juliet@{CAPULET}/balcony")
    juliet.available()
    juliet.received()
    return juliet
