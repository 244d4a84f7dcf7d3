"""A directory of Verona, and backends that look into it."""

import pytest

from stonechat.testing.slapd import VERONA
from stonechat_auth_ldap import Backend, Options


class Bystander:
    """A plugin that lends its host, as any third party has one."""

    def __init__(self, host, options):
        self.host = host


@pytest.fixture
def host(server):
    host = server.host("capulet.example", plugin_classes={"bystander": Bystander})
    face = host.plugin("bystander").host
    face.storage.ensure(Backend.schema)
    return face


@pytest.fixture(scope="module")
def verona(slapds):
    """A directory that no test changes."""
    with slapds(VERONA) as slapd:
        yield slapd


@pytest.fixture
def slapd(slapds):
    """One that a test may do with what it likes."""
    with slapds(VERONA) as slapd:
        yield slapd


def _options_for(slapd, **options):
    """In the clear, and nobody in particular looks up, unless told otherwise."""
    if "bind_dn" in options:
        options.setdefault("password_file", str(slapd.password_file))
    return {
        "servers": [slapd.url],
        "encryption": "none",
        "base": f"ou=people,{slapd.base}",
        **options,
    }


@pytest.fixture
def options_for():
    return _options_for


@pytest.fixture
def make(host):
    """Makes backends: `make(slapd, filter="(sn=Capulet)")`."""
    made = []

    def make_backend(slapd, **options):
        backend = Backend(host, Options(**_options_for(slapd, **options)))
        made.append(backend)
        backend.start()
        return backend

    yield make_backend
    for backend in made:
        backend.stop()
