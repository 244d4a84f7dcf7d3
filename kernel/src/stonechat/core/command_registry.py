"""All commands of the node: declared once, found by every face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stonechat.commands import ALL_HOSTS, Command, CommandError, commands_of
from stonechat.errors import JIDError, StanzaError, StonechatError
from stonechat.jid import JID, prepare_domain


@dataclass(frozen=True, slots=True)
class Offer:
    """A command, and the function that carries it out on one host (or on the node)."""

    command: Command
    function: Callable[..., Any]
    host: str
    plugin: str
    owner: object


@dataclass(frozen=True, slots=True)
class Call:
    """A command with its arguments, and who is to carry it out.

    `everywhere` where all hosts were named; `offers` are then those of all hosts.
    """

    command: Command
    offers: tuple[Offer, ...]
    values: Mapping[str, Any]
    everywhere: bool

    @property
    def domains(self) -> frozenset[str]:
        """The domains that it acts on, which need be no hosts of ours; of the node: none."""
        if self.offers[0].host:
            return frozenset(offer.host for offer in self.offers)
        # The kernel's own may act on whatever their arguments name.
        named = {value.domain for value in self.values.values() if isinstance(value, JID)}
        if self.values.get("host"):
            named.add(_prepared(self.values["host"]))
        return frozenset(named)

    def carry_out(self, run: Callable[[Offer, Mapping[str, Any]], Any] | None = None) -> Any:
        """Run it; CommandError for what its caller can mend, and whatever `run` raises."""
        run = run or _run
        if not (self.everywhere and self.offers[0].host):
            return run(self.offers[0], self.values)
        results: dict[str, Any] = {}
        faults: dict[str, StonechatError] = {}
        for offer in self.offers:
            values = dict(self.values)
            if offer.command.has("host"):
                values["host"] = offer.host
            try:
                results[offer.host] = run(offer, values)
            except (CommandError, StanzaError) as error:
                # What one host refuses the others may do.
                faults[offer.host] = error
        if not results:
            raise next(iter(faults.values()))
        return results | {host: f"refused: {error}" for host, error in faults.items()}


def _run(offer: Offer, values: Mapping[str, Any]) -> Any:
    return offer.function(**values)


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

    def offers_at(self, host: str) -> list[Offer]:
        """What can be given at a host, by name: the kernel's commands, and its plugins'."""
        return [
            offer
            for _, offers in sorted(self._offers.items())
            for offer in offers
            if offer.host in ("", host)
        ]

    def run(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Carry a command out; CommandError for what its caller can mend."""
        return self.prepare(name, arguments).carry_out()

    def prepare(self, name: str, arguments: Mapping[str, Any], home: str = "") -> Call:
        """Read the arguments, and find the host; CommandError as above.

        The host is the parameter `host`, or the domain of the first JID given, or `home`,
        or the only one there is.
        """
        offers = self._offers.get(name)
        if offers is None:
            raise CommandError(f"there is no command {name!r}")
        command = offers[0].command
        given = dict(arguments)
        host: Any = ""
        if offers[0].host and not command.has("host"):
            host = given.pop("host", "")
        values = command.read(given)
        host = str(host or values.get("host", ""))
        jids = [value for value in values.values() if isinstance(value, JID)]
        if not host:
            # The kernel's own look into their addresses themselves.
            host = jids[0].domain if jids and offers[0].host else home
            if home and command.has("host"):
                values["host"] = host
        if host == ALL_HOSTS:
            if jids:
                raise CommandError("an address is on one host only")
            if not offers[0].host:
                # Without a host, theirs are about all that there are.
                values["host"] = ""
            return Call(command, tuple(offers), values, everywhere=True)
        return Call(command, (_chosen(offers, host, home),), values, everywhere=False)


def _chosen(offers: list[Offer], host: str, home: str) -> Offer:
    if not offers[0].host or (not host and len(offers) == 1):
        return offers[0]
    hosts = ", ".join(offer.host for offer in offers)
    if not host:
        raise CommandError(f"say on which host: {hosts}")
    domain = _prepared(host)
    for offer in offers:
        if offer.host == domain:
            return offer
    # Who comes through one host need not hear which others there are.
    hint = "" if home else f"; these hosts have: {hosts}"
    raise CommandError(f"{domain} has no such command{hint}", "item-not-found")


def _prepared(host: str) -> str:
    try:
        return prepare_domain(host)
    except JIDError as error:
        raise CommandError(f"host: {error}") from None
