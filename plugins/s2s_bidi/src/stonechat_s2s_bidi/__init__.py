"""Bidirectional Server-to-Server Connections (XEP-0288): one connection for both directions.

What a server would have to prove on a stream of its own, it is to have proven on this one:

    we have connected     it has shown a good certificate, or we do not ask for <bidi/>
    it has connected      it has proven the pair, by a certificate or a dialback, as ever
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from stonechat.errors import StreamError
from stonechat.federation import ServerStream
from stonechat.host import Host
from stonechat.options import PluginOptions
from stonechat.plugin import hookimpl
from stonechat.stanza import Element

NS_BIDI = "urn:xmpp:bidi"
NS_FEATURE = "urn:xmpp:features:bidi"

FEATURE = Element(NS_FEATURE, "bidi").freeze()
REQUEST = Element(NS_BIDI, "bidi").freeze()


class Plugin:
    def __init__(self, host: Host, options: PluginOptions) -> None:
        self.host = host

    # Where others have connected to us

    @hookimpl
    def stonechat_server_stream_features(
        self,
    ) -> Sequence[Callable[[ServerStream], Element | None]]:
        return [self.offer]

    @hookimpl
    def stonechat_server_stream_elements(
        self,
    ) -> Mapping[tuple[str, str], Callable[[ServerStream, Element], None]]:
        return {(NS_BIDI, "bidi"): self.accept}

    def offer(self, stream: ServerStream) -> Element | None:
        """Only behind TLS: whoever agrees before it has to do so again (2.1)."""
        if not stream.is_secure or stream.is_authorized(stream.pair):
            return None
        return FEATURE

    def accept(self, stream: ServerStream, element: Element) -> None:
        """The peer wants our stanzas over this stream, once it has proven a domain."""
        if stream.is_outgoing:
            raise StreamError("unsupported-stanza-type", "Who has connected asks for <bidi/>.")
        if not stream.is_secure:
            raise StreamError("policy-violation", "<bidi/> was not offered before TLS.")
        if stream.is_bidirectional:
            raise StreamError("policy-violation", "<bidi/> was said before.")
        # The kernel says so itself where a pair is authorized already.
        stream.make_bidirectional()

    # Where we have connected

    @hookimpl
    def stonechat_server_stream_opened(self, stream: ServerStream) -> None:
        if not any(
            (each.namespace, each.name) == (NS_FEATURE, "bidi") for each in stream.features
        ):
            return
        # That we are let in proves nothing about who does so: where DNS leads is enough for
        # what we say, but not for what we are told. Without TLS there is no certificate.
        if stream.has_certificate_of(stream.pair.remote):
            stream.send_element(REQUEST)
            stream.make_bidirectional()
