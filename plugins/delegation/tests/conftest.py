"""A host that delegates to a component."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from delegation_cast import DELEGATED, DOMAIN, SECRET, Manager


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
    """Makes the host: what is delegated to the component, and other options and plugins."""

    def make_host(namespaces=DELEGATED, more=(), plugins=(), **options):
        item = {"domain": "pubsub.@HOST@", "namespaces": namespaces}
        return server.host(
            "capulet.example",
            component=component_options,
            delegation={"components": [item, *more], **options},
            **dict(plugins),
        )

    return make_host


@pytest.fixture
def host(make_host):
    return make_host()


@pytest.fixture
def join(server):
    def join(host, domain=DOMAIN):
        return Manager(host, domain, SECRET)

    return join


@pytest.fixture
def manager(host, join):
    """The component, connected; what it was told about its delegations is fetched."""
    manager = join(host)
    manager.delegations()
    return manager


@pytest.fixture
def juliet(host):
    return host.connect("juliet@capulet.example/balcony")
