"""What a work of the store gets: a connection whose transactions are not the work's own."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, Result, exc

from stonechat.errors import StorageError


class StoreConnection(Connection):
    """A connection that the store, not the work, begins and ends transactions on."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.begin()

    @property
    def driver(self) -> Any:
        """The connection of the database's driver."""
        return self.connection.driver_connection

    def commit(self) -> NoReturn:
        raise StorageError("the store commits, when the work has returned")

    def rollback(self) -> NoReturn:
        raise StorageError("the store rolls back, when the work has raised an exception")

    def close(self) -> NoReturn:
        raise StorageError("the connection is the store's")

    def drop_savepoints(self) -> None:
        """Undo what the work's own `begin_nested` left open."""
        nested = self.get_nested_transaction()
        while nested is not None:
            # The savepoint may have gone already, with a transaction that was undone.
            with suppress(exc.SQLAlchemyError):
                nested.rollback()
            nested = self.get_nested_transaction()

    def shut(self) -> None:
        """Close it, by its owner."""
        super().close()


def closed(result: object) -> object:
    """`result`, if it needs no connection any more."""
    if isinstance(result, Result):
        result.close()
        raise StorageError("a work returned an open result: fetch its rows in the work")
    return result
