"""Who is meant by `@all@` and by `@online@`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Protocol

from gevent.lock import Semaphore

from stonechat.errors import JIDError, StanzaError, StorageError
from stonechat.host import Host
from stonechat.jid import prepare_localpart

# Who wants the accounts while they are listed waits for that.
LIST_SECONDS = 30.0


class People(Protocol):
    """Accounts of a host that are many and change often."""

    def names(self) -> Mapping[str, str]:
        """Localparts, as `SharedGroup.members` has them; the same object until they change."""


class Everybody:
    """All accounts of a host, up to a number of them.

    They are listed when somebody first wants them, and kept up to date. When there are too
    many, those who were in it first stay in it.
    """

    def __init__(self, host: Host, most: int) -> None:
        self._host = host
        self._most = most
        self._listing = Semaphore(1)
        self._accounts: dict[str, str] | None = None
        self._names: dict[str, str] | None = None
        # What happened while they were listed, and whether the account is there since.
        self._meanwhile: dict[str, bool] | None = None

    def names(self) -> Mapping[str, str]:
        """May block the first time, and raise StanzaError."""
        if self._names is None:
            if self._accounts is None:
                self._list_first()
            assert self._accounts is not None
            self._names = dict(self._accounts)
        return self._names

    def add(self, localpart: str) -> bool:
        """An account is new; returns whether that changes anything."""
        if self._meanwhile is not None:
            self._meanwhile[localpart] = True
        if self._accounts is None or localpart in self._accounts:
            return False
        if len(self._accounts) >= self._most:
            self._host.log.warning("no room in @all@", account=localpart, most=self._most)
            return False
        self._accounts[localpart] = ""
        self._names = None
        return True

    def discard(self, localpart: str) -> bool:
        """An account is gone; as above."""
        if self._meanwhile is not None:
            self._meanwhile[localpart] = False
        if self._accounts is None or localpart not in self._accounts:
            return False
        del self._accounts[localpart]
        self._names = None
        return True

    def list_again(self) -> bool:
        """Find accounts that came and went without us; as above. StorageError.

        Nothing is done where nobody has wanted them yet.
        """
        if self._accounts is None or not self._listing.acquire(blocking=False):
            return False
        try:
            found = self._list(self._accounts)
            if found == self._accounts:
                return False
            self._accounts = found
            self._names = None
            return True
        finally:
            self._listing.release()

    def _list_first(self) -> None:
        if not self._listing.acquire(timeout=LIST_SECONDS):
            raise _refusal()
        try:
            if self._accounts is None:
                self._accounts = self._list({})
        except StorageError as error:
            self._host.log.warning("accounts cannot be listed", reason=str(error))
            raise _refusal() from error
        finally:
            self._listing.release()

    def _list(self, before: Mapping[str, str]) -> dict[str, str]:
        """Those of before who are still there, and as many others as there is room for."""
        self._meanwhile = {}
        try:
            found: dict[str, str] = {}
            others: dict[str, str] = {}
            for name in self._host.accounts:
                if name in before:
                    found[name] = ""
                elif len(others) < self._most:
                    if _is_prepared(name):
                        others[name] = ""
                else:
                    self._host.log.warning("not all accounts are in @all@", most=self._most)
                    if not before:
                        break
            for name, is_there in self._meanwhile.items():
                if is_there and name not in found:
                    others[name] = ""
                elif not is_there:
                    found.pop(name, None)
                    others.pop(name, None)
            found.update(islice(others.items(), max(0, self._most - len(found))))
            return found
        finally:
            self._meanwhile = None


class Online:
    """The accounts that have a session, up to a number of them; who came first is in it."""

    def __init__(self, host: Host, most: int) -> None:
        self._host = host
        self._most = most
        self._accounts: dict[str, str] = {}
        self._names: dict[str, str] | None = None

    def begin(self) -> None:
        """Look who is here already."""
        for session in self._host.all_sessions():
            self.add(session.jid.localpart)

    def names(self) -> Mapping[str, str]:
        if self._names is None:
            self._names = dict(islice(self._accounts.items(), self._most))
        return self._names

    def add(self, localpart: str) -> bool:
        """An account has a session; returns whether it had none before."""
        if localpart in self._accounts:
            return False
        self._accounts[localpart] = ""
        self._names = None
        return True

    def discard(self, localpart: str) -> bool:
        """An account has no session any more; returns whether it had one."""
        if self._accounts.pop(localpart, None) is None:
            return False
        self._names = None
        return True


def _is_prepared(name: str) -> bool:
    """What a directory calls an account need not be a localpart, and then nobody can log in."""
    try:
        return prepare_localpart(name) == name
    except JIDError:
        return False


def _refusal() -> StanzaError:
    return StanzaError("internal-server-error", "The accounts cannot be listed.", type="wait")
