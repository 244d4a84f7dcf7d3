"""Where vCards are kept, and beside them what the directory knows of each account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    bindparam,
    delete,
    select,
)

from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host
from stonechat.storage import (
    HostText,
    LocalText,
    Schema,
    StanzaBytes,
    StorageFull,
    host_column,
    upsert,
)
from stonechat_vcard.cards import FIELDS, Card, folded

T = TypeVar("T")

# What an account has said about being found.
SILENT, LISTED, UNLISTED = 0, 1, -1

# Of 255 characters that are compared octet by octet, as folded texts are.
_FieldText = HostText

_metadata = MetaData()
CARDS = Table(
    "vcard_cards",
    _metadata,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    Column("photo_hash", String(40), nullable=False),
    Column("card", StanzaBytes, nullable=False),
)
PEOPLE = Table(
    "vcard_people",
    _metadata,
    host_column(),
    Column("localpart", LocalText, primary_key=True),
    Column("choice", Integer, nullable=False, default=SILENT),
    Column("is_private", Integer, nullable=False, default=0),
    *(Column(f"shown_{name}", _FieldText, nullable=False, default="") for name in FIELDS),
    *(Column(f"folded_{name}", _FieldText, nullable=False, default="") for name in FIELDS),
    *(Index(f"vcard_people_by_{name}", "host", f"folded_{name}") for name in FIELDS),
)

SCHEMA = Schema("vcard", 1, _metadata)

_KEY = ("host", "localpart")
_CARD_OF = (
    CARDS.c.host == bindparam("its_host"),
    CARDS.c.localpart == bindparam("its_localpart"),
)
_PERSON = (
    PEOPLE.c.host == bindparam("its_host"),
    PEOPLE.c.localpart == bindparam("its_localpart"),
)
_FIND_CARD = select(CARDS.c.card).where(*_CARD_OF)
_FIND_HASH = select(CARDS.c.photo_hash).where(*_CARD_OF)
_DELETE_CARD = delete(CARDS).where(*_CARD_OF)
_FIND_CHOICE = select(PEOPLE.c.choice).where(*_PERSON)
_DELETE_PERSON = delete(PEOPLE).where(*_PERSON)


class Found(NamedTuple):
    """An account that a search has found; texts as their owner has written them."""

    localpart: str
    fields: dict[str, str]


class Store:
    """The vCards of a host's accounts. StanzaError where the database fails."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def card(self, localpart: str) -> bytes | None:
        """The vCard of an account."""
        found: bytes | None = self._read_one(localpart, _FIND_CARD)
        return found

    def photo_hash(self, localpart: str) -> str:
        """The hash of the photo in it, `""` where there is none."""
        found: str | None = self._read_one(localpart, _FIND_HASH)
        return found or ""

    def put(self, localpart: str, card: Card | None) -> None:
        """Keep a vCard, or none; the account's choice about the directory stays."""
        key = {"host": self._host.name, "localpart": localpart}
        fields = dict.fromkeys(FIELDS, "") if card is None else card.fields
        person: dict[str, Any] = {**key, "is_private": int(card is not None and card.is_private)}
        for name, text in fields.items():
            person[f"shown_{name}"] = text
            person[f"folded_{name}"] = folded(text)

        def write(connection: Connection) -> None:
            if card is None:
                connection.execute(_DELETE_CARD, self._key(localpart))
            else:
                row = {**key, "photo_hash": card.photo_hash, "card": card.octets}
                upsert(connection, CARDS, row, _KEY)
            upsert(connection, PEOPLE, person, _KEY)

        self._try(self._host.storage.write, write)

    def choice(self, localpart: str) -> int:
        """Whether an account has said that it may be found."""
        return self._read_one(localpart, _FIND_CHOICE) or SILENT

    def choose(self, localpart: str, choice: int) -> None:
        """Keep what an account says about being found."""
        row = {"host": self._host.name, "localpart": localpart, "choice": choice}
        self._try(
            self._host.storage.write, lambda connection: upsert(connection, PEOPLE, row, _KEY)
        )

    def search(
        self, conditions: Sequence[ColumnElement[bool]], *, unasked: bool, limit: int
    ) -> list[Found]:
        """The first accounts that fit, by address; `unasked` finds those that said nothing."""
        shown = [PEOPLE.c[f"shown_{name}"] for name in FIELDS]
        statement = (
            select(PEOPLE.c.localpart, *shown)
            .where(
                PEOPLE.c.host == self._host.name,
                *conditions,
                PEOPLE.c.choice >= SILENT if unasked else PEOPLE.c.choice == LISTED,
                PEOPLE.c.is_private == 0,
            )
            .order_by(PEOPLE.c.localpart)
            .limit(limit)
        )

        def find(connection: Connection) -> list[Found]:
            return [
                Found(row[0], dict(zip(FIELDS, row[1:], strict=True)))
                for row in connection.execute(statement).all()
            ]

        return self._try(self._host.storage.read, find)

    def erase(self, localpart: str) -> None:
        """Forget an account."""
        key = self._key(localpart)

        def write(connection: Connection) -> None:
            connection.execute(_DELETE_CARD, key)
            connection.execute(_DELETE_PERSON, key)

        self._host.storage.write(write)

    def _read_one(self, localpart: str, statement: Select[Any]) -> Any:
        key = self._key(localpart)
        return self._try(
            self._host.storage.read, lambda connection: connection.execute(statement, key).scalar()
        )

    def _try(
        self, call: Callable[[Callable[[Connection], T]], T], work: Callable[[Connection], T]
    ) -> T:
        try:
            return call(work)
        except StorageFull:
            raise StanzaError("resource-constraint", "The server has no room.") from None
        except StorageError as error:
            self._host.log.error("vCards cannot be reached", reason=str(error))
            raise StanzaError("internal-server-error", type="wait") from None

    def _key(self, localpart: str) -> dict[str, str]:
        return {"its_host": self._host.name, "its_localpart": localpart}
