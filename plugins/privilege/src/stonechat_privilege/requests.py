"""Requests in the name of accounts: sent, awaited, and answered to the component."""

from __future__ import annotations

from typing import NamedTuple, cast

from stonechat.errors import JIDError, StanzaError
from stonechat.host import Host, Timer
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_FORWARD
from stonechat.stanza import Element, Iq, new_id
from stonechat.streams import Stream
from stonechat.xml import XML_LANG
from stonechat_privilege.names import check_not_blocked, is_account, parse_jid
from stonechat_privilege.permissions import NS_PRIVILEGE, Permissions


class _Asked(NamedTuple):
    """A request of a component's, and what we have made of it."""

    outer: Iq
    domain: str
    to: JID
    inner_id: str
    """What the encapsulated request has for an id; `""` for one about a roster."""
    timer: Timer


class Requests:
    """Asks as the account itself would: by its bare JID, so that the answer comes to us.

    No component waits for an answer, nor does anything else that it sends. `asker` makes
    this the service `privilege`.
    """

    def __init__(self, host: Host, timeout: float, max_requests: int) -> None:
        self._host = host
        self._timeout = timeout
        self._max_requests = max_requests
        # By our own ids, which nobody can guess.
        self._asked: dict[str, _Asked] = {}
        self._counts: dict[str, int] = {}

    def asker(self, iq: Iq) -> str:
        """The domain of the component that has sent this request for an account, or `""`."""
        asked = self._asked.get(iq.id)
        if asked is None or iq.from_ != asked.outer.to:
            return ""
        return asked.domain

    # From the component

    def about_roster(self, stream: Stream, iq: Iq, permissions: Permissions) -> None:
        """A request for the roster of an account ("Privileged Entity Manage Roster")."""
        if not permissions.allows_roster(iq.type):
            raise StanzaError("forbidden", "This component may not do that with rosters.")
        self._ask(stream, iq, cast(Element, iq.payload), cast(JID, iq.to))

    def encapsulated(self, stream: Stream, iq: Iq, permissions: Permissions) -> None:
        """A `<privileged_iq/>` ("Sending IQ Stanzas")."""
        account = iq.to
        if account is None or not is_account(self._host, account):
            raise StanzaError("forbidden", "This is no account of this server.")
        inner = _encapsulated(cast(Element, iq.payload))
        if inner.get("type") != iq.type:
            raise StanzaError("forbidden", "The types of the two requests differ.")
        if "from" in inner.attributes and not _is(inner.get("from"), account):
            raise StanzaError("forbidden", "The request is not from whom it is sent for.")
        payloads = inner.elements
        if len(payloads) != 1:
            raise StanzaError("bad-request", "A request holds exactly one payload.")
        if not permissions.allows_iq(payloads[0].namespace, iq.type):
            raise StanzaError("forbidden", "This component may not send such requests.")
        if not inner.get("id"):
            raise StanzaError("bad-request", "An iq needs an id.")
        to = parse_jid(inner.get("to")) if "to" in inner.attributes else account
        if to.resource and to.bare == account:
            # What comes to a client from its own bare JID is from the server: the user
            # cannot send that (rule 13, "Security Considerations").
            raise StanzaError("forbidden", "Users send nothing in the name of their server.")
        check_not_blocked(self._host, account, to)
        self._ask(stream, iq, payloads[0], to, inner)

    def _ask(
        self, stream: Stream, outer: Iq, payload: Element, to: JID, inner: Element | None = None
    ) -> None:
        """Send a request from the account that `outer` is to."""
        domain = stream.domain
        count = self._counts.get(domain, 0)
        if count >= self._max_requests:
            raise StanzaError("resource-constraint", "Too many requests are waiting.")
        self._counts[domain] = count + 1
        id_ = new_id()
        timer = self._host.call_later(self._timeout, self._late, id_)
        inner_id, lang = ("", "") if inner is None else (inner.get("id"), inner.get(XML_LANG))
        self._asked[id_] = _Asked(outer, domain, to, inner_id, timer)
        self._host.route(Iq(payload, type=outer.type, id=id_, from_=outer.to, to=to, lang=lang))

    # To the component

    def answered(self, answer: Iq) -> bool:
        """A result or an error has come to an account; whether it is for a component."""
        asked = self._asked.get(answer.id)
        # Only whom we asked can answer, and only to the account it was for.
        if asked is None or answer.from_ != asked.to or answer.to != asked.outer.to:
            return False
        self._forget(answer.id)
        outer = asked.outer
        if asked.inner_id:
            self._host.route(outer.result(_forwarded(answer, asked.inner_id)))
            return True
        reply = answer.copy_for(cast(JID, outer.from_), outer.to)
        with reply.edit() as tree:
            tree.attributes["id"] = outer.id
        self._host.route(reply)
        return True

    def _late(self, id_: str) -> None:
        asked = self._forget(id_)
        if asked is not None:
            self._host.bounce(asked.outer, StanzaError("remote-server-timeout"))

    def stop(self) -> None:
        """Nobody will hear the answers any more."""
        for id_ in list(self._asked):
            asked = self._forget(id_)
            if asked is not None:
                self._host.bounce(asked.outer, StanzaError("service-unavailable"))

    def _forget(self, id_: str) -> _Asked | None:
        asked = self._asked.pop(id_, None)
        if asked is not None:
            asked.timer.cancel()
            self._counts[asked.domain] -= 1
        return asked


def _encapsulated(wrapper: Element) -> Element:
    """The request inside of a `<privileged_iq/>`."""
    inner = wrapper.elements
    if len(inner) != 1 or inner[0].qualified_name != f"{NS_CLIENT} iq":
        raise StanzaError("forbidden", f"What is sent for somebody is one iq in {NS_CLIENT}.")
    return inner[0]


def _forwarded(answer: Iq, id_: str) -> Element:
    """An answer as the component gets it, with the id that it has given."""
    inner = answer.element.copy()
    inner.set("id", id_)
    return Element(NS_PRIVILEGE, "privilege", None, Element(NS_FORWARD, "forwarded", None, inner))


def _is(text: str, jid: JID) -> bool:
    try:
        return JID.parse(text) == jid
    except JIDError:
        return False
