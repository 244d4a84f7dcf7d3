"""Octets over TLS, by both ways to move them."""

import logging
import os
import socket
import struct

import pytest
from OpenSSL import SSL
from OpenSSL._util import lib

from stonechat.net import tls, tls_direct
from stonechat.net.tls import (
    DONE,
    WANT_READ,
    WANT_WRITE,
    TlsConnector,
    TlsContexts,
    TlsCut,
    TlsError,
    TlsSocket,
)
from stonechat.net.tls_direct import DirectTlsSocket

pytestmark = pytest.mark.usefixtures("kind")


@pytest.fixture
def ends(wire, capulet):
    return wire.connect(capulet)


def read_all(end):
    pieces = []
    while isinstance(piece := end.recv(), bytes) and piece:
        pieces.append(piece)
    return b"".join(pieces)


def receive(end):
    """The next octets that are for us, after what TLS itself has sent, tickets for example."""
    for _ in range(5):
        if (octets := end.recv()) is not WANT_READ:
            return octets
    return WANT_READ


def drain(end):
    assert receive(end) is WANT_READ


def test_octets_go_both_ways(ends):
    server, client = ends
    assert client.send(b"What's in a name?") == 17
    assert server.recv() == b"What's in a name?"
    assert server.send(b"That which we call a rose") == 25
    assert receive(client) == b"That which we call a rose"


def test_with_nothing_to_read_it_says_so(ends):
    server, _ = ends
    assert server.recv() is WANT_READ
    assert server.recv() is WANT_READ


def test_a_memoryview_is_sent_like_bytes(ends):
    server, client = ends
    octets = memoryview(b"O Romeo, Romeo!")
    assert client.send(octets[2:7]) == 5
    assert server.recv() == b"Romeo"


def test_sending_nothing_is_done_at_once(ends):
    _, client = ends
    assert client.send(b"") == 0
    assert client.send(memoryview(b"")) == 0


def test_one_send_takes_one_record_at_most(ends):
    server, client = ends
    assert client.send(b"x" * 20_000) == tls.RECORD_SIZE
    assert server.recv() == b"x" * tls.RECORD_SIZE


def test_a_read_may_take_a_part_and_tell_what_is_left(ends):
    server, client = ends
    client.send(b"Montague")
    assert server.recv(4) == b"Mont"
    assert server.pending() == 4
    assert server.recv(100) == b"ague"
    assert server.pending() == 0


def test_a_read_gives_no_more_than_one_record(ends):
    server, client = ends
    client.send(b"Montague")
    client.send(b"Capulet")
    assert server.recv() == b"Montague"
    assert server.recv() == b"Capulet"


def test_a_full_socket_makes_the_sender_wait_and_loses_nothing(ends):
    server, client = ends
    octets = os.urandom(1_000_000)
    view = memoryview(octets)
    sent = 0
    received = []
    waited = 0
    while sent < len(octets):
        result = client.send(view[sent:])
        if result is WANT_WRITE:
            waited += 1
            received.append(read_all(server))
        else:
            sent += result
    received.append(read_all(server))
    assert waited
    assert b"".join(received) == octets


def test_after_a_wait_the_same_octets_may_be_followed_by_others(ends):
    server, client = ends
    received = []
    sent = 0
    while (result := client.send(b"x" * 1000)) is not WANT_WRITE:
        sent += result
    received.append(read_all(server))
    rest = b"x" * 1000 + b"and more"
    while rest:
        result = client.send(rest)
        assert result is not WANT_WRITE
        rest = rest[result:]
    received.append(read_all(server))
    assert b"".join(received) == b"x" * (sent + 1000) + b"and more"


def test_an_announced_end_is_empty_bytes(ends):
    server, client = ends
    client.send(b"Good night, good night!")
    assert client.shutdown() is DONE
    assert server.recv() == b"Good night, good night!"
    assert server.recv() == b""
    assert server.recv() == b""


def test_shutting_down_twice_is_no_error(ends):
    server, client = ends
    assert client.shutdown() is DONE
    assert client.shutdown() is DONE
    assert server.recv() == b""
    assert server.shutdown() is DONE


@pytest.fixture
def sockets_and_ends(wire, capulet, monkeypatch):
    pairs = []
    sockets = wire.sockets

    def remember():
        pairs.append(sockets())
        return pairs[-1]

    monkeypatch.setattr(wire, "sockets", remember)
    server, client = wire.connect(capulet)
    return *pairs[0], server, client


def fill(sock):
    count = 0
    try:
        while True:
            count += sock.send(bytes(65536))
    except BlockingIOError:
        return count


def test_a_shutdown_waits_for_room_in_the_socket(sockets_and_ends):
    one, other, server, client = sockets_and_ends
    filling = fill(other)
    assert client.shutdown() is WANT_WRITE
    while filling:
        filling -= len(one.recv(filling))
    assert client.shutdown() is DONE
    assert server.recv() == b""


def test_an_end_that_was_not_announced_is_a_cut(sockets_and_ends):
    _, other, server, client = sockets_and_ends
    drain(client)
    other.close()
    with pytest.raises(TlsCut):
        server.recv()


def test_a_reset_is_a_cut_with_the_system_s_own_words(authority, capulet, finish):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = socket.create_connection(listener.getsockname())
        one, _ = listener.accept()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        server = capulet.accept(one.fileno())
        client = TlsConnector(trust=None).connect(other.fileno(), "capulet.example")
        while not server.is_established:
            client.is_established or client.handshake()
            server.handshake()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        with pytest.raises(TlsCut, match="reset"):
            finish(one, server.recv)


def test_sending_to_nobody_is_a_cut(sockets_and_ends):
    _, other, server, _ = sockets_and_ends
    other.close()
    with pytest.raises(TlsCut):
        server.send(b"Wherefore art thou?")


def test_after_a_failure_everything_fails_and_nothing_crashes(sockets_and_ends):
    _, other, server, client = sockets_and_ends
    drain(client)
    other.send(b"this is no record of TLS at all")
    with pytest.raises(TlsError) as caught:
        server.recv()
    assert not isinstance(caught.value, TlsCut)
    assert "wrong version number" in str(caught.value) or "record" in str(caught.value)
    for call in (server.recv, server.handshake, lambda: server.send(b"x")):
        with pytest.raises(TlsCut):
            call()
    assert server.pending() == 0
    assert server.shutdown() is DONE


def test_a_closed_end_stays_closed(ends):
    server, _ = ends
    server.close()
    with pytest.raises(TlsCut):
        server.recv()
    assert server.shutdown() is DONE
    assert server.version == "TLSv1.3"


def test_before_the_handshake_there_is_nothing_to_shut_down(wire, capulet):
    one, _ = wire.sockets()
    server = capulet.accept(one.fileno())
    assert not server.is_established
    assert server.shutdown() is DONE
    assert server.pending() == 0


@pytest.mark.parametrize(
    "greeting",
    [
        b"GET / HTTP/1.1\r\nHost: capulet.example\r\n\r\n",
        b"<?xml version='1.0'?><stream:stream to='capulet.example'>",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xff" + bytes(300),
        bytes(1000),
        b"\x80\x2e\x01\x00\x02" + bytes(60),
    ],
)
def test_garbage_for_a_handshake_fails_with_a_reason(wire, capulet, greeting):
    one, other = wire.sockets()
    server = capulet.accept(one.fileno())
    other.send(greeting)
    with pytest.raises(TlsError) as caught:
        server.handshake()
    assert str(caught.value)


def test_a_peer_that_leaves_during_the_handshake_is_a_cut(wire, capulet):
    one, other = wire.sockets()
    server = capulet.accept(one.fileno())
    assert server.handshake() is WANT_READ
    other.send(b"\x16\x03\x01")
    assert server.handshake() is WANT_READ
    other.close()
    with pytest.raises(TlsCut):
        server.handshake()


def test_a_handshake_may_come_one_octet_at_a_time(wire, capulet):
    one, inner = wire.sockets()
    outer, other = wire.sockets()
    server = capulet.accept(one.fileno())
    client = TlsConnector(trust=None).connect(other.fileno(), "capulet.example")
    for _ in range(50_000):
        if server.is_established and client.is_established:
            break
        if not client.is_established:
            client.handshake()
        for source, target in ((outer, inner), (inner, outer)):
            try:
                target.send(source.recv(1))
            except BlockingIOError:
                pass
        if not server.is_established:
            server.handshake()
    assert server.is_established


# pyOpenSSL's own methods do not look.
@pytest.mark.parametrize("kind", [DirectTlsSocket], indirect=True)
def test_an_error_that_others_left_behind_is_not_taken_for_ours(ends):
    server, client = ends
    for call in (server.recv, lambda: client.send(b"x"), client.shutdown):
        lib.ERR_put_error(lib.ERR_LIB_EVP, 0, 100, b"elsewhere.c", 1)
        assert call() in (WANT_READ, 1, DONE)
        # OpenSSL 4 does not look at it any more; older ones do.
        assert lib.ERR_peek_error() == 0


# pyOpenSSL's own methods read on.
@pytest.mark.parametrize("kind", [DirectTlsSocket], indirect=True)
def test_one_read_handles_one_record_though_it_be_for_tls_itself(wire, capulet):
    server, client = wire.connect(capulet)
    # A server on TLS 1.3 begins with two tickets, ours too, though they open nothing.
    server.send(b"Good morrow")
    assert client.recv() is WANT_READ
    assert client.recv() is WANT_READ
    assert client.recv() == b"Good morrow"


def test_a_client_cannot_renegotiate(wire, authority, capulet, kind):
    one, other = wire.sockets()
    server = capulet.accept(one.fileno())
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = SSL.Connection(context, other)
    client.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    server.handshake()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    assert server.handshake() is DONE
    client.do_handshake()
    assert client.renegotiate()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    assert server.recv() is WANT_READ
    with pytest.raises(SSL.Error, match="no renegotiation"):
        client.do_handshake()


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_a_session_is_not_resumed(wire, capulet, version):
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(version)
    session = None
    for _ in range(2):
        one, other = wire.sockets()
        server = capulet.accept(one.fileno())
        client = SSL.Connection(context, other)
        client.set_connect_state()
        if session is not None:
            client.set_session(session)
        for _ in range(3):
            try:
                client.do_handshake()
            except SSL.WantReadError:
                pass
            if not server.is_established:
                server.handshake()
        server.send(b"x")
        assert client.recv(1) == b"x"  # after the tickets
        assert not lib.SSL_session_reused(client._ssl)
        session = client.get_session()
        # Sessions that end without this are not to be resumed anyway.
        client.shutdown()
        server.shutdown()
    assert session is not None


def test_the_direct_way_is_tried_out_and_taken():
    tls._try_out(DirectTlsSocket)
    tls._try_out(TlsSocket)


def break_recv(monkeypatch):
    monkeypatch.setattr(DirectTlsSocket, "recv", lambda self, limit=0: b"something else")


def break_binding(monkeypatch):
    def missing(*arguments):
        raise AttributeError("module has no attribute SSL_read")

    monkeypatch.setattr(tls_direct, "_read", missing)


@pytest.mark.parametrize("break_it", [break_recv, break_binding])
def test_where_the_direct_way_does_not_work_pyopenssl_s_methods_are_used(
    break_it, monkeypatch, caplog
):
    monkeypatch.undo()  # the choice itself is under test
    tls._socket_class.cache_clear()
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, tls.__name__):
        break_it(patch)
        assert tls._socket_class() is TlsSocket
    assert "slow" in caplog.text
    tls._socket_class.cache_clear()
    assert tls._socket_class() is DirectTlsSocket


def test_buffers_are_given_back_while_a_connection_is_idle(authority):
    contexts = TlsContexts(
        {"capulet.example": authority.issue("capulet.example")}, "capulet.example"
    )
    [(_, context)] = set(contexts._hosts.values())
    modes = lib.SSL_CTX_set_mode(context._context, 0)
    assert modes & lib.SSL_MODE_RELEASE_BUFFERS
    assert modes & lib.SSL_MODE_ENABLE_PARTIAL_WRITE
    assert modes & lib.SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
