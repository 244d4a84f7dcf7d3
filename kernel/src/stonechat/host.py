"""What a plugin sees of the server: its virtual host, and the sessions on it.

Each plugin gets a `Host` of its own. What it acquires through it (routes,
handlers, timers, greenlets, services) is written to a ledger in its name and
taken back when it stops, so a plugin has nothing to undo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from stonechat.errors import SaslFailure, StanzaError, StreamError
from stonechat.iq import Component, Discipline, IqHandler
from stonechat.jid import JID
from stonechat.sasl import SaslEvent
from stonechat.stanza import Element, Iq, Message, Presence, Stanza
from stonechat.storage import Storage
from stonechat.streams import Stream, StreamHandler

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.auth import ScramCredentials
    from stonechat.commands import Command

T = TypeVar("T")
Target = TypeVar("Target")


class Outlet(Protocol):
    """A plugin's place between the server and one client (`Session.add_outlet`).

    What the server sends to the session comes to `send`, which passes it on by
    `self.next`, now, later, or not at all. `send` never blocks.
    """

    next: Callable[[Stanza], None]
    """The next outlet, or the wire; set when the outlet is added."""

    def send(self, stanza: Stanza) -> None: ...

    @property
    def unsent(self) -> int:
        """Octets of stanzas that this outlet holds back."""

    @property
    def takes_messages(self) -> bool:
        """False to have messages kept elsewhere for the time being."""


class Inlet(Protocol):
    """Told of each stanza that a client sends (`Session.inlet`)."""

    def handling(self, stanza: Stanza) -> None:
        """A stanza is about to be handled; may give it a custody (`stonechat.custody`)."""

    def handled(self, stanza: Stanza) -> None:
        """It was handled, or refused: it will not be looked at again here."""


class Session(Protocol):
    """A bound resource: one client that is connected to this host.

    `presence` is the available presence it last broadcast, or None; only then
    is it *available*, and `priority` counts. `data` is for plugins to keep
    what belongs to the session, each under its own name; it ends with it.
    """

    inlet: Inlet | None
    """Who counts what the client sends; one plugin's, or None."""

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
        """Whether stanzas can still be sent to it; so it is while it is detached."""

    @property
    def is_connected(self) -> bool:
        """False once its connection was lost and before another resumes it (XEP-0198)."""

    @property
    def ended_by(self) -> str:
        """The condition of the stream error that ended it, `connection-lost`, or `""`."""

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

    def write(self, octets: bytes) -> None:
        """Queue octets past all outlets: an element that is no stanza.

        Dropped if the session is closed or not connected.
        """

    def add_outlet(self, outlet: Outlet, *, nearest: bool = False) -> None:
        """Put an outlet in front of those that are there, or, as `nearest`, next to the wire.

        There is one nearest at most; ValueError for another.
        """

    def remove_outlet(self, outlet: Outlet) -> None:
        """Take an outlet away; what it holds is its own to pass on before."""

    def receive(self, stanza: Stanza) -> None:
        """Handle a stanza as if the client had just sent it. May block."""

    def disconnect(self, reason: str) -> None:
        """Give the connection up, as one that was lost."""

    def close(self, error: StreamError | None = None) -> None:
        """End the stream; its presence and its resource are cleared up soon after."""


class UnboundStream(Protocol):
    """A client's stream that has no session yet.

    Who handles an element of it may authenticate, bind and answer in one go: whatever the
    handler itself sends leaves before anything that others send to the new session.
    """

    exclusive: str
    """A namespace: while it is set, anything else from the client ends the stream."""

    @property
    def address(self) -> str: ...
    @property
    def is_secure(self) -> bool: ...
    @property
    def is_authenticated(self) -> bool: ...
    @property
    def is_bound(self) -> bool:
        """Whether a session has taken the stream over."""

    @property
    def account(self) -> JID | None:
        """The bare JID that was authenticated."""

    @property
    def claimed(self) -> JID | None:
        """The bare JID that the client's stream header is from; nothing proves it."""

    @property
    def lang(self) -> str:
        """`xml:lang` of the client's stream header, or `""`."""

    @property
    def data(self) -> dict[str, Any]:
        """For plugins to keep what belongs to the stream, each under its own name.

        A session that is bound takes it over into its own.
        """

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms offered, the strongest first; none once authenticated."""

    @property
    def channel_bindings(self) -> Mapping[str, bytes]:
        """What TLS gives to bind to, by the type's name (`"tls-exporter"`, RFC 9266)."""

    def send(self, element: Element) -> None:
        """Queue an element for the client; never blocks."""

    def send_features(self) -> None:
        """Send the features that hold now, as XEP-0388 does after a success."""

    def authenticate(self, mechanism: str, text: str, *, provisional: bool = False) -> SaslEvent:
        """Begin an attempt, with the initial response in base64. May block.

        `""` stands for no response, `"="` for an empty one. The mechanism is one of
        `mechanisms`, or of a plugin's (`stonechat_sasl_mechanisms`). A success is in
        force when this returns: the stream is authenticated and not restarted. If it is
        `provisional` it waits for `admit`, or `refuse`. A failure is logged and counted;
        after the last one (`is_last`) the caller ends the stream. An account that is not
        the one `claimed` is refused. StreamError where the stream has ended meanwhile.
        """

    def respond(self, text: str) -> SaslEvent:
        """Go on with the attempt, with a response in base64; otherwise as above."""

    def abort(self) -> SaslEvent:
        """The client gives the attempt up."""

    def admit(self) -> None:
        """Put a provisional success in force."""

    def refuse(self, failure: SaslFailure) -> SaslEvent:
        """Take a provisional success back; it is counted as a failure."""

    def bind(self, resource: str) -> Session:
        """Make the session of an authenticated stream, `""` for a resource of our choice.

        Plugins are told of it before this returns. StanzaError where that is refused
        (RFC 6120, 7.6.2 and 7.7.2).
        """

    def resume(self, session: Session) -> None:
        """Go on with a session of the same account; its old connection, if any, ends.

        StanzaError item-not-found for another's.
        """

    def close(self, error: StreamError | None = None) -> None:
        """End the stream."""


@dataclass(frozen=True, slots=True)
class InlineFeature(Generic[Target]):
    """Something that a client may ask for inline, while it logs in or binds.

    `offer` makes what is announced to one stream, or returns None to offer nothing.
    `handle` gets the client's element and returns what to put into the answer. It is
    called for an element that was not offered, too, and, where the feature is `always`
    wanted, for one without attributes and children if the client has sent none.
    """

    namespace: str
    name: str
    offer: Callable[[UnboundStream], Element | None]
    handle: Callable[[Target, Element], Element | None]
    always: bool = False


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

    def upgradable_hashes(self) -> tuple[str, ...]:
        """The SCRAM hashes that some accounts lack and can be given, the strongest first."""

    def missing_hashes(self, localpart: str) -> Mapping[str, int]:
        """Those that one account lacks, each with the iterations for it."""

    def add_scram(self, localpart: str, credentials: ScramCredentials) -> None:
        """Keep credentials for a hash that an account lacks; Unsupported."""

    def __iter__(self) -> Iterator[str]:
        """All localparts that the backends can list, sorted for each backend."""

    def count(self) -> int: ...


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
    def figures(self, all_hosts: bool) -> Figures: ...
    def now(self) -> int: ...
    def monotonic(self) -> float: ...
    def run_blocking(self, call: Callable[..., T], *arguments: Any) -> T: ...
    def secret(self, purpose: str) -> bytes: ...
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

    # Policy

    def secret(self, purpose: str) -> bytes:
        """32 octets that nobody can guess, for one purpose of this plugin on this host.

        The same after a restart and on every node of a cluster. They are not in the
        database: what is stolen there opens nothing that is made with them.
        """
        return self._kernel.secret(f"{self.plugin_name}\0{purpose}")

    def allows(self, rule: str, jid: JID | None = None, address: str | None = None) -> bool:
        """Whether an access rule of the configuration lets this JID or address in.

        A rule that the configuration does not name lets nobody in.
        """
        return self._kernel.allows(rule, jid, address)
