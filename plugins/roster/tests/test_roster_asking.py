"""Subscriptions: asking for one (RFC 6121, 3.1.1 to 3.1.3)."""

import pytest

from stonechat import hookimpl
from stonechat.auth import AuthUnavailable
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.plugin import HANDLED
from stonechat.stanza import Element, Presence

ROMEO = "romeo@capulet.example"
JULIET = "juliet@capulet.example"
NICK = "http://jabber.org/protocol/nick"


def subscription(client, talk, jid):
    item = talk.items(client).get(str(jid), {})
    return item.get("subscription"), item.get("ask"), item.get("approved")


def test_asking_adds_the_contact_and_marks_it(juliet, romeo, talk):
    talk.get(juliet)
    talk.say(juliet, "subscribe", ROMEO)
    assert talk.push(juliet).attributes == {
        "jid": ROMEO,
        "subscription": "none",
        "ask": "subscribe",
    }


def test_asking_keeps_name_and_groups(juliet, romeo, talk):
    talk.set(juliet, ROMEO, "Romeo", ["Friends"])
    talk.say(juliet, "subscribe", ROMEO)
    (item,) = talk.get(juliet).elements
    assert item.get("name") == "Romeo"
    assert item.find_text("group") == "Friends"


def test_a_request_goes_to_all_available_resources_between_bare_jids(capulet, juliet, romeo, talk):
    garden = capulet.connect("romeo@capulet.example/garden")
    silent = capulet.connect("romeo@capulet.example/silent")
    romeo.available()
    garden.available(priority=-1)
    for client in (romeo, garden, silent):
        client.received()
    request = Presence(
        Element(NICK, "nick", None, "Jule"),
        type="subscribe",
        id="xk3h1v69",
        to=JID.parse("romeo@capulet.example/garden"),
    )
    juliet.send(request)
    for client in (romeo, garden):
        presence = client.receive_presence()
        assert presence.type == "subscribe"
        assert presence.from_.text == JULIET
        assert presence.to.text == ROMEO
        assert presence.id == "xk3h1v69"
        assert presence.find(NICK, "nick").text == "Jule"
    assert silent.received() == []


def test_a_request_is_not_in_the_roster_of_who_is_asked(juliet, romeo, talk):
    talk.get(romeo)
    talk.say(juliet, "subscribe", ROMEO)
    assert talk.pushes(romeo) == []
    assert talk.items(romeo) == {}


def test_a_request_is_shown_once_while_it_waits(juliet, romeo, talk):
    romeo.available()
    romeo.received()
    talk.say(juliet, "subscribe", ROMEO)
    talk.say(juliet, "subscribe", ROMEO)
    assert talk.presences(romeo) == [("subscribe", JULIET)]


def test_a_request_waits_until_it_is_answered(server, capulet, juliet, talk):
    capulet.create_account("romeo", "secret")
    request = Presence(Element(NICK, "nick", None, "Jule"), type="subscribe", to=JID.parse(ROMEO))
    juliet.send(request)
    server.restart()
    for resource in ("orchard", "garden"):
        romeo = capulet.connect(f"{ROMEO}/{resource}")
        romeo.available()
        (asked,) = [p for p in romeo.received() if p.type == "subscribe"]
        assert asked.from_.text == JULIET
        assert asked.find(NICK, "nick").text == "Jule"
    talk.say(romeo, "subscribed", JULIET)
    again = capulet.connect(f"{ROMEO}/again")
    again.available()
    assert ("subscribe", JULIET) not in talk.presences(again)


def test_a_request_comes_again_with_every_initial_presence_only(capulet, juliet, romeo, talk):
    talk.say(juliet, "subscribe", ROMEO)
    romeo.available()
    romeo.available(show="away")
    assert [kind for kind, _ in talk.presences(romeo)].count("subscribe") == 1
    romeo.unavailable()
    romeo.available()
    assert [kind for kind, _ in talk.presences(romeo)].count("subscribe") == 1


def test_of_a_huge_request_the_fact_is_stored(capulet, juliet, talk):
    capulet.create_account("romeo", "secret")
    status = Element("jabber:client", "status", None, "O " * 10_000)
    juliet.send(Presence(status, type="subscribe", id="a", to=JID.parse(ROMEO)))
    romeo = capulet.connect(f"{ROMEO}/orchard")
    romeo.available()
    (asked,) = [p for p in romeo.received() if p.type == "subscribe"]
    assert (asked.id, asked.children) == ("a", ())


def test_requests_to_one_account_have_a_bound(server, talk):
    capulet = server.host("capulet.example", roster={"max_requests": 2})
    romeo = capulet.connect(f"{ROMEO}/orchard")
    for name in ("juliet", "nurse", "peter"):
        client = capulet.connect(f"{name}@capulet.example/house")
        talk.say(client, "subscribe", ROMEO)
        assert client.received() == []
    romeo.available()
    asked = [jid for kind, jid in talk.presences(romeo) if kind == "subscribe"]
    assert asked == ["juliet@capulet.example", "nurse@capulet.example"]


def test_asking_an_account_that_does_not_exist_leads_to_silence(capulet, juliet, talk):
    talk.say(juliet, "subscribe", "nobody@capulet.example")
    assert juliet.received() == []
    assert subscription(juliet, talk, "nobody@capulet.example") == ("none", "subscribe", None)
    capulet.create_account("nobody", "secret")
    nobody = capulet.connect("nobody@capulet.example/here")
    nobody.available()
    assert ("subscribe", JULIET) not in talk.presences(nobody)


def test_a_request_is_refused_for_now_when_accounts_cannot_be_looked_up(
    capulet, juliet, talk, monkeypatch
):
    def fail(localpart):
        raise AuthUnavailable("the directory is away")

    juliet.available()
    juliet.received()
    monkeypatch.setattr(capulet.kernel.accounts, "exists", fail)
    request = Presence(type="subscribe", from_=juliet.jid, to=JID.parse(ROMEO))
    capulet.kernel.route(request)
    error = juliet.receive_presence().element.find("error")
    assert error.get("type") == "wait"


NOBODY = "nobody@verona.example"


def test_a_request_that_cannot_be_routed_is_answered_with_an_error(capulet, juliet, talk):
    """3.1.2. It went out between bare JIDs, and so the error comes to Juliet's."""
    interested = capulet.connect(f"{JULIET}/chamber")
    silent = capulet.connect(f"{JULIET}/silent")
    talk.get(interested)
    juliet.available()
    juliet.received()
    juliet.send(Presence(type="subscribe", id="xk3h1v69", to=JID.parse(f"{NOBODY}/street")))
    (error,) = juliet.received()
    assert (error.type, error.id) == ("error", "xk3h1v69")
    assert (error.from_.text, error.to.text) == (NOBODY, JULIET)
    push, error = interested.received()
    assert push.payload.first().get("ask") == "subscribe"
    assert error.type == "error"
    assert silent.received() == []


def test_an_error_of_who_was_not_asked_is_not_shown(juliet, montague, talk):
    """What comes back of a probe, for one: there may be many, at every login."""
    romeo = montague.connect("romeo@montague.example/orchard")
    juliet.available()
    juliet.received()
    error = "<presence type='error' to='%s'><error type='cancel'/></presence>"
    romeo.send(error % JULIET)
    assert juliet.received() == []
    talk.say(juliet, "subscribe", romeo.bare)
    romeo.send(error % f"{JULIET}/balcony")
    romeo.send(error % JULIET)
    assert [(p.type, p.to.text) for p in juliet.received()] == [
        ("error", f"{JULIET}/balcony"),
        ("error", JULIET),
    ]


def test_a_request_nobody_answered_is_sent_again_after_a_day(
    server, capulet, juliet, montague, talk
):
    """3.1.2: whenever a new resource of Juliet's becomes available."""
    romeo = montague.connect("romeo@montague.example/orchard")
    capulet.create_account("nurse", "secret")
    talk.say(juliet, "subscribe", "nurse@capulet.example")
    talk.say(juliet, "subscribe", romeo.bare)
    tybalt = montague.connect("tybalt@montague.example/street")
    talk.set(juliet, tybalt.bare)
    # As if both had never come.
    capulet.plugin("roster").store.erase("nurse")
    romeo.received()
    server.clock.advance(86_399)
    juliet.available()
    assert romeo.received() == []
    server.clock.advance(1)
    juliet.available(show="away")
    assert romeo.received() == []
    capulet.connect(f"{JULIET}/chamber").available()
    (again,) = romeo.received()
    assert (again.type, again.from_.text, again.to) == ("subscribe", JULIET, romeo.bare)
    assert again.id
    assert tybalt.received() == []
    # What goes to the same server is not lost on the way.
    assert capulet.kernel.service("roster").requests("nurse") == frozenset()
    talk.say(romeo, "subscribed", JULIET)
    capulet.connect(f"{JULIET}/garden").available()
    assert [kind for kind, _ in talk.presences(romeo)] == ["probe"]


def test_a_request_that_was_lost_reaches_the_contact_in_the_end(server, talk):
    capulet = server.host("capulet.example", roster={"ask_again_after": 0})
    montague = server.host("montague.example", roster={})
    juliet = capulet.connect(f"{JULIET}/balcony")
    romeo = montague.connect("romeo@montague.example/orchard")
    talk.say(juliet, "subscribe", romeo.bare)
    # As if it had never come.
    montague.plugin("roster").store.erase("romeo")
    juliet.available()
    romeo.available()
    assert ("subscribe", JULIET) in talk.presences(romeo)


@pytest.mark.parametrize("kind", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
def test_what_is_sent_to_a_resource_that_is_not_there_is_ignored(juliet, montague, talk, kind):
    """8.5.3.2.2; a request is taken for one to the bare JID all the same (3.1.3)."""
    romeo = montague.connect("romeo@montague.example/orchard")
    bare = romeo.bare.text
    juliet.available()
    if kind in ("subscribed", "unsubscribed"):
        talk.say(juliet, "subscribe", bare)
    else:
        talk.say(romeo, "subscribe", JULIET)
    if kind == "subscribe":
        talk.say(juliet, "unsubscribed", bare)
    talk.get(juliet)
    juliet.received()
    before = talk.items(juliet)
    talk.say(romeo, kind, f"{JULIET}/gone")
    assert talk.presences(juliet) == ([("subscribe", bare)] if kind == "subscribe" else [])
    assert talk.items(juliet) == before
    if kind == "unsubscribe":
        talk.say(juliet, "subscribed", bare)
        assert subscription(juliet, talk, bare) == ("from", None, None)


@pytest.mark.parametrize("kind", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
def test_a_subscription_to_oneself_leads_to_nothing(juliet, talk, kind):
    juliet.available()
    talk.get(juliet)
    juliet.received()
    talk.say(juliet, kind, JULIET)
    talk.say(juliet, kind, f"{JULIET}/chamber")
    assert juliet.received() == []
    assert talk.items(juliet) == {}


@pytest.mark.parametrize("kind", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
def test_what_claims_to_come_from_oneself_leads_to_nothing(capulet, juliet, talk, kind):
    juliet.available()
    talk.get(juliet)
    juliet.received()
    capulet.kernel.route(Presence(type=kind, from_=juliet.jid, to=juliet.bare))
    assert juliet.received() == []
    assert capulet.kernel.service("roster").requests("juliet") == frozenset()


def test_asking_needs_room_in_the_roster(server, talk):
    capulet = server.host("capulet.example", roster={"max_items": 1})
    juliet = capulet.connect("juliet@capulet.example/balcony")
    romeo = capulet.connect(f"{ROMEO}/orchard")
    romeo.available()
    romeo.received()
    talk.set(juliet, "nurse@capulet.example")
    talk.say(juliet, "subscribe", ROMEO)
    refused = juliet.receive_presence()
    assert refused.type == "error"
    assert refused.has("jabber:client", "error")
    assert romeo.received() == []
    assert list(talk.items(juliet)) == ["nurse@capulet.example"]


class Guard:
    """A plugin against unwanted requests; it starts before the roster."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_presence_from_user(self, session, presence):
        if presence.to.localpart == "tybalt":
            raise StanzaError("policy-violation")

    @hookimpl
    def stonechat_presence_to_user(self, presence):
        return HANDLED if presence.to.localpart == "nurse" else None


def test_what_another_plugin_refuses_changes_no_roster(server, talk):
    capulet = server.host("capulet.example", plugin_classes={"guard": Guard}, roster={})
    juliet = capulet.connect("juliet@capulet.example/balcony")
    nurse = capulet.connect("nurse@capulet.example/kitchen")
    talk.say(juliet, "subscribe", "tybalt@capulet.example")
    assert juliet.receive_presence().type == "error"
    talk.say(juliet, "subscribe", nurse.bare)
    assert list(talk.items(juliet)) == ["nurse@capulet.example"]
    assert capulet.kernel.service("roster").requests("nurse") == frozenset()
