"""Requests on their way to a component and back: forwarded, awaited, checked and answered."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, cast

from stonechat.custody import Release
from stonechat.errors import JIDError, StanzaError
from stonechat.host import Host, Timer
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_FORWARD, NS_ROSTER
from stonechat.stanza import Element, Iq, new_id
from stonechat.streams import Stream
from stonechat_delegation.options import NS_DELEGATION

# Of the requests that may wait for a component, one sender may have this part.
ONE_SENDER = 10


class _Waiting(NamedTuple):
    """A request that a component has before it."""

    iq: Iq
    stream: Stream
    release: Release
    timer: Timer


class Forwarding:
    """Hands requests to the components that manage their namespaces.

    Nobody waits for a component: its answer comes when it comes, and meanwhile the user's
    next stanzas are handled ("Implementation Notes"). Each request is answered once.
    """

    def __init__(self, host: Host, timeout: float, max_requests: int) -> None:
        self._host = host
        self._timeout = timeout
        self._max_requests = max_requests
        # By the domain of the component, and by the id of our request to it.
        self._waiting: dict[str, dict[str, _Waiting]] = {}
        # How many of them each has sent, by bare JID.
        self._senders: Counter[JID] = Counter()

    # To the component

    def forward(self, domain: str, iq: Iq) -> None:
        """Pass a request on; StanzaError where that cannot be."""
        sender = cast(JID, iq.from_)
        stream = self._stream(domain, sender)
        waiting = self._waiting.setdefault(domain, {})
        most_of_one = max(1, self._max_requests // ONE_SENDER)
        if len(waiting) >= self._max_requests or self._senders[sender.bare] >= most_of_one:
            raise StanzaError("resource-constraint", "Too many requests are waiting.")
        self._senders[sender.bare] += 1
        id_ = new_id()
        timer = self._host.call_later(self._timeout, self._late, domain, id_)
        waiting[id_] = _Waiting(iq, stream, iq.hold(), timer)
        forwarded = Element(NS_FORWARD, "forwarded", None, iq.element)
        stream.send(
            Iq(
                Element(NS_DELEGATION, "delegation", None, forwarded),
                type="set",
                id=id_,
                from_=self._host.jid,
                to=JID.make("", domain),
            )
        )

    def _stream(self, domain: str, sender: JID) -> Stream:
        components = self._host.service("component")
        try:
            stream: Stream = components.choose(domain, sender)
        except StanzaError as error:
            if error.condition == "resource-constraint":
                raise
            # "Server Forwards Delegated IQ Stanza", N.B.₁
            raise StanzaError("service-unavailable") from error
        return stream

    # From the component

    def answered(self, stream: Stream, answer: Iq) -> bool:
        """Something that is no request has come for the host; whether it was for us."""
        waiting = self._waiting.get(stream.domain, {}).pop(answer.id, None)
        if waiting is None:
            return False
        iq = waiting.iq
        if answer.type == "error":
            # N.B.₂: whatever the error was.
            self._end(waiting, StanzaError("service-unavailable"))
            return True
        try:
            payload = decapsulated(iq, answer)
        except ValueError as fault:
            self._host.log.warning(
                "bad answer to a delegated request",
                component=stream.domain,
                reason=str(fault),
                stanza=iq.summary(),
            )
            self._end(waiting, StanzaError("service-unavailable"))
            return True
        try:
            self._host.route(iq.result(payload))
            self._note_roster(iq)
        finally:
            self._end(waiting)
        return True

    def _note_roster(self, iq: Iq) -> None:
        """Who has got the roster gets pushes, whoever has answered (RFC 6121, 2.1.6)."""
        if iq.namespace != NS_ROSTER or iq.type != "get":
            return
        roster, session = self._host.service("roster"), self._host.session(cast(JID, iq.from_))
        if roster is not None and session is not None:
            roster.has_roster(session)

    # No answer

    def gone(self, stream: Stream) -> None:
        """A component's stream has ended: what it had before it nobody will answer."""
        waiting = self._waiting.get(stream.domain, {})
        for id_ in [id_ for id_, each in waiting.items() if each.stream is stream]:
            # Another may have been answered while one was.
            if (each := waiting.pop(id_, None)) is not None:
                self._end(each, StanzaError("service-unavailable"))

    def stop(self) -> None:
        """Nobody will hear the answers any more."""
        for waiting in self._waiting.values():
            while waiting:
                self._end(waiting.popitem()[1], StanzaError("service-unavailable"))

    def _late(self, domain: str, id_: str) -> None:
        waiting = self._waiting[domain].pop(id_, None)
        if waiting is not None:
            self._host.log.info(
                "a delegated request was not answered in time",
                component=domain,
                stanza=waiting.iq.summary(),
            )
            self._end(waiting, StanzaError("service-unavailable"))

    def _end(self, waiting: _Waiting, error: StanzaError | None = None) -> None:
        waiting.timer.cancel()
        sender = cast(JID, waiting.iq.from_).bare
        self._senders[sender] -= 1
        if not self._senders[sender]:
            del self._senders[sender]
        try:
            if error is not None:
                self._host.bounce(waiting.iq, error)
        finally:
            waiting.release()


def decapsulated(iq: Iq, answer: Iq) -> Element | None:
    """The payload of the result that a component has for a request, or None for an empty one.

    ValueError says what is wrong with it: of the result nothing but this goes to the user.
    """
    delegation = answer.find(NS_DELEGATION, "delegation")
    forwarded = None if delegation is None else delegation.find("forwarded", NS_FORWARD)
    result = None if forwarded is None else forwarded.find("iq", NS_CLIENT)
    if result is None:
        raise ValueError("no iq is forwarded in it")
    if result.get("type") != "result":
        raise ValueError("the type is not result")
    if result.get("id") != iq.id:
        raise ValueError("the id is not that of the request")
    sender = cast(JID, iq.from_)
    if _jid(result.get("to")) != sender:
        raise ValueError("it is not to who has asked")
    # The examples leave `from` out, also where the request was to an account.
    if "from" in result.attributes and _jid(result.get("from")) != (iq.to or sender.bare):
        raise ValueError("it is not from who was asked")
    elements = result.elements
    if len(elements) > 1:
        raise ValueError("it has more than one payload")
    return elements[0] if elements else None


def _jid(text: str) -> JID | None:
    try:
        return JID.parse(text)
    except JIDError:
        return None
