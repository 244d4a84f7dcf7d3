"""Dialogues under way: the sessions of XEP-0050, counted, and forgotten in time."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stonechat.errors import StanzaError
from stonechat.forms import Form
from stonechat.host import Host, Timer
from stonechat.jid import JID
from stonechat.stanza import Element
from stonechat_adhoc.words import Outcome, session_expired, specific

# Of all users together.
MAX_DIALOGUES = 1000

_MAC_OCTETS = 16


class AdHocCommand(Protocol):
    """Something that can be done by an ad-hoc command."""

    @property
    def node(self) -> str: ...
    @property
    def name(self) -> str:
        """What people see in a list."""

    @property
    def form_type(self) -> str:
        """The FORM_TYPE of its form, or `""`."""

    def form(self, caller: JID) -> Form | None:
        """What has to be filled in; None for nothing."""

    def run(self, caller: JID, answers: Form) -> Outcome:
        """Carry it out; StanzaError, or CommandError for what comes to be a note."""


@dataclass(slots=True)
class Dialogue:
    """One command of one client, from its form to the last page of its result."""

    id: str
    caller: JID
    responder: JID
    command: AdHocCommand
    pages: Sequence[Sequence[Element]] = ()
    page: int = 0
    is_busy: bool = False
    timer: Timer | None = field(default=None, repr=False)

    @property
    def default(self) -> str:
        """What "execute" means now."""
        return "next" if self.page + 1 < len(self.pages) else "complete"

    @property
    def actions(self) -> tuple[str, ...]:
        """What can be done now, besides cancelling."""
        if not self.pages:
            return ("complete",)
        before = ("prev",) if self.page else ()
        after = ("next",) if self.default == "next" else ()
        # Who has seen enough need not see the rest.
        return (*before, *after, "complete")


class Dialogues:
    """The dialogues of a host.

    An id is bound to who may use it, so that one that we have given out is known as ours
    when it is over, though nothing is kept of it.
    """

    def __init__(self, host: Host, most_of_one: int, seconds: float) -> None:
        self._host = host
        self._most_of_one = most_of_one
        self._seconds = seconds
        self._key = secrets.token_bytes(32)
        self._dialogues: dict[str, Dialogue] = {}

    def __len__(self) -> int:
        return len(self._dialogues)

    def new_id(self, caller: JID, responder: JID, node: str) -> str:
        """A name for a dialogue that nobody can guess, and that never comes again."""
        nonce = secrets.token_urlsafe(12)
        return f"{nonce}.{self._mac(nonce, caller, responder, node)}"

    def open(self, id_: str, caller: JID, responder: JID, command: AdHocCommand) -> Dialogue:
        """Keep a new one. Of the dialogues that one account has too many of, the oldest goes."""
        mine = [
            dialogue
            for dialogue in self._dialogues.values()
            if dialogue.caller.bare == caller.bare and not dialogue.is_busy
        ]
        if len(mine) >= self._most_of_one:
            self.close(mine[0])
        if len(self._dialogues) >= MAX_DIALOGUES:
            raise StanzaError("resource-constraint", "Too many commands are under way.")
        dialogue = Dialogue(id_, caller, responder, command)
        self._dialogues[id_] = dialogue
        self.touch(dialogue)
        return dialogue

    def find(self, id_: str, caller: JID, responder: JID, node: str) -> Dialogue:
        """StanzaError bad-sessionid or session-expired where there is none of theirs."""
        nonce, _, mac = id_.partition(".")
        ours = self._mac(nonce, caller, responder, node)
        if not hmac.compare_digest(mac.encode(), ours.encode()):
            raise specific("bad-sessionid", "There is no such session of yours.")
        dialogue = self._dialogues.get(id_)
        if dialogue is None:
            raise session_expired()
        return dialogue

    def touch(self, dialogue: Dialogue) -> None:
        """Somebody is at it: its time begins anew."""
        if dialogue.timer is not None:
            dialogue.timer.cancel()
        dialogue.timer = self._host.call_later(self._seconds, self._expire, dialogue)

    def close(self, dialogue: Dialogue) -> None:
        """It is over."""
        if dialogue.timer is not None:
            dialogue.timer.cancel()
        self._dialogues.pop(dialogue.id, None)

    def _expire(self, dialogue: Dialogue) -> None:
        if dialogue.is_busy:
            self.touch(dialogue)
        else:
            self.close(dialogue)

    def _mac(self, nonce: str, caller: JID, responder: JID, node: str) -> str:
        text = "\0".join((nonce, caller.text, responder.text, node))
        return hmac.digest(self._key, text.encode(), "sha256")[:_MAC_OCTETS].hex()
