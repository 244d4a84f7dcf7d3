"""What slixmpp has no plugin for: XEP-0138, beneath its streams."""

import zlib

from slixmpp.plugins.base import BasePlugin, register_plugin
from slixmpp.stanza import StreamFeatures
from slixmpp.xmlstream import ElementBase, StanzaBase, register_stanza_plugin
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

NS_COMPRESS = "http://jabber.org/protocol/compress"


class Compression(ElementBase):
    """The feature."""

    name = plugin_attrib = "compression"
    namespace = "http://jabber.org/features/compress"


class Compress(StanzaBase):
    name = "compress"
    namespace = NS_COMPRESS
    interfaces = sub_interfaces = frozenset({"method"})


class Compressed(StanzaBase):
    name = "compressed"
    namespace = NS_COMPRESS


class Line:
    """A transport for slixmpp, and slixmpp for the transport."""

    def __init__(self, xmpp):
        self.xmpp = xmpp
        self.transport = xmpp.transport
        self.deflate = zlib.compressobj()
        self.inflate = zlib.decompressobj()
        self.octets = 0  # which came
        self.transport.set_protocol(self)

    def __getattr__(self, name):
        """All else is the transport's, or slixmpp's."""
        return getattr(self.transport if hasattr(self.transport, name) else self.xmpp, name)

    def write(self, octets):
        self.transport.write(self.deflate.compress(octets) + self.deflate.flush(zlib.Z_SYNC_FLUSH))

    def data_received(self, octets):
        self.octets += len(octets)
        self.xmpp.data_received(self.inflate.decompress(octets))


class XEP_0138(BasePlugin):
    name = "xep_0138"
    description = "XEP-0138: Stream Compression"
    dependencies = frozenset()

    def plugin_init(self):
        self.line = None
        register_stanza_plugin(StreamFeatures, Compression)
        self.xmpp.register_stanza(Compress)
        self.xmpp.register_stanza(Compressed)
        # After the login, and before the binding.
        self.xmpp.register_feature("compression", self._ask, restart=True, order=200)
        agreed = MatchXPath(f"{{{NS_COMPRESS}}}compressed")
        self.xmpp.register_handler(Callback("compressed", agreed, self._begin, instream=True))

    def _ask(self, features):
        request = Compress()
        request["method"] = "zlib"
        self.xmpp.send(request)
        return True

    def _begin(self, compressed):
        self.xmpp.transport = self.line = Line(self.xmpp)
        self.xmpp.init_parser()
        self.xmpp.send_raw(self.xmpp.stream_header)


register_plugin(XEP_0138)
