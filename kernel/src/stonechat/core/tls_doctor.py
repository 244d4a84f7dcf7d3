"""Finds out whether our own TLS is as it should be: files, certificates, names, every listener."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, NamedTuple

from stonechat.core.certificate_facts import MOST_SHOWN, counted, facts_of, names_of
from stonechat.core.config_model import ClientListener, ServerListener
from stonechat.core.findings import Deadlines, shown
from stonechat.core.tls_mirror import make_probing_connector, reflect
from stonechat.core.tls_ports import address_of, shake_hands
from stonechat.errors import ConfigError
from stonechat.net.certificates import CertificatePaths, covers_domain, read_chain, read_pair
from stonechat.net.tls import TlsConnector
from stonechat.net.tls_ciphers import ciphers_named, is_strong

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509

    from stonechat.core.listening_port import ListeningPort
    from stonechat.core.server import Server
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.examination import Verdict

# Of ourselves: who is slower than that is ill.
STEP_SECONDS = 5.0
TOTAL_SECONDS = 30.0

# With hundreds of hosts on several listeners the first of them show how it is.
MOST_HANDSHAKES = 200

TlsStep = Literal["settings", "files", "certificate", "names", "services", "listener"]

TlsCode = Literal[
    # settings
    "modern",
    "weak-ciphers",
    "plain-passwords",
    "authorities",
    # files
    "in-use",
    "not-in-use",
    "unreadable",
    # certificate, names, services
    "trusted",
    "no-certificate",
    "self-signed",
    "chain-incomplete",
    "unknown-authority",
    "expired",
    "expires-soon",
    "not-yet-valid",
    "invalid",
    "wrong-name",
    "covered",
    "not-covered",
    "not-federated",
    # listener
    "encrypted",
    "handshake-failed",
    "other-certificate",
    "clear",
    "not-reachable",
    "enough",
]

# A certificate of a private authority, or of nobody's, can be meant so.
_MAY_BE_MEANT = ("self-signed", "unknown-authority")


class TlsFinding(NamedTuple):
    """One thing that was found; as `stonechat.examination.Finding`."""

    step: TlsStep
    target: str
    verdict: Verdict
    code: TlsCode
    text: str


def examine_tls(server: Server, hosts: Sequence[VirtualHost]) -> Iterator[TlsFinding]:
    """All about TLS of these hosts. Blocks."""
    yield from _settings(server)
    try:
        connector = server.run_blocking(make_probing_connector, server.configuration)
    except ConfigError:
        # Told with the settings; the system's authorities have to do.
        connector = server.run_blocking(TlsConnector)
    for host in hosts:
        yield from _Host(server, host, connector).findings()
    yield from _listeners(server, hosts, connector)


def _settings(server: Server) -> Iterator[TlsFinding]:
    configuration = server.configuration
    tls = configuration.tls
    weak = [name for name in ciphers_named(tls.ciphers) if not is_strong(name)]
    if weak and tls.min_version == "1.2":
        told = ", ".join(weak[:MOST_SHOWN])
        text = f"without forward secrecy or authenticated encryption: {told}"
        yield _finding("settings", "tls.ciphers", "warning", "weak-ciphers", text)
    else:
        text = f"TLS {tls.min_version} is the oldest that is spoken, with modern ciphers only"
        yield _finding("settings", "tls", "ok", "modern", text)
    if configuration.allow_plain_without_tls:
        text = "clients may log in without TLS, with passwords that anybody can read"
        yield _finding("settings", "allow_plain_without_tls", "warning", "plain-passwords", text)
    for name, file in (
        ("tls.client_ca", tls.client_ca),
        ("federation.ca_file", configuration.federation.ca_file),
    ):
        if file is not None:
            yield _authorities(server, name, file)


def _authorities(server: Server, name: str, file: Path) -> TlsFinding:
    try:
        count = len(server.run_blocking(read_chain, file))
    except ConfigError as error:
        return _finding("settings", name, "failed", "unreadable", _problems(error))
    return _finding(
        "settings", name, "ok", "authorities", f"{file}: {counted(count, 'certificate')}"
    )


class _Host:
    """What one host shows, and to whom it is good."""

    def __init__(self, server: Server, host: VirtualHost, connector: TlsConnector) -> None:
        self._server = server
        self._host = host
        self._connector = connector
        self._setting = server.configuration.hosts[host.name]
        self._is_federated = bool(self._setting.federation.enabled)

    def findings(self) -> Iterator[TlsFinding]:
        server, name = self._server, self._host.name
        contexts = server.contexts
        files = self._setting.certificate
        if contexts is None or files is None:
            others = "" if contexts is None else "; what is shown is another host's"
            text = f"{name} has no certificate{others}"
            yield _finding("certificate", name, "failed", "no-certificate", text)
            return
        yield self._files(CertificatePaths(files.chain, files.key))
        ours = server.run_blocking(reflect, contexts, self._connector, name)
        if ours.problem:
            yield _finding("certificate", name, "failed", "handshake-failed", ours.problem)
            return
        for fact in facts_of(ours.chain, ours.fault):
            is_bad = fact.is_fault and fact.code not in _MAY_BE_MEANT
            is_good = fact.code == "trusted"
            verdict: Verdict = "failed" if is_bad else "ok" if is_good else "warning"
            yield _finding("certificate", name, verdict, fact.code, fact.text)
        yield from self._names(contexts.certificates[name])

    def _files(self, paths: CertificatePaths) -> TlsFinding:
        server, name = self._server, self._host.name
        note = partial(_finding, "files", name)
        try:
            chain, _ = server.run_blocking(read_pair, paths)
        except ConfigError as error:
            return note("failed", "unreadable", _problems(error))
        contexts = server.contexts
        if contexts is None or contexts.certificates.get(name) != chain[0]:
            return note("warning", "not-in-use", f"{paths.chain} holds another than is in use")
        return note("ok", "in-use", f"{paths.chain} is in use, and the key belongs to it")

    def _names(self, certificate: x509.Certificate) -> Iterator[TlsFinding]:
        """Whom it covers: the host for clients and servers, and services for servers."""
        name = self._host.name
        told = names_of(certificate)
        for kind in ("clients", "servers"):
            if kind == "servers" and not self._is_federated:
                continue
            note = partial(_finding, "names", f"{name}, for {kind}")
            if covers_domain(certificate, name, f"xmpp-{kind[:-1]}"):
                yield note("ok", "covered", f"it is for {told}")
            else:
                yield note("failed", "wrong-name", f"it is not for {name}, but for {told}")
        for domain in self._services():
            note = partial(_finding, "services", domain)
            # `*.` is for whatever subdomain there is.
            if covers_domain(certificate, domain.replace("*", "any", 1), "xmpp-server"):
                yield note("ok", "covered", "the certificate covers it")
            elif self._is_federated:
                yield note(
                    "warning", "not-covered", "other servers do not believe that it is ours"
                )
            else:
                yield note("skipped", "not-federated", "no other server sees it")

    def _services(self) -> list[str]:
        """The domains that plugins have registered on the host."""
        router = self._server.router
        return sorted(
            domain
            for domain in router.domains
            if domain != self._host.name
            and domain not in self._server.hosts
            and router.host_of(domain.replace("*", "any", 1)) is self._host
        )


def _listeners(
    server: Server, hosts: Sequence[VirtualHost], connector: TlsConnector
) -> Iterator[TlsFinding]:
    """A handshake with each listener, for each host."""
    deadlines = Deadlines(STEP_SECONDS, TOTAL_SECONDS)
    certificates = {} if server.contexts is None else server.contexts.certificates
    names = [host.name for host in hosts if host.name in certificates]
    count = 0
    for port in list(server.ports):
        target = f"{port.options.type} port {port.port}"
        skipped = _not_examined(port)
        if skipped is not None:
            yield _finding("listener", target, *skipped)
            continue
        for name in names:
            count += 1
            note = partial(_finding, "listener", f"{target}, {name}")
            if count > MOST_HANDSHAKES or not deadlines.step:
                yield note("skipped", "enough", f"after {count - 1} handshakes it is enough")
                return
            limit = server.configuration.limits.stanza_bytes_before_auth
            done = shake_hands(port, connector, name, deadlines, limit)
            if done.fault:
                yield note("failed", "handshake-failed", done.fault)
            elif done.certificate != certificates[name]:
                yield note("failed", "other-certificate", "it shows another certificate")
            else:
                alpn = f", {done.alpn}" if done.alpn else ""
                yield note("ok", "encrypted", f"{done.version}, {done.cipher}{alpn}")


def _not_examined(port: ListeningPort) -> tuple[Verdict, TlsCode, str] | None:
    """Why there is no handshake to be had, if so."""
    options = port.options
    if not isinstance(options, ClientListener | ServerListener):
        return _in_the_clear(port)
    if options.tls != "direct" and options.starttls == "off":
        return _in_the_clear(port)
    if options.proxy_protocol and not port.is_proxy(address_of(port)):
        return "skipped", "not-reachable", "it listens to its proxies only, not to this machine"
    return None


def _in_the_clear(port: ListeningPort) -> tuple[Verdict, TlsCode, str]:
    if ip_address(port.options.address).is_loopback:
        return "ok", "clear", "without TLS, for this machine only"
    return "warning", "clear", "what is said there anybody on the way can read"


def _problems(error: ConfigError) -> str:
    return "; ".join(map(str, error.problems))


def _finding(step: TlsStep, target: str, verdict: Verdict, code: TlsCode, text: str) -> TlsFinding:
    return TlsFinding(step, shown(target), verdict, code, shown(text))
