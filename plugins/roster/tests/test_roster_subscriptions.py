"""Subscriptions: asking, answering, ending (RFC 6121, section 3)."""

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


# Asking (3.1)


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


# Approving (3.1.5, 3.1.6)


def test_approving_adds_the_contact_and_tells_presence(capulet, juliet, romeo, talk):
    garden = capulet.connect("romeo@capulet.example/garden")
    juliet.available()
    romeo.available(status="here")
    garden.available(show="away")
    talk.get(juliet)
    talk.get(romeo)
    talk.say(juliet, "subscribe", ROMEO)
    juliet.received()
    romeo.received()
    talk.say(romeo, "subscribed", f"{JULIET}/balcony")
    assert talk.push(romeo).attributes == {"jid": JULIET, "subscription": "from"}
    answer, push, *presences = juliet.received()
    assert (answer.type, answer.from_.text, answer.to.text) == ("subscribed", ROMEO, JULIET)
    assert push.payload.first().attributes == {"jid": ROMEO, "subscription": "to"}
    assert sorted((p.type, p.from_.resource, p.show) for p in presences) == [
        ("", "garden", "away"),
        ("", "orchard", ""),
    ]


def test_an_approval_is_told_to_who_has_the_roster_though_not_available(juliet, romeo, talk):
    talk.get(juliet)
    talk.say(juliet, "subscribe", ROMEO)
    juliet.received()
    talk.say(romeo, "subscribed", JULIET)
    assert juliet.receive_presence().type == "subscribed"


def test_both_is_reached_in_two_steps(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    assert subscription(juliet, talk, ROMEO) == ("both", None, None)
    assert subscription(romeo, talk, JULIET) == ("both", None, None)


def test_an_approval_that_nobody_asked_for_is_not_believed(server, capulet, juliet, romeo, talk):
    juliet.available()
    talk.get(juliet)
    juliet.received()
    forged = Presence(type="subscribed", from_=romeo.bare, to=juliet.bare)
    capulet.kernel.route(forged)
    assert juliet.received() == []
    assert talk.items(juliet) == {}


def test_who_has_a_subscription_already_is_answered_by_the_server(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    juliet.available()
    romeo.available()
    juliet.received()
    romeo.received()
    talk.say(juliet, "subscribe", ROMEO)
    assert talk.presences(romeo) == []
    # The answer changes nothing for Juliet's own server, and so she sees the presence only.
    assert talk.presences(juliet) == [("", f"{ROMEO}/orchard")]


def test_a_server_that_has_forgotten_its_subscription_is_answered(juliet, montague, talk):
    romeo = montague.connect("romeo@montague.example/orchard")
    juliet.available()
    talk.say(romeo, "subscribe", JULIET)
    talk.say(juliet, "subscribed", "romeo@montague.example")
    romeo.received()
    juliet.received()
    ask = Presence(type="subscribe", from_=romeo.bare, to=juliet.bare)
    montague.kernel.route(ask)
    assert talk.presences(juliet) == []
    assert talk.presences(romeo) == [("subscribed", JULIET), ("", f"{JULIET}/balcony")]


# Refusing and cancelling (3.2)


def test_a_refused_request_is_over(capulet, juliet, romeo, talk):
    talk.get(juliet)
    talk.say(juliet, "subscribe", ROMEO)
    juliet.received()
    talk.say(romeo, "unsubscribed", JULIET)
    refusal, push = juliet.received()
    assert (refusal.type, refusal.from_.text) == ("unsubscribed", ROMEO)
    assert push.payload.first().attributes == {"jid": ROMEO, "subscription": "none"}
    assert talk.items(romeo) == {}
    romeo.available()
    assert ("subscribe", JULIET) not in talk.presences(romeo)


def test_who_cancels_a_subscription_is_no_longer_seen(juliet, romeo, talk):
    juliet.available()
    romeo.available()
    talk.get(juliet)
    talk.get(romeo)
    talk.befriend(juliet, romeo)
    talk.say(romeo, "unsubscribed", JULIET)
    assert talk.push(romeo).attributes == {"jid": JULIET, "subscription": "to"}
    cancelled, push, gone = juliet.received()
    assert (cancelled.type, cancelled.from_.text) == ("unsubscribed", ROMEO)
    assert push.payload.first().attributes == {"jid": ROMEO, "subscription": "from"}
    assert (gone.type, gone.from_.text) == ("unavailable", f"{ROMEO}/orchard")
    romeo.available(show="away")
    assert talk.presences(juliet) == []


def test_cancelling_what_does_not_exist_is_not_routed(juliet, romeo, talk):
    romeo.available()
    talk.get(romeo)
    romeo.received()
    talk.say(juliet, "unsubscribed", ROMEO)
    assert romeo.received() == []


# Unsubscribing (3.3)


def test_who_unsubscribes_no_longer_sees(juliet, romeo, talk):
    juliet.available()
    romeo.available()
    talk.get(juliet)
    talk.get(romeo)
    talk.befriend(juliet, romeo)
    talk.say(juliet, "unsubscribe", ROMEO)
    assert [s.type for s in juliet.received()] == ["set", "unavailable"]
    left, push = romeo.received()
    assert (left.type, left.from_.text) == ("unsubscribe", JULIET)
    assert push.payload.first().attributes == {"jid": JULIET, "subscription": "to"}
    assert subscription(juliet, talk, ROMEO) == ("from", None, None)
    romeo.available(show="away")
    assert talk.presences(juliet) == []


def test_a_withdrawn_request_is_not_shown_any_more(juliet, romeo, talk):
    talk.say(juliet, "subscribe", ROMEO)
    talk.say(juliet, "unsubscribe", ROMEO)
    assert subscription(juliet, talk, ROMEO) == ("none", None, None)
    romeo.available()
    assert ("subscribe", JULIET) not in talk.presences(romeo)


# Removing an item (2.5.2)


def test_removing_a_contact_ends_both_subscriptions(juliet, romeo, talk):
    juliet.available()
    romeo.available()
    talk.get(juliet)
    talk.get(romeo)
    talk.befriend(juliet, romeo)
    talk.remove(juliet, ROMEO)
    assert [p for p in talk.presences(romeo) if p[0]] == [
        ("unsubscribe", JULIET),
        ("unsubscribed", JULIET),
        ("unavailable", f"{JULIET}/balcony"),
    ]
    assert ("unavailable", f"{ROMEO}/orchard") in talk.presences(juliet)
    assert subscription(romeo, talk, JULIET) == ("none", None, None)
    assert talk.items(juliet) == {}


def test_removing_a_contact_withdraws_a_request(juliet, romeo, talk):
    talk.say(juliet, "subscribe", ROMEO)
    talk.remove(juliet, ROMEO)
    romeo.available()
    assert ("subscribe", JULIET) not in talk.presences(romeo)


def test_removing_a_contact_refuses_its_request(juliet, romeo, talk):
    talk.say(romeo, "subscribe", JULIET)
    talk.set(juliet, ROMEO)
    talk.remove(juliet, ROMEO)
    assert subscription(romeo, talk, JULIET) == ("none", None, None)
    juliet.available()
    assert ("subscribe", ROMEO) not in talk.presences(juliet)


# Pre-approval (3.4)


def test_an_approval_before_the_request_is_noted_and_not_routed(juliet, romeo, talk):
    romeo.available()
    talk.get(romeo)
    talk.get(juliet)
    romeo.received()
    talk.say(juliet, "subscribed", ROMEO)
    assert talk.push(juliet).attributes == {
        "jid": ROMEO,
        "subscription": "none",
        "approved": "true",
    }
    assert romeo.received() == []


def test_a_request_that_was_approved_before_is_answered_at_once(juliet, romeo, talk):
    juliet.available()
    romeo.available()
    talk.get(juliet)
    talk.get(romeo)
    talk.say(juliet, "subscribed", ROMEO)
    juliet.received()
    romeo.received()
    talk.say(romeo, "subscribe", JULIET)
    assert [s.type for s in juliet.received()] == ["set"]
    assert subscription(juliet, talk, ROMEO) == ("from", None, "true")
    assert talk.presences(romeo) == [("subscribed", JULIET), ("", f"{JULIET}/balcony")]
    assert subscription(romeo, talk, JULIET) == ("to", None, None)


def test_an_approval_can_be_taken_back(juliet, romeo, talk):
    juliet.available()
    talk.get(juliet)
    talk.say(juliet, "subscribed", ROMEO)
    juliet.received()
    talk.say(juliet, "unsubscribed", ROMEO)
    assert talk.push(juliet).attributes == {"jid": ROMEO, "subscription": "none"}
    talk.say(romeo, "subscribe", JULIET)
    assert talk.presences(juliet) == [("subscribe", ROMEO)]


# Accounts that go


def test_a_removed_account_leaves_its_contacts(capulet, juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    talk.get(romeo)
    capulet.kernel.accounts.remove("juliet")
    assert subscription(romeo, talk, JULIET) == ("none", None, None)
    juliet = capulet.connect(f"{JULIET}/balcony")
    assert talk.items(juliet) == {}


def test_a_removed_account_refuses_who_waits_for_it(capulet, juliet, romeo, talk):
    talk.say(romeo, "subscribe", JULIET)
    capulet.kernel.accounts.remove("juliet")
    assert subscription(romeo, talk, JULIET) == ("none", None, None)
    juliet = capulet.connect(f"{JULIET}/balcony")
    juliet.available()
    assert ("subscribe", ROMEO) not in talk.presences(juliet)


def test_the_plugin_can_be_stopped_and_started_again(capulet, juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    talk.get(juliet)
    juliet.available()
    capulet.disable("roster")
    capulet.enable("roster")
    romeo.available()
    assert ("", f"{ROMEO}/orchard") in talk.presences(juliet)
    talk.set(juliet, ROMEO, "Romeo")
    assert talk.push(juliet).get("name") == "Romeo"


def test_a_user_without_a_roster_plugin_is_not_affected(server):
    host = server.host("capulet.example")
    juliet = host.connect(f"{JULIET}/balcony")
    with pytest.raises(StanzaError):
        juliet.get(Element("jabber:iq:roster", "query"))
