"""A connection for who asks and waits: octets in the clear and over TLS, and its ends."""

import gevent
import pytest

from stonechat.net.line import Line
from stonechat.net.tls import TlsConnector
from stonechat.net.tls_socket import TlsCut, TlsError

DEADLINE = 10
PLENTY = b"Wherefore art thou Romeo? " * 40_000


@pytest.fixture
def ends(wire):
    return wire.sockets()


@pytest.fixture(autouse=True)
def deadline():
    with gevent.Timeout(DEADLINE):
        yield


def secure(ends, contexts, connector, **options):
    """Both ends as lines, their handshake done."""
    one, other = map(Line, ends)
    client = connector.connect(other.descriptor, "capulet.example", **options)
    answering = gevent.spawn(one.encrypt, contexts.accept(one.descriptor))
    other.encrypt(client)
    answering.get()
    return one, other, client


def received(line, size):
    data = b""
    while len(data) < size:
        data += line.receive()
    return data


def test_octets_arrive_however_many(ends):
    one, other = map(Line, ends)
    sending = gevent.spawn(one.send, PLENTY)
    assert received(other, len(PLENTY)) == PLENTY
    sending.get()


def test_octets_arrive_over_tls_too(ends, contexts, connector):
    one, other, _ = secure(ends, contexts, connector)
    sending = gevent.spawn(one.send, PLENTY)
    assert received(other, len(PLENTY)) == PLENTY
    sending.get()
    other.send(b"Ay me!")
    assert one.receive() == b"Ay me!"


def test_the_end_is_no_octets(ends, contexts, connector):
    one, other = map(Line, ends)
    one.close()
    assert other.receive() == b""


def test_the_end_is_said_over_tls(ends, contexts, connector):
    one, other, _ = secure(ends, contexts, connector)
    one.close()
    assert other.receive() == b""


def test_a_connection_that_is_cut_is_no_end_over_tls(ends, contexts, connector):
    _, other, _ = secure(ends, contexts, connector)
    ends[0].close()
    with pytest.raises(TlsCut):
        other.receive()


def test_what_is_no_tls_fails(ends, connector):
    one, other = map(Line, ends)
    one.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    with pytest.raises(TlsError):
        other.encrypt(connector.connect(other.descriptor, "capulet.example"))


def test_who_waits_for_nothing_can_be_called_off(ends):
    _, other = map(Line, ends)
    waiting = gevent.spawn(other.receive)
    gevent.sleep(0)
    waiting.kill()
    assert waiting.dead


def test_the_whole_chain_of_a_peer_can_be_seen(ends, contexts, connector, pairs, authority):
    chain = pairs["capulet.example"].chain
    chain.write_bytes(chain.read_bytes() + authority.path.read_bytes())
    contexts.reload()
    _, _, client = secure(ends, contexts, connector, keeps_chain=True)
    own, issuer = client.peer_chain()
    assert own == client.peer_certificate == contexts.certificates["capulet.example"]
    assert issuer == authority.certificate


def test_without_being_asked_for_the_chain_is_not_kept(ends, contexts):
    _, _, client = secure(ends, contexts, TlsConnector(trust=None))
    assert client.peer_certificate is not None
    with pytest.raises(TlsCut):
        client.peer_chain()
