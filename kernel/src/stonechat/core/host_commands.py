"""The commands as one host's faces offer them: who may give which, and what is logged.

Ad-hoc commands, the REST endpoint and the web administration all come through here, so
that there is one answer to who may do what. A command needs its access rule

- on the host whose face is used,
- on every host that it acts on, by each host's own rules, and
- on the node, as the top of the configuration has it, if it acts on more than hosts.

So a rule of one host lets nobody act on another, however the command is put.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stonechat.auth import Secret
from stonechat.commands import Command, CommandError, Parameter, Text
from stonechat.core.access import AccessRules
from stonechat.core.chains import FAULTS
from stonechat.core.command_registry import Call, CommandRegistry, Offer
from stonechat.errors import StanzaError, StorageError
from stonechat.jid import JID
from stonechat.storage import StorageFull

if TYPE_CHECKING:
    from stonechat.core.virtual_host import VirtualHost

# Of a value in the log.
_LONGEST_SHOWN = 200


class HostCommands:
    """What can be given at one host; `node_rules` are those of the node."""

    def __init__(
        self,
        host: VirtualHost,
        registry: CommandRegistry,
        node_rules: Callable[[], AccessRules],
    ) -> None:
        self._host = host
        self._registry = registry
        self._hosts = host.hosts
        self._node_rules = node_rules

    def commands(self, caller: JID | None = None) -> list[Command]:
        """What can be given here, by name; with a caller, what they may give.

        Those of plugins that other hosts have, too, have a parameter `host`.
        """
        address = self._address_of(caller)
        return [
            self._with_host(offer)
            for offer in self._offers()
            if caller is None
            or all(
                rules.allows(offer.command.permission, caller, address)
                for rules in self._rules_for(offer)
            )
        ]

    def run(self, name: str, arguments: Mapping[str, Any], caller: JID) -> Any:
        """Carry a command out for somebody; see `Host.run_command`."""
        outcome = {"outcome": "failed"}
        call: Call | None = None
        try:
            offer = self._offered(name, caller)
            call = self._registry.prepare(name, arguments, home=self._host.name)
            self._check(call, offer.command, caller)
            result = call.carry_out(self._run_one)
            outcome = {"outcome": "done"}
            return result
        except CommandError as error:
            outcome = {"outcome": "refused", "reason": str(error)}
            raise
        except StanzaError as error:
            outcome = {"outcome": "refused", "reason": error.condition}
            raise
        finally:
            self._host.log.info(
                "command",
                command=name[:_LONGEST_SHOWN],
                caller=caller.text,
                arguments=dict(_shown(call)),
                **outcome,
            )

    def _run_one(self, offer: Offer, values: Mapping[str, Any]) -> Any:
        name = offer.command.name
        try:
            return offer.function(**values)
        except (CommandError, StanzaError):
            raise
        except StorageError as error:
            self._host.log.error("a command failed", command=name, reason=str(error))
            full = isinstance(error, StorageFull)
            raise StanzaError(
                "resource-constraint" if full else "internal-server-error", type="wait"
            ) from error
        except FAULTS as error:
            # The plugin's whose command it is, and not the one's that we were asked through.
            host = self._hosts.get(offer.host, self._host)
            if offer.plugin:
                host.plugin_failed(offer.plugin, f"command {name}", error, None)
            else:
                host.log.error("a command failed", command=name, exc_info=error)
            raise StanzaError(
                "internal-server-error", f"{name} failed inside the server; its log says how."
            ) from error

    # Who may

    def _offers(self) -> list[Offer]:
        # A path is for whoever is at the machine anyhow.
        return [
            offer
            for offer in self._registry.offers_at(self._host.name)
            if not (offer.command.has("path") or offer.command.local)
        ]

    def _rules_for(self, offer: Offer) -> Iterator[AccessRules]:
        """The rules that let anybody give a command here at all."""
        yield self._host.access
        if _is_of_node(offer.command, offer.host):
            yield self._node_rules()

    def _offered(self, name: str, caller: JID) -> Offer:
        """The command of that name, if they may give it here at all."""
        for offer in self._offers():
            if offer.command.name == name:
                address = self._address_of(caller)
                for rules in self._rules_for(offer):
                    _require(rules, offer.command, caller, address)
                return offer
        raise CommandError(f"there is no command {name!r} here", "item-not-found")

    def _check(self, call: Call, command: Command, caller: JID) -> None:
        """Whether they may do so on all that it acts on; StanzaError forbidden."""
        address = self._address_of(caller)
        domains = call.domains
        if call.everywhere and not call.offers[0].host:
            # Of the kernel's, one about all hosts.
            _require(self._node_rules(), command, caller, address)
            domains = frozenset(self._hosts)
        # Each host's own plugin may want another rule.
        commands = {offer.host: offer.command for offer in call.offers}
        for domain in sorted(domains):
            host = self._host if domain == self._host.name else self._hosts.get(domain)
            if host is None:
                raise CommandError(f"{domain} is not served here", "item-not-found")
            _require(host.access, commands.get(domain, command), caller, address)

    def _address_of(self, caller: JID | None) -> str | None:
        """Where a client of ours connects from; None for all others."""
        if caller is None or not caller.resource:
            return None
        host = self._host if caller.domain == self._host.name else self._hosts.get(caller.domain)
        session = None if host is None else host.session(caller)
        return None if session is None else session.address

    def _with_host(self, offer: Offer) -> Command:
        command = offer.command
        if (
            not offer.host
            or command.has("host")
            or any(parameter.type is JID for parameter in command.parameters)
            or len(self._registry.hosts_of(command.name)) < 2
        ):
            return command
        host = Parameter("host", str, self._host.name)
        return replace(command, parameters=(*command.parameters, host))


def _is_of_node(command: Command, host: str) -> bool:
    """Whether it acts on more than the hosts that are named when it is given."""
    if command.whole_node:
        return True
    return not host and not any(
        parameter.name == "host" or parameter.type is JID for parameter in command.parameters
    )


def _require(rules: AccessRules, command: Command, caller: JID, address: str | None) -> None:
    if not rules.allows(command.permission, caller, address):
        raise StanzaError("forbidden", "An access rule of the server does not let you do this.")


def _shown(call: Call | None) -> Iterator[tuple[str, Any]]:
    """The arguments for the log: no secrets, and nothing that was written for people."""
    for name, value in () if call is None else call.values.items():
        if not isinstance(value, Secret | Text):
            yield name, value if isinstance(value, int) else str(value)[:_LONGEST_SHOWN]
