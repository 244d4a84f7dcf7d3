"""Juliet's host with an app server beside it, and Romeo on another."""

import sys
from pathlib import Path

import pytest

# What several files of tests share is in a module beside them, which pytest's import mode puts
# in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from push_cast import ROMEO, AppServer, Roster


@pytest.fixture
def make(server):
    def make(**options):
        return server.host(
            "capulet.example",
            push=options,
            carbons={},
            csi={},
            disco={},
            offline={},
            sm={},
            plugin_classes={"app": AppServer, "people": Roster},
        )

    return make


@pytest.fixture
def host(make):
    return make()


@pytest.fixture
def app(host):
    return host.plugin("app")


@pytest.fixture
def romeo(server, host):
    return server.host("montague.example").connect(ROMEO)
