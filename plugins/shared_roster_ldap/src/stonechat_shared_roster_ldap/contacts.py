"""What is shared with each account, as it was when the directory was read last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from stonechat.plugin import SharedContacts, SharedGroup

Shows = Literal["own", "all"]

# Answers for accounts that are in the same groups are one; so many are kept.
MAX_ANSWERS = 4096

NOTHING = SharedContacts(())


class Contacts:
    """Answers from memory."""

    def __init__(self, shows: Shows) -> None:
        self._shows = shows
        self.groups: Mapping[str, SharedGroup] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._answers: dict[frozenset[str], SharedContacts] = {}
        self._everything = NOTHING

    def put(self, groups: Mapping[str, SharedGroup]) -> None:
        """From now on it is these."""
        self.groups = groups
        names: dict[str, list[str]] = {}
        for name, group in groups.items():
            for member in group.members:
                names.setdefault(member, []).append(name)
        # Accounts of the same groups share one set.
        sets: dict[frozenset[str], frozenset[str]] = {}
        self._names = {}
        for member, of_member in names.items():
            found = frozenset(of_member)
            self._names[member] = sets.setdefault(found, found)
        self._answers = {}
        self._everything = SharedContacts(tuple(groups[name] for name in sorted(groups)))

    def of(self, localpart: str) -> SharedContacts:
        """Those who share a group with an account, or all of them; nobody for a stranger."""
        names = self._names.get(localpart)
        if names is None:
            return NOTHING
        if self._shows == "all":
            return self._everything
        answer = self._answers.get(names)
        if answer is None:
            if len(self._answers) >= MAX_ANSWERS:
                self._answers.clear()
            shown = tuple(self.groups[name] for name in sorted(names))
            answer = self._answers[names] = SharedContacts(shown)
        return answer
