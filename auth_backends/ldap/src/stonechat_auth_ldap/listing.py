"""All accounts of a directory, which has them in no order, and takes its time."""

from __future__ import annotations

from bisect import bisect_right

from gevent.event import Event

from stonechat.auth import AuthUnavailable
from stonechat.errors import StorageError
from stonechat_ldap import Directory

# Who asks waits for so long. A directory that needs longer goes on meanwhile, and who asks
# again has the list.
WAIT_SECONDS = 4.0

# How old a list may be for somebody who begins to walk it, and for somebody who counts.
FRESH_SECONDS = 60.0
COUNTED_SECONDS = 600.0

MAX_NAMES = 500_000


class Listing:
    """The names as they were listed last, sorted."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._host = directory.host
        self._names: list[str] = []
        self._listed_at: float | None = None
        self._counted = 0
        self._counted_at: float | None = None
        self._done: Event | None = None
        self._fault: StorageError | None = None

    def names(self, after: str, limit: int) -> list[str]:
        """As of `AuthBackend.users`; who walks on gets what was listed when he began."""
        is_there = self._listed_at is not None
        if not is_there or (not after and self._is_old(self._listed_at, FRESH_SECONDS)):
            self._refresh()
        begin = bisect_right(self._names, after)
        page = self._names[begin : begin + limit]
        if not page:
            # That was the end, and they need not be kept.
            self._listed_at = None
            self._names = []
        return page

    def count(self) -> int:
        """How many there are, or were some minutes ago."""
        if self._is_old(self._counted_at, COUNTED_SECONDS):
            self._refresh()
        return self._counted

    def _is_old(self, since: float | None, seconds: float) -> bool:
        return since is None or self._host.monotonic() - since > seconds

    def _refresh(self) -> None:
        if self._done is None:
            self._done = Event()
            self._host.spawn(self._list, self._done)
        if not self._done.wait(WAIT_SECONDS):
            raise AuthUnavailable("The accounts are still being listed.")
        if self._fault is not None:
            raise AuthUnavailable(str(self._fault)) from self._fault

    def _list(self, done: Event) -> None:
        directory = self._directory
        found: set[str] = set()
        self._fault = AuthUnavailable("The listing of the accounts was ended.")
        try:
            for page in directory.pages(directory.people_filter, directory.uid_attributes):
                for entry in page:
                    found.update(directory.localparts(entry)[:1])
                if len(found) > MAX_NAMES:
                    self._host.log.warning("not all accounts are listed", most=MAX_NAMES)
                    break
            self._names = sorted(found)
            self._counted = len(found)
            self._listed_at = self._counted_at = self._host.monotonic()
            self._fault = None
        except StorageError as error:
            self._fault = error
        finally:
            self._done = None
            done.set()
