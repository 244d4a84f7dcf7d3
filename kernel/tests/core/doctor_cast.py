"""Other servers on loopback, each with an ill of its own, for the doctor to look at."""

import re
import sys
from pathlib import Path

import gevent.socket
import gevent.ssl
from gevent.server import StreamServer

# The authority of the tests of TLS.
sys.path.insert(0, str(Path(__file__).parents[1] / "net"))

from tls_authority import Authority

__all__ = ["Authority", "Peer", "codes", "verdicts"]

LOCALHOST = "127.0.0.1"
LOCAL, REMOTE = "capulet.example", "montague.example"
DEADLINE = 10

STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
EXTERNAL = (
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
    "<mechanism>EXTERNAL</mechanism></mechanisms>"
)
DIALBACK = "<dialback xmlns='urn:xmpp:features:dialback'/>"

_HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:server'"
    " xmlns:stream='http://etherx.jabber.org/streams' from='montague.example' id='s1'{}>"
)
_ERROR = (
    "<stream:error><{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    "</stream:stream>"
)


def stream_error(condition):
    return HEADER + _ERROR.format(condition)


HEADER = _HEADER.format(" version='1.0'")
OLD_HEADER = _HEADER.format("")


def features(*elements):
    return f"{HEADER}<stream:features>{''.join(elements)}</stream:features>"


class Peer:
    """A server that answers as it is told; what it was sent is in `heard`.

    `clear` answers the header in the clear, `secure` the one behind TLS; "" is silence.
    """

    def __init__(
        self,
        pair=None,
        *,
        direct=False,
        clear=None,
        secure=None,
        proceed="<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        alpn=("xmpp-server",),
        authority=None,
        address=LOCALHOST,
    ):
        self.clear = features(STARTTLS) if clear is None else clear
        self.secure = features(EXTERNAL) if secure is None else secure
        self.proceed = proceed
        self.is_direct = direct
        self.heard = ""
        self.shown = []
        self.context = None
        if pair is not None:
            self.context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(pair.chain, pair.key)
            self.context.set_alpn_protocols(list(alpn))
            if authority is not None:
                self.context.load_verify_locations(authority.path)
                self.context.verify_mode = gevent.ssl.CERT_REQUIRED
        listener = gevent.socket.socket()
        listener.bind((address, 0))
        listener.listen()
        self.port = listener.getsockname()[1]
        self.connections = 0
        self._server = StreamServer(listener, self._serve)
        self._server.start()

    def close(self):
        self._server.stop()

    def _serve(self, sock, address):
        self.connections += 1
        sock.settimeout(DEADLINE)
        try:
            self._talk(sock)
        except OSError as error:
            self.heard += f"[{error}]"
        finally:
            sock.close()

    def _talk(self, sock):
        if not self.is_direct:
            self._answer(sock, r"<stream:stream[^>]*>", self.clear)
            if "<starttls" not in self.clear:
                self._hear_out(sock)
                return
            self._answer(sock, r"<starttls[^>]*>", self.proceed)
            if "<proceed" not in self.proceed:
                return
        with self.context.wrap_socket(sock, server_side=True) as tls:
            self.heard = ""
            self.shown.append(tls.getpeercert())
            self._answer(tls, r"<stream:stream[^>]*>", self.secure)
            self._hear_out(tls)

    def _answer(self, sock, wanted, answer):
        while not re.search(wanted, self.heard):
            data = sock.recv(4096)
            if not data:
                raise OSError("gone")
            self.heard += data.decode()
        sock.sendall(answer.encode())

    def _hear_out(self, sock):
        while data := sock.recv(4096):
            self.heard += data.decode()


def codes(findings, *steps):
    """What was found in these steps."""
    return [each.code for each in findings if each.step in steps]


def verdicts(findings):
    """The worst verdict of each step."""
    order = ["skipped", "ok", "warning", "failed"]
    worst = {}
    for each in findings:
        known = worst.setdefault(each.step, each.verdict)
        worst[each.step] = max(known, each.verdict, key=order.index)
    return worst
