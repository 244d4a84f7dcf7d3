"""The database, and the threads in which it is asked: one for each connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gevent
from gevent.event import AsyncResult
from gevent.queue import LifoQueue
from gevent.threadpool import ThreadPool
from sqlalchemy import URL, Connection, Executable, create_engine, exc, pool

from stonechat.auth import AuthUnavailable

# Connections are made anew after so long; some servers and firewalls drop idle ones.
_RECYCLE_SECONDS = 900

# What hangs does not keep the server from stopping.
_STOP_SECONDS = 1.0


class Refused(Exception):
    """The database did not take a change: a constraint."""


class Answer(NamedTuple):
    rows: list[Mapping[str, Any]]
    changed: int


class Database:
    """Runs one statement at a time on each of a few connections.

    Each has a thread of its own, so that a database that hangs takes none from others: not
    every driver waits in a way that lets the server go on.
    """

    def __init__(self, url: URL, *, connections: int, timeout: float) -> None:
        self._timeout = timeout
        self._links = [_Link(url, timeout) for _ in range(connections)]
        # The one that was used last is asked next, so that few are open while few ask.
        self._free: LifoQueue[_Link] = LifoQueue(connections)
        for link in self._links:
            self._free.put_nowait(link)
        self.dialect: str = url.get_dialect().name

    def stop(self) -> None:
        with gevent.Timeout(_STOP_SECONDS, False):
            gevent.joinall([gevent.spawn(link.close) for link in self._links])

    def run(self, statement: Executable, parameters: Mapping[str, Any]) -> Answer:
        """Carry a statement out. Blocks; raises AuthUnavailable, or Refused."""
        with gevent.Timeout(self._timeout, AuthUnavailable("The database does not answer.")):
            answer, error = self._begin(statement, parameters).get()
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return]

    def _begin(self, statement: Executable, parameters: Mapping[str, Any]) -> AsyncResult[Any]:
        link = self._free.get()
        try:
            result = link.begin(statement, parameters)
        except BaseException:
            self._free.put_nowait(link)
            raise
        # Also when nobody waits for it any more, and not before.
        result.rawlink(lambda _: self._free.put_nowait(link))
        return result


class _Link:
    """One connection, and the thread that it belongs to.

    A socket of gevent's can be used only in the thread that made it, and in the server those
    of drivers in Python are such.
    """

    def __init__(self, url: URL, timeout: float) -> None:
        self._thread = ThreadPool(1)
        self._engine = create_engine(
            url,
            poolclass=pool.QueuePool,
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            pool_recycle=_RECYCLE_SECONDS,
            isolation_level="AUTOCOMMIT",
            # Passwords are among them.
            hide_parameters=True,
            connect_args=_driver_arguments(url, timeout),
        )

    def begin(self, statement: Executable, parameters: Mapping[str, Any]) -> AsyncResult[Any]:
        """Start carrying a statement out; the result is what `_attempt` returns."""
        return self._thread.spawn(_attempt, self._run, statement, parameters)

    def close(self) -> None:
        """Close the connection; blocks while a statement hangs."""
        self._thread.apply(_attempt, (self._close,))
        self._thread.kill()

    def _close(self) -> Answer:
        self._engine.dispose()
        return Answer([], 0)

    def _run(self, statement: Executable, parameters: Mapping[str, Any]) -> Answer:
        try:
            with self._engine.connect() as connection:
                return _fetch(connection, statement, parameters)
        except exc.IntegrityError as error:
            raise Refused(first_line(error)) from None
        except exc.SQLAlchemyError as error:
            # Not chained: some errors repeat what was to be stored.
            raise AuthUnavailable(first_line(error)) from None


def _fetch(connection: Connection, statement: Executable, parameters: Mapping[str, Any]) -> Answer:
    result = connection.execute(statement, dict(parameters))
    if not result.returns_rows:
        return Answer([], result.rowcount)
    return Answer([dict(row) for row in result.mappings()], 0)


def _attempt(
    call: Callable[..., Answer], *arguments: Any
) -> tuple[Answer | None, Exception | None]:
    """gevent would print what is raised in a thread."""
    try:
        return call(*arguments), None
    except Exception as error:  # noqa: BLE001 - it is raised again where the caller waits
        return None, error


def first_line(error: exc.SQLAlchemyError) -> str:
    """What a driver says, without the details that may quote a row."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return lines[0][:300] if lines else type(cause).__name__


def _driver_arguments(url: URL, timeout: float) -> dict[str, Any]:
    """Deadlines and the like, for drivers that know some."""
    seconds = max(1, round(timeout))
    match url.get_driver_name():
        case "psycopg":
            return {
                # libpq takes one second for none.
                "connect_timeout": max(2, seconds),
                "options": f"-c statement_timeout={round(timeout * 1000)}",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 2,
                "tcp_user_timeout": 2000 * seconds,
                # For poolers that share a connection between many.
                "prepare_threshold": None,
            }
        case "pymysql":
            return {
                "connect_timeout": seconds,
                "read_timeout": seconds,
                "write_timeout": seconds,
                "charset": "utf8mb4",
            }
        case "pysqlite":
            return {"timeout": timeout}
        case "pyodbc":
            return {"timeout": seconds}
        case _:
            return {}
