"""Stanzas: message, presence and iq, as received bytes or as trees.

A stanza that came over a stream keeps its bytes. Routing writes a new head
around them and never looks inside; `element` builds the tree only when
somebody asks.
"""

from __future__ import annotations

import secrets

from stonechat.stanza.common import KINDS as KINDS
from stonechat.stanza.common import Stanza
from stonechat.stanza.kinds import MESSAGE_TYPES, PRESENCE_TYPES, Iq, Message, Presence
from stonechat.stanza.replies import error_element
from stonechat.xml import Element

__all__ = [
    "MESSAGE_TYPES",
    "PRESENCE_TYPES",
    "Element",
    "Iq",
    "Message",
    "Presence",
    "Stanza",
    "error_element",
    "new_id",
]


def new_id() -> str:
    """An id for a request of ours that nobody can guess."""
    return secrets.token_urlsafe(16)
