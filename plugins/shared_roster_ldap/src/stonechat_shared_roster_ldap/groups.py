"""The groups of a directory: whoever is in one has the others in his roster."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from stonechat.errors import JIDError
from stonechat.jid import prepare_localpart
from stonechat.plugin import SharedGroup
from stonechat_ldap import Directory, Entry

if TYPE_CHECKING:
    from stonechat_shared_roster_ldap import Options

# Whoever puts groups into groups may go round in circles.
MAX_DEPTH = 10

MAX_LABEL = 255

_AROUND_SEPARATOR = re.compile(r"\s*(?<!\\)([,=+])\s*")
_ESCAPED = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)", re.DOTALL)
# What XML cannot carry (XML 1.0, 2.2).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class People(NamedTuple):
    """The accounts of a directory, by localpart, and what leads to them."""

    names: dict[str, str]
    """What each is called."""
    by_dn: dict[str, str]
    groups: dict[str, tuple[str, set[str]]]
    """What attributes of theirs say: a key, a label, and who is in it."""


class _Found(NamedTuple):
    label: str
    members: set[str]
    inner: list[str]  # names of what may be groups


def read_groups(directory: Directory, options: Options) -> dict[str, SharedGroup]:
    """All groups with members, by name. LdapUnavailable."""
    people = _read_people(directory, options)
    found = {key: _Found(label, members, []) for key, (label, members) in people.groups.items()}
    if options.group_filter:
        for entry in _entries(directory, options):
            key = fold_dn(entry.dn)
            found[key] = _read_group(entry, people, options)
    groups: dict[str, SharedGroup] = {}
    for key in sorted(found):
        members = _members(key, found, set(), MAX_DEPTH)
        if not members:
            continue
        if len(groups) >= options.max_groups:
            directory.host.log.warning("not all groups are shared", most=options.max_groups)
            break
        groups[key] = SharedGroup(
            key, found[key].label, {member: people.names[member] for member in sorted(members)}
        )
    return groups


def renew(
    old: Mapping[str, SharedGroup], new: Mapping[str, SharedGroup]
) -> dict[str, SharedGroup]:
    """The new ones; of what has not changed, the objects that were given out before."""
    return {
        name: before
        if (before := old.get(name)) is not None
        and before.label == group.label
        and before.members == group.members
        else group
        for name, group in new.items()
    }


def fold_dn(dn: str) -> str:
    """A distinguished name, the same for all spellings of it that servers use."""
    folded = _AROUND_SEPARATOR.sub(r"\1", dn).casefold()
    return _ESCAPED.sub(_unescaped, folded) if "\\" in folded else folded


def _unescaped(found: re.Match[str]) -> str:
    if found[2]:
        return f"\\{found[2]}"
    text = bytes.fromhex(found[1].replace("\\", "")).decode(errors="replace").casefold()
    # A comma that means itself must not become one that separates.
    return re.sub(r'([,=+"\\<>;#])', r"\\\1", text)


def _read_people(directory: Directory, options: Options) -> People:
    people = People({}, {}, {})
    attributes = {*directory.uid_attributes, *options.contact_name, *options.person_groups}
    for page in directory.pages(directory.people_filter, sorted(attributes)):
        for entry in page:
            localpart = next(iter(directory.localparts(entry)), "")
            if not localpart:
                continue
            if len(people.names) >= options.max_people and localpart not in people.names:
                directory.host.log.warning("not all people are shared", most=options.max_people)
                return people
            people.names[localpart] = _first_text(entry, options.contact_name)
            people.by_dn[fold_dn(entry.dn)] = localpart
            for attribute in options.person_groups:
                for value in entry.texts(attribute):
                    if label := _label(value):
                        key = f"{attribute.lower()}:{label.casefold()}"
                        known, members = people.groups.setdefault(key, (label, set()))
                        # Of several spellings always the same one, whoever comes first.
                        people.groups[key] = (min(known, label), members)
                        members.add(localpart)
    return people


def _entries(directory: Directory, options: Options) -> Iterator[Entry]:
    attributes = {*options.group_label, *options.member_names, *options.member_dns}
    pages = directory.pages(options.group_filter, sorted(attributes), base=options.group_base)
    return (entry for page in pages for entry in page)


def _read_group(entry: Entry, people: People, options: Options) -> _Found:
    members = set()
    inner = []
    for attribute in options.member_names:
        for value in entry.texts(attribute):
            try:
                localpart = prepare_localpart(value)
            except JIDError:
                continue
            if localpart in people.names:
                members.add(localpart)
    for attribute in options.member_dns:
        for value in entry.texts(attribute):
            name = fold_dn(value)
            if name in people.by_dn:
                members.add(people.by_dn[name])
            else:
                inner.append(name)
    return _Found(_first_text(entry, options.group_label) or entry.dn, members, inner)


def _members(key: str, found: Mapping[str, _Found], seen: set[str], depth: int) -> set[str]:
    """Those of a group, and those of the groups that are in it."""
    group = found.get(key)
    if group is None or key in seen:
        return set()
    seen.add(key)
    members = set(group.members)
    if depth:
        for inner in group.inner:
            members |= _members(inner, found, seen, depth - 1)
    return members


def _first_text(entry: Entry, attributes: tuple[str, ...]) -> str:
    for attribute in attributes:
        for text in entry.texts(attribute):
            if label := _label(text):
                return label
    return ""


def _label(text: str) -> str:
    return " ".join(_NOT_XML.sub("", text).split())[:MAX_LABEL]
