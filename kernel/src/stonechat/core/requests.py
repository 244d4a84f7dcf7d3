"""Requests that a host itself sends, and the answers they wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gevent.event import AsyncResult

from stonechat.errors import STANZA_ERROR_TYPES, StanzaError
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_STANZA_ERRORS
from stonechat.stanza import Iq, new_id

if TYPE_CHECKING:
    from stonechat.core.router import Router
    from stonechat.net.timers import TimerWheel

MAX_WAITING = 10_000


class Requests:
    """The open requests of one host."""

    def __init__(self, router: Router, timers: TimerWheel) -> None:
        self._router = router
        self._timers = timers
        self._waiting: dict[str, tuple[JID | None, AsyncResult[Iq]]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, iq: Iq, timeout: float) -> Iq:
        """Send a request and wait for its result; StanzaError if an error or nothing comes."""
        if len(self._waiting) >= MAX_WAITING:
            raise StanzaError("resource-constraint", "Too many requests are open.")
        id_ = new_id()
        with iq.edit() as tree:
            tree.attributes["id"] = id_
        answer: AsyncResult[Iq] = AsyncResult()
        self._waiting[id_] = (iq.to, answer)
        late = StanzaError("remote-server-timeout")
        timer = self._timers.add(timeout, answer.set_exception, late)
        try:
            self._router.route(iq)
            reply: Iq = answer.get()
        finally:
            timer.cancel()
            del self._waiting[id_]
        if reply.type == "error":
            raise _error_of(reply)
        return reply

    def answered(self, iq: Iq) -> None:
        """A result or an error has come; one that nobody waits for is dropped."""
        waiting = self._waiting.get(iq.id)
        # Only whom we asked can answer, however it spells its address.
        if waiting is not None and iq.from_ == waiting[0]:
            waiting[1].set(iq)


def _error_of(reply: Iq) -> StanzaError:
    """The error that a reply of type error carries; a condition we do not know is undefined."""
    error = reply.element.find("error", NS_CLIENT)
    condition, text, type_ = "undefined-condition", "", ""
    if error is not None:
        type_ = error.get("type")
        text = error.find_text("text", NS_STANZA_ERRORS)
        for child in error.elements:
            if child.namespace == NS_STANZA_ERRORS and child.name in STANZA_ERROR_TYPES:
                condition = child.name
    return StanzaError(condition, text, type=type_)
