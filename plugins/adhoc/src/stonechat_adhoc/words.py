"""The words of XEP-0050: its errors, its notes, and what a client asks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from stonechat.errors import StanzaError
from stonechat.stanza import Element, Iq
from stonechat.xml import XML_LANG

NS_COMMANDS = "http://jabber.org/protocol/commands"

# What all our texts are written in.
LANGUAGE = "en"

ACTIONS = frozenset({"execute", "cancel", "prev", "next", "complete"})

# RFC 5646, 2.1, as far as it matters here.
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")

NoteType = Literal["info", "warn", "error"]


class Note(NamedTuple):
    """A remark for whoever sits at the client."""

    text: str
    type: NoteType = "info"


class Outcome(NamedTuple):
    """What a command has led to: remarks, and pages to be shown one after another."""

    notes: Sequence[Note] = ()
    pages: Sequence[Sequence[Element]] = ()


class Request(NamedTuple):
    """What a client asks; without a session (None) it begins one."""

    node: str
    action: str
    session: str | None
    form: Element | None

    @classmethod
    def read(cls, iq: Iq) -> Request:
        """StanzaError, one of those of XEP-0050, for what cannot be understood."""
        command = iq.payload
        if command is None or command.name != "command":
            raise StanzaError("bad-request", "A <command/> is missing.")
        node = command.get("node")
        if not node:
            raise StanzaError("bad-request", "The command has no node.")
        action = command.get("action", "execute")
        if action not in ACTIONS:
            raise specific("malformed-action", "There is no such action.")
        lang = command.lang or iq.lang
        if lang and not _LANGUAGE_TAG.fullmatch(lang):
            raise specific("bad-locale", "This is no name of a language.")
        session = command.attributes.get("sessionid")
        return cls(node, action, session, command.find("x", "jabber:x:data"))


def specific(condition: str, text: str = "") -> StanzaError:
    """A bad-request with the XEP's own condition beside it ("Possible Errors")."""
    return StanzaError("bad-request", text, application=Element(NS_COMMANDS, condition))


def session_expired() -> StanzaError:
    """For a session that has been completed or cancelled, or has waited too long."""
    return StanzaError(
        "not-allowed",
        "This has been carried out or cancelled already, or has waited too long.",
        application=Element(NS_COMMANDS, "session-expired"),
    )


def answer(
    node: str,
    session: str,
    status: str,
    *payload: Element,
    notes: Sequence[Note] = (),
    actions: Sequence[str] = (),
    default: str = "",
) -> Element:
    """A `<command/>` to answer with."""
    command = Element(
        NS_COMMANDS,
        "command",
        {"node": node, "sessionid": session, "status": status, XML_LANG: LANGUAGE},
    )
    if actions:
        offered = command.add("actions", execute=default)
        for action in actions:
            offered.add(action)
    for note in notes:
        command.add("note", note.text, type=note.type)
    command.append(*payload)
    return command
