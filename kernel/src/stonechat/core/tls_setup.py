"""TLS of each port and of streams that we open, as the configuration wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.core.config_model import ClientListener, ServerListener
from stonechat.errors import ConfigError

if TYPE_CHECKING:
    from stonechat.core.config_types import Configuration
    from stonechat.net.certificates import CertificatePaths
    from stonechat.net.tls import TlsConnector, TlsContexts


def make_contexts(configuration: Configuration) -> TlsContexts | None:
    """The TLS contexts of all hosts that have a certificate, for clients.

    ConfigError for a bad file, also one that only streams between servers need, and for a
    listener that needs a certificate where there is none.
    """
    _check_authorities(configuration)
    certificates = _certificates(configuration)
    if not certificates:
        for listener in configuration.listeners:
            if not isinstance(listener, ClientListener | ServerListener):
                continue
            if listener.tls == "direct" or listener.starttls == "required":
                raise ConfigError(
                    f"{configuration.file}: the listener on port {listener.port} wants TLS,"
                    " but no host has a certificate; give one, or set starttls: optional"
                )
        return None
    # A tenth of a second to import.
    from stonechat.net.tls import TlsContexts

    clients = [o for o in configuration.listeners if isinstance(o, ClientListener)]
    return TlsContexts(
        certificates,
        next(iter(certificates)),
        minimum_version=configuration.tls.min_version,
        ciphers=configuration.tls.ciphers,
        request_client_certificate=any(o.client_certificates for o in clients),
        trust=configuration.tls.client_ca,
        alpn=("xmpp-client",),
    )


def make_server_contexts(configuration: Configuration) -> TlsContexts:
    """Those for other servers that connect: each is asked for a certificate."""
    from stonechat.net.tls import TlsContexts

    certificates = _certificates(configuration)
    return TlsContexts(
        certificates,
        next(iter(certificates)),
        minimum_version=configuration.tls.min_version,
        ciphers=configuration.tls.ciphers,
        request_client_certificate=True,
        trust=configuration.federation.ca_file or "system",
        peers_are_servers=True,
        alpn=("xmpp-server",),
    )


def make_connector(configuration: Configuration) -> TlsConnector:
    """TLS of streams to other servers; a host without a certificate shows none."""
    from stonechat.net.tls import TlsConnector

    return TlsConnector(
        _certificates(configuration),
        minimum_version=configuration.tls.min_version,
        ciphers=configuration.tls.ciphers,
        trust=configuration.federation.ca_file or "system",
    )


def _certificates(configuration: Configuration) -> dict[str, CertificatePaths]:
    named = {
        domain: host.certificate
        for domain, host in configuration.hosts.items()
        if host.certificate is not None
    }
    if not named:
        return {}
    from stonechat.net.certificates import CertificatePaths

    return {domain: CertificatePaths(files.chain, files.key) for domain, files in named.items()}


def _check_authorities(configuration: Configuration) -> None:
    """The file is loaded when it is needed, and its faults are to be known before."""
    file = configuration.federation.ca_file
    if file is not None:
        from stonechat.net.certificates import read_chain

        read_chain(file)
