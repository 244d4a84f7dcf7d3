"""Watches certificate files: what a renewal puts in their place is in use within a minute.

A file counts as changed once it has looked the same twice, for whoever renews a certificate
writes two files, one after the other. What cannot be used is told, and that before it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import gevent

from stonechat.core.figures import expiries

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.core.config_types import Configuration
    from stonechat.host import Timer
    from stonechat.net.timers import TimerWheel
    from stonechat.net.tls import TlsContexts
    from stonechat.net.tls_contexts import ContextSet, Stamp

T = TypeVar("T")

LOOK_SECONDS = 20.0

# With less than that a certificate is warned of, and how often.
FEW_DAYS = 14
WARN_SECONDS = 24 * 3600.0

_DAY = 24 * 3600 * 1_000_000


class Node(Protocol):
    """What the watch needs of the server."""

    configuration: Configuration
    contexts: TlsContexts | None
    timers: TimerWheel
    log: FilteringBoundLogger

    def now(self) -> int: ...
    def run_blocking(self, call: Callable[..., T], *arguments: Any) -> T: ...


class CertificateWatch:
    """Looks at the files of `sets()`, all TLS contexts that the server has made."""

    def __init__(self, node: Node, sets: Callable[[], Iterable[ContextSet]]) -> None:
        self._node = node
        self._sets = sets
        self._seen: dict[ContextSet, dict[Path, Stamp]] = {}
        self._timer: Timer | None = None
        self._greenlet: gevent.Greenlet | None = None
        # When each host was warned of last, on the clock of the timers.
        self._warned: dict[str, float] = {}
        self.faults: tuple[str, ...] = ()
        """Why files that have changed are not in use; those before them are."""

    def start(self) -> None:
        """Begin, or begin anew with another configuration."""
        self.stop()
        self.faults = ()
        if _has_files(self._node.configuration):
            self._look_in(0.0)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            greenlet.kill(block=False)

    def _look_in(self, seconds: float) -> None:
        self._timer = self._node.timers.add(seconds, self._due)

    def _due(self) -> None:
        self._greenlet = gevent.spawn(self._look)

    def _look(self) -> None:
        try:
            self._renew()
            self._warn()
        # Whatever it is, there is another look.
        except Exception as error:
            self._node.log.error("certificates could not be looked at", exc_info=error)
        self._greenlet = None
        self._look_in(LOOK_SECONDS)

    # Files

    def _renew(self) -> None:
        seen, files, faults = self._node.run_blocking(_renew, list(self._sets()), self._seen)
        self._seen = seen
        if files:
            self._node.log.info("certificates read again", files=sorted(map(str, files)))
        if faults and faults != self.faults:
            self._node.log.error(
                "new certificates cannot be used, the old ones stay", problems=list(faults)
            )
        self.faults = faults

    # Days

    def _warn(self) -> None:
        node = self._node
        clock = node.timers.now
        ends = expiries(node.contexts)
        self._warned = {host: at for host, at in self._warned.items() if host in ends}
        for host, end in ends.items():
            left = end - node.now()
            if left >= FEW_DAYS * _DAY:
                continue
            warned = self._warned.get(host)
            if warned is not None and clock - warned < WARN_SECONDS:
                continue
            self._warned[host] = clock
            if left < 0:
                node.log.error("the certificate has expired", host=host)
            else:
                node.log.warning("the certificate expires soon", host=host, days=left // _DAY)


def _has_files(configuration: Configuration) -> bool:
    return (
        any(host.certificate for host in configuration.hosts.values())
        or configuration.federation.ca_file is not None
    )


def _renew(
    sets: list[ContextSet], before: dict[ContextSet, dict[Path, Stamp]]
) -> tuple[dict[ContextSet, dict[Path, Stamp]], set[Path], tuple[str, ...]]:
    """In a thread: what differs, which files were read, and what is wrong with the others."""
    seen: dict[ContextSet, dict[Path, Stamp]] = {}
    files: set[Path] = set()
    faults: dict[str, None] = {}
    for contexts in sets:
        changes = contexts.changes()
        if changes and changes == before.get(contexts):
            faults.update(dict.fromkeys(contexts.renew()))
            left = contexts.changes()
            files.update(changes.keys() - left.keys())
            changes = left
        seen[contexts] = changes
    return seen, files, tuple(faults)
