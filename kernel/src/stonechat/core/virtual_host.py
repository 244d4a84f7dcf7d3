"""A virtual host: one domain with plugins, accounts, access rules and data of its own."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stonechat import __version__
from stonechat.core.access import AccessRules
from stonechat.core.accounts import HostAccounts
from stonechat.core.chains import Call, Hooks
from stonechat.core.figures import count_users
from stonechat.core.iq_dispatcher import IqTable
from stonechat.core.local_router import LocalRouter
from stonechat.core.requests import Requests
from stonechat.core.session_manager import SessionManager
from stonechat.errors import StanzaError
from stonechat.iq import Component
from stonechat.jid import JID
from stonechat.session import Session
from stonechat.stanza import Iq, Message, Stanza
from stonechat.storage import Storage
from stonechat.xml import Element

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.cluster import Cluster
    from stonechat.commands import Command
    from stonechat.core.component_stream import Acceptance
    from stonechat.core.examiner import Examiner
    from stonechat.core.host_commands import HostCommands
    from stonechat.core.plugin_manager import HostPlugins
    from stonechat.core.router import Router
    from stonechat.core.s2s_manager import S2SManager
    from stonechat.examination import Finding
    from stonechat.federation import Pair, ServerStream
    from stonechat.host import Figures
    from stonechat.net.timers import TimerWheel
    from stonechat.sasl import CredentialLookup, Mechanism
    from stonechat.session import UnboundStream

T = TypeVar("T")


class VirtualHost:
    """One domain at work: a `stonechat.host.Kernel` for its plugins."""

    software_version = __version__

    def __init__(
        self,
        name: str,
        *,
        router: Router,
        s2s: S2SManager,
        cluster: Cluster,
        storage: Storage,
        timers: TimerWheel,
        data_dir: Path,
        access: AccessRules,
        language: str,
        now: Callable[[], int],
        monotonic: Callable[[], float],
        run_blocking: Callable[..., Any],
        secret: bytes,
        log: FilteringBoundLogger,
        hosts: Mapping[str, VirtualHost],
        uptime: Callable[[], float],
    ) -> None:
        self.name = name
        self.jid = JID.parse(name)
        self.router = router
        self.s2s = s2s
        self.cluster = cluster
        self.storage = storage
        self.timers = timers
        self.data_dir = data_dir
        self.access = access
        self.language = language
        self.now = now
        self.monotonic = monotonic
        self.run_blocking = run_blocking
        self._secret = secret
        self.log = log
        self.hosts = hosts
        """All of the node; this one is among them once it is up."""
        self.uptime = uptime
        self.services: dict[str, Any] = {}
        # Components' streams, by the domain that they are to.
        self.stream_acceptances: dict[str, Acceptance] = {}
        self.hooks = Hooks(self._hook_failed)
        self.session_manager = SessionManager(self)
        self.requests = Requests(router, timers)
        self.local_iq = IqTable(self, "local")
        self.account_iq = IqTable(self, "sm")
        self.local_router = LocalRouter(self)
        # Before authentication: the plugin that answers a pair, and with what.
        self.unauthenticated_iq: dict[
            tuple[str, str], tuple[str, Callable[[UnboundStream, Iq], Element | None]]
        ] = {}
        # Elements that are no stanzas, by (namespace, name): the plugin that handles one.
        self.unbound_elements: dict[
            tuple[str, str], tuple[str, Callable[[UnboundStream, Element], None]]
        ] = {}
        self.session_elements: dict[
            tuple[str, str], tuple[str, Callable[[Session, Element], None]]
        ] = {}
        self.server_elements: dict[
            tuple[str, str], tuple[str, Callable[[ServerStream, Element], None]]
        ] = {}
        # Mechanisms besides the kernel's, by name, and whose they are.
        self.sasl_mechanisms: dict[
            str, tuple[str, Callable[[UnboundStream, CredentialLookup], Mechanism]]
        ] = {}
        self.feature_makers: tuple[tuple[str, Callable[[UnboundStream], Element | None]], ...] = ()
        self.server_feature_makers: tuple[
            tuple[str, Callable[[ServerStream], Element | None]], ...
        ] = ()
        # Since the start, for the metrics.
        self.logins = 0
        self.login_failures = 0
        # Set right after: they need the host, and it needs them.
        self.accounts: HostAccounts
        self.plugins: HostPlugins
        self.host_commands: HostCommands
        self.examiner: Examiner

    def iq_table(self, component: Component) -> IqTable:
        for table in (self.local_iq, self.account_iq):
            if table.component == component:
                return table
        raise ValueError(f"a component is local or sm, not {component!r}")

    # What `stonechat.host.Host` hands on

    def route(self, stanza: Stanza) -> None:
        self.router.route(stanza)

    def bounce(self, stanza: Stanza, error: StanzaError) -> None:
        self.router.bounce(stanza, error)

    def ask(self, iq: Iq, timeout: float) -> Iq:
        return self.requests.ask(iq, timeout)

    def redeliver(self, message: Message) -> None:
        self.session_manager.redeliver(message)

    def session(self, jid: JID) -> Session | None:
        return self.session_manager.session(jid) if jid.domain == self.name else None

    def sessions(self, localpart: str) -> tuple[Session, ...]:
        return self.session_manager.sessions(localpart)

    def all_sessions(self) -> Iterable[Session]:
        return iter(self.session_manager)

    def may_see_presence(self, account: JID, watcher: JID) -> bool:
        account, watcher = account.bare, watcher.bare
        if account == watcher:
            return True
        answer = self.first("stonechat_may_see_presence", {"account": account, "watcher": watcher})
        return answer is True

    def collect(self, hook: str, arguments: dict[str, Any]) -> list[Any]:
        return [answer for _, answer in self.hooks.collect(hook, arguments)]

    @property
    def plugins_version(self) -> int:
        return self.hooks.version

    def first(self, hook: str, arguments: dict[str, Any]) -> Any:
        return self.hooks.first(hook, arguments)

    def notify(self, hook: str, arguments: dict[str, Any]) -> None:
        self.hooks.notify(hook, arguments)

    def has_hook(self, hook: str) -> bool:
        return self.hooks.has(hook)

    def allows(self, rule: str, jid: JID | None, address: str | None) -> bool:
        if address is None and jid is not None and (session := self.session(jid)) is not None:
            address = session.address
        return self.access.allows(rule, jid, address)

    def commands(self, caller: JID | None) -> list[Command]:
        return self.host_commands.commands(caller)

    def run_command(self, name: str, arguments: Mapping[str, Any], caller: JID) -> Any:
        return self.host_commands.run(name, arguments, caller)

    def examine_server(self, domain: str) -> list[Finding]:
        return self.examiner.examine(self, domain)

    def figures(self, all_hosts: bool) -> Figures:
        return count_users(self.hosts.values() if all_hosts else [self], self.uptime())

    def secret(self, purpose: str) -> bytes:
        return hmac.digest(self._secret, f"{self.name}\0{purpose}".encode(), "sha256")

    def node_secret(self, purpose: str) -> bytes:
        # No host has an empty name.
        return hmac.digest(self._secret, f"\0{purpose}".encode(), "sha256")

    def serves(self, domain: str) -> bool:
        return self.router.host_of(domain) is not None

    def server_stream(self, pair: Pair, seconds: float) -> AbstractContextManager[ServerStream]:
        return self.s2s.server_stream(self, pair, seconds)

    def service(self, name: str) -> Any:
        return self.services.get(name)

    # Faults of plugins

    def _hook_failed(self, call: Call, error: BaseException, stanza: Stanza | None) -> None:
        self.plugin_failed(call.plugin, call.hook, error, stanza)

    def plugin_failed(
        self, plugin: str, where: str, error: BaseException, stanza: Stanza | None
    ) -> None:
        """Log and count what went wrong in a plugin; too much of it suspends the plugin."""
        self.log.error(
            "plugin failed",
            plugin=plugin,
            where=where,
            stanza=stanza.summary() if stanza is not None else None,
            exc_info=error,
        )
        # Auth backends are at work before there are plugins to count for.
        if hasattr(self, "plugins"):
            self.plugins.count_failure(plugin)
