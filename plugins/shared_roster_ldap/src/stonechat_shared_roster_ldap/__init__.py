"""Shared roster groups from LDAP: whoever is in a group of the directory sees the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.lock import Semaphore

from stonechat.commands import CommandError, command
from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.options import Duration, PluginOptions, option
from stonechat.plugin import SharedContacts, hookimpl
from stonechat_ldap import (
    Attribute,
    DirectoryOptions,
    Filter,
    LdapUnavailable,
    Link,
    find_directory,
)
from stonechat_ldap.options import DNOrNone
from stonechat_shared_roster_ldap.contacts import Contacts, Shows
from stonechat_shared_roster_ldap.groups import read_groups, renew

__all__ = ["Options", "Plugin"]

# So soon it is tried again while the directory is away.
RETRY_SECONDS = 10.0

# Who wants the groups while they are read for the first time waits for that.
WAIT_SECONDS = 5.0


# A large directory takes its time; nobody waits longer for another one to be done with it.
READ_SECONDS = 60.0


class Options(PluginOptions):
    """Where groups are, and who is in them."""

    directory: DirectoryOptions | None = option(
        None,
        "The directory; without it, that of the auth backend `ldap`, whose options these are.",
    )
    group_base: DNOrNone = option(
        "", "The entry below which the groups are; the `base` of the people if empty."
    )
    group_filter: Filter = option(
        "(|(objectClass=posixGroup)(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))",
        "What an entry has to fit to be a group; empty if no entry is one.",
    )
    group_label: tuple[Attribute, ...] = option(
        ["cn"], "The attributes that say what a group is called in rosters; the first counts."
    )
    member_names: tuple[Attribute, ...] = option(
        ["memberUid"], "The attributes of a group that name accounts."
    )
    member_dns: tuple[Attribute, ...] = option(
        ["member", "uniqueMember"],
        "The attributes of a group that name entries of people, or of other groups.",
    )
    person_groups: tuple[Attribute, ...] = option(
        [], "The attributes of a person that name groups, such as `departmentNumber`."
    )
    contact_name: tuple[Attribute, ...] = option(
        ["displayName", "cn"],
        "The attributes that say what a person is called in rosters; the first counts.",
    )
    shows: Shows = option(
        "own", "What somebody in a group sees: his `own` groups, or `all` groups there are."
    )
    refresh: Duration = option("5 min", "How often the directory is read.", ge=1)
    max_people: int = option(20_000, "People that are read at most.", ge=1, le=200_000)
    max_groups: int = option(500, "Groups that are shared at most.", ge=1, le=10_000)
    access: str = option("admin", "The access rule for who may give the commands.")


class Plugin:
    """Reads the groups of the directory, and says to the roster who is in whose."""

    Options = Options
    requires = ("roster",)

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.link = Link()
        self.contacts = Contacts(options.shows)
        self._reading = Semaphore(1)
        self._was_read = False
        self._is_away = False
        self._due = 0.0

    def start(self) -> None:
        self.link = find_directory(self.host, self.options.directory)
        # Not now: a directory that takes its time must not hold up the start.
        self.host.spawn(self.refresh)
        self.host.call_every(min(self.options.refresh, RETRY_SECONDS), self.refresh)

    def stop(self) -> None:
        if self.options.directory is not None:
            self.link.directory.stop()
        # It counts no longer.
        self.contacts.put({})
        self._tell()

    @hookimpl
    def stonechat_shared_contacts(self) -> Callable[[str], SharedContacts]:
        return self.of

    def of(self, localpart: str) -> SharedContacts:
        """What is shared with an account; StanzaError where nothing was ever read."""
        if not self._was_read:
            self._read_first()
        return self.contacts.of(localpart)

    # Reading

    def refresh(self) -> None:
        """Read if it is time to."""
        now = self.host.monotonic()
        if now < self._due and not self._is_away:
            return
        self._due = now + self.options.refresh
        try:
            self.read()
        except LdapUnavailable:
            return  # logged; it is tried again soon

    def read(self) -> None:
        """Look what groups there are; what is known stays where that fails. LdapUnavailable."""
        if not self._reading.acquire(timeout=READ_SECONDS):
            raise LdapUnavailable("the groups are being read already")
        try:
            self._read()
        finally:
            self._reading.release()

    def _read(self) -> None:
        try:
            found = read_groups(self.link.directory, self.options)
        except LdapUnavailable as error:
            if not self._is_away:
                self._is_away = True
                self.host.log.warning(
                    "groups cannot be read, those that are known stay", reason=str(error)
                )
            raise
        if self._is_away:
            self._is_away = False
            self.host.log.info("groups can be read again")
        known = self.contacts.groups
        groups = renew(known, found)
        is_first, self._was_read = not self._was_read, True
        is_same = groups.keys() == known.keys() and all(
            group is known[name] for name, group in groups.items()
        )
        if is_first or not is_same:
            self.contacts.put(groups)
            self._tell()

    def _read_first(self) -> None:
        if not self._reading.acquire(timeout=WAIT_SECONDS):
            raise _refusal()
        self._reading.release()
        if self._was_read:
            return
        try:
            self.read()
        except LdapUnavailable as error:
            raise _refusal() from error

    def _tell(self) -> None:
        """Whatever was said of anybody may be wrong now."""
        roster: Any = self.host.service("roster")
        if roster is not None:
            roster.shared_contacts_changed()

    # Commands

    @command(
        "ldap-group-list",
        "List the groups of the LDAP directory that are shared in rosters.",
        permission_option="access",
        example="ldap-group-list",
    )
    def list_groups(self) -> list[dict[str, Any]]:
        """As they were when the directory was read last."""
        return [
            {"group": group.name, "label": group.label, "members": len(group.members)}
            for group in self.contacts.groups.values()
        ]

    @command(
        "ldap-group-refresh",
        "Read the groups of the LDAP directory now.",
        permission_option="access",
        example="ldap-group-refresh",
    )
    def refresh_groups(self) -> dict[str, int]:
        """Returns how many groups there are; whoever is online hears of what has changed."""
        try:
            self.read()
        except LdapUnavailable as error:
            raise CommandError(str(error), "resource-constraint") from error
        return {"groups": len(self.contacts.groups)}


def _refusal() -> StanzaError:
    return StanzaError("internal-server-error", "The groups cannot be read.", type="wait")
