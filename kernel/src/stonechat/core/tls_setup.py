"""TLS on the ports for clients, as the configuration wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.core.config_model import ClientListener
from stonechat.errors import ConfigError

if TYPE_CHECKING:
    from stonechat.core.config_types import Configuration
    from stonechat.net.tls import TlsContexts


def make_contexts(configuration: Configuration) -> TlsContexts | None:
    """The TLS contexts of all hosts that have a certificate.

    ConfigError for a bad file, and for a listener that needs a certificate where there
    is none.
    """
    # A tenth of a second to import.
    from stonechat.net.certificates import CertificatePaths
    from stonechat.net.tls import TlsContexts

    clients = [o for o in configuration.listeners if isinstance(o, ClientListener)]
    certificates = {
        domain: CertificatePaths(host.certificate.chain, host.certificate.key)
        for domain, host in configuration.hosts.items()
        if host.certificate is not None
    }
    if not certificates:
        for listener in clients:
            if listener.tls == "direct" or listener.starttls == "required":
                raise ConfigError(
                    f"{configuration.file}: the listener on port {listener.port} wants TLS,"
                    " but no host has a certificate; give one, or set starttls: optional"
                )
        return None
    return TlsContexts(
        certificates,
        next(iter(certificates)),
        minimum_version=configuration.tls.min_version,
        ciphers=configuration.tls.ciphers,
        request_client_certificate=any(o.client_certificates for o in clients),
        trust=configuration.tls.client_ca,
        alpn=("xmpp-client",),
    )
