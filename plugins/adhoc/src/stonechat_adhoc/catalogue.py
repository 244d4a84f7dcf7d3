"""Which ad-hoc commands there are, and who may give them."""

from __future__ import annotations

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat_adhoc import accounts, people, service
from stonechat_adhoc.dialogues import AdHocCommand
from stonechat_adhoc.registry import RegistryCommand, node_of
from stonechat_adhoc.tasks import NS_ADMIN, AdminCommand, Desk

TASKS = {task.node: task for task in (*accounts.TASKS, *people.TASKS, *service.TASKS)}
UNSUPPORTED = {f"{NS_ADMIN}#{part}": text for part, text in service.UNSUPPORTED.items()}


class Catalogue:
    """The commands of a host: the use cases of XEP-0133, and the registry's."""

    def __init__(self, host: Host, *, rows: int, idle_seconds: float, max_list: int) -> None:
        self._host = host
        self._rows = rows
        self._idle_seconds = idle_seconds
        self._max_list = max_list

    def offered(self, caller: JID) -> list[AdHocCommand]:
        """What a caller may give, by name."""
        allowed = self._host.commands(caller)
        names = {command.name for command in allowed}
        found: list[AdHocCommand] = [
            AdminCommand(task, self._desk) for task in TASKS.values() if task.needs in names
        ]
        found += [RegistryCommand(self._host, command, self._rows) for command in allowed]
        return sorted(found, key=lambda command: command.name)

    def find(self, node: str, caller: JID) -> AdHocCommand:
        """The command at a node.

        StanzaError: forbidden, item-not-found, or feature-not-implemented for what others do.
        """
        allowed = {command.name for command in self._host.commands(caller)}
        everything = {command.name: command for command in self._host.commands()}
        task = TASKS.get(node)
        if task is not None and task.needs in everything:
            if task.needs not in allowed:
                raise StanzaError("forbidden")
            return AdminCommand(task, self._desk)
        for command in everything.values():
            if node_of(command) == node:
                if command.name not in allowed:
                    raise StanzaError("forbidden")
                return RegistryCommand(self._host, command, self._rows)
        if node in UNSUPPORTED:
            # Why is for those who look after the server.
            if not allowed:
                raise StanzaError("forbidden")
            raise StanzaError("feature-not-implemented", UNSUPPORTED[node])
        raise StanzaError("item-not-found", "There is no such command.")

    def _desk(self, caller: JID) -> Desk:
        return Desk(self._host, caller, self._idle_seconds, self._max_list)
