"""Where private data is kept: for each account, elements by their qualified names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import TypeVar

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    select,
)

from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host
from stonechat.stanza import Element
from stonechat.storage import (
    LocalText,
    Schema,
    StanzaBytes,
    StorageFull,
    host_column,
    upsert,
)
from stonechat.xml import parse

T = TypeVar("T")

_metadata = MetaData()
_elements = Table(
    "private_elements",
    _metadata,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    # A digest: names and namespaces may be longer than a key on some databases.
    Column("name_digest", String(64), primary_key=True),
    Column("content", StanzaBytes, nullable=False),
)

SCHEMA = Schema("private", 1, _metadata)

_IS_OF = (
    _elements.c.host == bindparam("its_host"),
    _elements.c.localpart == bindparam("its_localpart"),
)
_HAS_NAME = _elements.c.name_digest.in_(bindparam("digests", expanding=True))
_FIND_ALL = select(_elements.c.content).where(*_IS_OF).order_by(_elements.c.name_digest)
_FIND = select(_elements.c.name_digest, _elements.c.content).where(*_IS_OF, _HAS_NAME)
_COUNT = select(func.count()).where(*_IS_OF)
_DELETE = delete(_elements).where(*_IS_OF, _HAS_NAME)
_CLEAR = delete(_elements).where(*_IS_OF)


class Store:
    """The private data of a host's accounts. StanzaError where the database fails."""

    def __init__(self, host: Host, max_elements: int) -> None:
        self._host = host
        self._max_elements = max_elements

    def get(self, localpart: str, names: Sequence[str]) -> dict[str, list[Element]]:
        """What is kept under these qualified names, as far as anything is."""
        digests = {_digest(name): name for name in names}
        values = {**self._key(localpart), "digests": list(digests)}

        def find(connection: Connection) -> list[tuple[str, bytes]]:
            return [(row[0], row[1]) for row in connection.execute(_FIND, values).all()]

        rows = self._try(self._host.storage.read, find)
        return {digests[digest]: parse(content).elements for digest, content in rows}

    def all(self, localpart: str) -> list[Element]:
        """Everything that an account keeps."""
        key = self._key(localpart)

        def find(connection: Connection) -> list[bytes]:
            return list(connection.execute(_FIND_ALL, key).scalars().all())

        rows = self._try(self._host.storage.read, find)
        return [element for content in rows for element in parse(content).elements]

    def put(
        self, localpart: str, changes: Mapping[str, bytes | None], *, dry_run: bool = False
    ) -> None:
        """Keep content under qualified names, or None of it: all of this, or nothing.

        With `dry_run` it is only found out whether that can be done.
        """
        key = self._key(localpart)
        gone = [_digest(name) for name, content in changes.items() if content is None]
        rows = [
            {
                "host": self._host.name,
                "localpart": localpart,
                "name_digest": _digest(name),
                "content": content,
            }
            for name, content in changes.items()
            if content is not None
        ]

        def change(connection: Connection) -> None:
            before = connection.execute(_COUNT, key).scalar_one()
            if dry_run:
                # These are new names, all of them.
                check(before, before + len(rows))
                return
            if gone:
                connection.execute(_DELETE, {**key, "digests": gone})
            upsert(connection, _elements, rows, ("host", "localpart", "name_digest"))
            check(before, connection.execute(_COUNT, key).scalar_one())

        def check(before: int, after: int) -> None:
            # Who is beyond a limit that was lowered may still change what is there.
            if after > max(before, self._max_elements):
                raise StanzaError(
                    "policy-violation", f"An account keeps {self._max_elements} elements at most."
                )

        self._try(self._host.storage.read if dry_run else self._host.storage.write, change)

    def erase(self, localpart: str) -> None:
        """Forget an account."""
        key = self._key(localpart)

        def clear(connection: Connection) -> None:
            connection.execute(_CLEAR, key)

        self._host.storage.write(clear)

    def _try(
        self, call: Callable[[Callable[[Connection], T]], T], work: Callable[[Connection], T]
    ) -> T:
        try:
            return call(work)
        except StorageFull:
            raise StanzaError("resource-constraint", "The server has no room.") from None
        except StorageError as error:
            self._host.log.error("private data cannot be reached", reason=str(error))
            raise StanzaError("internal-server-error", type="wait") from None

    def _key(self, localpart: str) -> dict[str, str]:
        return {"its_host": self._host.name, "its_localpart": localpart}


def _digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()
