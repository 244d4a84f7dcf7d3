"""Streams of clients in each state up to their binding; the account is Juliet's."""

import pytest

from stonechat.testing.kit import PASSWORD


@pytest.fixture
def host(server):
    host = server.host("capulet.example")
    host.create_account("juliet")
    return host


@pytest.fixture
def stream(host):
    """Encrypted and open, not logged in."""
    return host.open_stream(tls=True)


@pytest.fixture
def logged_in(stream):
    """Authenticated and open again, not bound."""
    assert stream.authenticate("juliet", PASSWORD).name == "success"
    stream.open()
    return stream
