"""Peeking at what comes first on a connection, for the PROXY protocol's header."""

import pytest

from stonechat.net.connection import PEEK_SECONDS
from stonechat.net.proxy_protocol import ProxyParser

V1 = b"PROXY TCP4 198.51.100.7 192.0.2.10 4711 5222\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([198, 51, 100, 7, 192, 0, 2, 10, 1, 2, 3, 4])


def peek(connection, recorder):
    """Wait for a PROXY header, as the port for clients does; returns what was looked at."""
    looks = []

    def look(data):
        looks.append(data)
        header = ProxyParser().feed(data)
        if header is None:
            return 0
        connection.address = header.source.host
        connection.start(recorder)
        return len(data) - len(header.rest)

    connection.start_peeking(look, 4096)
    return looks


@pytest.fixture
def recorder(net):
    """A handler without a connection yet."""
    handler, _ = net.connect()
    handler.connection.abort("not needed")
    handler.until_lost()
    handler.calls.clear()
    return handler


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_a_header_in_front_is_taken_and_nothing_of_what_follows(net, recorder, header):
    connection, client = net.open()
    peek(connection, recorder)
    client.sendall(header + b"<stream>")
    recorder.until_received(b"<stream>")
    assert connection.address == "198.51.100.7"


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_a_header_may_drip_in_without_keeping_the_hub_busy(net, recorder, header):
    connection, client = net.open()
    looks = peek(connection, recorder)
    octets = list(header + b"<")
    pauses = 0
    while not recorder.received:
        if octets:
            client.sendall(bytes([octets.pop(0)]))
        net.settle()
        # The system may bring the last of them some time later.
        net.advance(2 * PEEK_SECONDS)
        pauses += 1
        assert pauses < 10_000
    assert recorder.received == b"<"
    assert connection.address == "198.51.100.7"
    assert len(looks) <= pauses


def test_a_header_that_stops_half_way_is_looked_at_now_and_then_only(net, recorder):
    connection, client = net.open()
    looks = peek(connection, recorder)
    client.sendall(V1[:10])
    for _ in range(20):
        net.settle()
        net.advance(PEEK_SECONDS / 2)
    assert 2 <= len(looks) <= 12
    assert connection.handled == len(looks)
    client.sendall(V1[10:])
    net.settle()
    net.advance(2 * PEEK_SECONDS)
    client.sendall(b"<")
    recorder.until_received(b"<")


def test_who_sends_more_than_a_header_can_be_is_dropped(net, recorder):
    connection, client = net.open()
    connection.start_peeking(lambda data: 0, 100)
    client.sendall(b"x" * 200)
    with pytest.raises(ConnectionResetError):
        client.recv(10)


def test_who_leaves_while_looked_at_is_dropped(net):
    connection, client = net.open()
    connection.start_peeking(lambda data: 0, 100)
    client.close()
    net.settle()
    assert connection.is_closed


def test_whoever_looks_may_refuse_the_connection(net):
    connection, client = net.open()
    connection.start_peeking(lambda data: connection.abort("not a proxy") or 0, 100)
    client.sendall(b"x")
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    assert len(net.timers) == 0


def test_tls_begins_behind_the_header(net, recorder, capulet):
    connection, client = net.open()

    def look(data):
        connection.tls = capulet.accept(connection.descriptor)
        recorder.on_data = lambda handler, data: connection.write(data)
        connection.start(recorder)
        return len(V1)

    connection.start_peeking(look, 4096)
    client.sendall(V1)
    juliet = net.encrypt(client)
    juliet.sendall(b"O")
    assert juliet.recv(10) == b"O"
