"""The accounts that have an archive, and what each wants to have in it (XEP-0441)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from sqlalchemy import Connection, bindparam, delete, select

from stonechat.host import Host
from stonechat.jid import JID
from stonechat.storage import upsert
from stonechat_mam.tables import ACCOUNTS

Preference = Literal["always", "never", "roster"]
PREFERENCES: tuple[str, ...] = get_args(Preference)

# Kept in memory, so that a message of somebody who is active costs no look into the store.
MAX_KNOWN = 10_000

_IS_OF = (
    ACCOUNTS.c.host == bindparam("its_host"),
    ACCOUNTS.c.localpart == bindparam("its_localpart"),
)
_FIND = select(
    ACCOUNTS.c.number, ACCOUNTS.c.preference, ACCOUNTS.c.always, ACCOUNTS.c.never
).where(*_IS_OF)
_REMOVE = delete(ACCOUNTS).where(*_IS_OF)


@dataclass(frozen=True, slots=True)
class Account:
    """An account with its number in the store. `preference` is `""` where it has set none."""

    localpart: str
    number: int
    preference: str = ""
    always: frozenset[JID] = frozenset()
    never: frozenset[JID] = frozenset()

    def wants(self, peer: JID) -> bool | None:
        """Whether messages with this address are archived by its lists; None if not listed.

        What names the resource goes before what does not ("JID matching"), and `never`
        before `always`.
        """
        if not self.always and not self.never:
            return None
        for address in (peer, peer.bare):
            if address in self.never:
                return False
            if address in self.always:
                return True
        return None


class Accounts:
    """Finds accounts by their localparts. Methods may block, and raise StorageError."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[str, Account] = {}

    def known(self, localpart: str) -> Account | None:
        """The account if it is in memory; never blocks."""
        return self._known.get(localpart)

    def find(self, localpart: str) -> Account | None:
        """The account; None if it has neither messages nor preferences."""
        account = self._known.get(localpart)
        if account is None:
            account = self._host.storage.read(lambda connection: self._load(connection, localpart))
            if account is not None:
                account = self._keep(account)
        return account

    def get(self, localpart: str) -> Account:
        """The account, with a number from now on if it had none."""
        account = self.find(localpart)
        if account is None:
            account = self._keep(self._save(localpart, {}))
        return account

    def set_preferences(
        self, localpart: str, preference: str, always: Iterable[JID], never: Iterable[JID]
    ) -> Account:
        """Write down what an account wants; it is committed when this returns."""
        saved = self._save(
            localpart,
            {"preference": preference, "always": _lines(always), "never": _lines(never)},
        )
        # Others have read it meanwhile, or not.
        self._known.pop(localpart, None)
        return self._keep(saved)

    def forget(self, localpart: str) -> None:
        """Remove an account; its messages are gone already."""

        def remove_account(connection: Connection) -> None:
            connection.execute(_REMOVE, self._key(localpart))

        self._host.storage.write(remove_account)
        self._known.pop(localpart, None)

    def _save(self, localpart: str, values: dict[str, Any]) -> Account:
        row = {"host": self._host.name, "localpart": localpart, **values}

        def save_account(connection: Connection) -> Account:
            upsert(connection, ACCOUNTS, row, keys=("host", "localpart"))
            account = self._load(connection, localpart)
            assert account is not None
            return account

        return self._host.storage.write(save_account)

    def _keep(self, account: Account) -> Account:
        known = self._known.setdefault(account.localpart, account)
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        return known

    def _load(self, connection: Connection, localpart: str) -> Account | None:
        row = connection.execute(_FIND, self._key(localpart)).one_or_none()
        if row is None:
            return None
        number, preference, always, never = row
        account = Account(localpart, number)
        if preference:
            account = replace(
                account, preference=preference, always=_jids(always), never=_jids(never)
            )
        return account

    def _key(self, localpart: str) -> dict[str, str]:
        return {"its_host": self._host.name, "its_localpart": localpart}


def _lines(jids: Iterable[JID]) -> str:
    # No part of an address has a line end in it.
    return "\n".join(jid.text for jid in jids)


def _jids(lines: str | None) -> frozenset[JID]:
    return frozenset(JID.parse(line) for line in lines.split("\n")) if lines else frozenset()
