"""Messages of strangers are refused, those of everybody else pass."""

import pytest

from stonechat import hookimpl
from stonechat.errors import StorageError
from stonechat.jid import JID
from stonechat.stanza import Element, Iq, Message, Presence
from stonechat.testing.client import error_of

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
BALCONY = f"{JULIET}/balcony"


def capulet_with(server, **options):
    return server.host("capulet.example", roster={}, block_strangers=options)


@pytest.fixture
def capulet(server):
    return capulet_with(server)


@pytest.fixture
def romeo(server, capulet):
    return server.host("montague.example", roster={}).connect(f"{ROMEO}/orchard")


@pytest.fixture
def juliet(capulet):
    juliet = capulet.connect(BALCONY)
    juliet.available()
    juliet.received()
    return juliet


def get_through(host, juliet, sender, **more):
    """Whether a message with this sender comes to Juliet."""
    juliet.received()
    body = Element("jabber:client", "body", None, "But soft!")
    more.setdefault("type", "chat")
    host.kernel.route(Message(body, from_=JID.parse(sender), to=juliet.jid, **more))
    host.server.settle()
    return any(isinstance(stanza, Message) for stanza in juliet.received())


@pytest.mark.parametrize("to", [JULIET, BALCONY, f"{JULIET}/gone"])
@pytest.mark.parametrize("type_", ["chat", "normal", "headline", "groupchat"])
def test_a_message_of_a_stranger_is_refused(juliet, romeo, to, type_):
    romeo.message(to, "But soft!", type=type_)
    assert error_of(romeo.receive_message()).condition == "policy-violation"
    assert juliet.received() == []


def test_a_message_that_says_nothing_is_one_too(juliet, romeo):
    romeo.message(JULIET, "", Element("urn:xmpp:jingle-message:0", "propose", {"id": "call"}))
    assert error_of(romeo.receive_message()).condition == "policy-violation"
    assert juliet.received() == []


def test_nothing_is_kept_for_a_user_who_is_offline(capulet, juliet, romeo):
    capulet.enable("offline")
    juliet.disconnect()
    romeo.message(JULIET, "But soft!")
    assert error_of(romeo.receive_message()).condition == "policy-violation"
    juliet = capulet.connect(BALCONY)
    juliet.available()
    assert not any(isinstance(stanza, Message) for stanza in juliet.received())


def test_an_account_that_does_not_exist_looks_the_same(capulet, juliet, romeo):
    for to in (JULIET, "nobody@capulet.example"):
        romeo.message(to, "?")
        error = error_of(romeo.receive_message())
        assert (error.condition, error.type) == ("policy-violation", "modify")


@pytest.mark.parametrize("subscription", ["none", "to", "from", "both"])
def test_who_is_in_the_roster_is_no_stranger(capulet, juliet, romeo, subscription):
    capulet.kernel.service("roster").set("juliet", JID.parse(ROMEO), subscription=subscription)
    romeo.message(BALCONY, "But soft!")
    assert juliet.receive_message().body == "But soft!"


def test_that_holds_for_users_who_are_offline(capulet, juliet, romeo):
    capulet.enable("offline")
    capulet.kernel.service("roster").set("juliet", JID.parse(ROMEO))
    juliet.disconnect()
    romeo.message(JULIET, "But soft!")
    assert romeo.received() == []
    juliet = capulet.connect(BALCONY)
    juliet.available()
    assert juliet.receive_message().body == "But soft!"


class Group:
    """Lets Romeo see everybody, though he is in no roster."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_may_see_presence(self, account, watcher):
        return True if watcher.localpart == "romeo" else None


def test_a_contact_that_another_plugin_knows_is_no_stranger(capulet, juliet, romeo):
    capulet.enable("group", plugin_class=Group)
    romeo.message(BALCONY, "But soft!")
    assert juliet.receive_message().body == "But soft!"


def test_the_account_and_its_server_are_no_strangers(server):
    host = capulet_with(server, allow_local_users=False, allow_servers=False)
    juliet = host.connect(BALCONY)
    for sender in ("capulet.example", JULIET, f"{JULIET}/chamber"):
        assert get_through(host, juliet, sender)
    for sender in ("tybalt@capulet.example/x", "montague.example", "rooms.capulet.example"):
        assert not get_through(host, juliet, sender)


def test_users_of_the_same_host_and_services_pass_unless_told(capulet, juliet):
    for sender in ("tybalt@capulet.example/x", "montague.example", "news.example/today"):
        assert get_through(capulet, juliet, sender)


def test_domains_can_be_let_in(server):
    host = capulet_with(server, allow_domains=["Montague.EXAMPLE", "verona.example"])
    juliet = host.connect(BALCONY)
    assert get_through(host, juliet, ROMEO)
    assert get_through(host, juliet, "prince@verona.example")
    assert not get_through(host, juliet, "prince@x.verona.example")


@pytest.mark.parametrize("allowed", [True, False])
def test_everybody_at_a_gateway_of_the_user_may_pass(server, allowed):
    host = capulet_with(server, allow_transports=allowed)
    juliet = host.connect(BALCONY)
    host.kernel.service("roster").set("juliet", JID.parse("irc.example"))
    assert get_through(host, juliet, "mercutio@irc.example") == allowed
    assert not get_through(host, juliet, "mercutio@sip.example")


def test_errors_pass(juliet, romeo):
    romeo.message(BALCONY, "", type="error", id="x")
    assert juliet.receive_message().id == "x"


def test_rooms_that_the_user_is_in_pass(capulet, juliet):
    capulet.plugin("block_strangers").host.register_route("rooms.example", lambda stanza: None)
    room = "masque@rooms.example"
    assert not get_through(capulet, juliet, f"{room}/Romeo", type="groupchat")
    juliet.send(Presence(to=JID.parse(f"{room}/Julia")))
    assert get_through(capulet, juliet, f"{room}/Romeo", type="groupchat")
    assert get_through(capulet, juliet, room, type="normal")
    assert not get_through(capulet, juliet, "other@rooms.example/Romeo", type="groupchat")
    juliet.send(Presence(type="unavailable", to=JID.parse(f"{room}/Julia")))
    assert not get_through(capulet, juliet, f"{room}/Romeo", type="groupchat")


def test_presence_and_requests_are_not_concerned(juliet, romeo):
    romeo.send(Presence(to=juliet.jid))
    romeo.send(Iq(Element("jabber:iq:version", "query"), type="get", id="v", to=juliet.jid))
    assert [type(stanza) for stanza in juliet.received()] == [Presence, Iq]


def test_strangers_may_ask_for_a_subscription_unless_told(juliet, romeo):
    romeo.send(Presence(type="subscribe", to=juliet.bare))
    assert juliet.receive_presence().type == "subscribe"


def test_subscription_requests_can_be_refused_too(server):
    host = capulet_with(server, subscriptions=True)
    romeo = server.host("montague.example", roster={}).connect(f"{ROMEO}/orchard")
    juliet = host.connect(BALCONY)
    for client in (juliet, romeo):
        client.available()
        client.received()
    romeo.send(Presence(type="subscribe", to=juliet.bare))
    assert error_of(romeo.receive_presence()).condition == "policy-violation"
    assert juliet.received() == []
    assert host.kernel.service("roster").requests("juliet") == frozenset()
    # Answers to a request of hers come in.
    juliet.send(Presence(type="subscribe", to=romeo.bare))
    romeo.send(Presence(type="subscribed", to=juliet.bare))
    assert host.kernel.service("roster").subscription("juliet", romeo.bare) == "to"
    romeo.send(Presence(type="subscribe", to=juliet.bare))
    assert ("subscribe", romeo.bare) in {
        (s.type, s.from_) for s in juliet.received() if isinstance(s, Presence)
    }


@pytest.mark.parametrize("log", [True, False])
def test_what_is_dropped_is_dropped_in_silence(server, log):
    host = capulet_with(server, action="drop", log=log, subscriptions=True)
    romeo = server.host("montague.example").connect(f"{ROMEO}/orchard")
    juliet = host.connect(BALCONY)
    romeo.message(BALCONY, "But soft!")
    romeo.send(Presence(type="subscribe", to=juliet.bare))
    assert romeo.received() == []
    assert juliet.received() == []
    lines = server.logged("a stranger was refused")
    assert len(lines) == (2 if log else 0)
    assert "But soft!" not in str(lines)


def test_what_cannot_be_looked_up_does_not_pass(capulet, juliet, romeo, monkeypatch):
    capulet.kernel.plugins.running["roster"].instance.store.forget("juliet")

    def fail(self, work, **_):
        raise StorageError("the database is away")

    monkeypatch.setattr(type(capulet.kernel.storage), "read", fail)
    romeo.message(BALCONY, "But soft!")
    error = error_of(romeo.receive_message())
    assert (error.condition, error.type) == ("internal-server-error", "wait")
    assert juliet.received() == []


def test_there_is_no_telling_strangers_without_a_roster(server):
    server.expect_errors()
    host = server.host("capulet.example", block_strangers={})
    with pytest.raises(LookupError, match="requires roster"):
        host.plugin("block_strangers")
