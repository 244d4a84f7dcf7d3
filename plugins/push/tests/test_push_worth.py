"""What is worth a notification (XEP-0357)."""

import pytest

from stonechat.stanza import Stanza
from stonechat_push.worth import in_message, in_stanza

ROMEO = "romeo@montague.example/orchard"
JULIET = "juliet@capulet.example"

BODY = "<body>But soft</body>"
OMEMO = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header/>{}</encrypted>"
NO_STORE = "<no-store xmlns='urn:xmpp:hints'/>"
STORE = "<store xmlns='urn:xmpp:hints'/>"
INVITATION = "<x xmlns='jabber:x:conference' jid='verona@rooms.example'/>"
MEDIATED = "<x xmlns='http://jabber.org/protocol/muc#user'><invite/></x>"
RING = "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>"


def stanza(xml):
    return Stanza.from_bytes(xml.encode())


def message(content, type_="chat"):
    return stanza(
        f"<message from='{ROMEO}' to='{JULIET}/phone' type='{type_}'>{content}</message>"
    )


@pytest.mark.parametrize(
    "content",
    [
        BODY,
        BODY + STORE,
        BODY + NO_STORE,
        OMEMO.format("<payload/>"),
        OMEMO.replace("eu.siacs.conversations.axolotl", "urn:xmpp:omemo:2").format("<payload/>"),
        "<x xmlns='jabber:x:encrypted'/>",
        "<openpgp xmlns='urn:xmpp:openpgp:0'/>" + BODY,
        INVITATION,
        MEDIATED,
        RING + STORE,
        RING + NO_STORE,
        "<invite xmlns='urn:xmpp:call-invites:0'/>",
        "<attention xmlns='urn:xmpp:attention:0'/>",
    ],
)
def test_what_somebody_says_or_wants_is_worth_it(content):
    for type_ in ("chat", "normal", "nonsense"):
        news = in_message(message(content, type_), groupchat=True)
        assert news is not None
        assert news.sender == ROMEO


@pytest.mark.parametrize(
    "content",
    [
        "",
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        "<received xmlns='urn:xmpp:receipts' id='1'/>",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>" + STORE,
        OMEMO.format(""),
        OMEMO.format("") + BODY.replace("body", "other"),
        "<accept xmlns='urn:xmpp:jingle-message:0' id='1'/>",
        "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>",
        "<subject>Verona</subject>",
        INVITATION + NO_STORE,
        "<x xmlns='http://jabber.org/protocol/muc#user'/>",
        f"<result xmlns='urn:xmpp:mam:2'>{BODY}</result>",
    ],
)
def test_what_only_goes_along_is_not(content):
    assert in_message(message(content), groupchat=True) is None


@pytest.mark.parametrize("type_", ["error", "headline"])
def test_errors_and_headlines_are_not(type_):
    for content in (BODY, RING):
        assert in_message(message(content, type_), groupchat=True) is None


def test_room_messages_are_if_that_is_wanted():
    assert in_message(message(BODY, "groupchat"), groupchat=True) is not None
    assert in_message(message(BODY, "groupchat"), groupchat=False) is None


def test_what_nobody_keeps_is_not_for_who_has_no_session():
    for content in (BODY + NO_STORE, "<x xmlns='jabber:x:encrypted'/>" + NO_STORE):
        assert in_message(message(content), groupchat=True, is_kept=True) is None
    assert in_message(message(RING + NO_STORE), groupchat=True, is_kept=True) is not None
    assert in_message(message(BODY), groupchat=True, is_kept=True) is not None


def test_calls_and_requests_are_not_counted_as_messages():
    assert in_message(message(RING), groupchat=True).is_message is False
    assert in_message(message(BODY), groupchat=True).is_message is True


def copy(content, direction="received", sender=JULIET, around="forwarded"):
    return (
        f"<message from='{sender}' to='{JULIET}/phone' type='chat'>"
        f"<{direction} xmlns='urn:xmpp:carbons:2'><{around} xmlns='urn:xmpp:forward:0'>{content}"
        f"</{around}></{direction}></message>"
    )


INSIDE = f"<message xmlns='jabber:client' from='{ROMEO}' type='chat'>{{}}</message>"


def jingle(action):
    return (
        f"<iq from='{ROMEO}' type='set' id='1'>"
        f"<jingle xmlns='urn:xmpp:jingle:1' action='{action}'/></iq>"
    )


@pytest.mark.parametrize(
    ("xml", "sender"),
    [
        (f"<presence from='{ROMEO}' type='subscribe'/>", ROMEO),
        (f"<presence from='{ROMEO}'/>", None),
        (f"<presence from='{ROMEO}' type='subscribed'/>", None),
        (jingle("session-initiate"), ROMEO),
        (jingle("transport-info"), None),
        (f"<iq from='{ROMEO}' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", None),
        (copy(INSIDE.format(BODY)), ROMEO),
        (copy(INSIDE.format("")), None),
        (copy(INSIDE.format(BODY), "sent"), None),
        # Somebody else's wrapper is what it is: a message without a text.
        (copy(INSIDE.format(BODY), sender=ROMEO), None),
        (copy(""), None),
        (copy(INSIDE.format(BODY), around="other"), None),
    ],
)
def test_of_what_waits_for_a_session_calls_and_copies_are_too(xml, sender):
    news = in_stanza(stanza(xml), groupchat=True)
    assert (news.sender if news is not None else None) == sender
