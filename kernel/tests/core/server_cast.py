"""A manager of streams that does as it is told, and writes down what it hears."""

from stonechat import hookimpl
from stonechat.core.server_outgoing import OutgoingStream
from stonechat.errors import JIDError
from stonechat.federation import Pair
from stonechat.jid import JID
from stonechat.namespaces import NS_SASL
from stonechat.net.resolver import Target
from stonechat.stanza import Element, Message
from stonechat.testing.server_stream import RawServerStream, certificate_of
from stonechat.testing.transport import MemoryConnector, MemoryContexts

CAPULET, MONTAGUE, VERONA = "capulet.example", "montague.example", "verona.example"
ROOMS = "rooms.capulet.example"
PAIR = Pair(CAPULET, MONTAGUE)
NS_PROOF = "urn:example:proof"
EXTERNAL = f"<mechanisms xmlns='{NS_SASL}'><mechanism>EXTERNAL</mechanism></mechanisms>"

TRUSTED = certificate_of(MONTAGUE)
OTHER = certificate_of(VERONA)


class Manager:
    """The owner of all streams (`stonechat.core.server_owner.Owner`)."""

    def __init__(self, server):
        self.server = server
        self.kernel = server.kernel
        self.timers = self.kernel.timers
        self.log = self.kernel.log
        self.is_stopping = False
        self.contexts = MemoryContexts()
        self.connector = MemoryConnector()
        self.trusts = {}  # by remote domain; `require` where there is none
        self.has_certificate = True
        self.told = []
        self.streams = []

    @property
    def limits(self):
        return self.kernel.configuration.limits

    @property
    def default_domain(self):
        return next(iter(self.kernel.hosts))

    def certificate_of(self, local):
        return CAPULET if self.has_certificate else ""

    def policy(self, local, remote):
        return self.trusts.get(remote, "require")

    def host_of(self, domain):
        if not self.kernel.router.owner(domain):
            return None
        return self.kernel.hosts[CAPULET]

    def begun(self, stream):
        self.streams.append(stream)

    def opened(self, stream):
        self.told.append("opened")

    def authorized(self, stream, pair):
        self.told.append(("authorized", pair))

    def refused(self, stream, pair, error):
        self.told.append(("refused", pair, error.condition, error.text))

    def incoming_ready(self, stream, pair):
        self.told.append(("ready", pair))

    def flowing(self, stream):
        self.told.append("flowing")

    def lost(self, stream, reason):
        self.told.append(("lost", reason))
        self.left = tuple(stream.unacknowledged())

    # For tests

    @property
    def stream(self):
        return self.streams[-1]

    @property
    def end(self):
        """Why the last stream has ended; None while it has not."""
        ends = [each[1] for each in self.told if each[0] == "lost"]
        assert len(ends) < 2, ends
        return ends[0] if ends else None

    def incoming(self, *, remote=MONTAGUE, certificate=TRUSTED, fault="", header=True, **port):
        """Another server that has connected; behind its first header, unless it is to wait."""
        peer = RawServerStream(
            self.server, remote, CAPULET, certificate=certificate, certificate_fault=fault
        )
        peer.connect(self, **port)
        if header:
            peer.open()
        return peer

    def proven(self, **options):
        """The same, with all that a good certificate needs behind it."""
        peer = self.incoming(direct=True, **options)
        assert peer.authenticate().name == "success"
        peer.open()
        return peer

    def outgoing(
        self,
        *,
        tls=False,
        certificate=TRUSTED,
        fault="",
        timeout=30.0,
        idle=0.0,
        avoids_tls=False,
    ):
        """A server that we have connected to; our header has come unless TLS is first."""
        peer = RawServerStream(
            self.server, MONTAGUE, CAPULET, certificate=certificate, certificate_fault=fault
        )
        stream = OutgoingStream(
            self,
            self.kernel.hosts[CAPULET],
            PAIR,
            peer.connection.as_connection(),
            Target("home.montague.example", 5269, tls),
            timeout=timeout,
            idle_timeout=idle,
        )
        stream.avoids_tls = avoids_tls
        self.streams.append(stream)
        stream.start()
        self.server.settle()
        if tls:
            peer.shake_hands()
        return peer


class Prover:
    """A plugin that proves domains by a word, and says what it is told of streams."""

    def __init__(self, host, options):
        self.host = host
        self.options = options
        self.events = []
        self.answer = True
        self.offers = True
        self.fault = None

    @hookimpl
    def stonechat_server_stream_features(self):
        return [self.offer]

    def offer(self, stream):
        return Element(NS_PROOF, "proof") if self.offers else None

    @hookimpl
    def stonechat_server_stream_elements(self):
        return {(NS_PROOF, "proof"): self.proof, (NS_PROOF, "both"): self.both}

    def proof(self, stream, element):
        """A peer says that it is somebody, and is believed; or it believes us."""
        self.events.append(("proof", stream.pair))
        if self.fault is not None:
            raise self.fault
        try:
            local = JID.parse(element.get("to")).domain if element.get("to") else stream.pair.local
        except JIDError:
            local = ""
        stream.authorize(Pair(local, element.get("from") or stream.pair.remote), "a word")

    def both(self, stream, element):
        stream.make_bidirectional()

    @hookimpl
    def stonechat_server_stream_opened(self, stream):
        self.events.append(("opened", stream.pair, [each.name for each in stream.features]))
        if isinstance(self.fault, RuntimeError):
            raise self.fault

    @hookimpl
    def stonechat_prove_domain(self, stream, pair):
        self.events.append(("prove", pair))
        if self.fault is not None:
            raise self.fault
        if self.answer:
            stream.send_element(Element(NS_PROOF, "proof"))
        return self.answer

    @hookimpl
    def stonechat_server_stream_closed(self, stream):
        self.events.append(("closed", stream.pair))


def established(manager, **options):
    """A stream of ours that carries stanzas."""
    peer = manager.outgoing(tls=True, **options)
    peer.answer(EXTERNAL)
    peer.accept()
    peer.answer()
    assert manager.stream.may_send(PAIR)
    return peer


def message(to="juliet@capulet.example", from_="romeo@montague.example/orchard", body="Hark!"):
    return Message(
        Element("jabber:client", "body", None, body),
        to=JID.parse(to),
        from_=JID.parse(from_),
        type="chat",
    )
