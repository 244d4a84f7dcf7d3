"""A host that gives privileges to a component."""

import sys
from pathlib import Path

import pytest

# What several files of tests share is in a module beside them, which pytest's import mode puts
# in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from privilege_cast import DOMAIN, SECRET, Entity


@pytest.fixture
def component_options(tmp_path):
    """Options of the plugin `component`; several streams to each domain are possible."""
    secret_file = tmp_path / "secret"
    secret_file.write_text(f"{SECRET}\n")
    item = {
        "domains": ["pubsub.@HOST@", "filter.@HOST@"],
        "secret_file": str(secret_file),
        "connections": 2,
    }
    return {"components": [item]}


@pytest.fixture
def make_host(server, component_options):
    """Makes the host: what the component may do, and other plugins and options."""

    def make_host(plugins=(), more=(), options=None, **permissions):
        item = {"domain": "pubsub.@HOST@", **permissions}
        return server.host(
            "capulet.example",
            component=component_options,
            privilege={"components": [item, *more], **(options or {})},
            **dict(plugins),
        )

    return make_host


@pytest.fixture
def join():
    def join(host, domain=DOMAIN):
        return Entity(host, domain, SECRET)

    return join
