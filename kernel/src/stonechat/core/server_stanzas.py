"""Stanzas from other servers: whose they may be, and what is checked before they are routed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.core.server_marks import SERVER_MARKS, strip_server_marks
from stonechat.errors import JIDError, StanzaError, StreamError
from stonechat.federation import Pair
from stonechat.jid import prepare_domain
from stonechat.stanza import PRESENCE_TYPES, Iq, Presence, Stanza

if TYPE_CHECKING:
    from stonechat.core.server_owner import Owner
    from stonechat.core.server_stream import ServerStreamBase


def take(stream: ServerStreamBase, stanza: Stanza, owner: Owner) -> None:
    """Handle a stanza of the peer's; StreamError ends the stream."""
    try:
        to, from_ = stanza.to, stanza.from_
    except JIDError as error:
        _malformed(stream, stanza, owner, error)
        return
    if to is None or from_ is None:
        raise StreamError("improper-addressing", "A stanza has to have both 'to' and 'from'.")
    stream.check_pair(to.domain, from_.domain)
    host = owner.host_of(to.domain)
    if host is None:
        # Since the proof a reload has removed it: nothing of it goes out again.
        raise StreamError("host-gone", "This domain is not served here any more.")
    # One preparation at the door (robustness rule 28): behind it nobody sees another spelling.
    if to.text != stanza.attributes["to"]:
        stanza.to = to
    if from_.text != stanza.attributes["from"]:
        stanza.from_ = from_
    router = host.router
    if not SERVER_MARKS.keys().isdisjoint(stanza.children):
        strip_server_marks(stanza, router, from_.domain)
    stream.handling(stanza)
    try:
        _check(stanza)
    except StanzaError as error:
        router.bounce(stanza, error)
    else:
        router.route(stanza)
    stream.handled(stanza)


def take_late(stream: ServerStreamBase, stanza: Stanza, owner: Owner) -> None:
    """Handle what the peer has sent before it has heard that we end the stream (4.4).

    It may be just for what this is that we do: then it is too late.
    """
    to, from_ = (_domain(stanza.attributes.get(name, "")) for name in ("to", "from"))
    pair = Pair(to, from_)
    if stream.is_authorized(pair):
        gone = owner.host_of(pair.local) is None
        fault = "the domain is not served here any more" if gone else stream.fault_of(pair)
        if fault:
            owner.log.info(
                "stanza dropped", stanza=stanza.summary(), address=stream.address, reason=fault
            )
            return
    take(stream, stanza, owner)


def _check(stanza: Stanza) -> None:
    if isinstance(stanza, Iq):
        stanza.check()
    elif isinstance(stanza, Presence) and stanza.type and stanza.type not in PRESENCE_TYPES:
        raise StanzaError("bad-request", "There is no such type of presence.")


def _malformed(stream: ServerStreamBase, stanza: Stanza, owner: Owner, error: JIDError) -> None:
    """An address that is none, in a part that a user of the peer's may have chosen.

    For that the others on the stream are not to suffer, as they would by RFC 6120, 4.9.3.7.
    """
    to, from_ = (_domain(stanza.attributes.get(name, "")) for name in ("to", "from"))
    if not to or not from_:
        raise StreamError("improper-addressing", str(error))
    stream.check_pair(to, from_)
    host = owner.host_of(to)
    try:
        is_answerable = host is not None and stanza.from_ is not None
    except JIDError:
        is_answerable = False
    if is_answerable:
        assert host is not None
        host.router.bounce(stanza, StanzaError("jid-malformed", str(error)))
    else:
        owner.log.info(
            "stanza dropped", stanza=stanza.summary(), address=stream.address, reason=str(error)
        )
    stream.handled(stanza)


def _domain(address: str) -> str:
    """The domain of an address whose other parts may be anything; `""` if it is none."""
    bare, _, _ = address.partition("/")
    before, at, behind = bare.partition("@")
    try:
        return prepare_domain(behind if at else before)
    except JIDError:
        return ""
