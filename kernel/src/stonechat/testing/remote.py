"""Other servers in memory: found by their domains, connected to, and connecting."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, cast

from gevent.event import Event

from stonechat.core.s2s_ways import Ways
from stonechat.core.server_outgoing import OutgoingStream
from stonechat.namespaces import NS_SASL, NS_TLS
from stonechat.net.dialer import Dialed
from stonechat.net.resolver import NotFound, Target
from stonechat.testing.server_stream import ADDRESS, RawServerStream, Starttls, certificate_of
from stonechat.testing.stream import DEADLINE
from stonechat.testing.transport import MemoryConnector, MemoryContexts
from stonechat.xml import Element

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from socket import socket

    from cryptography import x509

    from stonechat.core.server import Server
    from stonechat.core.server_owner import Owner
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.federation import Pair
    from stonechat.net.tls import TlsConnector, TlsContexts
    from stonechat.testing.kit import TestHost, TestServer

STARTTLS = Element(NS_TLS, "starttls").freeze()
EXTERNAL = Element(
    NS_SASL, "mechanisms", None, Element(NS_SASL, "mechanism", None, "EXTERNAL")
).freeze()


class TestRemote:
    """A domain of another server's, by `TestServer.remote`: its streams do what a test wants."""

    __test__ = False

    def __init__(
        self,
        server: TestServer,
        domain: str,
        *,
        certificate: x509.Certificate | bool = True,
        certificate_fault: str = "",
        address: str = ADDRESS,
    ) -> None:
        self.domain = domain
        self.address = address
        self.certificate = certificate_of(domain) if certificate is True else certificate or None
        self.certificate_fault = certificate_fault
        self._server = server
        self._opened: deque[RawServerStream] = deque()
        self._arrived = Event()

    def __repr__(self) -> str:
        return f"<TestRemote {self.domain}>"

    # It connects to us

    def connect(
        self,
        host: TestHost | str,
        *,
        direct: bool = True,
        starttls: Starttls = "required",
        header: bool = True,
    ) -> RawServerStream:
        """A stream to one of our domains; its features are in `features`.

        `direct` is one that begins with TLS; on any other there is `start_tls()`. With
        `header=False` nothing was sent yet: see its `open()`.
        """
        stream = self._stream(host if isinstance(host, str) else host.name)
        stream.connect(self._server.kernel.s2s, starttls=starttls, direct=direct)
        if header:
            stream.open()
        return stream

    def join(self, host: TestHost | str) -> RawServerStream:
        """The same, and its certificate has proven it."""
        stream = self.connect(host)
        answer = stream.authenticate()
        assert answer.name == "success", f"the certificate was refused.{stream.story()}"
        stream.open()
        return stream

    # We connect to it

    def accept(self, timeout: float = DEADLINE) -> RawServerStream:
        """The next stream that we open to it; our header has come, and waits for an answer."""
        self._server.settle()
        if not self._opened:
            self._arrived.clear()
            self._arrived.wait(timeout)
        assert self._opened, f"no stream to {self.domain} was opened within {timeout} s"
        return self._opened.popleft()

    def accept_secure(self, *features: Element | str) -> RawServerStream:
        """The same behind STARTTLS, with these features."""
        stream = self.accept()
        stream.answer(STARTTLS)
        stream.proceed()
        stream.answer(*features)
        return stream

    def admit(self) -> RawServerStream:
        """The same, and our certificate has proven us: stanzas come."""
        stream = self.accept_secure(EXTERNAL)
        stream.accept()
        stream.answer()
        return stream

    # Below

    def _stream(self, domain: str) -> RawServerStream:
        return RawServerStream(
            self._server,
            self.domain,
            domain,
            address=self.address,
            certificate=self.certificate,
            certificate_fault=self.certificate_fault,
        )

    def _dialed(
        self, owner: Owner, host: VirtualHost, pair: Pair, seconds: float
    ) -> OutgoingStream:
        peer = self._stream(pair.local)
        idle_timeout = self._server.kernel.configuration.federation.idle_timeout
        stream = OutgoingStream(
            owner,
            host,
            pair,
            peer.connection.as_connection(),
            _target(self.domain),
            timeout=seconds,
            idle_timeout=idle_timeout,
        )
        self._opened.append(peer)
        self._arrived.set()
        return stream


class MemoryWays(Ways):
    """DNS that knows these servers, and no others."""

    def __init__(self, kernel: Server, remotes: Mapping[str, TestRemote]) -> None:
        super().__init__(kernel)
        self._remotes = remotes

    def targets(self, domain: str) -> list[Target]:
        if domain not in self._remotes:
            raise NotFound(f"{domain} is no remote() of the server under test")
        return [_target(domain)]

    def dial(self, targets: Sequence[Target], seconds: float) -> Dialed:
        # There is no socket; `open` knows what there is.
        return Dialed(cast("socket", None), targets[0], self._remotes[targets[0].host].address)

    def open(
        self, owner: Owner, host: VirtualHost, pair: Pair, dialed: Dialed, seconds: float
    ) -> OutgoingStream:
        return self._remotes[dialed.target.host]._dialed(owner, host, pair, seconds)

    @property
    def contexts(self) -> TlsContexts | None:
        return cast("TlsContexts", MemoryContexts())

    @property
    def connector(self) -> TlsConnector:
        return cast("TlsConnector", MemoryConnector())


def imagine(kernel: Server, remotes: Mapping[str, TestRemote]) -> None:
    """Let a server find these others, and have a certificate for each of its hosts."""
    manager = kernel.s2s
    manager.ways = MemoryWays(kernel, remotes)

    def certificate_of(local: str) -> str:
        host = manager.host_of(local)
        return "" if host is None else host.name

    manager.certificate_of = certificate_of  # type: ignore[method-assign]


def _target(domain: str) -> Target:
    return Target(domain, 5269, tls=False)
