"""Shakes hands with our own listeners, as a client or another server does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stonechat.core.config_model import ClientListener, ServerListener
from stonechat.core.findings import Deadlines
from stonechat.core.stream_probe import ProbeFailure, StreamProbe
from stonechat.net.dialer import connect_to
from stonechat.net.line import Line
from stonechat.net.tls import TlsConnector
from stonechat.net.tls_socket import TlsError

if TYPE_CHECKING:
    from cryptography import x509

    from stonechat.core.listening_port import ListeningPort

LOCALHOST = "127.0.0.1"

# Where a listener has all addresses, that of the machine itself is among them.
_ALL = ("::", "0.0.0.0")  # noqa: S104 - compared with

# A proxy speaks for itself so (PROXY protocol, 2.1).
_PROXY_HEADER = b"PROXY UNKNOWN\r\n"


class Handshake(NamedTuple):
    """What came of one; with a `fault` it failed."""

    version: str = ""
    cipher: str = ""
    alpn: str = ""
    certificate: x509.Certificate | None = None
    fault: str = ""


def address_of(port: ListeningPort) -> str:
    """Where this machine reaches a port of its own."""
    address = port.options.address
    return LOCALHOST if address in _ALL else address


def shake_hands(
    port: ListeningPort, connector: TlsConnector, host: str, deadlines: Deadlines, limit: int
) -> Handshake:
    """Begin TLS with a listener in the way it wants, for a host. Blocks."""
    options = port.options
    assert isinstance(options, ClientListener | ServerListener)
    address = address_of(port)
    try:
        with deadlines.hold("a connection"):
            line = Line(connect_to(address, port.port, ""))
    except (ProbeFailure, OSError) as error:
        return Handshake(fault=f"it cannot be connected to: {error}")
    kind = "server" if isinstance(options, ServerListener) else "client"
    is_direct = options.tls == "direct"
    try:
        with deadlines.hold("the handshake"):
            if options.proxy_protocol:
                line.send(_PROXY_HEADER)
            if not is_direct:
                probe = StreamProbe(line, limit, to=host, is_server=kind == "server")
                if not probe.open().offers_tls:
                    return Handshake(fault="it does not offer STARTTLS")
                probe.ask_tls()
            tls = connector.connect(
                line.descriptor, host, alpn=[f"xmpp-{kind}"] if is_direct else []
            )
            line.encrypt(tls)
            return Handshake(tls.version, tls.cipher, tls.alpn, tls.peer_certificate)
    except ProbeFailure as failure:
        return Handshake(fault=str(failure))
    except TlsError as error:
        return Handshake(fault=f"TLS fails: {error}")
    except OSError as error:
        return Handshake(fault=f"the connection is lost: {error.strerror or error}")
    finally:
        line.close()
