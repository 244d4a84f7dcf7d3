"""Streams between servers: who is asked to count, and who is let (XEP-0198, section 3).

There are acks only. A stream that is lost is not resumed: what its peer has not
acknowledged waits for the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from stonechat.errors import StreamError
from stonechat.federation import ServerStream
from stonechat.host import Host
from stonechat.stanza import Element
from stonechat_sm.elements import NS_SM, acknowledged_in, failed
from stonechat_sm.managed_server import ManagedServer
from stonechat_sm.rounds import Rounds

if TYPE_CHECKING:
    from stonechat_sm import Options

_FEATURE = Element(NS_SM, "sm").freeze()
_ENABLE = Element(NS_SM, "enable").freeze()
_ENABLED = Element(NS_SM, "enabled").freeze()

# What is kept of a stream, under this name: nothing before a pair is authorized, None while
# it is not managed.
_KEY = "sm"


class Servers:
    """The managed streams to and from other servers; with the option off there are none."""

    def __init__(self, host: Host, options: Options, rounds: Rounds) -> None:
        self._host = host
        self._options = options
        self._rounds = rounds
        self._managed: set[ManagedServer] = set()
        self.features: Sequence[Callable[[ServerStream], Element | None]] = ()
        self.elements: Mapping[tuple[str, str], Callable[[ServerStream, Element], None]] = {}
        if options.servers:
            self.features = (self._offer,)
            self.elements = {
                (NS_SM, "enable"): self._enable,
                (NS_SM, "enabled"): self._enabled,
                (NS_SM, "failed"): self._failed,
                (NS_SM, "r"): self._requested,
                (NS_SM, "a"): self._answered,
                (NS_SM, "resume"): self._resume,
            }

    def stop(self) -> None:
        """Nobody counts any more: the streams begin anew, without us."""
        for managed in list(self._managed):
            managed.stream.end(StreamError("reset", "Stream management is switched off."))
            # What is left waits for another stream by now.
            self._forget(managed)

    # What becomes of streams

    def authorized(self, stream: ServerStream) -> None:
        """Stanzas may pass: where we have opened the stream, we ask for acks before they do."""
        if not self._options.servers or _KEY in stream.data:
            return
        stream.data[_KEY] = None
        if stream.is_outgoing and _is_offered(stream):
            stream.send_element(_ENABLE)
            self._manage(stream).offer()

    def closed(self, stream: ServerStream) -> None:
        managed = managed_of(stream)
        if managed is not None:
            self._forget(managed)

    def _manage(self, stream: ServerStream) -> ManagedServer:
        managed = ManagedServer(self._host, self._options, self._rounds, stream)
        self._managed.add(managed)
        stream.data[_KEY] = stream.keeper = managed
        return managed

    def _forget(self, managed: ManagedServer) -> None:
        self._managed.discard(managed)
        self._rounds.discard(managed)
        managed.release()

    # Features and elements

    def _offer(self, stream: ServerStream) -> Element | None:
        # With a dialback (XEP-0220) there are no other features behind the proof.
        is_fit = stream.is_authorized(stream.pair) or self._may_be_proven(stream)
        return _FEATURE if is_fit else None

    def _may_be_proven(self, stream: ServerStream) -> bool:
        """Whether the peer may prove its domain without having the features once more."""
        remote = stream.pair.remote
        if not remote or stream.has_certificate_of(remote):
            return False
        return stream.trust(remote) in ("dialback", "any") and self._host.has_hook(
            "stonechat_prove_domain"
        )

    def _enable(self, stream: ServerStream, element: Element) -> None:
        if managed_of(stream) is not None:
            stream.send_element(failed("unexpected-request"))
            raise StreamError("policy-violation", "Stream management is enabled already.")
        if stream.is_outgoing or _KEY not in stream.data:
            # Who has opened a stream asks, and not before it may say something.
            stream.send_element(failed("unexpected-request"))
            return
        # The counts begin on both sides with this answer. It promises no resumption.
        stream.send_element(_ENABLED)
        self._manage(stream).enabled()

    def _enabled(self, stream: ServerStream, element: Element) -> None:
        managed = managed_of(stream)
        if managed is None or managed.is_enabled:
            raise StreamError("policy-violation", "Nobody has asked for stream management.")
        managed.enabled()

    def _failed(self, stream: ServerStream, element: Element) -> None:
        managed = managed_of(stream)
        if managed is None or managed.is_enabled:
            # To answer it would have no end.
            return
        self._host.log.info(
            "stream management refused",
            remote=stream.pair.remote,
            reason=element.elements[0].name if element.elements else "",
        )
        # As if it had not been offered: what was sent has gone where it always went.
        stream.data[_KEY] = stream.keeper = None
        self._forget(managed)

    def _requested(self, stream: ServerStream, element: Element) -> None:
        managed = managed_of(stream)
        if managed is None or not managed.is_enabled:
            stream.send_element(failed("unexpected-request"))
        else:
            managed.requested()

    def _answered(self, stream: ServerStream, element: Element) -> None:
        managed = managed_of(stream)
        if managed is None or not managed.is_enabled:
            stream.send_element(failed("unexpected-request"))
        else:
            managed.answered(acknowledged_in(element))

    def _resume(self, stream: ServerStream, element: Element) -> None:
        # There never was anything to be resumed.
        stream.send_element(failed("item-not-found"))


def managed_of(stream: ServerStream) -> ManagedServer | None:
    """The management of a stream, if there is one."""
    managed: ManagedServer | None = stream.data.get(_KEY)
    return managed


def _is_offered(stream: ServerStream) -> bool:
    return any(each.namespace == NS_SM and each.name == "sm" for each in stream.features)
