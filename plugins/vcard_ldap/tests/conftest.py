"""A directory of Verona, and hosts whose vCards come from there."""

from base64 import b64encode

import pytest

from stonechat.testing import Talk
from stonechat.testing.slapd import PASSWORD, VERONA

ROSE = b"\xff\xd8\xff\xe0 a rose"
HOST = "capulet.example"


def _ldif():
    photo = b64encode(ROSE).decode()
    return VERONA.replace(
        "l: Verona\n",
        f"l: Verona\njpegPhoto:: {photo}\nlabeledURI: https://capulet.example Home\n",
    )


def _options_for(slapd):
    return {
        "servers": [slapd.url],
        "encryption": "none",
        "base": f"ou=people,{slapd.base}",
    }


@pytest.fixture
def rose():
    return ROSE


@pytest.fixture
def options_for():
    return _options_for


@pytest.fixture(scope="module")
def verona(slapds):
    """A directory that no test changes."""
    with slapds(_ldif()) as slapd:
        yield slapd


@pytest.fixture
def slapd(slapds):
    """One that a test may do with what it likes."""
    with slapds(_ldif()) as slapd:
        yield slapd


@pytest.fixture
def talk():
    return Talk()


@pytest.fixture
def capulet(server):
    """Makes the host: its accounts are in the directory, and so are their vCards."""

    def make(slapd, options=None, **plugins):
        server.configure(
            auth=["ldap"], auth_options={"ldap": {**_options_for(slapd), "uids": ["uid"]}}
        )
        return server.host(HOST, vcard_ldap=options or {}, **plugins)

    return make


@pytest.fixture
def login():
    def login(host, name, resource="balcony", domain=HOST):
        return host.connect(f"{name}@{domain}/{resource}", PASSWORD)

    return login
