"""TLS on connections: taking it up in the middle, what must not be mixed, and its end."""

import ssl

import pytest

from stonechat.net.connection import FLUSH_SECONDS
from stonechat.net.poller import READ, WRITE
from stonechat.net.tls_socket import DONE, WANT_READ, WANT_WRITE

SMALL_BUFFERS = 16384


def echo(handler, data):
    handler.connection.write(data)


@pytest.fixture
def start_tls(capulet):
    """Take up TLS at the server's end."""

    def start_tls(connection):
        connection.start_tls(capulet.accept(connection.descriptor))

    return start_tls


def test_starttls_leaves_in_the_clear_what_was_written_before(net, start_tls):
    def proceed(handler, data):
        if data == b"<starttls/>":
            handler.connection.write(b"<proceed/>")
            start_tls(handler.connection)
        else:
            handler.connection.write(data)

    handler, client = net.connect(proceed)
    client.sendall(b"<starttls/>")
    assert client.recv(100) == b"<proceed/>"
    juliet = net.encrypt(client)
    juliet.sendall(b"now in private")
    assert juliet.recv(100) == b"now in private"
    assert handler.calls[:2] == ["data", "tls"]


def test_octets_in_the_clear_behind_proceed_end_the_connection(net, start_tls):
    handler, client = net.connect()
    start_tls(handler.connection)
    client.sendall(b"<stream:stream to='capulet.example'>")
    assert handler.until_lost().startswith("TLS handshake failed")
    assert handler.received == b""


def test_a_peer_that_leaves_in_the_handshake_is_lost(net, start_tls):
    handler, client = net.connect()
    start_tls(handler.connection)
    client.close()
    assert handler.until_lost().startswith("TLS handshake failed")


def test_starttls_with_proceed_stuck_in_the_clear_ends_the_connection(net, start_tls):
    handler, _ = net.connect(unsent_limit=20 << 20, buffers=SMALL_BUFFERS)
    handler.connection.write(b"x" * 1_000_000)
    start_tls(handler.connection)
    assert handler.until_lost() == "the peer does not read"
    assert handler.connection.tls is None


def test_what_is_written_while_shaking_hands_follows_encrypted(net, start_tls):
    handler, client = net.connect()
    connection = handler.connection
    start_tls(connection)
    connection.write(b"between us")
    net.settle()
    juliet = net.encrypt(client)
    assert juliet.recv(100) == b"between us"


def test_close_while_shaking_hands_ends_at_once(net, start_tls):
    handler, client = net.connect()
    start_tls(handler.connection)
    handler.connection.write(b"never sent")
    handler.connection.close()
    assert handler.until_lost() == "closed"
    assert client.recv(100) == b""


def test_data_in_the_same_segment_as_the_end_of_the_handshake_is_not_left_lying(net, start_tls):
    handler, client = net.connect(echo)
    start_tls(handler.connection)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    juliet = net.client_context().wrap_bio(incoming, outgoing)
    is_established = False
    while not is_established:
        try:
            juliet.do_handshake()
            is_established = True
        except ssl.SSLWantReadError:
            client.sendall(outgoing.read())
            incoming.write(client.recv(65536))
    juliet.write(b"x" * 40_000)
    client.sendall(outgoing.read())
    handler.until_received(b"x" * 40_000)


def test_close_says_so_in_tls(net, start_tls):
    handler, client = net.connect()
    start_tls(handler.connection)
    juliet = net.encrypt(client)
    handler.until(lambda _: "tls" in handler.calls)
    handler.connection.write(b"parting")
    handler.connection.close()
    # Without the announcement this client would raise.
    assert net.receive(juliet) == b"parting"
    assert handler.connection.tls is None


class Scripted:
    """A TLS socket that answers each call as it was told, for what a real one seldom says."""

    has_more = False

    def __init__(self, *answers, is_established=True):
        self.answers = list(answers)
        self.is_established = is_established

    def recv(self, limit):
        return self.answers.pop(0)

    def shutdown(self):
        return self.answers.pop(0)

    def handshake(self):
        answer = self.answers.pop(0)
        self.is_established = answer is DONE
        return answer


@pytest.fixture
def scripted(net):
    """Makes a connection with such a TLS socket."""

    def scripted(*answers, **state):
        handler, client = net.connect()
        handler.connection.tls = Scripted(*answers, **state)
        return handler, client

    return scripted


def test_tls_that_must_write_before_it_reads_on_waits_for_room_alone(scripted):
    handler, juliet = scripted(WANT_WRITE, b"O")
    juliet.sendall(b"encrypted")
    handler.connection.handle(READ)
    # Whatever the peer sends would wake us, and lead nowhere.
    assert handler.connection.polled == WRITE
    handler.until_received(b"O")


def test_a_handshake_that_must_write_waits_for_room_alone(scripted):
    handler, juliet = scripted(WANT_WRITE, WANT_READ, DONE, is_established=False)
    juliet.sendall(b"encrypted")
    handler.connection.handle(READ)
    assert handler.connection.polled == WRITE
    handler.until(lambda _: handler.calls == ["tls"])
    assert handler.connection.polled == READ


def test_the_end_of_tls_is_said_once_there_is_room(scripted):
    handler, juliet = scripted(WANT_WRITE, DONE)
    tls = handler.connection.tls
    handler.connection.close()
    assert juliet.recv(10) == b""
    assert tls.answers == []


def test_the_end_of_tls_that_finds_no_room_is_dropped_after_a_while(net, scripted):
    handler, _ = scripted(*[WANT_WRITE] * 1000)
    handler.connection.close()
    net.advance(FLUSH_SECONDS + 1)
    assert handler.until_lost() == "the peer does not read"
