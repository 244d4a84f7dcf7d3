"""A client's side of a compressed stream, by zlib itself."""

import socket
import zlib
from base64 import b64encode

from stonechat.namespaces import NS_BIND, NS_SASL

PASSWORD = "Wherefore art thou?"
NS_COMPRESS = "http://jabber.org/protocol/compress"
NS_FEATURE = "http://jabber.org/features/compress"


def request(*methods):
    written = "".join(f"<method>{method}</method>" for method in methods)
    return f"<compress xmlns='{NS_COMPRESS}'>{written}</compress>"


COMPRESS = request("zlib")


class Zlib:
    """Both ways of it; `deflate` and `inflate` are zlib's own objects."""

    has_more = False

    def __init__(self, **how):
        self.deflate = zlib.compressobj(**how)
        self.inflate = zlib.decompressobj()
        self.came = 0
        self.decoded = 0

    def encode(self, octets):
        return self.deflate.compress(octets) + self.deflate.flush(zlib.Z_SYNC_FLUSH)

    def decode(self, octets, limit=0):
        self.came += len(octets)
        decoded = self.inflate.decompress(octets)
        self.decoded += len(decoded)
        return decoded


HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0'"
    " xmlns:stream='http://etherx.jabber.org/streams' to='capulet.example'>"
)
DEADLINE = 30


class RawClient:
    """A socket to a server that is a process, compressed once that is agreed."""

    def __init__(self, port, *, receive_buffer=0):
        self.socket = socket.socket()
        self.socket.settimeout(DEADLINE)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.zlib = None
        self.received = bytearray()

    def log_in(self, localpart):
        """Log in, and open the stream again."""
        secret = b64encode(f"\0{localpart}\0{PASSWORD}".encode()).decode()
        self.send(f"{HEADER}<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{secret}</auth>")
        self.read_until(f"<success xmlns='{NS_SASL}'/>")
        self.send(HEADER)
        self.read_until("</stream:features>")

    def compress(self, **how):
        """Have the stream compressed, and open it once more."""
        self.send(COMPRESS)
        self.read_until(f"<compressed xmlns='{NS_COMPRESS}'/>")
        self.zlib = Zlib(**how)
        self.send(HEADER)
        self.read_until("</stream:features>")

    def bind(self, resource):
        bind = f"<bind xmlns='{NS_BIND}'><resource>{resource}</resource></bind>"
        self.send(f"<iq type='set' id='bind'>{bind}</iq>")
        self.read_until("</iq>")

    def send(self, xml):
        octets = xml.encode()
        self.socket.sendall(octets if self.zlib is None else self.zlib.encode(octets))

    def _read(self):
        octets = self.socket.recv(1 << 18)
        if octets and self.zlib is not None:
            self.received += self.zlib.decode(octets)
        else:
            self.received += octets
        return octets

    def read_until(self, text):
        """What comes up to and with this text; the rest is kept."""
        end = text.encode()
        while (found := self.received.find(end)) < 0:
            assert self._read(), f"no {text} in {bytes(self.received[-2000:])!r}"
        taken = self.received[: found + len(end)].decode()
        del self.received[: found + len(end)]
        return taken

    def read_to_the_end(self):
        while self._read():
            continue
        return self.received.decode()

    def ping(self):
        """What came before the answer: whatever was sent before is handled then."""
        self.send("<iq type='get' id='mark'><ping xmlns='urn:xmpp:ping'/></iq>")
        return self.read_until("id='mark'") + self.read_until(">")
