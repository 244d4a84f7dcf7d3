"""Which messages belong into an archive."""

import pytest

from stonechat.namespaces import NS_CLIENT, NS_HINTS
from stonechat.stanza import Message
from stonechat.xml import Element
from stonechat_mam.rules import is_archived

BODY = (NS_CLIENT, "body")
COMPOSING = ("http://jabber.org/protocol/chatstates", "composing")
STORE = (NS_HINTS, "store")
NO_STORE = (NS_HINTS, "no-store")
NO_PERMANENT_STORE = (NS_HINTS, "no-permanent-store")
RETRACT = ("urn:xmpp:message-retract:1", "retract")
INVITATION = ("http://jabber.org/protocol/muc#user", "x")


def message(type_, *children):
    return Message(*(Element(*child) for child in children), type=type_)


@pytest.mark.parametrize("type_", ["chat", "normal", "", "nonsense"])
def test_what_has_a_body_is_archived(type_):
    assert is_archived(message(type_, BODY))


@pytest.mark.parametrize("type_", ["error", "groupchat", "headline"])
def test_errors_rooms_and_headlines_are_not(type_):
    assert not is_archived(message(type_, BODY))


@pytest.mark.parametrize(
    "child",
    [
        ("urn:xmpp:receipts", "received"),
        ("urn:xmpp:chat-markers:0", "displayed"),
        ("urn:xmpp:reactions:0", "reactions"),
        ("eu.siacs.conversations.axolotl", "encrypted"),
        ("urn:xmpp:omemo:2", "encrypted"),
        ("urn:xmpp:openpgp:0", "openpgp"),
        ("jabber:x:conference", "x"),
        (NS_CLIENT, "subject"),
        RETRACT,
        INVITATION,
    ],
    ids=lambda child: " ".join(child),
)
def test_what_says_something_without_a_body_is_archived(child):
    assert is_archived(message("chat", child))


@pytest.mark.parametrize(
    "children",
    [
        (),
        (COMPOSING,),
        (COMPOSING, (NS_CLIENT, "thread")),
        (COMPOSING, INVITATION),  # of what is said in private in a room
        (("urn:xmpp:receipts", "request"),),
        (("urn:xmpp:chat-markers:0", "markable"),),
        (("http://jabber.org/protocol/pubsub#event", "event"),),
        (("urn:xmpp:carbons:2", "received"),),
        (("urn:xmpp:mam:2", "result"),),
    ],
    ids=str,
)
def test_what_says_nothing_that_lasts_is_not(children):
    assert not is_archived(message("chat", *children))


def test_a_hint_may_ask_for_it():
    assert is_archived(message("chat", COMPOSING, STORE))
    assert is_archived(message("headline", BODY, STORE))


@pytest.mark.parametrize("type_", ["error", "groupchat"])
def test_a_hint_changes_nothing_for_errors_and_rooms(type_):
    assert not is_archived(message(type_, BODY, STORE))


@pytest.mark.parametrize("hint", [NO_STORE, NO_PERMANENT_STORE], ids=lambda hint: hint[1])
def test_a_hint_may_forbid_it(hint):
    assert not is_archived(message("chat", BODY, hint))
    assert not is_archived(message("chat", BODY, STORE, hint))


def test_a_retraction_is_archived_whatever_its_hints_say():
    assert is_archived(message("chat", RETRACT, NO_STORE))


def test_it_makes_no_difference_how_much_else_is_in_it():
    many = [("urn:example:x", f"x{number}") for number in range(20)]
    assert not is_archived(message("chat", *many))
    assert is_archived(message("chat", *many, BODY))
    assert not is_archived(message("chat", *many, BODY, NO_STORE))
