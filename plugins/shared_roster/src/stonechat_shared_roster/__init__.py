"""Shared roster groups: accounts that have each other in their rosters by decree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stonechat.commands import CommandError, command
from stonechat.errors import JIDError, StonechatError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.options import PluginOptions, option
from stonechat.plugin import SharedContacts, hookimpl
from stonechat.session import Session
from stonechat_shared_roster.contacts import Contacts
from stonechat_shared_roster.group import (
    EVERYBODY,
    ONLINE,
    SPECIAL,
    Group,
    read_description,
    read_label,
    read_name,
)
from stonechat_shared_roster.groups import Groups
from stonechat_shared_roster.people import Everybody, Online
from stonechat_shared_roster.tables import SCHEMA

__all__ = ["Options", "Plugin"]


class Options(PluginOptions):
    """How many groups there may be, of how many."""

    max_groups: int = option(200, "Groups on one host.", ge=1, le=10_000)
    max_members: int = option(
        10_000,
        "Members that one group is given by name, and accounts that `@all@` stands for."
        " The members of a group are shown all, to all of them.",
        ge=1,
        le=100_000,
    )
    max_online: int = option(
        1000,
        "Accounts that `@online@` stands for; who comes online when there are so many"
        " neither sees the others nor is shown.",
        ge=1,
        le=100_000,
    )
    list_accounts_every: int = option(
        3600,
        "Seconds after which `@all@` looks for accounts that came or went without this"
        " server, in a directory for one.",
        ge=60,
        le=604_800,
    )
    access: str = option("admin", "The access rule for who may manage the groups.")


class Plugin:
    """Keeps the groups of a host, and says to the roster who is in whose."""

    Options = Options
    requires = ("roster",)
    schema = SCHEMA

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.groups = Groups(host, self.changed)
        self.everybody = Everybody(host, options.max_members)
        self.online = Online(host, options.max_online)
        self.contacts = Contacts(self.groups, self.everybody, self.online)

    def start(self) -> None:
        """Read the groups; the accounts are listed when they are wanted."""
        self.groups.load()
        self.online.begin()
        self.host.call_every(self.options.list_accounts_every, self.list_accounts)

    def ready(self) -> None:
        """From now on it counts."""
        self.changed()

    def stop(self) -> None:
        """It counts no longer."""
        self.changed()

    def changed(self) -> None:
        """Whatever was said of anybody may be wrong now."""
        self.contacts.changed()
        roster: Any = self.host.service("roster")
        roster.shared_contacts_changed()

    @hookimpl
    def stonechat_shared_contacts(self) -> Callable[[str], SharedContacts]:
        return self.contacts.of

    # Who comes and goes

    @hookimpl
    def stonechat_session_bound(self, session: Session) -> None:
        # Other plugins were told before, and may have taken their time: it may have ended.
        if not session.is_open:
            return
        if self.online.add(session.jid.localpart) and self.contacts.uses(ONLINE):
            self.changed()

    @hookimpl
    def stonechat_session_closed(self, session: Session) -> None:
        localpart = session.jid.localpart
        if self.host.sessions(localpart):
            return
        if self.online.discard(localpart) and self.contacts.uses(ONLINE):
            self.changed()

    @hookimpl
    def stonechat_account_created(self, account: JID) -> None:
        if self.everybody.add(account.localpart) and self.contacts.uses(EVERYBODY):
            self.changed()

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        localpart = account.localpart
        if self.everybody.discard(localpart) and self.contacts.uses(EVERYBODY):
            self.changed()
        if self.groups.of_member(localpart):
            with self.groups.change():
                names = self.groups.of_member(localpart)
                groups = [self.groups[name] for name in sorted(names)]
                self.groups.save(*((group, _without(group, localpart)) for group in groups))

    def list_accounts(self) -> None:
        """Look whether the accounts are still the same."""
        try:
            if self.everybody.list_again() and self.contacts.uses(EVERYBODY):
                self.changed()
        except StonechatError as error:
            # Those that are known stay; it is tried again.
            self.host.log.warning("accounts cannot be listed", reason=str(error))

    # Commands

    @command(
        "shared-group-list",
        "List the shared roster groups of a host.",
        permission_option="access",
        example="shared-group-list",
    )
    def list_groups(self) -> list[dict[str, Any]]:
        """`members` counts those that are named; `everybody` and `online` say whether `@all@`
        and `@online@` are members, and `displays` whose members the group's members see.
        """
        return [_describe(group) for group in self.groups]

    @command(
        "shared-group-show",
        "Show a shared roster group.",
        permission_option="access",
        example="shared-group-show capulets",
    )
    def show_group(self, group: str) -> dict[str, Any]:
        """As `shared-group-list` does."""
        return _describe(self._group(group))

    @command(
        "shared-group-members",
        "List the members of a shared roster group.",
        permission_option="access",
        example="shared-group-members capulets",
    )
    def list_members(self, group: str) -> list[str]:
        """`@all@` stands for all accounts of the host, `@online@` for those with a session."""
        return [self._written(member) for member in sorted(self._group(group).members)]

    @command(
        "shared-group-create",
        "Create a shared roster group.",
        permission_option="access",
        example='shared-group-create capulets --label "House of Capulet"',
    )
    def create_group(
        self, group: str, label: str = "", description: str = "", displays: str = ""
    ) -> dict[str, Any]:
        """Users see the label, which is the group's name unless another is given.

        `displays` are the groups whose members the group's own members see, separated by
        commas; where none is named it is the group itself.
        """
        name = read_name(group)
        new = Group(name, read_label(label) or name, read_description(description))
        others = [read_name(other) for other in displays.split(",") if other.strip()]
        with self.groups.change():
            if self.groups.get(name) is not None:
                raise CommandError(f"there is a group {name!r} already", "conflict")
            if len(self.groups) >= self.options.max_groups:
                raise CommandError(
                    f"there are {len(self.groups)} groups already", "resource-constraint"
                )
            for other in others:
                if other != name:
                    self._group(other)
            new = new._replace(displayed=frozenset(others or [name]))
            self.groups.save((None, new))
        return _describe(new)

    @command(
        "shared-group-set",
        "Change the label or the description of a shared roster group.",
        permission_option="access",
        example='shared-group-set capulets --label "The Capulets"',
    )
    def set_group(self, group: str, label: str = "", description: str = "") -> dict[str, Any]:
        """What is not given stays as it is."""
        with self.groups.change():
            before = self._group(group)
            after = before._replace(
                label=read_label(label) or before.label,
                description=read_description(description) or before.description,
            )
            self.groups.save((before, after))
        return _describe(after)

    @command(
        "shared-group-delete",
        "Delete a shared roster group.",
        permission_option="access",
        example="shared-group-delete capulets",
    )
    def delete_group(self, group: str) -> None:
        """Its members lose sight of each other, unless another group or their own rosters
        let them.
        """
        with self.groups.change():
            gone = self._group(group)
            displaying = self.groups.displaying(gone.name) - {gone.name}
            others = [self.groups[name] for name in sorted(displaying)]
            self.groups.save(
                *((other, _displaying(other, other.displayed - {gone.name})) for other in others),
                (gone, None),
            )

    @command(
        "shared-group-add",
        "Add a member to a shared roster group.",
        permission_option="access",
        example="shared-group-add capulets juliet@capulet.example",
    )
    def add_member(self, group: str, member: str) -> None:
        """The member is an account of the host, or `@all@` or `@online@`."""
        with self.groups.change():
            before = self._group(group)
            localpart = self._member(member)
            if localpart in before.members:
                raise CommandError(f"{member} is in the group already", "conflict")
            if localpart not in SPECIAL:
                if not self.host.accounts.exists(localpart):
                    raise CommandError(f"member: there is no account {member}", "item-not-found")
                if len(before.named) >= self.options.max_members:
                    raise CommandError("the group is full", "resource-constraint")
            self.groups.save((before, before._replace(members=before.members | {localpart})))

    @command(
        "shared-group-remove",
        "Remove a member from a shared roster group.",
        permission_option="access",
        example="shared-group-remove capulets juliet@capulet.example",
    )
    def remove_member(self, group: str, member: str) -> None:
        with self.groups.change():
            before = self._group(group)
            localpart = self._member(member)
            if localpart not in before.members:
                raise CommandError(f"{member} is not in the group", "item-not-found")
            self.groups.save((before, _without(before, localpart)))

    @command(
        "shared-group-display",
        "Let the members of a shared roster group see those of another.",
        permission_option="access",
        example="shared-group-display montagues capulets",
    )
    def display_group(self, group: str, displayed: str) -> dict[str, Any]:
        """`group` are those who see, and `displayed` is what they see; it may be the same."""
        with self.groups.change():
            before, other = self._group(group), self._group(displayed)
            after = _displaying(before, before.displayed | {other.name})
            self.groups.save((before, after))
        return _describe(after)

    @command(
        "shared-group-hide",
        "Let the members of a shared roster group see those of another no longer.",
        permission_option="access",
        example="shared-group-hide montagues capulets",
    )
    def hide_group(self, group: str, displayed: str) -> dict[str, Any]:
        """The opposite of `shared-group-display`."""
        with self.groups.change():
            before, other = self._group(group), self._group(displayed)
            if other.name not in before.displayed:
                raise CommandError(
                    f"{before.name!r} does not display {other.name!r}", "item-not-found"
                )
            after = _displaying(before, before.displayed - {other.name})
            self.groups.save((before, after))
        return _describe(after)

    def _group(self, name: str) -> Group:
        found = self.groups.get(name.strip())
        if found is None:
            raise CommandError(f"there is no group {name!r}", "item-not-found")
        return found

    def _member(self, text: str) -> str:
        """A member as groups have it."""
        if text in SPECIAL:
            return text
        try:
            account = JID.parse(text)
        except JIDError as error:
            raise CommandError(f"member: {error}") from None
        if account.domain != self.host.name or not account.localpart or account.resource:
            raise CommandError(f"member: {text!r} is no account of {self.host.name}")
        return account.localpart

    def _written(self, member: str) -> str:
        return member if member in SPECIAL else f"{member}@{self.host.name}"


def _describe(group: Group) -> dict[str, Any]:
    return {
        "group": group.name,
        "label": group.label,
        "description": group.description,
        "members": len(group.named),
        "everybody": EVERYBODY in group.members,
        "online": ONLINE in group.members,
        "displays": sorted(group.displayed),
    }


def _without(group: Group, member: str) -> Group:
    return group._replace(members=group.members - {member})


def _displaying(group: Group, names: frozenset[str]) -> Group:
    return group._replace(displayed=names)
