"""Two ends of a stream over a real socket and real TLS, with an authority of our own."""

import socket
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from server_cast import CAPULET, MONTAGUE, PAIR, VERONA, Manager, Prover, message

from stonechat.core.config_model import ServerListener
from stonechat.core.peer_stream import STUCK_SECONDS
from stonechat.core.server_outgoing import OutgoingStream
from stonechat.core.server_port import ServerPort
from stonechat.errors import StreamError
from stonechat.federation import Pair
from stonechat.net.certificates import ID_ON_DNS_SRV
from stonechat.net.connection import Connection
from stonechat.net.resolver import Target
from stonechat.net.tls import TlsConnector, TlsContexts
from stonechat.protocol.s2s import header
from stonechat.protocol.splitter import Splitter
from stonechat.testing import until

sys.path.insert(0, str(Path(__file__).parents[1] / "net"))

from tls_authority import Authority

BACK = Pair(MONTAGUE, CAPULET)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


class Houses(Manager):
    """Both houses in one: what the one opens, the other accepts."""

    def host_of(self, domain):
        return self.kernel.hosts.get(domain)

    def certificate_of(self, local):
        return local if self.has_certificate else ""

    def certify(self, authority, **certificates):
        """Begin to use these certificates, and to believe in this authority."""
        pairs = {
            CAPULET: certificates.get("capulet") or authority.issue(CAPULET),
            MONTAGUE: certificates.get("montague") or authority.issue(MONTAGUE),
        }
        self.contexts = TlsContexts(
            pairs,
            CAPULET,
            request_client_certificate=True,
            trust=authority.path,
            peers_are_servers=True,
            alpn=["xmpp-server"],
        )
        self.connector = TlsConnector(pairs, trust=authority.path)

    def connection(self, sock):
        sock.setblocking(False)
        kernel = self.kernel
        limit = kernel.configuration.limits.unsent_bytes
        return Connection(sock, "203.0.113.1", kernel.poller, kernel.timers, limit)

    def accept(self, sock, **options):
        """One end of a socket has come to a port for servers."""
        options = ServerListener(type="s2s", port=0, idle_timeout="off", **options)
        ServerPort(options, self.kernel, self).begin(self.connection(sock))

    def dial(self, sock, *, tls=False):
        """The other end is a stream from Capulet to Montague."""
        stream = OutgoingStream(
            self,
            self.kernel.hosts[CAPULET],
            PAIR,
            self.connection(sock),
            Target("home.montague.example", 5269, tls),
            timeout=30.0,
            idle_timeout=0.0,
        )
        self.streams.append(stream)
        stream.start()
        return stream

    def meet(self, *, tls=False, **options):
        """Both of them; returns what became of it."""
        one, other = socket.socketpair()
        self.accept(other, tls="direct" if tls else "off", **options)
        self.dial(one, tls=tls)
        return until(self.outcome, "outcome")

    def outcome(self):
        """Either what each side was told of the pair, or why it is over for both."""
        ends = [each[1] for each in self.told if each[0] == "lost"]
        if len(ends) == 2:
            return ends
        told = [each for each in self.told if each[0] in ("ready", "authorized")]
        return told if len(told) == 2 else None


@pytest.fixture
def authority(tmp_path):
    (tmp_path / "ca").mkdir()
    return Authority(tmp_path / "ca")


@pytest.fixture
def houses(server, authority):
    server.host(CAPULET, plugin_classes={"prover": Prover})
    server.host(MONTAGUE)
    houses = Houses(server)
    houses.certify(authority)
    yield houses
    for stream in houses.streams:
        stream.abort("the test is over")
    server.settle()


BOTH_ARE_TOLD = [("ready", BACK), ("authorized", PAIR)]


@pytest.mark.parametrize("tls", [False, True])
def test_two_servers_meet(houses, server, tls):
    romeo = server._hosts[MONTAGUE].connect("romeo@montague.example/orchard")
    romeo.available()
    romeo.received()
    assert sorted(houses.meet(tls=tls)) == sorted(BOTH_ARE_TOLD)
    incoming, outgoing = houses.streams
    assert incoming.has_certificate_of(CAPULET)
    assert outgoing.has_certificate_of(MONTAGUE)
    assert incoming.id == outgoing.id != ""
    assert outgoing._connection.tls.alpn == ("xmpp-server" if tls else "")
    assert outgoing._connection.tls.peer_certificate is not None
    for number in range(100):
        outgoing.send(message("romeo@montague.example/orchard", f"juliet@{CAPULET}", str(number)))
    bodies = [romeo.receive_message().body for _ in range(100)]
    assert bodies == [str(number) for number in range(100)]
    outgoing.close()
    until(lambda: len([each for each in houses.told if each[0] == "lost"]) == 2, "end")
    until(lambda: all(stream.is_gone for stream in houses.streams), "end of the connections")


@pytest.fixture
def issue(authority, tmp_path):
    """Certificates of each kind, for whom they are."""

    def issue(kind, domain):
        (tmp_path / "mantua").mkdir(exist_ok=True)
        srv = f"_xmpp-server.{domain}".encode()
        made = {
            "good": lambda: authority.issue(domain),
            "of another name": lambda: authority.issue(VERONA),
            "of a common name": lambda: authority.issue(
                domain, names=[x509.DNSName("x." + domain)]
            ),
            "expired": lambda: authority.issue(domain, days=(-30, -1)),
            "not valid yet": lambda: authority.issue(domain, days=(5, 30)),
            "self-signed": lambda: authority.issue(domain, self_signed=True),
            "of a stranger": lambda: Authority(tmp_path / "mantua", "The Apothecary").issue(
                domain
            ),
            "of a wildcard": lambda: authority.issue(
                domain, names=[x509.DNSName("*.example"), x509.DNSName("*." + domain)]
            ),
            "of a service": lambda: authority.issue(
                domain, names=[x509.OtherName(ID_ON_DNS_SRV, bytes((0x16, len(srv))) + srv)]
            ),
            # As public authorities issue them now.
            "for servers": lambda: authority.issue(domain, usages=[SERVER]),
            "for clients": lambda: authority.issue(domain, usages=[CLIENT]),
        }
        return made[kind]()

    return issue


GOOD = ["good", "of a service", "for servers"]
BAD = [
    ("of another name", "not for"),
    ("of a common name", "not for"),
    ("of a wildcard", "not for"),
    ("expired", "expired"),
    ("not valid yet", "not yet valid"),
    ("self-signed", "self signed"),
    ("of a stranger", "issuer"),
    ("for clients", "purpose"),
]


@pytest.mark.parametrize("kind", GOOD)
def test_good_certificates_do_on_both_sides(houses, authority, issue, kind):
    houses.certify(authority, capulet=issue(kind, CAPULET), montague=issue(kind, MONTAGUE))
    assert sorted(houses.meet()) == sorted(BOTH_ARE_TOLD)


@pytest.mark.parametrize(("kind", "told"), BAD)
def test_whoever_shows_another_is_not_spoken_to(houses, authority, issue, kind, told):
    houses.certify(authority, montague=issue(kind, MONTAGUE))
    houses.meet()
    ((_, pair, condition, text),) = [each for each in houses.told if each[0] == "refused"]
    assert (pair, condition) == (PAIR, "remote-server-timeout")
    assert told in text.replace("-", " ")
    assert ("ready", BACK) not in houses.told


@pytest.mark.parametrize(("kind", "told"), BAD)
def test_nor_does_anybody_listen_to_it(houses, authority, issue, kind, told):
    houses.certify(authority, capulet=issue(kind, CAPULET))
    houses.trusts[MONTAGUE] = "dialback"
    ends = houses.meet()
    assert all("policy-violation" in end for end in ends)
    assert any(told in end.replace("-", " ") for end in ends)
    assert ("authorized", PAIR) not in houses.told


@pytest.mark.parametrize("kind", [kind for kind, _ in BAD])
def test_dialback_wants_none_of_all_that(houses, authority, issue, server, kind):
    """The plugin's word stands for the dialback: Montague's side has none, and closes."""
    houses.trusts = {MONTAGUE: "dialback", CAPULET: "dialback"}
    houses.certify(authority, capulet=issue(kind, CAPULET), montague=issue(kind, MONTAGUE))
    ends = houses.meet()
    assert any("unsupported-stanza-type" in end for end in ends)
    prover = server.kernel.hosts[CAPULET].plugins.running["prover"].instance
    assert ("prove", PAIR) in prover.events


def test_without_a_certificate_there_is_nothing_to_show(houses):
    houses.has_certificate = False
    ends = houses.meet()
    assert any("no certificate" in end for end in ends)


# Without TLS, to see what is really on the socket


@pytest.fixture
def in_clear(houses):
    """A stream of ours to a socket in our hands."""
    houses.trusts[MONTAGUE] = "any"
    one, other = socket.socketpair()
    other.settimeout(0)
    stream = houses.dial(one)
    until(lambda: read(other), "header")
    proof = "<proof xmlns='urn:example:proof'/>"
    answer = header(from_=MONTAGUE, to=CAPULET, id="1").decode()
    other.sendall(f"{answer}<stream:features>{proof}</stream:features>{proof}".encode())
    until(lambda: stream.may_send(PAIR), "authorization")
    until(lambda: read(other), "proof")
    yield stream, other
    other.close()


def read(sock):
    octets = b""
    while True:
        try:
            data = sock.recv(65536)
        except BlockingIOError:
            return octets
        if not data:
            return octets
        octets += data


def fill(stream):
    """Send as many stanzas as the stream takes, each with its number; returns the next one."""
    for number in range(10_000):
        if not stream.takes_stanzas:
            return number
        stream.send(message(body=f"{number} {'o' * 5000}"))
    raise AssertionError("it takes any number of them")


def bodies(octets):
    opening = header(from_=CAPULET, to=MONTAGUE)
    events = Splitter(1 << 20, content_namespace="jabber:server").feed(opening + octets)
    return [event.body for event in events[1:] if hasattr(event, "body")]


def test_what_a_peer_has_not_taken_is_given_back(houses, server, in_clear):
    stream, sock = in_clear
    sent = 0
    while stream.takes_stanzas:
        stream.send(
            message("romeo@montague.example", "juliet@capulet.example", f"{sent} {'o' * 5000}")
        )
        sent += 1
        assert sent < 10_000
    assert stream.is_open
    server.clock.advance(STUCK_SECONDS + 3)
    assert houses.end == "the peer does not read"
    taken = read(sock)
    whole = taken[: taken.rfind(b"</message>") + len(b"</message>")]
    left = [stanza.body.split()[0] for stanza in houses.left]
    there = [body.split()[0] for body in bodies(whole)]
    assert len(left) >= 64
    assert there + left == [str(number) for number in range(sent)]


def test_a_peer_that_reads_again_gets_it_all(houses, server, in_clear):
    stream, sock = in_clear
    sent = 0
    while stream.takes_stanzas:
        stream.send(
            message("romeo@montague.example", "juliet@capulet.example", f"{sent} {'o' * 5000}")
        )
        sent += 1
    octets = b""

    def all_is_there():
        nonlocal octets
        octets += read(sock)
        return octets.count(b"</message>") == sent

    until(all_is_there, "all of it")
    server.clock.advance(2)
    assert houses.told[-1] == "flowing"
    assert stream.takes_stanzas
    assert [body.split()[0] for body in bodies(octets)] == [str(number) for number in range(sent)]


def test_the_last_word_is_said(houses, in_clear):
    stream, sock = in_clear
    stream.send(message())
    stream.close(StreamError("system-shutdown"))
    octets = until(lambda: read(sock), "last word")
    assert octets.endswith(b"</stream:error></stream:stream>")
    assert b"<body>Hark!</body>" in octets
