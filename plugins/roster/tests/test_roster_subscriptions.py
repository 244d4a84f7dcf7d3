"""Subscriptions: answering, ending, pre-approval (RFC 6121, 3.1.5 to 3.4)."""

import pytest

from stonechat.errors import StanzaError
from stonechat.stanza import Element, Presence

ROMEO = "romeo@capulet.example"
JULIET = "juliet@capulet.example"


def subscription(client, talk, jid):
    item = talk.items(client).get(str(jid), {})
    return item.get("subscription"), item.get("ask"), item.get("approved")


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
    ask = Presence(type="subscribe", id="xk3h1v69", from_=romeo.bare, to=juliet.bare)
    montague.kernel.route(ask)
    assert talk.presences(juliet) == []
    answer, presence = romeo.received()
    assert (answer.type, answer.from_.text, answer.id) == ("subscribed", JULIET, "xk3h1v69")
    assert (presence.type, presence.from_.text) == ("", f"{JULIET}/balcony")


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
    # While she still is subscribed, she hears that he is gone (3.2.2).
    gone, cancelled, push = juliet.received()
    assert (gone.type, gone.from_.text) == ("unavailable", f"{ROMEO}/orchard")
    assert (cancelled.type, cancelled.from_.text) == ("unsubscribed", ROMEO)
    assert push.payload.first().attributes == {"jid": ROMEO, "subscription": "from"}
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
        ("unavailable", f"{JULIET}/balcony"),
        ("unsubscribed", JULIET),
    ]
    assert ("unavailable", f"{ROMEO}/orchard") in talk.presences(juliet)
    assert subscription(romeo, talk, JULIET) == ("none", None, None)
    assert talk.items(juliet) == {}


def test_removing_a_contact_withdraws_a_request(juliet, romeo, talk):
    talk.say(juliet, "subscribe", ROMEO)
    talk.remove(juliet, ROMEO)
    romeo.available()
    assert ("subscribe", JULIET) not in talk.presences(romeo)


def test_removing_a_contact_leaves_its_request_to_be_answered(juliet, romeo, talk):
    """3.1.3, case 4: until Juliet either approves or denies it."""
    talk.say(juliet, "subscribe", ROMEO)
    talk.say(romeo, "subscribed", JULIET)
    talk.say(romeo, "subscribe", JULIET)
    talk.remove(juliet, ROMEO)
    assert subscription(romeo, talk, JULIET) == ("none", "subscribe", None)
    juliet.available()
    assert ("subscribe", ROMEO) in talk.presences(juliet)
    talk.say(juliet, "subscribed", ROMEO)
    assert subscription(juliet, talk, ROMEO) == ("from", None, None)
    assert subscription(romeo, talk, JULIET) == ("to", None, None)


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
