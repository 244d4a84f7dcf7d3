"""Servers that hang, talk nonsense, or are not who they say."""

import socket

import pytest
from peers import CAPULET, DEADLINE
from peers.faulty import FaultyServer

HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:server' id='1' version='1.0'"
    b" xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'>"
)
TLS = b"urn:ietf:params:xml:ns:xmpp-tls"
STARTTLS = b"<stream:features><starttls xmlns='%b'><required/></starttls></stream:features>" % TLS
PROCEED = b"<proceed xmlns='%b'/>" % TLS

HANGING = {
    "connected": [],
    "opened": [b"", HEADER],
    "half-opened": [b"", HEADER[:100]],
    "featured": [b"", HEADER + STARTTLS],
    "proceeding": [b"", HEADER + STARTTLS, PROCEED],
}

BROKEN = {
    "closed": [None],
    "closed-late": [b"", HEADER + STARTTLS, None],
    "octets": [b"", bytes(range(256)) * 10],
    "mail": [b"", b"220 mail.example ESMTP\r\n"],
    "web": [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n<!DOCTYPE html><html><body><p>No.<br></html>"],
    "client-port": [b"", HEADER.replace(b"jabber:server'", b"jabber:client'")],
    "entities": [b"", b"<!DOCTYPE lolz [<!ENTITY lol 'lol'>]>" + HEADER],
    "endless-header": [b"", HEADER[:-1] + b" a='" + b"x" * 100_000],
    "endless-features": [b"", HEADER + b"<stream:features>" + b"<a>" * 100_000],
    "stanza-first": [b"", HEADER + b"<message from='a@b' to='c@d'/>"],
    "no-features": [b"", HEADER + b"<stream:features/>"],
    "stream-error": [
        b"",
        HEADER + b"<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
        b"</stream:error></stream:stream>",
    ],
    "no-tls": [b"", HEADER + STARTTLS, PROCEED + b"Who goes there?"],
    "broken-tls": [b"", HEADER + STARTTLS, PROCEED, b"\x16\x03\x01\x00\x05Hello"],
}


@pytest.fixture
def faulty(stage):
    """Makes servers for domains of these names, as they are played."""
    servers = []

    def make(**plays):
        for name, play in plays.items():
            servers.append(FaultyServer(stage, f"{name}.example", play))

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def juliet(impatient, people):
    return people.client(impatient, f"juliet@{impatient.domain}")


def call(juliet, names):
    """Say something to somebody at each of these servers, at the same time."""
    for name in names:
        juliet.say(f"romeo@{name}.example", f"To {name}")


def answers(juliet, names):
    """What comes back of that."""
    return {name: juliet.error_of(juliet.message(f"To {name}")).condition for name in names}


def test_who_hangs_is_waited_for_as_long_as_it_says_and_no_longer(
    impatient, prosody, people, juliet, faulty
):
    faulty(**HANGING)
    call(juliet, HANGING)
    # Nobody else has to wait for that.
    romeo = people.client(prosody, f"romeo@{prosody.domain}")
    juliet.say(romeo.jid, "Meanwhile")
    romeo.message("Meanwhile")
    assert answers(juliet, HANGING) == dict.fromkeys(HANGING, "remote-server-timeout")


def test_who_talks_nonsense_is_no_server(impatient, juliet, faulty):
    faulty(**BROKEN)
    call(juliet, BROKEN)
    assert answers(juliet, BROKEN) == dict.fromkeys(BROKEN, "remote-server-timeout")
    assert impatient.new_faults() == []


def test_where_a_target_hangs_the_next_one_does(impatient, stage, prosody, people, juliet):
    hanging = FaultyServer(stage, "hanging.example")
    domain = f"hanging-first.{prosody.domain}"
    stage.publish(
        {
            f"_xmpp-server._tcp.{domain}": [
                f"SRV 0 0 {hanging.port} xmpp.hanging.example",
                f"SRV 1 0 {prosody.s2s_port} xmpp.{prosody.domain}",
            ]
        }
    )
    romeo = people.client(prosody, f"romeo@{domain}")
    juliet.say(romeo.jid, "At last!")
    assert romeo.message("At last!")["from"] == juliet.jid
    hanging.close()


class Imposter:
    """Whoever connects to our port for servers, and says anything."""

    def __init__(self, node, remote, local):
        self.socket = socket.create_connection(node.s2s, DEADLINE)
        self.socket.settimeout(DEADLINE)
        self.remote, self.local = remote, local
        self.came = b""

    def open(self):
        header = HEADER[:-1] + f" from='{self.remote}' to='{self.local}'>".encode()
        self.say(header.replace(b" id='1'", b""))
        return self

    def say(self, octets):
        self.socket.sendall(octets)

    def read_until(self, end):
        while end not in self.came:
            octets = self.socket.recv(65536)
            assert octets, self.came
            self.came += octets
        return self.came

    def read_all(self):
        try:
            while octets := self.socket.recv(65536):
                self.came += octets
        except ConnectionResetError:
            pass
        return self.came

    def close(self):
        self.socket.close()


@pytest.fixture
def imposter(capulet):
    imposters = []

    def make(remote, local):
        imposters.append(Imposter(capulet, remote, local))
        return imposters[-1]

    yield make
    for each in imposters:
        each.close()


@pytest.mark.parametrize("peer", ["prosody", "ejabberd"], indirect=True)
def test_the_real_server_is_asked_who_is_an_imposter(capulet, peer, people, imposter):
    remote, local = peer.host("clear"), capulet.trusting("any")
    juliet = people.client(capulet, f"juliet@{local}")
    stream = imposter(remote, local).open()
    stream.read_until(b"</stream:features>")
    stream.say(f"<db:result from='{remote}' to='{local}'>a made up key</db:result>".encode())
    answer = f"<db:result from='{local}' to='{remote}' type='invalid'/>"
    assert stream.read_all().decode().endswith(f"{answer}</stream:stream>")
    # The real one goes on speaking to us.
    romeo = people.client(peer, f"romeo@{remote}")
    romeo.say(juliet.jid, "I take thee at thy word.")
    assert juliet.message("I take thee at thy word.")["from"] == romeo.jid


def test_one_who_proves_nothing_can_say_nothing(capulet, people, imposter):
    local = capulet.trusting("any")
    juliet = people.client(capulet, f"juliet@{local}")
    stream = imposter("mercutio.example", local).open()
    stream.read_until(b"</stream:features>")
    stream.say(
        f"<message from='mercutio@mercutio.example' to='{juliet.jid}'><body>Arise!</body>"
        "</message>".encode()
    )
    assert b"<not-authorized" in stream.read_all()
    assert "Arise!" not in [stanza["body"] for stanza in juliet.rest() if stanza.name == "message"]


@pytest.mark.parametrize("said", [play[1] for play in BROKEN.values() if len(play) == 2])
def test_nonsense_is_answered_by_the_end(capulet, imposter, said):
    stream = imposter("mercutio.example", CAPULET)
    stream.say(said)
    assert b"</stream:stream>" in stream.read_all()
