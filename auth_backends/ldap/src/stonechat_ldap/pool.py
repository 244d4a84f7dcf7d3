"""Connections that are open, and lent to one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gevent.lock import BoundedSemaphore

from stonechat_ldap.connection import Connection
from stonechat_ldap.entry import LdapUnavailable, Refused
from stonechat_ldap.servers import Server

# Robustness promise R6.
MAX_WAITING = 64

# How long anybody waits until a connection is free.
WAIT_SECONDS = 4.0

# So old a connection is closed even if it is in use all the time: else nobody would come
# back to a first server that was away for a while.
MAX_AGE_SECONDS = 600.0


class Pool:
    """At most `size` connections, opened by `connect` when they are wanted."""

    def __init__(
        self,
        size: int,
        connect: Callable[[], Connection],
        *,
        idle_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._connect = connect
        self._idle_seconds = idle_seconds
        self._monotonic = monotonic
        self._free = BoundedSemaphore(size)
        # The one that was used last is lent first, so that those too many grow old.
        self._idle: list[Connection] = []
        self._waiting = 0
        self._is_closed = False

    def __len__(self) -> int:
        """Connections that nobody uses."""
        return len(self._idle)

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """One for the time of a `with`; it is dropped where that ends with a break."""
        if self._waiting >= MAX_WAITING:
            raise LdapUnavailable("too many wait for the directory")
        self._waiting += 1
        try:
            is_ours = self._free.acquire(timeout=WAIT_SECONDS)
        finally:
            self._waiting -= 1
        if not is_ours:
            raise LdapUnavailable("all connections to the directory are in use")
        try:
            connection = self._take() or self._connect()
            try:
                yield connection
            except Refused:
                self._keep(connection)
                raise
            except BaseException:
                connection.close()
                raise
            self._keep(connection)
        finally:
            self._free.release()

    def drop(self, server: Server) -> None:
        """Close what waits of the connections to a server that has failed."""
        self._close(lambda connection: connection.server == server)

    def close_idle(self) -> None:
        """Close what nobody has used for long."""
        self._close(self._is_stale)

    def close(self) -> None:
        """Close everything; what is lent, when it comes back."""
        self._is_closed = True
        self._close(lambda connection: True)

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_alive and not self._is_stale(connection):
                return connection
            connection.close()
        return None

    def _keep(self, connection: Connection) -> None:
        connection.used()
        if self._is_closed:
            connection.close()
        else:
            self._idle.append(connection)

    def _is_stale(self, connection: Connection) -> bool:
        now = self._monotonic()
        return (
            now - connection.used_at >= self._idle_seconds
            or now - connection.opened_at >= MAX_AGE_SECONDS
        )

    def _close(self, is_meant: Callable[[Connection], bool]) -> None:
        gone = [connection for connection in self._idle if is_meant(connection)]
        self._idle = [connection for connection in self._idle if connection not in gone]
        for connection in gone:
            connection.close()
