"""Another server's end of a stream, as raw as a test wants it."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from stonechat.core.config_model import ServerListener
from stonechat.core.server_port import ServerPort
from stonechat.namespaces import NS_DIALBACK, NS_SASL, NS_SERVER, NS_STREAM, NS_TLS
from stonechat.testing.stream import DEADLINE, RawStream
from stonechat.testing.transport import MemoryConnection
from stonechat.xml import Element, escape_attribute

if TYPE_CHECKING:
    from cryptography import x509

    from stonechat.core.server_owner import Owner
    from stonechat.testing.kit import TestServer

# Reserved for documentation (RFC 5737), so nobody's.
ADDRESS = "203.0.113.1"

Starttls = Literal["required", "optional", "off"]

_HEADER = (
    f"<?xml version='1.0'?><stream:stream xmlns='{NS_SERVER}' xmlns:db='{NS_DIALBACK}'"
    f" xmlns:stream='{NS_STREAM}' "
)


class RawServerStream(RawStream):
    """A server that sends what it is told to, and shows everything that comes.

    It is `remote`, and it wants `domain`. Stanzas are in jabber:client on both of its sides,
    as everywhere in a test; on the stream they are in jabber:server.
    """

    _content_namespace = NS_SERVER

    def __init__(
        self,
        server: TestServer,
        remote: str,
        domain: str,
        *,
        address: str = ADDRESS,
        certificate: x509.Certificate | None = None,
        certificate_fault: str = "",
    ) -> None:
        kernel = server.kernel
        connection = MemoryConnection(
            kernel, server.clock, address, kernel._connection_failed, tls=False
        )
        connection.certificate = certificate
        connection.certificate_fault = certificate_fault
        super().__init__(remote, domain, connection, server.settle)
        self.remote = remote
        self._server = server
        server._streams.append(self)

    def connect(
        self, owner: Owner, *, starttls: Starttls = "required", direct: bool = False
    ) -> None:
        """Connect to a port of the server; `direct` is one that begins with TLS."""
        kernel = self._server.kernel
        limits = kernel.configuration.limits
        inherited = {
            name: getattr(limits, name)
            for name in ServerListener.model_fields
            if name in type(limits).model_fields
        }
        tls = "direct" if direct else "off"
        options = ServerListener(type="s2s", port=0, starttls=starttls, tls=tls, **inherited)
        ServerPort(options, kernel, owner).begin(self.connection.as_connection())
        if direct:
            self.shake_hands()

    @property
    def id(self) -> str:
        """The id of the stream, by the header that came last."""
        return "" if self.header is None else self.header.attributes.get("id", "")

    # Where it has connected to us

    def open(self, to: str | None = None, **attributes: str) -> Element | None:
        """Open the stream, or open it anew; returns the features if they came.

        An attribute that is `""` is left out.
        """
        written = {
            "to": self.domain if to is None else to,
            "from": self.remote,
            "version": "1.0",
            **{name.removesuffix("_"): value for name, value in attributes.items()},
        }
        self.features = None
        self.send(_header(written))
        return self._take_features()

    def authenticate(self, domain: str | None = None, password: str = "") -> Element:
        """Prove the domain with the certificate (SASL EXTERNAL); returns the answer.

        `open` the stream after it. There is no password.
        """
        text = base64.b64encode((self.remote if domain is None else domain).encode()).decode()
        self.send(f"<auth xmlns='{NS_SASL}' mechanism='EXTERNAL'>{text or '='}</auth>")
        return self.receive_element()

    def closed_with(self, timeout: float = DEADLINE) -> str:
        """As on all streams; where the server has ended it, this answers with our end (4.4)."""
        self._settle()
        if self.has_ended and not self.is_closed:
            self.close()
        return super().closed_with(timeout)

    # Where we have connected to it

    def answer(self, *features: Element | str, id: str = "s1", **attributes: str) -> None:
        """Answer the header that has come, with these features."""
        written = {
            "from": self.remote,
            "to": self.domain,
            "id": id,
            "version": "1.0",
            **{name.removesuffix("_"): value for name, value in attributes.items()},
        }
        head = _header(written)
        if written["version"]:
            head += f"<stream:features>{''.join(map(str, features))}</stream:features>"
        self.send(head)

    def proceed(self) -> None:
        """Let TLS begin, as it was asked for; the header that follows it is in `header`."""
        asked = self.receive_element()
        assert asked.qualified_name == f"{NS_TLS} starttls", f"{self}: no STARTTLS: {asked}"
        self.send(f"<proceed xmlns='{NS_TLS}'/>")
        self.shake_hands()

    def accept(self) -> Element:
        """Take the certificate that is shown for whom it says; returns what it came with."""
        asked = self.receive_element()
        assert asked.qualified_name == f"{NS_SASL} auth", f"{self}: no SASL: {asked}"
        self.send(f"<success xmlns='{NS_SASL}'/>")
        return asked


def _header(attributes: dict[str, str]) -> str:
    head = " ".join(f"{k}='{escape_attribute(v)}'" for k, v in attributes.items() if v)
    return f"{_HEADER}{head}>"


@lru_cache(maxsize=64)
def certificate_of(*domains: str) -> x509.Certificate:
    """A certificate for these domains, to be shown in name only."""
    from stonechat.net.certificates import make_self_signed

    return make_self_signed(domains)[0]
