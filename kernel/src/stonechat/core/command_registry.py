"""All commands of the node: declared once, found by every face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stonechat.commands import Command, CommandError, commands_of
from stonechat.errors import JIDError
from stonechat.jid import JID, prepare_domain


@dataclass(frozen=True, slots=True)
class Offer:
    """A command, and the function that carries it out on one host (or on the node)."""

    command: Command
    function: Callable[..., Any]
    host: str
    plugin: str
    owner: object


class CommandRegistry:
    """Commands by name; one of a plugin once for each host that enables it."""

    def __init__(self) -> None:
        self._offers: dict[str, list[Offer]] = {}

    def add_owner(self, owner: object, *, host: str = "", plugin: str = "") -> None:
        """Offer the commands among an object's methods; ValueError for another plugin's name."""
        found = commands_of(owner)
        for command, _ in found:
            for offer in self._offers.get(command.name, []):
                if offer.plugin != plugin or offer.host == host:
                    raise ValueError(
                        f"the command {command.name} is offered by"
                        f" {offer.plugin or 'the kernel'} already"
                    )
        for command, function in found:
            offer = Offer(command, function, host, plugin, owner)
            self._offers.setdefault(command.name, []).append(offer)

    def remove_owner(self, owner: object) -> None:
        """Offer an object's commands no longer."""
        for name, offers in list(self._offers.items()):
            offers[:] = [offer for offer in offers if offer.owner is not owner]
            if not offers:
                del self._offers[name]

    def commands(self) -> list[Command]:
        """Every command, by name."""
        return [offers[0].command for _, offers in sorted(self._offers.items())]

    def hosts_of(self, name: str) -> list[str]:
        """The hosts on which a plugin offers a command; empty for one of the kernel."""
        return [offer.host for offer in self._offers.get(name, []) if offer.host]

    def run(self, name: str, arguments: dict[str, Any]) -> Any:
        """Carry a command out; CommandError for what its caller can mend.

        The host is the domain of the first JID given, or the parameter
        `host`, or the only one there is.
        """
        offers = self._offers.get(name)
        if offers is None:
            raise CommandError(f"there is no command {name!r}")
        command = offers[0].command
        host = ""
        if offers[0].host and all(p.name != "host" for p in command.parameters):
            arguments = dict(arguments)
            host = str(arguments.pop("host", ""))
        values = command.read(arguments)
        return self._choose(offers, values, host).function(**values)

    def _choose(self, offers: list[Offer], values: dict[str, Any], host: str) -> Offer:
        if not offers[0].host:
            return offers[0]
        domain = host or values.get("host")
        if domain:
            try:
                domain = prepare_domain(domain)
            except JIDError as error:
                raise CommandError(f"host: {error}") from None
        else:
            domain = next((v.domain for v in values.values() if isinstance(v, JID)), "")
        if not domain and len(offers) == 1:
            return offers[0]
        for offer in offers:
            if offer.host == domain:
                return offer
        hosts = ", ".join(offer.host for offer in offers)
        if not domain:
            raise CommandError(f"say on which host: {hosts}")
        raise CommandError(f"{domain} has no such command; these hosts have: {hosts}")
