"""Sets outgoing streams up: so many at a time, each in a greenlet until it is connected."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, cast

import gevent

from stonechat.core.s2s_link import Link
from stonechat.core.s2s_targets import Targets
from stonechat.errors import StanzaError, StonechatError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.core.s2s_links import Links
    from stonechat.core.server_outgoing import OutgoingStream
    from stonechat.core.server_stream import ServerStreamBase
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.federation import Pair
    from stonechat.host import Timer

# Of all places, streams to one domain may take this part, however many of ours want one.
PARTS_OF_PLACES = 10

# How long a peer may take to answer a proof on a stream that it has already; then a stream
# of the pair's own is tried.
SHARING_SECONDS = 10.0

# Streams that are asked whether a pair can share them.
MOST_ASKED = 3


class Setup:
    """One link's way to a stream: the line, the look-up, the connection, the proof."""

    __slots__ = (
        "deadline",
        "greenlet",
        "link",
        "may_share",
        "patience",
        "stream",
        "targets",
    )

    def __init__(self, link: Link, deadline: float) -> None:
        self.link = link
        self.deadline = deadline
        """On the clock of the timers."""
        self.may_share = True
        self.targets = Targets()
        self.greenlet: gevent.Greenlet | None = None
        self.stream: ServerStreamBase | None = None
        self.patience: Timer | None = None
        """Runs while the stream is another pair's."""

    @property
    def shares(self) -> bool:
        """Whether the stream is another pair's."""
        return self.patience is not None


class Failure(NamedTuple):
    """Why there is no stream: for the senders, and for the log."""

    error: StanzaError
    reason: str


class Setups:
    """All that are on their way, and those in line behind them."""

    def __init__(self, manager: Links) -> None:
        self._manager = manager
        self._at_work: set[Setup] = set()
        # What goes out of it goes at the front: a dict would be slow with that.
        self._line: OrderedDict[Setup, None] = OrderedDict()

    def __len__(self) -> int:
        """How many take a place."""
        return len(self._at_work)

    def begin(self, link: Link, seconds: float) -> Setup:
        """Get a link a stream, now or when there is a place for it."""
        setup = Setup(link, self._manager.timers.now + seconds)
        link.setup = setup
        self._line[setup] = None
        self.let_in()
        return setup

    def end(self, setup: Setup, stream: ServerStreamBase | None = None) -> None:
        """It is over, and `stream` came of it; any other that was its own is closed.

        But for one for both directions, which its peer may use before we know that it is open.
        """
        self._end(setup, stream)
        self.let_in()

    def fail(self, setup: Setup, error: StanzaError, reason: str) -> None:
        """Nothing comes of it."""
        self._end(setup, None)
        self._manager.setup_failed(setup, error, reason)
        self.let_in()

    def end_all(self) -> None:
        setups = [*self._line, *self._at_work]
        self._line.clear()
        for setup in setups:
            self._end(setup, None)

    def _end(self, setup: Setup, stream: ServerStreamBase | None) -> None:
        link = setup.link
        if link.setup is setup:
            link.setup = None
        self._line.pop(setup, None)
        if setup in self._at_work:
            self._at_work.discard(setup)
            link.remote.places -= 1
        greenlet, setup.greenlet = setup.greenlet, None
        if greenlet is not None and greenlet is not gevent.getcurrent():
            greenlet.kill(block=False)
        own = None if setup.shares else setup.stream
        self._let_go(setup)
        if own is None or own is stream:
            return
        if stream is not None and own.is_bidirectional:
            # Its peer may have let us in by now, and have sent something already.
            return
        own.close()

    # What becomes of streams

    def opened(self, stream: ServerStreamBase) -> None:
        """A peer has said what it offers: this is a server that speaks to us."""
        for setup in self._of(stream):
            # A refusal from here on is the domain's, not one of a place's.
            setup.targets.settle()

    def refused(self, setup: Setup, error: StanzaError) -> None:
        """The peer does not take the pair on this stream."""
        if setup.shares:
            self._try_alone(setup)
        elif not self._try_next(setup):
            self.fail(setup, error, error.text)

    def lost(self, stream: ServerStreamBase, reason: str) -> None:
        """A stream is over: what was to come of it comes of another, or not at all."""
        for setup in self._of(stream):
            if setup.shares:
                self._try_alone(setup)
            elif not self._try_next(setup):
                setup.stream = None
                remote = setup.link.pair.remote
                error = StanzaError("remote-server-timeout", f"{remote} agrees to no stream.")
                self.fail(setup, error, reason)

    def _of(self, stream: ServerStreamBase) -> list[Setup]:
        return [setup for setup in self._at_work if setup.stream is stream]

    # Places

    def let_in(self) -> None:
        """Begin what there is a place for; a domain that has its share lets others by."""
        places = self._manager.options.connecting
        share = max(1, places // PARTS_OF_PLACES)
        while len(self._at_work) < places:
            fit = (setup for setup in self._line if setup.link.remote.places < share)
            setup = next(fit, None)
            if setup is None:
                return
            del self._line[setup]
            self._at_work.add(setup)
            setup.link.remote.places += 1
            self._work_at(setup)

    def _work_at(self, setup: Setup) -> None:
        greenlet, setup.greenlet = setup.greenlet, gevent.spawn(self._work, setup)
        if greenlet is not None and greenlet is not gevent.getcurrent():
            greenlet.kill(block=False)

    # In a setup's greenlet

    def _work(self, setup: Setup) -> None:
        try:
            self._get_stream(setup)
        except Exception as error:  # noqa: BLE001 - the boundary of a setup
            setup.targets.places = []
            if not self._try_next(setup):
                self.fail(setup, *failure_of(error, setup.link.pair, self._manager.log))
        finally:
            if setup.greenlet is gevent.getcurrent():
                setup.greenlet = None

    def _get_stream(self, setup: Setup) -> None:
        manager, link = self._manager, setup.link
        pair = link.pair
        if setup.may_share and self._share(setup, link.remote.streams):
            return
        targets = setup.targets
        if targets.places is None:
            targets.places = manager.ways.targets(pair.remote)
            if setup.may_share and self._share(setup, manager.streams_to(targets.places)):
                return
        host = manager.host_of(pair.local)
        if host is None:
            raise StanzaError("not-allowed", f"{pair.local} is not served here any more.")
        setup.stream = stream = open_first(manager, host, pair, targets, setup.deadline)
        manager.connected(stream)
        stream.start()

    def _share(self, setup: Setup, streams: Iterable[ServerStreamBase]) -> bool:
        """Whether a stream that is there may do, once its peer has been shown another proof."""
        pair = setup.link.pair
        fit = [stream for stream in streams if _may_carry(stream, pair)]
        for stream in fit[:MOST_ASKED]:
            setup.stream = stream
            setup.patience = self._manager.timers.add(SHARING_SECONDS, self._try_alone, setup)
            if cast("OutgoingStream", stream).prove(pair):
                return True
            self._let_go(setup)
        return False

    def _try_next(self, setup: Setup) -> bool:
        """As if the place had not been connected to (RFC 6120, 3.2.1, steps 6 and 7).

        False if there is no other one left, or if this one is a server that speaks to us.
        """
        if setup.stream is not None:
            setup.targets.tried(cast("OutgoingStream", setup.stream))
        if not setup.targets.next():
            return False
        self._let_go(setup)
        self._work_at(setup)
        return True

    # Sharing

    def _try_alone(self, setup: Setup) -> None:
        """The stream of another pair's does not do: on to one of the pair's own."""
        self._let_go(setup)
        setup.may_share = False
        self._work_at(setup)

    def _let_go(self, setup: Setup) -> None:
        setup.stream = None
        patience, setup.patience = setup.patience, None
        if patience is not None:
            patience.cancel()


def _may_carry(stream: ServerStreamBase, pair: Pair) -> bool:
    """Whether a stream may be asked to take a further pair."""
    # What the peer has opened it has for itself, but for what both know (XEP-0288).
    if not stream.is_outgoing or not stream.is_open or stream.fault_of(pair):
        return False
    # With the pair its peer gets a say for the domain, and a dialback of ours is no proof of it.
    return not stream.is_bidirectional or stream.has_certificate_of(pair.remote)


def open_first(
    manager: Links, host: VirtualHost, pair: Pair, targets: Targets, deadline: float
) -> OutgoingStream:
    """A stream to the first of these places that answers, not started; those behind it are left.

    Blocks. Behind the connection, and up to the start, nothing may switch to another
    greenlet: the socket might stay behind.
    """
    timers = manager.timers
    places = targets.places or []
    dialed = manager.ways.dial(places, max(deadline - timers.now, 0.0))
    targets.places = left = places[places.index(dialed.target) + 1 :]
    seconds = max(deadline - timers.now, 1.0)
    if left:
        # One that accepts and is silent leaves the other places some of the time.
        seconds /= 2
    stream = manager.ways.open(manager, host, pair, dialed, seconds)
    stream.avoids_tls = targets.is_clear
    return stream


def failure_of(error: Exception, pair: Pair, log: FilteringBoundLogger) -> Failure:
    """What the senders are told (RFC 6120, 10.4.3).

    Not more than that: a domain of an attacker's may point at hosts inside our network.
    """
    from stonechat.net.dialer import DialError
    from stonechat.net.resolver import NotFound, Unavailable

    if isinstance(error, StanzaError):
        answer = error
    elif isinstance(error, NotFound) or (isinstance(error, DialError) and error.is_not_found):
        answer = StanzaError(
            "remote-server-not-found", f"There is no XMPP server of {pair.remote}."
        )
    elif isinstance(error, Unavailable):
        # The condition says that it was not found, the type that it may be yet.
        answer = StanzaError(
            "remote-server-not-found",
            f"The server of {pair.remote} cannot be found now.",
            type="wait",
        )
    elif isinstance(error, StonechatError):
        answer = StanzaError(
            "remote-server-timeout", f"The server of {pair.remote} cannot be reached."
        )
    else:
        log.error(
            "setting up a stream failed", local=pair.local, remote=pair.remote, exc_info=error
        )
        answer = StanzaError("internal-server-error")
    return Failure(answer, str(error))
