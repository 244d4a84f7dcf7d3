"""Which messages are archived (XEP-0313, "User Archives"; XEP-0334)."""

from __future__ import annotations

from functools import lru_cache

from stonechat.namespaces import NS_CLIENT, NS_HINTS
from stonechat.stanza import Message

__all__ = ["NS_RETRACT", "RETRACT", "is_archived"]

NS_RETRACT = "urn:xmpp:message-retract:1"
RETRACT = f"{NS_RETRACT} retract"

_STORE = f"{NS_HINTS} store"
_FORBIDS = frozenset({f"{NS_HINTS} no-store", f"{NS_HINTS} no-permanent-store"})

# A retraction is kept whatever its hints say (XEP-0424, "Business Rules").
_ALWAYS = frozenset({RETRACT})

# What says something without a body. All else that does is asked to say so by a hint.
_CONTENT = frozenset(
    {
        f"{NS_CLIENT} body",
        f"{NS_CLIENT} subject",
        "urn:xmpp:receipts received",  # XEP-0184
        "urn:xmpp:chat-markers:0 received",  # XEP-0333
        "urn:xmpp:chat-markers:0 displayed",
        "urn:xmpp:chat-markers:0 acknowledged",
        "urn:xmpp:reactions:0 reactions",  # XEP-0444
        "urn:xmpp:message-attaching:1 attach-to",  # XEP-0367
        "urn:xmpp:fasten:0 apply-to",  # XEP-0422
        "urn:xmpp:message-correct:0 replace",  # XEP-0308
        "urn:xmpp:sfs:0 file-sharing",  # XEP-0447
        "urn:xmpp:sims:1 media-sharing",  # XEP-0385
        "jabber:x:oob x",  # XEP-0066
        "jabber:x:conference x",  # XEP-0249
        "jabber:x:encrypted x",  # XEP-0027
        "urn:xmpp:openpgp:0 openpgp",  # XEP-0373
        "eu.siacs.conversations.axolotl encrypted",  # XEP-0384, as all have it
        "urn:xmpp:omemo:1 encrypted",
        "urn:xmpp:omemo:2 encrypted",
    }
)

# An invitation (XEP-0045), where it does not mark what is said in private in a room.
_INVITATION = "http://jabber.org/protocol/muc#user x"
_CHAT_STATES = "http://jabber.org/protocol/chatstates "

# More children, or a longer name, than what people write has.
_MAX_CACHED_CHILDREN = 12


def is_archived(message: Message) -> bool:
    """Whether a message belongs into archives, by its type and what is in it."""
    type_ = message.attributes.get("type", "normal")
    if type_ in ("error", "groupchat"):
        return False
    children = message.children
    if len(children) <= _MAX_CACHED_CHILDREN:
        return _cached(type_ == "headline", children)
    return _says_something(type_ == "headline", children)


def _says_something(is_headline: bool, children: tuple[str, ...]) -> bool:
    names = set(children)
    if names & _ALWAYS:
        return True
    if names & _FORBIDS:
        return False
    if _STORE in names:
        return True
    if is_headline:
        return False
    if _INVITATION in names:
        return not any(name.startswith(_CHAT_STATES) for name in names) or not (
            names.isdisjoint(_CONTENT)
        )
    return not names.isdisjoint(_CONTENT)


# Clients put the same few things together again and again. A name has 256 octets at most.
_cached = lru_cache(maxsize=512)(_says_something)
