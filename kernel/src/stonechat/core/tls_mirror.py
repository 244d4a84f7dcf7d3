"""TLS for looking at things: a connector of its own, and our own certificate as others see it.

It computes for a while and may read files: call it in a thread.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509

from stonechat.core.certificate_facts import serves_as_client
from stonechat.core.tls_setup import make_connector
from stonechat.errors import ConfigError
from stonechat.net.tls import TlsConnector, TlsContexts
from stonechat.net.tls_socket import TlsError

if TYPE_CHECKING:
    from stonechat.core.config_types import Configuration

# Of both ends; more than TLS 1.2 needs.
_TURNS = 8


class Reflection(NamedTuple):
    """Our certificate and the rest of its chain, and what is wrong with it by our authorities.

    With a `problem` there is nothing to see: no handshake can be had.
    """

    chain: Sequence[x509.Certificate] = ()
    fault: str = ""
    problem: str = ""

    @property
    def serves_as_client(self) -> bool:
        return not self.chain or serves_as_client(self.chain[0])


def make_probing_connector(configuration: Configuration) -> TlsConnector:
    """TLS of streams to other servers, made anew; without our certificates if they are broken.

    ConfigError where the authorities cannot be read.
    """
    try:
        return make_connector(configuration)
    except ConfigError:
        return TlsConnector(
            minimum_version=configuration.tls.min_version,
            ciphers=configuration.tls.ciphers,
            trust=configuration.federation.ca_file or "system",
        )


def reflect(contexts: TlsContexts, connector: TlsConnector, host: str) -> Reflection:
    """What somebody sees who connects to a host: a handshake with ourselves."""
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        try:
            server = contexts.accept(one.fileno(), host)
            client = connector.connect(other.fileno(), host, keeps_chain=True)
            for _ in range(_TURNS):
                for end in (client, server):
                    if not end.is_established:
                        end.handshake()
            return Reflection(client.peer_chain(), client.verify_error)
        except TlsError as error:
            return Reflection(problem=f"TLS with ourselves fails: {error}")
