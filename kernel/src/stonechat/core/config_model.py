"""The sections of the configuration file and their options.

The reference is made from these declarations, like a plugin's from its own.
What depends on other parts of the file (listeners, plugins, auth backends) has
only its shape here; `stonechat.core.config` looks into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema, model_validator

from stonechat.core.access import AccessRule
from stonechat.errors import JIDError
from stonechat.federation import Trust
from stonechat.jid import prepare_domain
from stonechat.net.dns_servers import name_server
from stonechat.options import (
    REQUIRED,
    ByteSize,
    Duration,
    DurationOrOff,
    ListenerOptions,
    LocalPath,
    Network,
    PluginOptions,
    Rate,
    ReadableFile,
    SecretFile,
    Written,
    option,
)
from stonechat.options.model import ListenAddress

_LANGUAGE = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"


class Section(PluginOptions):
    """A part of the file that the kernel itself knows."""

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, value: object) -> object:
        # `limits:` with all its lines commented out is a key with nothing after it,
        # and means the same as no key.
        if isinstance(value, Mapping):
            return {name: given for name, given in value.items() if given is not None}
        return value


class Certificate(Section):
    """The certificate of a host."""

    chain: ReadableFile = option(
        REQUIRED, "PEM file with the certificate, followed by those of its issuers."
    )
    key: ReadableFile | None = option(
        None, "PEM file with the private key; left out if it is in the file of the chain."
    )


def _text(value: object) -> object:
    # `min_version: 1.2` is a number to YAML.
    return str(value) if isinstance(value, float) else value


class Tls(Section):
    min_version: Annotated[Literal["1.2", "1.3"], BeforeValidator(_text)] = option(
        "1.2", "The oldest version of TLS that is spoken."
    )
    ciphers: str = option(
        "ECDHE+AESGCM:ECDHE+CHACHA20",
        "Ciphers for TLS 1.2, as OpenSSL writes them; those of TLS 1.3 are all good.",
        pattern=r"^[A-Za-z0-9+:!@=_-]+$",
    )
    client_ca: ReadableFile | None = option(
        None, "PEM file with the authorities that vouch for clients' certificates."
    )


class Limits(Section):
    """Bounds that hold on every port unless its listener has its own."""

    # 10 000 is the least that RFC 6120, 13.12 lets a server set.
    stanza_bytes: ByteSize = option("256 KiB", "Size of one stanza.", ge=10_000)
    stanza_bytes_before_auth: ByteSize = option(
        10_000, "Size of one stanza before its sender has logged in.", ge=10_000
    )
    unsent_bytes: ByteSize = option(
        "1 MiB", "What may wait to be sent on one connection before it is given up.", ge=65536
    )
    rate: Rate = option("none", "What one connection may send; past it, it is read slower.")
    connections_per_address: int = option(
        0, "Connections from one address; 0 sets no bound.", ge=0
    )
    connections_per_second_per_address: int = option(
        0,
        "Connections a second from one address, past the first 50; 0 sets no bound.",
        ge=0,
    )
    exempt_networks: tuple[Network, ...] = option(
        (),
        "Networks with no bound on one address, such as a load balancer's; what holds for "
        "all connections together holds for them, too.",
    )
    unauthenticated_per_address: int = option(
        100, "Connections from one address that have not logged in.", ge=1
    )
    unauthenticated_total: int = option(
        5000, "Connections that have not logged in; past it, the oldest goes.", ge=1
    )
    negotiation_timeout: Duration = option(
        "30 s", "From the connection to the end of the login.", ge=1
    )
    handshake_timeout: Duration = option(
        "10 s", "One step of the login or of the TLS handshake.", ge=1
    )
    idle_timeout: DurationOrOff = option(
        "10 min",
        "Silence of a client after which it is sent white space, to see whether it is there.",
    )
    sessions_per_account: int = option(10, "Sessions of one account at a time.", ge=1)
    resource_conflict: Literal["replace", "refuse", "generate"] = option(
        "generate",
        "When a resource is taken: `replace` ends the older session, `refuse` answers with "
        "an error, `generate` gives another resource, but replaces the session if it is the "
        "same client that comes again.",
    )
    auth_failures: int = option(3, "Failed logins before a stream is closed.", ge=1)
    max_hops: int = option(
        20, "How often a stanza may be passed on before it counts as looping.", ge=1
    )
    plugin_errors_per_minute: int = option(
        100, "Errors of a plugin before it is switched off on that host.", ge=1
    )
    shutdown_timeout: Duration = option(
        "10 s", "For sessions to get what waits for them when the server stops."
    )


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = option(
        "info", "The least important kind of event that is written."
    )
    format: Literal["json", "text"] = option("text", "One JSON object a line, or plain text.")
    file: LocalPath | None = option(None, "Where to; standard error if left out.")


class Watchdog(Section):
    """What happens when a plugin keeps the server from doing anything else."""

    block_warning: Duration = option(
        "100 ms", "How long before it is logged, with the place in the code.", gt=0
    )
    block_abort: DurationOrOff = option(
        "off", "How long before the process is ended, for a supervisor to start it again."
    )


class Storage(Section):
    url: str = option(
        "sqlite:///stonechat.db",
        "The database, as SQLAlchemy writes it; the file of SQLite is in `data_dir`.",
        pattern=r"^[a-z0-9+_]+:",
        hidden=True,
    )
    connections: int = option(
        4, "Threads that read the database at the same time; one more writes.", ge=1, le=64
    )
    timeout: Duration = option("5 s", "How long one call may take.", gt=0)
    slow: DurationOrOff = option(
        "1 s", "How long a call may take before it is logged, with the name of its function."
    )
    password_file: SecretFile | None = option(
        None, "A file with the password for the database, which `url` then need not contain."
    )


class Cluster(Section):
    """How nodes find each other; the engine adds its own options."""

    engine: str = option(
        "local", "The plugin that joins nodes, such as `redis`; `local` is one node alone."
    )
    node: str = option(
        "",
        "The name of this node, another on each; made up at the start if empty.",
        pattern=r"^[A-Za-z0-9._-]{0,64}$",
    )


def _remote_domain(value: str) -> str:
    """A domain as addresses spell it; `*.` before one stands for its subdomains."""
    wildcard, domain = ("*.", value[2:]) if value.startswith("*.") else ("", value)
    try:
        return wildcard + prepare_domain(domain)
    except JIDError as error:
        raise ValueError(f"{value!r} is no domain: {error}") from None


def _told_apart(value: object) -> object:
    """Two spellings of a domain are one key: which of them counts nobody could tell."""
    spellings: dict[str, str] = {}
    for name in value if isinstance(value, Mapping) else ():
        try:
            other = spellings.setdefault(_remote_domain(name), name)
        except (ValueError, AttributeError):
            continue  # what is no domain is told where it stands
        if other != name:
            raise ValueError(f"{other} and {name} are the same domain")
    return value


RemoteDomain = Annotated[
    str,
    AfterValidator(_remote_domain),
    WithJsonSchema({"type": "string"}),
    Written("domain, or *. and a domain"),
]


class RemoteDomains(Section):
    """What holds for one remote domain, or for the subdomains of one."""

    trust: Trust | None = option(None, "As `trust`, for these domains.")
    access: Literal["allow", "deny"] | None = option(None, "As `access`, for these domains.")


class HostFederation(Section):
    """Whom a host speaks to; each option of a host takes the place of the global one."""

    enabled: bool | None = option(
        None,
        "Whether stanzas go to other servers and come from them. Left out, they do if there "
        "is a listener of type `s2s`, for without one nobody could answer.",
    )
    trust: Trust = option(
        "require",
        "What other domains have to show for themselves: `require` a certificate that an "
        "authority vouches for, `dialback` that or any certificate and a dialback, `any` a "
        "dialback at least, over streams that need not be encrypted.",
    )
    access: Literal["allow", "deny"] = option(
        "allow", "Whether domains are spoken to that `domains` does not name."
    )
    domains: Annotated[dict[RemoteDomain, RemoteDomains], BeforeValidator(_told_apart)] = option(
        {},
        "Domains for which something else holds. `*.example.net` stands for all subdomains "
        "of `example.net`; of several that fit, the longest counts.",
    )


class Federation(HostFederation):
    """Streams to and from other servers."""

    timeout: Duration = option(
        "60 s",
        "How long a stanza may wait for a stream to its domain before it is answered.",
        ge=1,
    )
    queue_stanzas: int = option(
        1000, "Stanzas that may wait for one domain; past it, each is answered at once.", ge=1
    )
    queue_bytes: ByteSize = option("4 MB", "Octets that may wait for one domain.", ge=65536)
    connecting: int = option(
        200, "Outgoing streams that are set up at the same time; more wait in line.", ge=1
    )
    incoming: int = option(1000, "Streams from other servers that have proven who they are.", ge=1)
    idle_timeout: DurationOrOff = option(
        "10 min", "How long an outgoing stream may carry nothing before it is closed."
    )
    families: tuple[Literal["ipv6", "ipv4"], ...] = option(
        ("ipv6", "ipv4"),
        "Kinds of addresses that are connected to, the preferred first.",
        min_length=1,
    )
    ca_file: ReadableFile | None = option(
        None,
        "PEM file with the authorities that vouch for servers; left out, those of the "
        "operating system.",
    )


def _name_server(value: str) -> str:
    name_server(value)
    return value


NameServer = Annotated[
    str,
    AfterValidator(_name_server),
    WithJsonSchema({"type": "string"}),
    Written("address, with a port if it is not 53"),
]


class Dns(Section):
    """Who is asked where other servers are."""

    servers: tuple[NameServer, ...] = option(
        (), "Name servers; if there are none, those of the operating system."
    )
    timeout: Duration = option("5 s", "How long the answer to one question may take.", gt=0)


def _table_of_options(value: object) -> object:
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping of names to options, such as roster: {}")
    return value


def _options(value: object) -> object:
    if value is None:
        raise ValueError("write {} for the defaults, or leave the line out to switch it off")
    if not isinstance(value, Mapping):
        raise ValueError("must be a mapping of options; {} takes the defaults")
    return value


def _options_or_off(value: object) -> object:
    if value is not None and not isinstance(value, Mapping):
        raise ValueError("must be a mapping of options; null switches it off on this host")
    return value


_WRITTEN = Written("mapping of options")
Options = Annotated[dict[str, Any], BeforeValidator(_options), _WRITTEN]
OptionsOrOff = Annotated[dict[str, Any] | None, BeforeValidator(_options_or_off), _WRITTEN]
OptionsByName = Annotated[dict[str, Options], BeforeValidator(_table_of_options)]
OptionsOrOffByName = Annotated[dict[str, OptionsOrOff], BeforeValidator(_table_of_options)]


class HostSection(Section):
    """What one host has of its own; the rest it takes from the top of the file."""

    certificate: Certificate | None = option(None, "The certificate for TLS.")
    auth: tuple[str, ...] | None = option(
        None, "Auth backends in the order in which they are asked.", min_length=1
    )
    auth_options: OptionsByName = option(
        {}, "Options of auth backends; each takes the place of the global one of its name."
    )
    plugins: OptionsOrOffByName = option(
        {},
        "Plugins and their options; each option takes the place of the global one of its "
        "name, and null switches a plugin off on this host.",
    )
    access: dict[str, AccessRule] = option(
        {}, "Access rules; each takes the place of the global one of its name."
    )
    federation: HostFederation = option(
        HostFederation(),
        "Whom this host speaks to; each option takes the place of the global one of its name.",
    )
    see_other_host: str = option(
        "",
        "Where the host is served now, as `name` or `name:port`: clients are sent there, once "
        "their stream is encrypted where that is required.",
        pattern=r"^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])?(:[0-9]{1,5})?$",
    )
    language: str | None = option(
        None, "Language of texts for users who have not said theirs.", pattern=_LANGUAGE
    )


class ConfigurationFile(Section):
    """The top of the file."""

    data_dir: LocalPath = option("data", "Where the server keeps its files.")
    durability: Literal["memory", "disk", "full"] = option(
        "disk",
        "What must be true of a message before its sender is told that it is handled: "
        "`memory` nothing, `disk` that it outlives the process, `full` that it outlives a "
        "power failure.",
    )
    language: str = option(
        "en", "Language of texts for users who have not said theirs.", pattern=_LANGUAGE
    )
    hosts: dict[str, HostSection | None] = option(
        REQUIRED, "The domains that are served, with what each has of its own.", min_length=1
    )
    listen: tuple[dict[str, Any], ...] = option(
        ({"type": "c2s", "port": 5222},), "The ports that are listened on."
    )
    tls: Tls = option(Tls(), "TLS on every port.")
    allow_plain_without_tls: bool = option(
        False, "Let clients log in without TLS, with passwords that anybody can read."
    )
    storage: Storage = option(Storage(), "The database.")
    auth: tuple[str, ...] = option(
        ("internal",), "Auth backends in the order in which they are asked.", min_length=1
    )
    auth_options: OptionsByName = option({}, "Options of auth backends.")
    plugins: OptionsByName = option(
        {},
        "Plugins and their options. With `required: true` among them, a host does not start "
        "without the plugin.",
    )
    access: dict[str, AccessRule] = option({}, "Access rules: who may do what.")
    federation: Federation = option(Federation(), "Streams to and from other servers.")
    dns: Dns = option(Dns(), "Who is asked where other servers are.")
    cluster: dict[str, Any] = option({}, "How nodes find each other.")
    limits: Limits = option(Limits(), "Bounds on what others can make the server do.")
    log: Log = option(Log(), "What is logged, and how.")
    watchdog: Watchdog = option(Watchdog(), "Watch over plugins that block.")


class ClientListener(ListenerOptions):
    """A port for clients."""

    type: Literal["c2s"] = option("c2s", "Clients.")
    tls: Literal["direct", "off"] = option(
        "off", "`direct` begins with TLS at once, without STARTTLS (XEP-0368)."
    )
    starttls: Literal["required", "optional", "off"] = option(
        "required", "Whether a client must, may or cannot begin TLS; nothing if it has begun."
    )
    client_certificates: bool = option(
        False, "Ask clients for a certificate, with which they can log in (SASL EXTERNAL)."
    )
    negotiation_timeout: Duration = option(
        "30 s", "As `limits.negotiation_timeout`, on this port.", ge=1
    )
    idle_timeout: DurationOrOff = option("10 min", "As `limits.idle_timeout`, on this port.")
    rate: Rate = option("none", "As `limits.rate`, on this port.")


class ComponentListener(ListenerOptions):
    """A port for external components."""

    type: Literal["component"] = option("component", "External components (XEP-0114).")
    # There is no TLS, so what is said there is not for other machines to hear.
    address: ListenAddress = option(
        "127.0.0.1", "The address to listen on; without TLS, so best not one of a network's."
    )
    negotiation_timeout: Duration = option(
        "30 s", "As `limits.negotiation_timeout`, on this port.", ge=1
    )
    idle_timeout: DurationOrOff = option("10 min", "As `limits.idle_timeout`, on this port.")
    rate: Rate = option("none", "As `limits.rate`, on this port.")


class ServerListener(ListenerOptions):
    """A port for other servers."""

    type: Literal["s2s"] = option("s2s", "Other servers.")
    tls: Literal["direct", "off"] = option(
        "off", "`direct` begins with TLS at once, without STARTTLS (XEP-0368)."
    )
    starttls: Literal["required", "optional", "off"] = option(
        "required",
        "Whether a server must, may or cannot begin TLS. `optional` is for domains whose "
        "`trust` is `any`; all others must even so.",
    )
    negotiation_timeout: Duration = option(
        "30 s", "As `limits.negotiation_timeout`, on this port.", ge=1
    )
    idle_timeout: DurationOrOff = option("10 min", "As `limits.idle_timeout`, on this port.")
    rate: Rate = option("none", "As `limits.rate`, on this port.")
