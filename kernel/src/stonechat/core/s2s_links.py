"""Links between domains of ours and others: their stanzas, and the streams that come and go.

For each pair of domains there is a link, which keeps their stanzas in order. It writes to
a stream that is open for the pair; where there is none, stanzas wait, in bounds, while one
is set up, and each that cannot leave is answered. A pair for which no stream could be had
rests: new stanzas are then answered at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import gevent

from stonechat.core.s2s_incoming import IncomingStreams
from stonechat.core.s2s_inquiries import Inquiries
from stonechat.core.s2s_link import Link, Remote, Room, Waiting
from stonechat.core.s2s_owner import Node, StreamOwner
from stonechat.core.s2s_rests import FIRST_REST, Rests, with_jitter
from stonechat.core.s2s_setup import Setup, Setups
from stonechat.errors import StanzaError
from stonechat.federation import Pair

if TYPE_CHECKING:
    from stonechat.core.server_outgoing import OutgoingStream
    from stonechat.core.server_stream import ServerStreamBase
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.resolver import Target
    from stonechat.stanza import Stanza

# Pairs that have a stream, or something that waits for one.
MAX_LINKS = 20_000

# A stream that is lost so soon counts as one that could not be had: who ends each after a
# moment is not connected to over and over.
SHORT_LIFE = 5.0

# So often what a lost stream has left is sent once more, unless one holds for a minute
# between: it may be what the peer ends its streams for.
MOST_RETURNS = 2
LONG_LIFE = 60.0

# Others have their turn after so many that are answered.
_IN_A_ROW = 64


class Links(StreamOwner):
    """Brings stanzas and streams together, pair by pair; what streams tell comes here."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.room = Room()
        self.rests = Rests(lambda: node.timers.now)
        self.incoming = IncomingStreams()
        self.links: dict[tuple[str, str], Link] = {}
        self._remotes: dict[str, Remote] = {}
        self._setups = Setups(self)
        self._inquiries = Inquiries(self)
        # Of ours, and since when each carries stanzas; None before.
        self._outgoing: dict[ServerStreamBase, float | None] = {}
        # Ended by ourselves, so that their end says nothing about the peer.
        self._dismissed: set[ServerStreamBase] = set()
        self._answering: set[gevent.Greenlet] = set()
        self._refused = 0
        self._is_over = False

    def start(self) -> None:
        """The timers are there. Nothing else is made before a stanza or a peer comes."""
        self.timers = self._node.timers
        self.set_bounds()

    def set_bounds(self) -> None:
        """So much may wait from now on."""
        self.room.stanzas = self.options.queue_stanzas
        self.room.octets = self.options.queue_bytes

    # Stanzas

    def route(self, stanza: Stanza) -> None:
        """Send a stanza to another server, or let it wait; StanzaError if it can do neither."""
        from_, to = stanza.from_, stanza.to
        if from_ is None or to is None:
            raise StanzaError("bad-request", "A stanza to another server names its sender.")
        link = self.links.get((from_.domain, to.domain))
        if link is not None and link.send(stanza):
            return
        try:
            self._let_wait(stanza, link or self._make_link(Pair(from_.domain, to.domain)))
        except StanzaError:
            self._refused += 1
            raise

    def refusal(self, pair: Pair) -> StanzaError | None:
        """What to answer if by the configuration nothing leaves for a pair; None if it may."""
        host = self.host_of(pair.local)
        if host is None:
            # What another server has sent us does not go on to a third (RFC 6120, 10.4).
            return StanzaError("not-allowed", f"{pair.local} is no domain of this server.")
        if not self.federation_of(host).enabled:
            return StanzaError("remote-server-not-found", "This server is not federated.")
        return denied(pair) if self.policy(*pair) is None else None

    def _make_link(self, pair: Pair) -> Link:
        """A link for a pair that has none; StanzaError if it may not have one now."""
        refusal = self.refusal(pair)
        if refusal is not None:
            raise refusal
        if self._is_over:
            raise StanzaError("remote-server-timeout", "The server is being stopped.")
        error = self.rests.error(pair)
        if error is not None:
            raise error
        if len(self.links) >= MAX_LINKS:
            raise StanzaError("resource-constraint", "Too many domains are spoken to.")
        remote = self._remotes.get(pair.remote)
        if remote is None:
            remote = self._remotes[pair.remote] = Remote(pair.remote)
        link = self.links[pair] = Link(pair, remote, self.room)
        return link

    def _let_wait(self, stanza: Stanza, link: Link) -> None:
        try:
            link.put(stanza)
        except StanzaError:
            self._drop_if_idle(link)
            raise
        self._seek(link)

    def _seek(self, link: Link) -> None:
        """See to it that what waits leaves, or is answered in time."""
        error = self.refusal(link.pair)
        if error is not None:
            # A link outlives the moment in which another configuration forbids it, by as long as
            # its stream takes to end; and that may leave something behind.
            self._answer(link, error)
            return
        if link.deadline is None:
            link.deadline = self.timers.add(self.options.timeout, self._too_late, link)
        if link.stream is not None or link.setup is not None or link.pause is not None:
            return
        for stream in link.remote.streams:
            if stream.may_send(link.pair):
                self._join(link, stream)
                return
        self._setups.begin(link, self.options.timeout)

    def _join(self, link: Link, stream: ServerStreamBase) -> None:
        """A link has a stream; what waits for it leaves."""
        link.stream = stream
        link.opened_at = self.timers.now
        if link.setup is not None:
            self._setups.end(link.setup, stream)
        link.flush()
        self._watch(link)

    def _watch(self, link: Link) -> None:
        """A deadline is for what waits, and a link with nothing to it goes."""
        if link.deadline is not None and not link.queue and link.setup is None:
            link.deadline.cancel()
            link.deadline = None
        self._drop_if_idle(link)

    def _too_late(self, link: Link) -> None:
        """The first that waits has done so for as long as it may (promise R18)."""
        link.deadline = None
        error = timed_out(link.pair)
        if link.setup is not None:
            self._setups.fail(link.setup, error, "it took too long")
        self._answer(link, error)

    def _pause_over(self, link: Link) -> None:
        link.pause = None
        if link.queue:
            self._seek(link)
        else:
            self._watch(link)

    def setup_failed(self, setup: Setup, error: StanzaError, reason: str) -> None:
        """No stream could be had."""
        self._give_up(setup.link, error, reason)

    def _give_up(self, link: Link, error: StanzaError, reason: str) -> None:
        """All that waits is answered, and so is for a while what comes after it."""
        seconds = self.rests.failed(link.pair, error, reason)
        self.log.info(
            "no stream to a server",
            local=link.pair.local,
            remote=link.pair.remote,
            reason=reason,
            answer=error.condition,
            waiting=len(link.queue),
            rests=round(seconds, 1),
        )
        self._answer(link, error)

    def _answer(self, link: Link, error: StanzaError) -> None:
        waiting = list(link.empty())
        self._watch(link)
        self._bounce(waiting, error)

    def _bounce(self, waiting: Sequence[Waiting], error: StanzaError) -> None:
        """Answer the senders (RFC 6120, 10.4.3); errors and the like are dropped by the router."""
        self._refused += len(waiting)
        if waiting:
            # What plugins do on the way may block, and we may be in the hub.
            greenlet = gevent.spawn(self._bounce_all, waiting, error)
            self._answering.add(greenlet)
            greenlet.link(self._answering.discard)

    def _bounce_all(self, waiting: Sequence[Waiting], error: StanzaError) -> None:
        for number, each in enumerate(waiting, 1):
            try:
                self._node.router.bounce(each.stanza, error)
            except Exception as fault:
                self.log.error("answering failed", stanza=each.stanza.summary(), exc_info=fault)
            if not self._node.is_stopping:
                # Else the answer may come too late for a session that goes on after the
                # restart: its client is not to count what it stands for (XEP-0198).
                each.release()
            if number % _IN_A_ROW == 0:
                gevent.sleep(0)

    def _drop_if_idle(self, link: Link) -> None:
        if link.is_idle and self.links.get(link.pair) is link:
            del self.links[link.pair]
            link.remote.links.discard(link)
            self._forget_if_idle(link.remote)

    def _forget_if_idle(self, remote: Remote) -> None:
        if remote.is_idle and self._remotes.get(remote.domain) is remote:
            del self._remotes[remote.domain]

    # What streams tell

    def begun(self, stream: ServerStreamBase) -> None:
        self.incoming.begun(stream, 0 if self._is_over else self.options.incoming)

    def connected(self, stream: ServerStreamBase) -> None:
        """A setup, or an inquiry, has made a stream, which is about to start."""
        self._outgoing[stream] = None

    def opened(self, stream: ServerStreamBase) -> None:
        self._setups.opened(stream)
        self._inquiries.opened(stream)

    def incoming_ready(self, stream: ServerStreamBase, pair: Pair) -> None:
        # Who speaks to us can be spoken to, whatever was before.
        self.rests.forget(pair)
        self.incoming.ready(stream, pair.remote, self.options.incoming)

    def authorized(self, stream: ServerStreamBase, pair: Pair) -> None:
        if self._outgoing.get(stream, 0.0) is None:
            self._outgoing[stream] = self.timers.now
        link = self.links.get(pair)
        if link is None:
            # The peer of a stream for both directions, or a proof that came late.
            self.rests.forget(pair)
            try:
                link = self._make_link(pair)
            except StanzaError:
                return
        link.remote.streams.add(stream)
        if link.stream is None:
            self._join(link, stream)

    def refused(self, stream: ServerStreamBase, pair: Pair, error: StanzaError) -> None:
        link = self.links.get(pair)
        if link is not None and link.setup is not None and link.setup.stream is stream:
            self._setups.refused(link.setup, error)
        self._inquiries.refused(stream, error)

    def flowing(self, stream: ServerStreamBase) -> None:
        for link in self._links_on(stream):
            link.flush()
            self._watch(link)

    def lost(self, stream: ServerStreamBase, reason: str) -> None:
        self.incoming.lost(stream)
        is_short = self._was_short(self._outgoing.pop(stream, None))
        is_dismissed = stream in self._dismissed
        self._dismissed.discard(stream)
        left: defaultdict[tuple[str, str], list[Stanza]] = defaultdict(list)
        for stanza in stream.unacknowledged():
            if stanza.from_ is not None and stanza.to is not None:
                left[stanza.from_.domain, stanza.to.domain].append(stanza)
        links = self._links_on(stream)
        for pair in stream.authorized_pairs:
            remote = self._remotes.get(pair.remote)
            if remote is not None:
                remote.streams.discard(stream)
                self._forget_if_idle(remote)
        for link in links:
            link.stream = None
            self._take_back(link, left.pop(link.pair, ()))
            if self._is_over:
                self._drop([link])
                self._watch(link)
            elif is_short and not is_dismissed:
                self._give_up(link, timed_out(link.pair), reason)
            elif not link.queue:
                self._watch(link)
            elif is_dismissed:
                # We have ended it ourselves, which says nothing about the peer.
                self._seek(link)
            else:
                self._begin_anew(link, reason)
        for stanzas in left.values():
            # Their link has another stream by now, or is gone.
            for stanza in stanzas:
                self._send_again(stanza)
        self._setups.lost(stream, reason)
        self._inquiries.lost(stream)

    def _was_short(self, since: float | None) -> bool:
        """Whether a stream, of ours, has carried stanzas for a moment only."""
        if since is None:
            return False
        shortest = min(SHORT_LIFE, self.options.idle_timeout or SHORT_LIFE)
        return self.timers.now - since < shortest

    def _send_again(self, stanza: Stanza) -> None:
        try:
            self.route(stanza)
        except StanzaError as error:
            self._bounce([Waiting(stanza, 0, stanza.hold())], error)

    def _links_on(self, stream: ServerStreamBase) -> list[Link]:
        found = (self.links.get(pair) for pair in stream.authorized_pairs)
        return [link for link in found if link is not None and link.stream is stream]

    def _take_back(self, link: Link, stanzas: Sequence[Stanza]) -> None:
        """What the peer of a lost stream may not have comes first again."""
        surplus = link.put_back(stanzas) if stanzas else ()
        self._bounce(surplus, timed_out(link.pair))

    def _drop(self, links: Iterable[Link]) -> None:
        """The server has stopped, and what waits cannot be answered any more."""
        # Not released: a client that counts sends it again (XEP-0198).
        count = sum(1 for link in links for _ in link.empty())
        if count:
            self.log.warning("stanzas to other servers are dropped", stanzas=count)

    def _begin_anew(self, link: Link, reason: str) -> None:
        """Another stream for what is left, but not in the same moment as all others."""
        held = self.timers.now - link.opened_at >= LONG_LIFE
        link.returns = 1 if held else link.returns + 1
        if link.returns > MOST_RETURNS:
            self._give_up(link, timed_out(link.pair), reason)
            return
        link.pause = self.timers.add(with_jitter(FIRST_REST), self._pause_over, link)
        self._seek(link)

    # What setups ask

    def streams_to(self, targets: Iterable[Target]) -> list[ServerStreamBase]:
        """Streams of ours to one of these places that carry stanzas already."""
        places = set(targets)
        return [
            stream
            for stream, since in self._outgoing.items()
            if since is not None and cast("OutgoingStream", stream).target in places
        ]

    @contextmanager
    def server_stream(
        self, host: VirtualHost, pair: Pair, seconds: float
    ) -> Iterator[ServerStreamBase]:
        """A stream of ours to a domain for what its server can be asked by anybody.

        By the plugins of a host, who hear the answers. Blocks for so long at most; raises
        StanzaError where there is no such stream.
        """
        if self._is_over:
            raise StanzaError("remote-server-timeout", "The server is being stopped.")
        if self.policy(*pair) is None or self.host_of(pair.remote) is not None:
            raise denied(pair)
        stream = self._stream_of(host, pair)
        if stream is not None:
            yield stream
            return
        with self._inquiries.stream(host, pair, seconds) as stream:
            yield stream

    def _stream_of(self, host: VirtualHost, pair: Pair) -> ServerStreamBase | None:
        """A stream to a domain that carries stanzas, and does for a question as well."""
        remote = self._remotes.get(pair.remote)
        for stream in () if remote is None else remote.streams:
            # What the peer has opened is only its own word for where it is.
            is_fit = stream.is_outgoing and stream.is_open and stream.host is host
            if is_fit and stream.takes_stanzas and not stream.fault_of(pair):
                return stream
        return None


def timed_out(pair: Pair) -> StanzaError:
    return StanzaError("remote-server-timeout", f"The server of {pair.remote} does not answer.")


def denied(pair: Pair) -> StanzaError:
    # RFC 6120, 8.3.3.10: "sending to entities at a blacklisted domain".
    return StanzaError("not-allowed", f"Nothing is sent to {pair.remote} from here.")
