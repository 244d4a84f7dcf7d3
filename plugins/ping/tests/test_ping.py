"""Pings that clients send, and those that they get."""

import gevent
import pytest

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.stanza import Element

PING = Element("urn:xmpp:ping", "ping")


@pytest.fixture
def host(server):
    return server.host("capulet.example", ping={})


@pytest.fixture
def juliet(host):
    return host.connect("juliet@capulet.example/balcony")


class Friends:
    """In place of a roster: Juliet may see everybody, and nobody else may see anybody."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_may_see_presence(self, account, watcher):
        return watcher.localpart == "juliet"


@pytest.mark.parametrize("to", ["capulet.example", "juliet@capulet.example", None])
def test_answers_a_ping_to(juliet, to):
    reply = juliet.get(PING, to=to)
    assert reply.payload is None


def test_answers_a_friend_for_an_account_that_is_not_connected(server):
    host = server.host("capulet.example", plugin_classes={"friends": Friends}, ping={})
    host.create_account("romeo", "secret")
    juliet = host.connect("juliet@capulet.example/balcony")
    assert juliet.get(PING, to="romeo@capulet.example").payload is None


def test_tells_no_stranger_which_accounts_exist(host, juliet):
    host.create_account("romeo", "secret")
    known, unknown = (
        juliet.request("get", PING, to=f"{name}@capulet.example") for name in ("romeo", "mercutio")
    )
    assert known.type == "error"
    assert known.element.find("error").first().name == "service-unavailable"
    assert known.element.elements == unknown.element.elements


def test_passes_a_ping_to_a_client_on(host, juliet):
    romeo = host.connect("romeo@capulet.example/orchard")
    juliet.send("<iq type='get' id='p1' to='romeo@capulet.example/orchard'>" + str(PING) + "</iq>")
    ping = romeo.receive_iq()
    assert (ping.from_, ping.payload) == (juliet.jid, PING)


def test_is_advertised(host):
    plugin = host.plugin("ping")
    assert plugin.stonechat_disco_features() == ["urn:xmpp:ping"]
    assert plugin.stonechat_account_disco_features() == ["urn:xmpp:ping"]


def test_leaves_silent_clients_alone_by_default(server, juliet):
    server.clock.advance(86400)
    assert juliet.received() == []


# Probes. The interval is measured by the server's clock, the wait for the answer by the
# world's: it is long where an answer comes, and short where none does.


@pytest.fixture
def probing(server):
    return server.host("capulet.example", ping={"interval": "60 s", "timeout": "10 min"})


def test_pings_a_client_that_is_silent_for_the_interval(server, probing):
    juliet = probing.connect("juliet@capulet.example/balcony")
    server.clock.advance(75)
    ping = juliet.receive_iq()
    assert (ping.type, ping.payload) == ("get", PING)
    assert ping.from_ == JID.parse("capulet.example")
    assert ping.to == juliet.jid


def test_pings_nobody_who_has_just_said_something(server, probing):
    juliet = probing.connect("juliet@capulet.example/balcony")
    for _ in range(5):
        server.clock.advance(50)
        juliet.send(" ")
    assert juliet.received() == []


def test_a_client_that_answers_stays(server, probing):
    juliet = probing.connect("juliet@capulet.example/balcony")
    for _ in range(3):
        server.clock.advance(75)
        ping = juliet.receive_iq()
        juliet.send(ping.result())
    assert probing.kernel.session(juliet.jid).is_open


def test_a_client_that_answers_with_an_error_stays(server, probing):
    juliet = probing.connect("juliet@capulet.example/balcony")
    server.clock.advance(75)
    ping = juliet.receive_iq()
    juliet.send(
        f"<iq type='error' id='{ping.id}' to='capulet.example'><error type='cancel'>"
        "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
    assert juliet.get(PING).payload is None
    assert probing.kernel.session(juliet.jid).is_open


def test_a_client_that_does_not_answer_is_closed(server):
    host = server.host("capulet.example", ping={"interval": "60 s", "timeout": "1 ms"})
    juliet = host.connect("juliet@capulet.example/balcony")
    server.clock.advance(75)
    assert juliet.receive_iq().payload == PING
    assert juliet.closed_with() == "connection-timeout"
    assert host.kernel.session(juliet.jid) is None


def test_a_client_that_says_something_else_instead_stays(server, probing, monkeypatch):
    juliet = probing.connect("juliet@capulet.example/balcony")
    plugin = probing.plugin("ping")

    def ask(iq, timeout):
        juliet.stream.connection.deliver(b" ")
        gevent.sleep(0)  # the server reads it
        raise StanzaError("remote-server-timeout")

    monkeypatch.setattr(plugin.host, "ask", ask)
    server.clock.advance(3600)
    assert probing.kernel.session(juliet.jid).is_open


def test_a_client_that_does_not_answer_may_stay(server):
    options = {"interval": "60 s", "timeout": "1 ms", "action": "none"}
    host = server.host("capulet.example", ping=options)
    juliet = host.connect("juliet@capulet.example/balcony")
    for _ in range(2):  # the second ping goes out when the first has been given up
        server.clock.advance(75)
        assert juliet.receive_iq().payload == PING
    assert juliet.get(PING).payload is None


def test_does_not_ask_twice_before_an_answer_had_its_time(server, probing):
    juliet = probing.connect("juliet@capulet.example/balcony")
    server.clock.advance(300)
    assert [iq.payload for iq in juliet.received()] == [PING]


def test_so_many_wait_at_once_and_no_more(server, probing, monkeypatch):
    monkeypatch.setattr("stonechat_ping.MAX_PROBES", 2)
    clients = [probing.connect(f"juliet@capulet.example/{place}") for place in "abc"]
    server.clock.advance(75)
    asked = [(client, client.received()) for client in clients]
    assert sum(len(stanzas) for _, stanzas in asked) == 2
    for client, stanzas in asked:
        for ping in stanzas:
            client.send(ping.result())
    (last,) = [client for client, stanzas in asked if not stanzas]
    server.clock.advance(15)
    assert [iq.payload for iq in last.received()] == [PING]


def test_a_look_at_many_sessions_lets_others_have_their_turn(probing, monkeypatch):
    monkeypatch.setattr("stonechat_ping._LOOKS_IN_A_ROW", 2)
    plugin = probing.plugin("ping")
    turns = []

    class Silent:
        """A session that notes each look at it."""

        @property
        def idle_seconds(self):
            turns.append("a look")
            return 0.0

    monkeypatch.setattr(plugin.host, "all_sessions", lambda: [Silent() for _ in range(4)])
    other = gevent.spawn(turns.append, "another's turn")
    plugin.sweep()
    other.join(5)
    assert turns == ["a look", "a look", "another's turn", "a look", "a look"]
