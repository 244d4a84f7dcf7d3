"""What a plugin sees of the server: its virtual host.

Each plugin gets a `Host` of its own. What it acquires through it (routes,
handlers, timers, greenlets, services) is written to a ledger in its name and
taken back when it stops, so a plugin has nothing to undo.

Sessions and streams are in `stonechat.session`, accounts in `stonechat.accounts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from stonechat.accounts import Accounts
from stonechat.commands import CommandError
from stonechat.errors import StanzaError
from stonechat.iq import Component, Discipline, IqHandler
from stonechat.jid import JID
from stonechat.session import Session
from stonechat.stanza import Iq, Message, Stanza
from stonechat.storage import Storage
from stonechat.streams import Stream, StreamHandler

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.commands import Command
    from stonechat.examination import Finding
    from stonechat.federation import Pair, ServerStream

__all__ = ["Figures", "Gate", "Host", "Timer"]

T = TypeVar("T")


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Do not call; without effect once it was called."""


class Gate(Protocol):
    """Where messages to the host's accounts wait while it is closed; open at first."""

    def close(self) -> None: ...
    def open(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Figures:
    """How many use a host, or all hosts of a node."""

    online: int
    """Accounts with a session."""
    sessions: int
    registered: int | None
    """Accounts; None where a backend cannot say, or not now."""
    uptime: float
    """Seconds since the node was ready."""


class Kernel(Protocol):
    """What the kernel hands in to make `Host` work; not for plugins."""

    @property
    def name(self) -> str: ...
    @property
    def jid(self) -> JID: ...
    @property
    def software_version(self) -> str: ...
    @property
    def data_dir(self) -> Path: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def storage(self) -> Storage: ...

    def route(self, stanza: Stanza) -> None: ...
    def bounce(self, stanza: Stanza, error: StanzaError) -> None: ...
    def ask(self, iq: Iq, timeout: float) -> Iq: ...
    def redeliver(self, message: Message) -> None: ...
    def session(self, jid: JID) -> Session | None: ...
    def sessions(self, localpart: str) -> tuple[Session, ...]: ...
    def all_sessions(self) -> Iterable[Session]: ...
    def may_see_presence(self, account: JID, watcher: JID) -> bool: ...
    def collect(self, hook: str, arguments: dict[str, Any]) -> list[Any]: ...
    @property
    def plugins_version(self) -> int: ...
    def first(self, hook: str, arguments: dict[str, Any]) -> Any: ...
    def notify(self, hook: str, arguments: dict[str, Any]) -> None: ...
    def allows(self, rule: str, jid: JID | None, address: str | None) -> bool: ...
    def has_hook(self, hook: str) -> bool: ...
    def commands(self, caller: JID | None) -> list[Command]: ...
    def run_command(self, name: str, arguments: dict[str, Any], caller: JID) -> Any: ...
    def examine_server(self, domain: str) -> list[Finding]: ...
    def figures(self, all_hosts: bool) -> Figures: ...
    def now(self) -> int: ...
    def monotonic(self) -> float: ...
    def run_blocking(self, call: Callable[..., T], *arguments: Any) -> T: ...
    def secret(self, purpose: str) -> bytes: ...
    def node_secret(self, purpose: str) -> bytes: ...
    def serves(self, domain: str) -> bool: ...
    def server_stream(
        self, pair: Pair, seconds: float
    ) -> AbstractContextManager[ServerStream]: ...
    def service(self, name: str) -> Any: ...


class Acquisitions(Protocol):
    """Where what a plugin acquires is written down; not for plugins."""

    def register_route(self, domain: str, handler: Callable[[Stanza], None]) -> None: ...
    def unregister_route(self, domain: str) -> None: ...
    def add_iq_handler(
        self,
        component: Component,
        namespace: str,
        function: IqHandler,
        discipline: Discipline | None,
    ) -> None: ...
    def remove_iq_handler(self, component: Component, namespace: str) -> None: ...
    def spawn(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any: ...
    def call_later(
        self, seconds: float, function: Callable[..., Any], arguments: tuple[Any, ...], every: bool
    ) -> Timer: ...
    def provide(self, name: str, service: Any) -> None: ...
    def accept_streams(self, domain: str, accept: Callable[[Stream], StreamHandler]) -> None: ...
    def message_gate(self, wait: Callable[[Message], None]) -> Gate: ...


class Host:
    """A virtual host, as one plugin sees it."""

    def __init__(
        self, kernel: Kernel, ledger: Acquisitions, plugin_name: str, log: FilteringBoundLogger
    ) -> None:
        self._kernel = kernel
        self._ledger = ledger
        self.plugin_name = plugin_name
        self.log = log
        """A structured logger that names the host and the plugin in every line."""

    def __repr__(self) -> str:
        return f"<Host {self.name} for {self.plugin_name}>"

    @property
    def name(self) -> str:
        """The domain, prepared."""
        return self._kernel.name

    @property
    def jid(self) -> JID:
        """The domain as a JID."""
        return self._kernel.jid

    @property
    def software_version(self) -> str:
        return self._kernel.software_version

    @property
    def data_dir(self) -> Path:
        """A directory for this plugin's files; made when first asked for."""
        path = self._kernel.data_dir / self.plugin_name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def accounts(self) -> Accounts:
        return self._kernel.accounts

    @property
    def storage(self) -> Storage:
        return self._kernel.storage

    # Stanzas

    def route(self, stanza: Stanza) -> None:
        """Send a stanza on its way; `to` and `from_` must be set.

        What cannot be delivered is answered to its sender. May block where a
        hook on the way does.
        """
        self._kernel.route(stanza)

    def bounce(self, stanza: Stanza, error: StanzaError) -> None:
        """Answer a stanza with an error; errors and results are never answered."""
        self._kernel.bounce(stanza, error)

    def ask(self, iq: Iq, timeout: float = 30.0) -> Iq:
        """Send a request from the host or one of its accounts and wait for the result.

        Its `id` is given by the kernel. Raises the StanzaError that came
        back, or remote-server-timeout after `timeout` seconds.
        """
        return self._kernel.ask(iq, timeout)

    def redeliver(self, message: Message) -> None:
        """Deliver a message once more that a session did not handle, to the account's others.

        As to the bare JID, but past `stonechat_message_to_user`, which it has been
        through; what finds no session is undelivered. Raises StanzaError.
        """
        self._kernel.redeliver(message)

    # Sessions and accounts

    def session(self, jid: JID) -> Session | None:
        """The session of a full JID, if it is connected."""
        return self._kernel.session(jid)

    def sessions(self, localpart: str) -> tuple[Session, ...]:
        """All sessions of an account, available or not."""
        return self._kernel.sessions(localpart)

    def all_sessions(self) -> Iterable[Session]:
        """Every session of the host; the set may change while you look."""
        return self._kernel.all_sessions()

    def may_see_presence(self, account: JID, watcher: JID) -> bool:
        """Whether a watcher may know of an account's presence and activity (RFC 6121, 4.3.2).

        To a watcher who may not, an account looks as if it did not exist.
        """
        return self._kernel.may_see_presence(account, watcher)

    def existing_account(self, jid: JID) -> str:
        """For commands: the localpart of a JID that names an account of this host.

        A resource is not looked at. CommandError item-not-found for an address of another
        domain, for one without a localpart, and where there is no such account. It asks
        `accounts`, and may block and raise as that does.
        """
        localpart = jid.localpart
        if jid.domain != self.name or not localpart or not self.accounts.exists(localpart):
            raise CommandError(f"There is no account {jid.bare}.", "item-not-found")
        return localpart

    # Hooks and services

    def collect(self, hook: str, **arguments: Any) -> list[Any]:
        """The answers of all plugins to a collecting hook."""
        return self._kernel.collect(hook, arguments)

    @property
    def plugins_version(self) -> int:
        """Another number whenever plugins come or go; what was collected before is stale."""
        return self._kernel.plugins_version

    def first(self, hook: str, **arguments: Any) -> Any:
        """The first answer to a hook of that kind, or None."""
        return self._kernel.first(hook, arguments)

    def notify(self, hook: str, **arguments: Any) -> None:
        """Tell all plugins."""
        self._kernel.notify(hook, arguments)

    def has_hook(self, hook: str) -> bool:
        """Whether any plugin implements a hook: saves the work of asking often in vain."""
        return self._kernel.has_hook(hook)

    def provide(self, name: str, service: Any) -> None:
        """Offer an object to other plugins under a name; ValueError if it is taken."""
        self._ledger.provide(name, service)

    def service(self, name: str) -> Any:
        """What another plugin provides under that name, or None."""
        return self._kernel.service(name)

    # Routes and handlers

    def register_route(self, domain: str, handler: Callable[[Stanza], None]) -> None:
        """Get every stanza for a domain; ValueError if somebody answers for it already.

        The handler may block, and may raise StanzaError to answer.
        """
        self._ledger.register_route(domain, handler)

    def unregister_route(self, domain: str) -> None:
        """Give a domain back; KeyError if it is not this plugin's."""
        self._ledger.unregister_route(domain)

    def accept_streams(self, domain: str, accept: Callable[[Stream], StreamHandler]) -> None:
        """Take the streams that external components open to a domain (`stonechat.streams`).

        `accept` is called once our header is sent; it may raise StreamError to refuse. For
        stanzas to the domain, register a route. ValueError if another takes its streams
        already. When the plugin stops, its streams end.
        """
        self._ledger.accept_streams(domain, accept)

    def add_iq_handler(
        self,
        component: Component,
        namespace: str,
        function: IqHandler,
        discipline: Discipline | None = None,
    ) -> None:
        """See `stonechat.iq.add_iq_handler`."""
        self._ledger.add_iq_handler(component, namespace, function, discipline)

    def remove_iq_handler(self, component: Component, namespace: str) -> None:
        """See `stonechat.iq.remove_iq_handler`."""
        self._ledger.remove_iq_handler(component, namespace)

    # Other servers

    def serves(self, domain: str) -> bool:
        """Whether a domain, prepared, is one of ours: a host's, or one that a plugin has."""
        return self._kernel.serves(domain)

    def server_stream(
        self, pair: Pair, timeout: float = 30.0
    ) -> AbstractContextManager[ServerStream]:
        """A stream of ours to a remote domain's server, for the time of a `with`.

        For what can be asked before anything is proven: the peer's features are known, TLS
        is settled as the configuration wants it for that domain. Where a stream carries
        stanzas to the domain it is that one; else one that carries none, and that ends with
        the last of those who use it: there is one for all of them. Answers come to this
        plugin's `stonechat_server_stream_elements`.

        To enter blocks for `timeout` seconds at most, and raises StanzaError:
        remote-server-not-found, remote-server-timeout, not-allowed for a domain that is not
        to be spoken to or is ours, resource-constraint.
        """
        return self._kernel.server_stream(pair, timeout)

    # Commands

    def commands(self, caller: JID | None = None) -> list[Command]:
        """The administrative commands that can be given on this host, by name.

        With a caller, those that their access rules let them give. Left out are those that
        are about files of the machine.
        """
        return self._kernel.commands(caller)

    def run_command(self, name: str, caller: JID, /, **arguments: Any) -> Any:
        """Carry a command out for somebody; see `stonechat.commands` for its result.

        Without a host among the arguments it is for this one. CommandError for what the
        caller can mend, StanzaError forbidden where an access rule does not let them, and
        another where it failed. It is logged, but for secrets and texts.
        """
        return self._kernel.run_command(name, arguments, caller)

    def examine_server(self, domain: str) -> list[Finding]:
        """Find out why another domain's server can be spoken to, or not: DNS, TLS, proofs.

        It may be a domain of ours, which is then seen as others see it. Streams in service
        are left alone. Blocks, for half a minute at most. CommandError for what is no domain,
        and while too many are being examined.
        """
        return self._kernel.examine_server(domain)

    def figures(self, *, all_hosts: bool = False) -> Figures:
        """How many use this host now, or all hosts of the node together. May block."""
        return self._kernel.figures(all_hosts)

    # Time and work

    def now(self) -> int:
        """The time: microseconds since the epoch, UTC. It never goes back while we run."""
        return self._kernel.now()

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps, for measuring how long something takes."""
        return self._kernel.monotonic()

    def spawn(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function in a greenlet; its exception is logged. It ends with the plugin."""
        return self._ledger.spawn(function, arguments)

    def call_later(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> Timer:
        """Call a function once, in a greenlet of its own; it may block."""
        return self._ledger.call_later(seconds, function, arguments, every=False)

    def call_every(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> Timer:
        """Call a function again and again; the next one waits until the last is done."""
        return self._ledger.call_later(seconds, function, arguments, every=True)

    def run_blocking(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run what blocks a thread (C libraries, files) in the pool, and wait for it."""
        return self._kernel.run_blocking(call, *arguments)

    def message_gate(self, wait: Callable[[Message], None]) -> Gate:
        """A gate for messages to accounts: what comes now must not overtake what came before.

        While it is closed, `wait` is called with each of them but errors, before any filter
        is, and may block and refuse as one; open, it costs a message nothing. What is
        delivered again by `redeliver` goes past it. It is gone when the plugin stops.
        """
        return self._ledger.message_gate(wait)

    # Policy

    def secret(self, purpose: str, *, of_all_hosts: bool = False) -> bytes:
        """32 octets that nobody can guess, for one purpose of this plugin on this host.

        The same after a restart and on every node of a cluster; `of_all_hosts` the same on
        all hosts, too. They are not in the database: what is stolen there opens nothing
        that is made with them.
        """
        make = self._kernel.node_secret if of_all_hosts else self._kernel.secret
        return make(f"{self.plugin_name}\0{purpose}")

    def allows(self, rule: str, jid: JID | None = None, address: str | None = None) -> bool:
        """Whether an access rule of the configuration lets this JID or address in.

        The full JID of a session of this host stands for the address that it connects from,
        too. A rule that the configuration does not name lets nobody in.
        """
        return self._kernel.allows(rule, jid, address)
