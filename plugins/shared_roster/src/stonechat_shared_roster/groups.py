"""The groups of a host: in memory all of them, and in the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from gevent.lock import RLock

from stonechat.commands import CommandError
from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat_shared_roster import tables
from stonechat_shared_roster.group import Group

# A change waits for those before it; each of them takes 5 s at most.
LOCK_SECONDS = 15.0

# What may have been written after all is looked up until the database answers.
AGAIN_SECONDS = 5.0

Change = tuple[Group | None, Group | None]


class Groups:
    """Changes one after the other, each in a transaction; memory follows the commit.

    `on_change`, which must not block, is called whenever something has become different.
    """

    def __init__(self, host: Host, on_change: Callable[[], None]) -> None:
        self._host = host
        self._on_change = on_change
        self._lock = RLock()
        self._groups: dict[str, Group] = {}
        self._by_member: dict[str, set[str]] = {}
        self._displayed_by: dict[str, set[str]] = {}

    def load(self) -> None:
        """Read all groups; StorageError."""
        name = self._host.name
        groups = self._host.storage.read(lambda connection: tables.load(connection, name))
        gone = self._groups.keys() - {group.name for group in groups}
        changes: list[Change] = [(self._groups[old], None) for old in gone]
        changes += [(self._groups.get(group.name), group) for group in groups]
        self._apply(changes)

    # Reading

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[Group]:
        """All groups, by name."""
        return iter([self._groups[name] for name in sorted(self._groups)])

    def __contains__(self, name: str) -> bool:
        return name in self._groups

    def __getitem__(self, name: str) -> Group:
        return self._groups[name]

    def get(self, name: str) -> Group | None:
        """The group of that name."""
        return self._groups.get(name)

    def of_member(self, member: str) -> frozenset[str]:
        """The names of the groups in which a localpart, or one of the special members, is."""
        return frozenset(self._by_member.get(member, ()))

    def displaying(self, name: str) -> frozenset[str]:
        """The names of the groups whose members see those of a group."""
        return frozenset(self._displayed_by.get(name, ()))

    # Changing

    @contextmanager
    def change(self) -> Iterator[None]:
        """Nobody else changes anything meanwhile."""
        if not self._lock.acquire(timeout=LOCK_SECONDS):
            raise CommandError("another change of the groups takes too long")
        try:
            yield
        finally:
            self._lock.release()

    def save(self, *changes: Change) -> None:
        """Write changes, (before, after); only inside `change`. StorageError."""
        name = self._host.name
        try:
            self._host.storage.write(lambda connection: tables.save(connection, name, changes))
        except StorageError:
            self._host.call_later(AGAIN_SECONDS, self._load_again)
            raise
        self._apply(changes)

    def _load_again(self) -> None:
        try:
            with self.change():
                self.load()
        except (StorageError, CommandError) as error:
            self._host.log.warning("shared groups cannot be read", reason=str(error))
            self._host.call_later(AGAIN_SECONDS, self._load_again)

    def _apply(self, changes: Iterable[Change]) -> None:
        is_changed = False
        for before, after in changes:
            if before == after:
                continue
            is_changed = True
            group = after or before
            assert group is not None
            if after is None:
                del self._groups[group.name]
            else:
                self._groups[after.name] = after
            for index, field in ((self._by_member, "members"), (self._displayed_by, "displayed")):
                old: frozenset[str] = getattr(before, field, frozenset())
                new: frozenset[str] = getattr(after, field, frozenset())
                _move(index, group.name, old - new, new - old)
        if is_changed:
            self._on_change()


def _move(
    index: dict[str, set[str]], name: str, gone: frozenset[str], added: frozenset[str]
) -> None:
    for key in gone:
        index[key].discard(name)
        if not index[key]:
            del index[key]
    for key in added:
        index.setdefault(key, set()).add(name)
