"""A host with accounts and anonymous users."""

import sys
from pathlib import Path

import pytest

# What several files of tests share is in a module beside them, which pytest's import mode puts
# in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def capulet(server):
    """A host with accounts and anonymous users."""

    def make(also=("testing",), options=None, **plugins):
        server.configure(auth=[*also, "anonymous"], auth_options={"anonymous": options or {}})
        return server.host("capulet.example", **plugins)

    return make
