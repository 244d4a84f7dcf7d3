"""The kernel's commands about accounts."""

from __future__ import annotations

from itertools import dropwhile, islice
from typing import TYPE_CHECKING

from stonechat.commands import CommandError, command
from stonechat.core.admin import LIST_LIMIT, find_host, refusals
from stonechat.jid import JID
from stonechat.options import Secret

if TYPE_CHECKING:
    from stonechat.core.server import Server
    from stonechat.core.virtual_host import VirtualHost


class AccountCommands:
    """Commands that make, change and remove accounts."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @command("register", "Create an account.", example="stonechat register romeo@montague.example")
    def register(self, jid: JID, password: Secret) -> str:
        host = self._host_of(jid)
        with refusals():
            host.accounts.create(jid.localpart, password.reveal())
        host.log.info("account created by an administrator", jid=jid.text)
        return f"{jid} is created"

    @command(
        "unregister",
        "Remove an account, its data and its sessions.",
        example="stonechat unregister romeo@montague.example",
    )
    def unregister(self, jid: JID) -> str:
        host = self._host_of(jid)
        with refusals():
            host.accounts.remove(jid.localpart)
        host.log.info("account removed by an administrator", jid=jid.text)
        return f"{jid} is removed"

    @command(
        "change-password",
        "Set the password of an account.",
        example="stonechat change-password juliet@capulet.example",
    )
    def change_password(self, jid: JID, password: Secret) -> str:
        """Sessions that are open stay open."""
        host = self._host_of(jid)
        with refusals():
            host.accounts.set_password(jid.localpart, password.reveal())
        host.log.info("password changed by an administrator", jid=jid.text)
        return f"the password of {jid} is changed"

    @command(
        "registered-users",
        "List the accounts of a host.",
        example="stonechat registered-users capulet.example",
    )
    def registered_users(
        self, host: str = "", limit: int = LIST_LIMIT, after: str = ""
    ) -> list[str]:
        """The first `limit` accounts; to go on, give the last one's localpart as `after`."""
        found = find_host(self._server, host)
        with refusals():
            names = dropwhile(lambda name: bool(after) and name <= after, found.accounts)
            return [f"{name}@{found.name}" for name in islice(names, max(limit, 0))]

    def _host_of(self, jid: JID) -> VirtualHost:
        if not jid.localpart or jid.resource:
            raise CommandError(
                f"{jid} is no account: an account is written name@domain", "not-acceptable"
            )
        return find_host(self._server, jid.domain)
