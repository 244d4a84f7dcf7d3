"""Which groups an account is shown, and to whose members it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from stonechat.plugin import SharedContacts, SharedGroup
from stonechat_shared_roster.group import EVERYBODY, ONLINE, Group
from stonechat_shared_roster.groups import Groups
from stonechat_shared_roster.people import People

# Answers for accounts that are in the same groups are one; so many are kept.
MAX_ANSWERS = 4096


class _Made(NamedTuple):
    """A group as it was given out, and what it was made of."""

    group: Group
    many: tuple[Mapping[str, str], ...]
    shared: SharedGroup


class Contacts:
    """Answers from memory; may block the first time that somebody wants all accounts."""

    def __init__(self, groups: Groups, everybody: People, online: People) -> None:
        self._groups = groups
        self._special: dict[str, People] = {EVERYBODY: everybody, ONLINE: online}
        self._made: dict[str, _Made] = {}
        self._answers: dict[frozenset[str], SharedContacts] = {}

    def changed(self) -> None:
        """Groups, accounts or sessions are not what they were."""
        self._answers.clear()
        self._made = {name: made for name, made in self._made.items() if name in self._groups}

    def uses(self, special: str) -> bool:
        """Whether any group has a special member."""
        return bool(self._groups.of_member(special))

    def of(self, localpart: str) -> SharedContacts:
        """What is shared with an account; StanzaError where the accounts cannot be listed."""
        for special, people in self._special.items():
            if self.uses(special):
                people.names()
        # They are known now: from here on nobody waits, and no group goes away meanwhile.
        names = self._groups.of_member(localpart)
        for special, people in self._special.items():
            groups = self._groups.of_member(special)
            if groups and localpart in people.names():
                names |= groups
        answer = self._answers.get(names)
        if answer is None:
            answer = self._answer(names)
            if len(self._answers) >= MAX_ANSWERS:
                self._answers.clear()
            self._answers[names] = answer
        return answer

    def _answer(self, names: frozenset[str]) -> SharedContacts:
        shown = {other for name in names for other in self._groups[name].displayed}
        # A contact who is shown to the account sees it, too.
        seen_by = {other for name in names for other in self._groups.displaying(name)}
        return SharedContacts(
            tuple(self._shared(name) for name in sorted(shown)),
            tuple(self._shared(name) for name in sorted(seen_by - shown)),
        )

    def _shared(self, name: str) -> SharedGroup:
        group = self._groups[name]
        many = tuple(
            people.names() for special, people in self._special.items() if special in group.members
        )
        made = self._made.get(name)
        if made is None or made.group is not group or not _are_the_same(made.many, many):
            made = self._made[name] = _Made(group, many, _make(group, many))
        return made.shared


def _are_the_same(before: tuple[object, ...], after: tuple[object, ...]) -> bool:
    return len(before) == len(after) and all(map(lambda one, other: one is other, before, after))


def _make(group: Group, many: tuple[Mapping[str, str], ...]) -> SharedGroup:
    members: dict[str, str] = {}
    for names in many:
        members.update(names)
    members.update(dict.fromkeys(sorted(group.named), ""))
    return SharedGroup(group.name, group.label, members)
