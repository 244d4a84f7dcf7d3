"""What becomes of stanzas between a user and somebody who is blocked (XEP-0191, 3.3)."""

import pytest

from stonechat import hookimpl
from stonechat.jid import JID
from stonechat.stanza import Element, Iq, Message, Presence
from stonechat.testing.client import error_of

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
BALCONY = f"{JULIET}/balcony"
ORCHARD = f"{ROMEO}/orchard"
VERSION = Element("jabber:iq:version", "query")
PING = Element("urn:xmpp:ping", "ping")


def is_not_acceptable(stanza):
    error = error_of(stanza)
    return (error.condition, error.type, error.application) == (
        "not-acceptable",
        "cancel",
        Element("urn:xmpp:blocking:errors", "blocked"),
    )


# From the blocked


@pytest.mark.parametrize("to", [JULIET, BALCONY, f"{JULIET}/gone"])
@pytest.mark.parametrize("type_", ["chat", "normal", "headline", "groupchat"])
def test_a_message_from_the_blocked_is_refused(juliet, romeo, talk, to, type_):
    juliet.available()
    juliet.received()
    talk.block(juliet, ROMEO)
    romeo.message(to, "But soft!", type=type_)
    assert error_of(romeo.receive_message()).condition == "service-unavailable"
    assert juliet.received() == []


def test_an_error_from_the_blocked_is_dropped(juliet, romeo, talk):
    talk.block(juliet, ROMEO)
    romeo.message(BALCONY, "But soft!", type="error")
    assert romeo.received() == []
    assert juliet.received() == []


@pytest.mark.parametrize("to", [JULIET, BALCONY])
@pytest.mark.parametrize("type_", ["get", "set"])
def test_a_request_from_the_blocked_is_refused(juliet, romeo, talk, to, type_):
    talk.block(juliet, ROMEO)
    answer = romeo.request(type_, VERSION, to=to)
    assert error_of(answer).condition == "service-unavailable"
    assert juliet.received() == []


class Oracle:
    """Has an answer for every account, whoever asks."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_account_iq_handlers(self):
        return {("get", "jabber:iq:version"): lambda iq: VERSION}


def test_the_server_does_not_answer_the_blocked_for_the_user(capulet, juliet, romeo, talk):
    capulet.enable("oracle", plugin_class=Oracle)
    assert romeo.request("get", VERSION, to=JULIET).type == "result"
    talk.block(juliet, ROMEO)
    assert error_of(romeo.request("get", VERSION, to=JULIET)).condition == "service-unavailable"
    assert juliet.request("get", VERSION).type == "result"


@pytest.mark.parametrize("type_", ["result", "error"])
def test_an_answer_from_the_blocked_is_dropped(juliet, romeo, talk, type_):
    talk.block(juliet, ROMEO)
    romeo.send(Iq(type=type_, id="answer", to=juliet.jid))
    assert romeo.received() == []
    assert juliet.received() == []


@pytest.mark.parametrize("to", [JULIET, BALCONY])
@pytest.mark.parametrize(
    "type_",
    [
        "",
        "unavailable",
        "subscribe",
        "subscribed",
        "unsubscribe",
        "unsubscribed",
        "probe",
        "error",
    ],
)
def test_presence_of_the_blocked_is_dropped_without_a_word(juliet, romeo, talk, to, type_):
    juliet.available()
    juliet.received()
    talk.block(juliet, ROMEO)
    romeo.send(Presence(type=type_, to=JID.parse(to)))
    assert romeo.received() == []
    assert juliet.received() == []


def test_a_subscription_request_of_the_blocked_leaves_nothing_behind(capulet, juliet, romeo, talk):
    talk.block(juliet, ROMEO)
    talk.say(romeo, "subscribe", JULIET)
    talk.unblock(juliet, ROMEO)
    juliet.available()
    assert ("subscribe", ROMEO) not in talk.presences(juliet)
    assert capulet.kernel.service("roster").requests("juliet") == frozenset()


def test_an_account_that_is_offline_is_closed_too(capulet, juliet, romeo, talk):
    talk.block(juliet, ROMEO)
    juliet.disconnect()
    capulet.enable("offline")
    romeo.message(JULIET, "But soft!")
    assert error_of(romeo.receive_message()).condition == "service-unavailable"
    assert capulet.connect(f"{JULIET}/chamber").received() == []


def test_an_account_that_blocks_looks_like_one_that_does_not_exist(juliet, romeo, talk):
    talk.block(juliet, ROMEO)
    for to in (JULIET, BALCONY):
        nobody = to.replace("juliet", "nobody")
        answers = [romeo.request("get", VERSION, to=address) for address in (to, nobody)]
        assert error_of(answers[0]).condition == error_of(answers[1]).condition
    romeo.message(JULIET, "?")
    romeo.message("nobody@capulet.example", "?")
    errors = [error_of(romeo.receive_message()) for _ in range(2)]
    assert errors[0].condition == errors[1].condition
    assert errors[0].type == errors[1].type


def test_all_passes_again_after_the_block(juliet, romeo, talk):
    juliet.available()
    juliet.received()
    talk.block(juliet, ROMEO)
    talk.unblock(juliet, ROMEO)
    romeo.message(JULIET, "But soft!")
    assert juliet.receive_message().body == "But soft!"
    talk.block(juliet, ROMEO)
    talk.unblock(juliet)
    romeo.message(JULIET, "What light?")
    assert juliet.receive_message().body == "What light?"


def test_others_are_not_concerned(capulet, juliet, romeo, talk):
    juliet.available()
    juliet.received()
    nurse = capulet.connect("nurse@capulet.example/house")
    nurse.available()
    talk.block(juliet, ROMEO)
    nurse.message(JULIET, "Madam!")
    assert juliet.receive_message().body == "Madam!"
    romeo.message("nurse@capulet.example", "Nurse?")
    assert nurse.receive_message().body == "Nurse?"


# To the blocked


@pytest.mark.parametrize("to", [ROMEO, ORCHARD, f"{ROMEO}/gone"])
def test_nothing_is_sent_to_the_blocked(juliet, romeo, talk, to):
    romeo.available()
    romeo.received()
    talk.block(juliet, ROMEO)
    juliet.message(to, "Romeo?")
    assert is_not_acceptable(juliet.receive_message())
    assert is_not_acceptable(juliet.request("get", VERSION, to=to))
    assert is_not_acceptable(juliet.request("set", VERSION, to=to))
    for type_ in ("", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe"):
        juliet.send(Presence(type=type_, to=JID.parse(to)))
        error = juliet.receive_presence()
        assert error.from_.text == to
        assert is_not_acceptable(error)
    assert romeo.received() == []


def test_last_words_to_the_blocked_are_dropped(juliet, romeo, talk):
    talk.block(juliet, ROMEO)
    juliet.send(Iq(type="result", id="answer", to=romeo.jid))
    juliet.send(Iq(type="error", id="answer", to=romeo.jid))
    juliet.send(Message(type="error", to=romeo.jid))
    juliet.send(Presence(type="unavailable", to=romeo.jid))
    juliet.send(Presence(type="error", to=romeo.jid))
    assert juliet.received() == []
    assert romeo.received() == []


def test_the_blocked_may_block_too(capulet, juliet, talk):
    tybalt = capulet.connect("tybalt@capulet.example/square")
    talk.block(juliet, tybalt.bare)
    talk.block(tybalt, JULIET)
    tybalt.message(JULIET, "?")
    assert is_not_acceptable(tybalt.receive_message())
    talk.unblock(tybalt)
    tybalt.message(JULIET, "?")
    assert error_of(tybalt.receive_message()).condition == "service-unavailable"
    assert juliet.received() == []


# Nobody locks themselves out


@pytest.mark.parametrize("jid", [JULIET, BALCONY, f"{JULIET}/chamber", "capulet.example"])
def test_a_user_who_blocks_an_own_address_goes_on(capulet, juliet, talk, jid):
    chamber = capulet.connect(f"{JULIET}/chamber")
    for client in (juliet, chamber):
        client.available()
    juliet.received()
    chamber.received()
    talk.block(juliet, jid)
    assert talk.blocked(juliet) == [jid]
    chamber.message(BALCONY, "From the chamber.")
    assert juliet.receive_message().body == "From the chamber."
    chamber.message(JULIET, "To all.")
    assert juliet.receive_message().body == "To all."
    capulet.enable("ping")
    assert juliet.get(PING, to="capulet.example").type == "result"
    assert juliet.get(PING, to=JULIET).type == "result"
    chamber.unavailable()
    assert ("unavailable", f"{JULIET}/chamber") in talk.presences(juliet)
    talk.unblock(juliet)
    assert talk.blocked(juliet) == []


def test_a_blocked_domain_of_ones_own_is_everybody_else_there(capulet, juliet, talk):
    nurse = capulet.connect("nurse@capulet.example/house")
    talk.block(juliet, "capulet.example")
    nurse.message(JULIET, "Madam!")
    assert error_of(nurse.receive_message()).condition == "service-unavailable"
    capulet.kernel.route(
        Message(
            Element("jabber:client", "body", None, "The server speaks."),
            from_=capulet.jid,
            to=juliet.jid,
        )
    )
    assert juliet.receive_message().body == "The server speaks."


def test_what_the_server_makes_for_the_account_passes(capulet, juliet, talk):
    talk.block(juliet, "capulet.example", JULIET)
    capulet.kernel.route(Message(from_=juliet.bare, to=juliet.jid, id="own"))
    assert juliet.receive_message().id == "own"


# Other plugins


def test_other_plugins_can_ask_who_is_blocked(capulet, juliet, talk):
    service = capulet.kernel.service("blocking")
    assert not service.is_blocked("juliet", JID.parse(ROMEO))
    talk.block(juliet, ROMEO)
    assert service.is_blocked("juliet", JID.parse(ORCHARD))
    assert not service.is_blocked("juliet", juliet.jid)
    assert not service.is_blocked("nurse", JID.parse(ROMEO))
    assert service.blocked("juliet") == {ROMEO}


def test_the_blocked_may_see_nothing_of_the_account(capulet, juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    assert capulet.kernel.may_see_presence(juliet.bare, romeo.bare)
    talk.block(juliet, ROMEO)
    assert not capulet.kernel.may_see_presence(juliet.bare, romeo.bare)
    assert capulet.kernel.may_see_presence(juliet.bare, juliet.bare)


class Archive:
    """Keeps what comes for Juliet, as early as a plugin that guards nothing can."""

    def __init__(self, host, options):
        self.kept = []

    @hookimpl(tryfirst=True)
    def stonechat_message_to_user(self, message):
        if message.to.localpart == "juliet":
            self.kept.append(message.body)


def test_archives_and_copies_never_see_what_is_blocked(server, talk):
    host = server.host("capulet.example", blocking={}, plugin_classes={"archive": Archive})
    juliet = host.connect(BALCONY)
    tybalt = host.connect("tybalt@capulet.example/square")
    talk.block(juliet, tybalt.bare)
    tybalt.message(JULIET, "Villain!")
    assert host.plugin("archive").kept == []
