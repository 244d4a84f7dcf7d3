"""TLS on connections: taking it up in the middle, what must not be mixed, and its end."""

import ssl

import gevent
import pytest

from stonechat.net.connection import FLUSH_SECONDS
from stonechat.net.tls_socket import WANT_WRITE

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


def fill(sock):
    """Send until the socket takes no more."""
    try:
        while True:
            sock.send(b"x" * 1000)
    except BlockingIOError:
        return


class OwingTls:
    """A TLS socket that must answer for itself before it reads on, and whose socket is full."""

    is_established = True

    def __init__(self, sock):
        self.sock = sock
        self.reads = 0

    def recv(self, limit):
        self.reads += 1
        try:
            self.sock.send(b"the answer")
        except BlockingIOError:
            return WANT_WRITE
        return self.sock.recv(limit)

    def send(self, data):
        return WANT_WRITE

    def shutdown(self):
        return WANT_WRITE


def test_tls_that_cannot_write_what_it_must_keeps_nobody_busy(net):
    connection, client = net.open(buffers=SMALL_BUFFERS)
    handler, _ = net.connect()
    connection.start(handler)
    connection.tls = OwingTls(connection._socket)
    fill(connection._socket)
    client.sendall(b"O")
    net.settle()
    assert connection.tls.reads < 5
    # It is tried again once the peer has fetched something.
    while not handler.received:
        client.recv(65536)
        gevent.sleep(0)
    handler.until_received(b"O")


def test_the_end_of_tls_that_cannot_be_written_is_dropped_after_a_while(net):
    connection, _ = net.open()
    handler, _ = net.connect()
    connection.start(handler)
    connection.tls = OwingTls(connection._socket)
    connection.close()
    net.advance(FLUSH_SECONDS + 1)
    assert handler.until_lost() == "the peer does not read"
