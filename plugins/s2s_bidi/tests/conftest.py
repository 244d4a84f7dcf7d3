"""A host of the Capulets with streams for both directions, and the server of the Montagues."""

import sys
from pathlib import Path

import pytest

# What several files of tests share is in a module beside them, which pytest's import mode puts
# in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from bidi_cast import CAPULET, JULIET, MONTAGUE, Prover


@pytest.fixture
def montague(server):
    return server.remote(MONTAGUE)


@pytest.fixture
def capulet(server, montague):
    return server.host(CAPULET, plugin_classes={"prover": Prover}, s2s_bidi={})


@pytest.fixture
def juliet(capulet):
    juliet = capulet.connect(JULIET)
    juliet.available()
    juliet.received()
    return juliet


@pytest.fixture
def trusting(server):
    """Domains need less than a certificate; a word does."""

    def trust(how):
        server.configure(federation={"trust": how})

    return trust
