"""What a plugin sees of the server: its virtual host, and the sessions on it.

Each plugin gets a `Host` of its own. What it acquires through it (routes,
handlers, timers, greenlets, services) is written to a ledger in its name and
taken back when it stops, so a plugin has nothing to undo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from stonechat.errors import StanzaError, StreamError
from stonechat.iq import Component, Discipline, IqHandler
from stonechat.jid import JID
from stonechat.stanza import Iq, Presence, Stanza
from stonechat.storage import Storage

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

T = TypeVar("T")


class Session(Protocol):
    """A bound resource: one client that is connected to this host.

    `presence` is the available presence it last broadcast, or None; only then
    is it *available*, and `priority` counts. `data` is for plugins to keep
    what belongs to the session, each under its own name; it ends with it.
    """

    @property
    def jid(self) -> JID: ...
    @property
    def presence(self) -> Presence | None: ...
    @property
    def priority(self) -> int: ...
    @property
    def address(self) -> str:
        """The IP address that the client connects from."""

    @property
    def is_secure(self) -> bool:
        """Whether the stream is encrypted."""

    @property
    def is_open(self) -> bool:
        """Whether stanzas can still be sent to it."""

    @property
    def takes_messages(self) -> bool:
        """False while the client reads too slowly: send it nothing that can wait."""

    @property
    def unsent(self) -> int:
        """Octets that wait to be sent; they are lost if the client or the process goes.

        What was queued counts at once, and leaves soon after; 0 when the session is closed.
        """

    @property
    def connected_at(self) -> int:
        """When it was bound: microseconds since the epoch."""

    @property
    def idle_seconds(self) -> float:
        """Seconds since anything came from the client."""

    @property
    def data(self) -> dict[str, Any]: ...
    def send(self, stanza: Stanza) -> None:
        """Queue a stanza for the client; never blocks. Dropped if the session is closed."""

    def close(self, error: StreamError | None = None) -> None:
        """End the stream; its presence and its resource are cleared up soon after."""


class UnboundStream(Protocol):
    """A client's stream that has no session yet."""

    @property
    def address(self) -> str: ...
    @property
    def is_secure(self) -> bool: ...
    @property
    def is_authenticated(self) -> bool: ...
    @property
    def lang(self) -> str:
        """`xml:lang` of the client's stream header, or `""`."""


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Do not call; without effect once it was called."""


class Accounts(Protocol):
    """The accounts of a host, over all its authentication backends, in their order.

    Localparts are prepared ones, as in a JID. All may block, and raise
    AuthUnavailable when no backend can answer.
    """

    def exists(self, localpart: str) -> bool: ...
    def check_password(self, localpart: str, password: str) -> bool: ...
    def create(self, localpart: str, password: str) -> None:
        """AccountExists if it does; Unsupported if no backend creates accounts."""

    def remove(self, localpart: str) -> None:
        """Close the account's sessions, remove it and tell all plugins; AccountNotFound."""

    def set_password(self, localpart: str, password: str) -> None:
        """AccountNotFound; Unsupported."""

    def __iter__(self) -> Iterator[str]:
        """All localparts that the backends can list, sorted for each backend."""

    def count(self) -> int: ...


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
    def now(self) -> int: ...
    def monotonic(self) -> float: ...
    def run_blocking(self, call: Callable[..., T], *arguments: Any) -> T: ...
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

    # Policy

    def allows(self, rule: str, jid: JID | None = None, address: str | None = None) -> bool:
        """Whether an access rule of the configuration lets this JID or address in.

        A rule that the configuration does not name lets nobody in.
        """
        return self._kernel.allows(rule, jid, address)
