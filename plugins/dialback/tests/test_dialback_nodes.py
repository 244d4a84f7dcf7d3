"""Two servers that are processes federate by dialback, and a third one tries to take part."""

import re
import socket

import pytest

from stonechat.net.certificates import write_self_signed
from stonechat.testing import ServerProcess
from stonechat.testing.process import LOCALHOST

CAPULET, MONTAGUE, TYBALT = "capulet.example", "montague.example", "tybalt.example"
JULIET, ROMEO = f"juliet@{CAPULET}", f"romeo@{MONTAGUE}"
DEADLINE = 20

HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:server' version='1.0'"
    " xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'"
)


class Verona:
    """Both servers, and the name server that knows where they are."""

    def __init__(self, directory, dns_server, trust):
        self.directory = directory
        self.dns_server = dns_server
        self.trust = trust
        self.capulet = self.make(CAPULET)
        self.montague = self.make(MONTAGUE)
        self.publish()

    def make(self, domain):
        host = {}
        if self.trust != "any":
            chain, key = self.directory / f"{domain}.pem", self.directory / f"{domain}.key"
            write_self_signed([domain], chain, key)
            host["certificate"] = {"chain": str(chain), "key": str(key)}
        process = ServerProcess(
            self.directory / domain,
            {
                "hosts": {domain: host},
                "listen": [
                    {"type": "c2s", "starttls": "off"},
                    {"type": "s2s", "starttls": "off" if self.trust == "any" else "required"},
                ],
                "allow_plain_without_tls": True,
                "dns": {"servers": [self.dns_server.address]},
                "federation": {"trust": self.trust, "timeout": "15 s"},
                "plugins": {"dialback": {}, "ping": {}},
            },
        )
        process.start()
        process.register(JULIET if domain == CAPULET else ROMEO)
        return process

    def publish(self, **more):
        ports = {CAPULET: self.capulet.ports[1], MONTAGUE: self.montague.ports[1], **more}
        self.dns_server.publish(
            {f"_xmpp-server._tcp.{name}": f"SRV 0 5 {port} here" for name, port in ports.items()}
            | {"here": f"A {LOCALHOST}"}
        )

    def ways(self, process):
        """How domains were authorized: the directions and the ways."""
        return [
            (record["direction"], record["way"])
            for record in process.records
            if record["event"] == "domain authorized"
        ]

    def kill(self):
        for process in (self.capulet, self.montague):
            process.kill()


@pytest.fixture(params=["any", "dialback"])
def verona(request, tmp_path, dns_server):
    verona = Verona(tmp_path, dns_server, request.param)
    yield verona
    verona.kill()


@pytest.fixture
def clear_verona(tmp_path, dns_server):
    verona = Verona(tmp_path, dns_server, "any")
    yield verona
    verona.kill()


@pytest.fixture
def juliet(verona, slixmpp):
    return slixmpp.available(verona.capulet, f"{JULIET}/balcony", "xep_0199")


@pytest.fixture
def romeo(verona, slixmpp):
    return slixmpp.available(verona.montague, f"{ROMEO}/orchard", "xep_0199")


def test_messages_go_both_ways(verona, juliet, romeo):
    for one, other in ((juliet, romeo), (romeo, juliet)):
        for line in ("one", "two"):
            one.say(other.jid, line)
        assert [other.message()["body"] for _ in range(2)] == ["one", "two"]
    for process in (verona.capulet, verona.montague):
        assert sorted(verona.ways(process)) == [("in", "dialback"), ("out", "dialback")]
        assert process.faults == []


def test_a_request_is_answered_over_there(juliet, romeo):
    """Its answer needs a dialback of its own, while the stream of the first is in use."""
    for one, domain in ((juliet, MONTAGUE), (romeo, CAPULET)):
        assert one.call("xep_0199", "send_ping", domain)["type"] == "result"


def test_both_may_begin_at_the_same_time(verona, juliet, romeo):
    juliet.say(romeo.jid, "Romeo?")
    romeo.say(juliet.jid, "Juliet!")
    assert romeo.message()["body"] == "Romeo?"
    assert juliet.message()["body"] == "Juliet!"


def test_a_server_that_comes_back_is_let_in_again(verona, juliet, slixmpp):
    juliet.say(ROMEO, "before")
    assert juliet.message()["type"] == "error"
    verona.montague.kill()
    verona.montague.start()
    romeo = slixmpp.available(verona.montague, f"{ROMEO}/orchard", "xep_0199")
    # Its streams are new; keys of before hold, for it has found its secret again.
    romeo.say(juliet.jid, "after")
    assert juliet.message()["body"] == "after"


class Raw:
    """A connection of somebody's who is no server."""

    def __init__(self, sock):
        sock.settimeout(DEADLINE)
        self.socket = sock
        self.unread = ""

    def send(self, text):
        self.socket.sendall(text.encode())

    def read(self, end):
        """What comes, up to and with a match of the pattern."""
        while (found := re.search(end, self.unread)) is None:
            data = self.socket.recv(65536)
            assert data, f"closed after {self.unread!r}"
            self.unread += data.decode()
        text, self.unread = self.unread[: found.end()], self.unread[found.end() :]
        return text

    def rest(self):
        """All that comes until the server closes the connection."""
        while data := self.socket.recv(65536):
            self.unread += data.decode()
        return self.unread


def impostor(process, from_):
    """A stream that is said to be another domain's, and its id."""
    raw = Raw(socket.create_connection((LOCALHOST, process.ports[1]), DEADLINE))
    raw.send(f"{HEADER} from='{from_}' to='{CAPULET}'>")
    header = raw.read("</stream:features>")
    return raw, re.search(r" id='(\w+)'", header)[1]


def show_key(from_, key="f" * 64):
    return f"<db:result from='{from_}' to='{CAPULET}'>{key}</db:result>"


def test_an_impostor_is_found_out_by_the_server_that_he_claims_to_be(clear_verona):
    tybalt, _ = impostor(clear_verona.capulet, MONTAGUE)
    with tybalt.socket:
        tybalt.send(show_key(MONTAGUE))
        told = tybalt.rest()
    assert re.search(r"<db:result [^>]*type='invalid'/></stream:stream>$", told), told
    assert clear_verona.ways(clear_verona.capulet) == []
    (fault,) = clear_verona.capulet.faults
    assert (fault["event"], fault["remote"]) == ("dialback failed", MONTAGUE)


def test_a_key_that_was_shown_elsewhere_opens_nothing(clear_verona, slixmpp):
    """Tybalt lets Montague show him a key, for the very stream that he has to Capulet."""
    verona = clear_verona
    romeo = slixmpp.available(verona.montague, f"{ROMEO}/orchard", "xep_0199")
    tybalt, stream_id = impostor(verona.capulet, MONTAGUE)
    with tybalt.socket, socket.create_server((LOCALHOST, 0)) as listener:
        listener.settimeout(DEADLINE)
        verona.publish(**{TYBALT: listener.getsockname()[1]})
        romeo.say(f"nurse@{TYBALT}", "Here's goodly gear!")
        with listener.accept()[0] as accepted:
            montague = Raw(accepted)
            montague.read(r"<stream:stream [^>]*>")
            montague.send(f"{HEADER} from='{TYBALT}' id='{stream_id}'><stream:features/>")
            key = re.search(">([0-9a-f]{64})<", montague.read("</db:result>"))[1]
            tybalt.send(show_key(MONTAGUE, key))
            assert "type='invalid'" in tybalt.rest()


def test_a_domain_whose_records_lead_to_the_asker_itself_is_not_found(clear_verona):
    """Nobody asks himself without end: he does not know the domain."""
    verona = clear_verona
    verona.publish(**{TYBALT: verona.capulet.ports[1]})
    tybalt, _ = impostor(verona.capulet, TYBALT)
    with tybalt.socket:
        tybalt.send(show_key(TYBALT))
        assert "<remote-server-not-found" in tybalt.read("</db:result>")
    assert verona.capulet.faults == []


def test_who_wants_a_certificate_is_not_content_with_a_dialback(tmp_path, dns_server, slixmpp):
    verona = Verona(tmp_path, dns_server, "require")
    try:
        juliet = slixmpp.available(verona.capulet, f"{JULIET}/balcony", "xep_0199")
        juliet.say(ROMEO, "Romeo?")
        assert juliet.error_of(juliet.message()).condition == "remote-server-timeout"
        assert verona.ways(verona.montague) == verona.ways(verona.capulet) == []
    finally:
        verona.kill()
