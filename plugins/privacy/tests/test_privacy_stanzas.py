"""What the lists do to stanzas (XEP-0016, 2.2 and 2.9 to 2.14)."""

import pytest

from stonechat import hookimpl
from stonechat.jid import JID
from stonechat.stanza import Element, Iq, Message, Presence
from stonechat.testing.client import error_of

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
BALCONY = f"{JULIET}/balcony"
CHAMBER = f"{JULIET}/chamber"
ORCHARD = f"{ROMEO}/orchard"
VERSION = Element("jabber:iq:version", "query")
KINDS = ("message", "iq", "presence-in", "presence-out")
NOTIFICATIONS = ("", "unavailable")
SUBSCRIPTIONS = ("subscribe", "subscribed", "unsubscribe", "unsubscribed")


def gets_through(romeo, juliet, kind):
    """Whether something of a kind comes from Romeo to Juliet."""
    juliet.received()
    romeo.received()
    if kind == "message":
        romeo.message(BALCONY, "?")
    elif kind == "iq":
        romeo.send(Iq(VERSION, type="get", id="version", to=juliet.jid))
    else:
        romeo.send(Presence(to=juliet.jid))
    return bool(juliet.received())


@pytest.mark.parametrize("denied", KINDS)
def test_an_item_denies_the_kinds_that_it_names(juliet, romeo, talk, denied):
    talk.apply(juliet, (1, "deny", "jid", ROMEO, denied))
    for kind in ("message", "iq", "presence-in"):
        assert gets_through(romeo, juliet, kind) == (kind != denied)
    # "presence-out" is about notifications; the rest of what she sends passes.
    juliet.received()
    romeo.received()
    juliet.message(ORCHARD, "!")
    juliet.send(Presence(to=romeo.jid))
    came = [type(stanza) for stanza in romeo.received()]
    assert came == ([Message] if denied == "presence-out" else [Message, Presence])


def test_an_item_without_kinds_denies_everything(juliet, romeo, talk):
    talk.apply(juliet, (1, "deny", "jid", ROMEO))
    for kind in ("message", "iq", "presence-in"):
        assert not gets_through(romeo, juliet, kind)
    romeo.received()
    juliet.message(ORCHARD, "!")
    juliet.send(Presence(to=romeo.jid))
    juliet.send(Iq(VERSION, type="get", id="version", to=romeo.jid))
    assert romeo.received() == []
    assert [error_of(stanza).condition for stanza in juliet.received()] == ["not-acceptable"] * 3


def test_subscriptions_are_no_notifications(capulet, juliet, romeo, talk):
    juliet.available()
    juliet.get("<query xmlns='jabber:iq:roster'/>")
    talk.apply(juliet, (1, "deny", "", "", "presence-in", "presence-out"))
    talk.say(romeo, "subscribe", JULIET)
    assert talk.presences(juliet) == [("", BALCONY), ("subscribe", ROMEO)]
    talk.say(juliet, "subscribe", ROMEO)
    assert juliet.receive_iq().namespace == "jabber:iq:roster"


@pytest.mark.parametrize("type_", [*NOTIFICATIONS, *SUBSCRIPTIONS, "probe", "error"])
def test_denied_presence_is_dropped_without_a_word(juliet, romeo, talk, type_):
    juliet.available()
    talk.apply(juliet, (1, "deny", "jid", ROMEO))
    juliet.received()
    for to in (juliet.jid, juliet.bare):
        romeo.send(Presence(type=type_, to=to))
    assert romeo.received() == []
    assert juliet.received() == []


@pytest.mark.parametrize("to", [JULIET, BALCONY])
def test_denied_messages_and_requests_are_answered_as_if_nobody_were_there(
    juliet, romeo, talk, to
):
    juliet.available()
    talk.apply(juliet, (1, "deny", "jid", ROMEO))
    juliet.received()
    romeo.message(to, "?")
    assert error_of(romeo.receive_message()).condition == "service-unavailable"
    for type_ in ("get", "set"):
        answer = romeo.request(type_, VERSION, to=to)
        assert error_of(answer).condition == "service-unavailable"
    romeo.message(to, "?", type="error")
    romeo.send(Iq(type="result", id="x", to=JID.parse(to)))
    romeo.send(Iq(type="error", id="x", to=JID.parse(to)))
    assert romeo.received() == []
    assert juliet.received() == []


class Oracle:
    """Has an answer for every account, whoever asks."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_account_iq_handlers(self):
        return {("get", "jabber:iq:version"): lambda iq: VERSION}


def test_the_server_does_not_answer_the_denied_for_the_user(capulet, juliet, romeo, talk):
    capulet.enable("oracle", plugin_class=Oracle)
    assert romeo.request("get", VERSION, to=JULIET).type == "result"
    talk.edit(juliet, "public", (1, "deny", "jid", ROMEO, "iq"))
    talk.default(juliet, "public")
    assert error_of(romeo.request("get", VERSION, to=JULIET)).condition == "service-unavailable"


def test_the_sender_of_something_denied_hears_of_it(juliet, romeo, talk):
    talk.apply(juliet, (1, "deny", "jid", ROMEO))
    juliet.message(ROMEO, "Can you hear me now?", id="call")
    error = juliet.receive_message()
    assert (error.id, error.from_.text, error.body) == ("call", ROMEO, "Can you hear me now?")
    assert (error_of(error).condition, error_of(error).type) == ("not-acceptable", "cancel")
    juliet.send(Presence(type="unavailable", to=romeo.jid))
    juliet.send(Message(type="error", to=romeo.jid))
    juliet.send(Iq(type="result", id="x", to=romeo.jid))
    assert talk.pushes(juliet) == ["test"]
    assert romeo.received() == []


# What an item is about


def test_groups_and_subscriptions_are_those_of_the_roster_at_the_time(
    capulet, juliet, romeo, talk
):
    roster = capulet.kernel.service("roster")
    romeo_ = JID.parse(ROMEO)
    roster.set("juliet", romeo_, groups=("Friends", "Enemies"), subscription="none")
    talk.apply(juliet, (1, "deny", "group", "Enemies"), name="group")
    assert not gets_through(romeo, juliet, "message")
    roster.set("juliet", romeo_, groups=("Friends",))
    assert gets_through(romeo, juliet, "message")
    for subscription in ("none", "to", "from", "both"):
        talk.edit(juliet, subscription, (1, "deny", "subscription", subscription, "message"))
    for actual in ("none", "to", "from", "both"):
        roster.set("juliet", romeo_, subscription=actual)
        for subscription in ("none", "to", "from", "both"):
            talk.activate(juliet, subscription)
            assert gets_through(romeo, juliet, "message") == (subscription != actual)


def test_who_is_not_in_the_roster_has_no_subscription(juliet, romeo, talk):
    talk.apply(juliet, (437, "deny", "subscription", "none"))
    assert not gets_through(romeo, juliet, "message")
    talk.befriend(juliet, romeo)  # in vain: his requests do not come in
    assert not gets_through(romeo, juliet, "message")


def test_the_order_of_the_items_decides(juliet, romeo, talk):
    talk.apply(
        juliet,
        (3, "deny", "", ""),
        (2, "allow", "jid", ORCHARD),
        (1, "deny", "jid", ORCHARD, "iq"),
    )
    assert gets_through(romeo, juliet, "message")
    assert not gets_through(romeo, juliet, "iq")


def test_what_no_item_is_about_passes(juliet, romeo, talk):
    talk.apply(juliet, (1, "deny", "jid", "tybalt@capulet.example"))
    assert gets_through(romeo, juliet, "message")


def test_an_edited_list_applies_at_once(juliet, romeo, talk):
    talk.apply(juliet, (1, "deny", "jid", ROMEO))
    assert not gets_through(romeo, juliet, "message")
    talk.edit(juliet, "test", (1, "deny", "jid", ROMEO, "iq"))
    assert gets_through(romeo, juliet, "message")
    assert not gets_through(romeo, juliet, "iq")
    talk.activate(juliet)
    assert gets_through(romeo, juliet, "iq")


@pytest.mark.parametrize("value", [JULIET, CHAMBER, "capulet.example", ""])
def test_nobody_locks_themselves_out(capulet, juliet, chamber, talk, value):
    for client in (juliet, chamber):
        client.available()
    juliet.received()
    talk.apply(juliet, (1, "deny", "jid" if value else "", value))
    talk.default(juliet, "test")
    for to in (BALCONY, JULIET):
        chamber.message(to, "From the chamber.")
        assert "From the chamber." in talk.bodies(juliet)
    juliet.message(CHAMBER, "To the chamber.")
    assert "To the chamber." in talk.bodies(chamber)
    chamber.unavailable()
    assert ("unavailable", CHAMBER) in talk.presences(juliet)
    capulet.enable("ping")
    assert juliet.get(Element("urn:xmpp:ping", "ping"), to="capulet.example").type == "result"
    capulet.kernel.route(Message(from_=capulet.jid, to=juliet.jid, id="from the server"))
    assert juliet.receive_message().id == "from the server"


# Which list is asked


def test_the_default_list_is_for_sessions_without_an_active_one(juliet, chamber, romeo, talk):
    talk.edit(juliet, "closed", (1, "deny", "jid", ROMEO))
    talk.edit(juliet, "open", (1, "allow", "", ""))
    talk.default(juliet, "closed")
    talk.activate(chamber, "open")
    romeo.message(BALCONY, "?")
    assert error_of(romeo.receive_message()).condition == "service-unavailable"
    romeo.message(CHAMBER, "?")
    assert "?" in talk.bodies(chamber)
    juliet.message(ROMEO, "!")
    assert "!" in talk.bodies(juliet)  # back again
    chamber.message(ORCHARD, "!")
    assert talk.bodies(romeo) == ["!"]


def test_the_default_list_is_for_an_account_that_is_offline(capulet, juliet, romeo, talk):
    capulet.enable("offline")
    talk.edit(juliet, "closed", (1, "deny", "jid", ROMEO))
    talk.default(juliet, "closed")
    juliet.disconnect()
    for to in (JULIET, BALCONY):
        romeo.message(to, "?")
        assert error_of(romeo.receive_message()).condition == "service-unavailable"
    romeo.message("nurse@capulet.example", "?")
    assert error_of(romeo.receive_message()).condition == "service-unavailable"


def test_a_message_to_the_account_goes_to_a_session_whose_list_allows_it(
    juliet, chamber, romeo, talk
):
    juliet.available(priority=5)
    chamber.available(priority=1)
    talk.apply(juliet, (1, "deny", "jid", ROMEO))
    juliet.received()
    chamber.received()
    for type_ in ("chat", "normal", "headline"):
        romeo.message(JULIET, type_, type=type_)
    assert talk.bodies(chamber) == ["chat", "normal", "headline"]
    romeo.message(f"{JULIET}/gone", "chat")
    assert talk.bodies(chamber) == ["chat"]
    assert juliet.received() == []
    assert romeo.received() == []
    # What nobody may have is refused.
    talk.activate(chamber, "test")
    romeo.message(JULIET, "?")
    assert error_of(romeo.receive_message()).condition == "service-unavailable"
    assert talk.bodies(chamber) == []


def test_a_message_to_nobody_in_particular_is_refused_as_ever(juliet, chamber, romeo, talk):
    for client in (juliet, chamber):
        client.available()
    talk.apply(juliet, (1, "deny", "jid", ROMEO))
    chamber.received()
    romeo.message(JULIET, "?", type="groupchat")
    assert error_of(romeo.receive_message()).condition == "service-unavailable"
    romeo.message(JULIET, "?", type="error")
    romeo.message(f"{JULIET}/gone", "?", type="normal")
    assert error_of(romeo.receive_message()).condition == "service-unavailable"
    assert chamber.received() == []


def test_presence_to_the_account_goes_to_the_sessions_whose_lists_allow_it(
    juliet, chamber, romeo, talk
):
    for client in (juliet, chamber):
        client.available()
    talk.apply(juliet, (1, "deny", "jid", ROMEO, "presence-in"))
    juliet.received()
    chamber.received()
    for type_ in NOTIFICATIONS:
        romeo.send(Presence(type=type_, to=juliet.bare))
    assert talk.presences(chamber) == [("", ORCHARD), ("unavailable", ORCHARD)]
    assert juliet.received() == []


def test_a_request_to_the_account_needs_one_session_that_allows_it(
    capulet, juliet, chamber, romeo, talk
):
    for client in (juliet, chamber):
        client.available()
    talk.apply(juliet, (1, "deny", "jid", ROMEO))
    talk.say(romeo, "subscribe", JULIET)
    assert ("subscribe", ROMEO) in talk.presences(chamber)
    talk.say(romeo, "unsubscribe", JULIET)
    talk.activate(chamber, "test")
    chamber.received()
    talk.say(romeo, "subscribe", JULIET)
    assert chamber.received() == []
    assert capulet.kernel.service("privacy").is_blocked("juliet", JID.parse(ORCHARD))
    assert not capulet.kernel.service("privacy").is_blocked("juliet", juliet.jid)
    assert not capulet.kernel.service("privacy").is_blocked("nurse", JID.parse(ORCHARD))
