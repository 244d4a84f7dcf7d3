"""What is shared with each account: asked of plugins, and remembered while somebody is online."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from weakref import WeakValueDictionary

from stonechat.host import Host
from stonechat.plugin import SharedContacts, SharedGroup
from stonechat_roster.marks import NAME, Marks
from stonechat_roster.sharing import NOTHING, Key, Sharing

Source = Callable[[str], SharedContacts]

_HOOK = "stonechat_shared_contacts"

# A plugin that stops may start again at once, with other options: nobody need hear of that.
GRACE_SECONDS = 5.0


class Shared:
    """Knows what is shared with an account now, and what its clients have been told of it.

    Who may see whom is always as it is now. What clients are told lags behind: pushes and
    versions are about what they know already (telling.py).
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._plugins_version: int | None = None
        self._sources: tuple[Source, ...] = ()
        self._generation = 0
        # Both for accounts with sessions only.
        self._current: dict[str, Sharing] = {}
        self._told: dict[str, Sharing] = {}
        # One for all accounts of the same groups; by the answers, which it keeps alive.
        self._known: WeakValueDictionary[tuple[int, ...], Sharing] = WeakValueDictionary()
        self._follow: Callable[[Iterable[str]], None] = lambda localparts: None

    def follow(self, follow: Callable[[Iterable[str]], None]) -> None:
        """Call this, which must not block, with accounts that may have to be told something."""
        self._follow = follow

    # Asking

    def of(self, localpart: str) -> Sharing:
        """What is shared with an account; may block, and raise StanzaError."""
        if self._host.plugins_version != self._plugins_version:
            self._find_sources()
        if not self._sources:
            # So it is on most hosts, and then costs no more than this.
            return NOTHING
        sharing = self._current.get(localpart)
        if sharing is None:
            sharing = self._ask(localpart)
        return sharing

    def _ask(self, localpart: str) -> Sharing:
        generation = self._generation
        answers = tuple(source(localpart) for source in self._sources)
        key = tuple(map(id, answers))
        sharing: Sharing | None = self._known.get(key)
        if sharing is None:
            groups = dict(_groups(answers))
            sharing = NOTHING
            if groups:
                sharing = self._known[key] = Sharing(groups, answers)
        if self._host.sessions(localpart):
            self._told.setdefault(localpart, sharing)
            if generation == self._generation:
                self._current[localpart] = sharing
            else:
                # It was asked about while it changed.
                self._follow((localpart,))
        return sharing

    def _find_sources(self) -> None:
        self._plugins_version = self._host.plugins_version
        before = self._sources
        self._sources = tuple(self._host.collect(_HOOK))
        if self._sources == before:
            return
        if not before:
            for session in self._host.all_sessions():
                self._told.setdefault(session.jid.localpart, NOTHING)
        self._forget()
        if len(self._sources) < len(before):
            self._host.call_later(GRACE_SECONDS, self._tell_all)
        else:
            self._tell_all()

    # What clients know

    def told(self, localpart: str) -> Sharing:
        """What the clients of an account know, or may be told now; as `of`."""
        if self._host.plugins_version != self._plugins_version:
            self._find_sources()
        told = self._told.get(localpart)
        return self.of(localpart) if told is None else told

    def known(self, localpart: str) -> Sharing:
        """What the clients of an account have been told; never blocks."""
        return self._told.get(localpart, NOTHING)

    def tell(self, localpart: str, sharing: Sharing) -> None:
        """The clients of an account are told this now."""
        if localpart in self._told:
            self._told[localpart] = sharing

    # Changing

    def changed(self) -> None:
        """Answers are other ones than before."""
        if self._host.plugins_version != self._plugins_version:
            self._find_sources()
        if self._sources:
            self._forget()
            self._tell_all()

    def _forget(self) -> None:
        self._generation += 1
        self._current.clear()

    def _tell_all(self) -> None:
        self._follow(self._told)

    def begin(self) -> None:
        """The plugin starts: nobody remembers what clients were told before."""
        self.changed()
        for session in self._host.all_sessions():
            marks: Marks | None = session.data.get(NAME)
            if marks is not None:
                marks.is_behind = True

    def release(self, localpart: str) -> None:
        """An account's last session may have gone."""
        if not self._host.sessions(localpart):
            self._current.pop(localpart, None)
            self._told.pop(localpart, None)


def _groups(answers: Iterable[SharedContacts]) -> Iterator[tuple[Key, SharedGroup]]:
    for number, answer in enumerate(answers):
        for group in answer.shown:
            yield (number, True, group.name), group
        for group in answer.seen_by:
            yield (number, False, group.name), group
