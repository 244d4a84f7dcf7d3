"""A host with a kitchen full of commands, a nurse who may give them, and Juliet, who may not."""

import sys
from pathlib import Path

import pytest

# What several files of tests share is in a module beside them, which pytest's import mode puts
# in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from adhoc_kitchen import HOST, NURSE, Kitchen


@pytest.fixture
def host(server):
    """The nurse may do all here."""
    server.configure(access={"admin": {"users": [NURSE]}})
    options = {"rows_per_page": 3, "sessions_per_user": 3}
    return server.host(HOST, plugin_classes={"kitchen": Kitchen}, adhoc=options, disco={})


@pytest.fixture
def nurse(host):
    return host.connect(f"{NURSE}/house")


@pytest.fixture
def juliet(host):
    return host.connect("juliet@capulet.example/balcony")
