"""Outlets of a session: what stands between the server and one client."""

import pytest

from stonechat.core.client_wire import MOST_WAITING


class Lock:
    """An outlet that passes on what comes, and may say that it takes no messages."""

    unsent = 0

    def __init__(self, *, takes_messages=True):
        self.takes_messages = takes_messages

    def send(self, stanza):
        self.next(stanza)


@pytest.fixture
def juliet(server):
    client = server.host("capulet.example").connect("juliet@capulet.example/balcony")
    client.available()
    return client


@pytest.fixture
def session(server, juliet):
    return server.kernel.hosts["capulet.example"].session(juliet.jid)


def test_an_outlet_that_is_full_finds_out_whether_those_behind_it_are(session):
    first, second = Lock(takes_messages=False), Lock()
    session.add_outlet(second, nearest=True)
    session.add_outlet(first)
    assert not session.takes_messages
    assert session.takes_messages_behind(first)
    second.takes_messages = False
    assert not session.takes_messages_behind(first)
    assert session.takes_messages_behind(second)


@pytest.mark.parametrize("nearest", [True, False])
def test_behind_the_last_outlet_is_the_client(juliet, session, nearest):
    lock = Lock(takes_messages=False)
    session.add_outlet(lock, nearest=nearest)
    assert session.takes_messages_behind(lock)
    juliet.stream.connection.stop_reading()
    padding = "x" * 2_000_000 if nearest else "x"
    for _ in range(MOST_WAITING):
        session.write(f"<message><body>{padding}</body></message>".encode())
        if juliet.stream.connection.unsent > 1_000_000:
            break
    assert not session.takes_messages_behind(lock)


def test_what_is_in_front_of_an_outlet_does_not_count(session):
    lock = Lock()
    session.add_outlet(lock)
    session.add_outlet(Lock(takes_messages=False))
    assert not session.takes_messages
    assert session.takes_messages_behind(lock)


def test_who_is_not_there_has_nobody_behind(session):
    with pytest.raises(ValueError, match="not in list"):
        session.takes_messages_behind(Lock())
