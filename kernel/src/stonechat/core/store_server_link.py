"""A thread's connection to the database server: made when it is needed, and anew when lost."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic

from gevent._hub_local import get_hub_if_exists

from stonechat.core.store_server_errors import said
from stonechat.core.store_server_session import (
    CONNECT_SECONDS,
    GRACE_SECONDS,
    Database,
    Fault,
    ServerConnection,
    Session,
)
from stonechat.errors import StonechatError, StorageError


class Link:
    """At most one connection at a time, used in one thread only."""

    def __init__(self, database: Database, *, writes: bool) -> None:
        self.database = database
        self.writes = writes
        self.session: Session | None = None

    @property
    def is_up(self) -> bool:
        return self.session is not None

    def open(self) -> Session:
        """Connect; StorageError if that fails, and then nothing is left of it."""
        database = self.database
        connection = None
        try:
            connection = ServerConnection(
                database.engine,
                may_define=database.defines_in_transactions,
                cuts_at_nul=database.cuts_at_nul,
            )
            session = database.new_session(connection, writes=self.writes)
            database.wait_until(session.driver, monotonic() + CONNECT_SECONDS)
            session.greet()
        except Exception as error:
            if connection is not None:
                self._cut(connection)
            if isinstance(error, StonechatError):
                raise
            raise StorageError(
                f"{database.label} cannot be reached at {database.place}: {said(error)}"
            ) from error
        self.session = session
        return session

    def allow(self, moment: float) -> None:
        """Wait for answers until then, and a little longer."""
        assert self.session is not None
        self.database.wait_until(self.session.driver, moment + GRACE_SECONDS)

    def drop(self) -> None:
        """Let go of a connection that is lost or may not answer."""
        session, self.session = self.session, None
        if session is not None:
            self._cut(session.connection)

    def close(self) -> None:
        """Close the connection in order: the thread ends."""
        session, self.session = self.session, None
        if session is not None:
            self.database.wait_until(session.driver, monotonic() + GRACE_SECONDS)
            with suppress(Exception):
                session.connection.shut()
        # Some part of a driver may have waited as gevent taught it to, in a hub of its own.
        hub = get_hub_if_exists()
        if hub is not None:
            hub.destroy(destroy_loop=True)

    def _cut(self, connection: ServerConnection) -> None:
        # Not by way of SQLAlchemy, which would say good-bye, and wait for an answer.
        with suppress(Exception):
            driver = connection.driver
            connection.connection.detach()
            self.database.cut(driver)

    def fault(self, error: BaseException) -> Fault:
        """What an exception means."""
        session = self.session
        if session is None or session.connection.invalidated:
            return Fault.LOST
        return self.database.fault(error)
