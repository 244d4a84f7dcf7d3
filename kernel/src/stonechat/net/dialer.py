"""Connects to one of the places where a domain's server may be (RFC 8305, XEP-0495)."""

from __future__ import annotations

import _socket
import errno
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import NamedTuple

import gevent
import gevent.socket
from gevent.event import Event

from stonechat.errors import StonechatError
from stonechat.net.resolver import FAMILIES, Family, NotFound, Resolver, Target, Unavailable

# After so long the next address is tried beside the ones before (RFC 8305, 5).
ATTEMPT_DELAY = 0.25

# How many of the places that failed an error names.
_SHOWN = 8

Connect = Callable[[str, int, str], _socket.socket]


class Dialed(NamedTuple):
    """A connection, and to what. The socket does not block and has TCP_NODELAY."""

    socket: _socket.socket
    target: Target
    address: str


class Failure(NamedTuple):
    """A place that was tried, and why in vain; the address is "" if there was none to try."""

    target: Target
    address: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.target.host} port {self.target.port}"
        if self.address and self.address != self.target.host:
            place += f" at {self.address}"
        return f"{place}: {self.reason}"


class DialError(StonechatError):
    """No target could be connected to. `failures` says why, in the order in which they failed.

    With `is_not_found` there was nothing to connect to, and nothing leads to expect it.
    """

    def __init__(self, failures: Sequence[Failure], *, is_not_found: bool) -> None:
        told = [str(failure) for failure in failures[:_SHOWN]]
        if len(failures) > _SHOWN:
            told.append(f"and {len(failures) - _SHOWN} more")
        super().__init__("; ".join(told) or "there is nothing to connect to")
        self.failures = tuple(failures)
        self.is_not_found = is_not_found


class Dialer:
    """Tries targets one after the other, and the addresses of each by Happy Eyeballs.

    Of `source_addresses` the one of the right family is connected from. `connect` and
    `attempt_delay` are for tests.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        families: Sequence[Family] = FAMILIES,
        source_addresses: Sequence[str] = (),
        connect: Connect | None = None,
        attempt_delay: float = ATTEMPT_DELAY,
    ) -> None:
        self._resolver = resolver
        self._families = families
        self._sources = {":" in address: str(ip_address(address)) for address in source_addresses}
        self._connect = connect or connect_to
        self._attempt_delay = attempt_delay

    def dial(self, targets: Iterable[Target], seconds: float) -> Dialed:
        """A connection to the first target that can be connected to; DialError if none can.

        Each target may take an equal share of what time is left, so that one where nothing
        answers does not keep us from the next. Blocks the greenlet. However that ends, no
        other socket outlives it by more than a turn of the hub.
        """
        end = time.monotonic() + seconds
        left = deque(targets)
        failures: list[Failure] = []
        is_not_found = bool(left)
        while left:
            share = max(0.0, end - time.monotonic()) / len(left)
            target = left.popleft()
            try:
                dialed = self._dial(target, share, failures)
            except NotFound as error:
                failures.append(Failure(target, "", str(error)))
                continue
            except Unavailable as error:
                failures.append(Failure(target, "", str(error)))
            else:
                if dialed is not None:
                    return dialed
            is_not_found = False
        raise DialError(failures, is_not_found=is_not_found)

    def _dial(self, target: Target, seconds: float, failures: list[Failure]) -> Dialed | None:
        race = _Race(target, self._connect, self._sources, failures)
        addresses: list[str] = []
        dialed = None
        with gevent.Timeout(seconds, False):
            addresses += self._resolver.addresses(target.host, self._families)
            dialed = race.run(addresses, self._attempt_delay)
        if not addresses:
            failures.append(Failure(target, "", "its addresses did not come in time"))
        elif dialed is None:
            failures += [Failure(target, each, "does not answer") for each in race.unfinished]
        return dialed


class _Race:
    """Attempts at the addresses of one target, side by side; the first that connects wins."""

    def __init__(
        self,
        target: Target,
        connect: Connect,
        sources: Mapping[bool, str],
        failures: list[Failure],
    ) -> None:
        self._target = target
        self._connect = connect
        self._sources = sources
        self._failures = failures
        self._running: dict[str, gevent.Greenlet] = {}
        self._changed = Event()
        self._winner: Dialed | None = None
        self._is_over = False
        self.unfinished: list[str] = []

    def run(self, addresses: Sequence[str], delay: float) -> Dialed | None:
        """What wins; None if all have failed."""
        left = deque(addresses)
        try:
            while left or self._running:
                if left:
                    address = left.popleft()
                    self._running[address] = gevent.spawn(self._attempt, address)
                # The last ones have all the time there is: whoever calls us has a deadline.
                self._changed.wait(delay if left else None)
                self._changed.clear()
                if self._winner is not None:
                    winner, self._winner = self._winner, None
                    return winner
            return None
        finally:
            self._end()

    def _attempt(self, address: str) -> None:
        target = self._target
        try:
            sock = self._connect(address, target.port, self._sources.get(":" in address, ""))
            if self._winner is None and not self._is_over:
                self._winner = Dialed(sock, target, address)
            else:
                sock.close()
        except OSError as error:
            self._failures.append(Failure(target, address, _reason(error)))
        finally:
            self._running.pop(address, None)
            self._changed.set()

    def _end(self) -> None:
        self._is_over = True
        self.unfinished = list(self._running)
        for greenlet in self._running.values():
            greenlet.kill(block=False)
        if self._winner is not None:
            # We are cancelled in the moment in which it has won.
            self._winner.socket.close()


def connect_to(address: str, port: int, source: str) -> _socket.socket:
    """A connection as `Connection` wants it; OSError if it cannot be. Blocks the greenlet."""
    # The bare socket, as in the listener.
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = _socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            sock.bind((source, 0))
        number = sock.connect_ex((address, port))
        if number in (errno.EINPROGRESS, errno.EINTR):
            gevent.socket.wait_write(sock.fileno())
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
