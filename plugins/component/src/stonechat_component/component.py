"""One domain and the streams of the program that answers for it."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from typing import cast

from stonechat.errors import JIDError, StanzaError, StreamError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT
from stonechat.options import Secret
from stonechat.stanza import PRESENCE_TYPES, Element, Iq, Presence, Stanza
from stonechat.streams import Stream

# Requests whose answers are awaited, where several streams share a domain.
MAX_ASKED = 10_000

# What the kernel calls by this name whatever namespace the stream has.
_HANDSHAKE = f"{NS_CLIENT} handshake"

_CONNECTED = "stonechat_component_connected"
_DISCONNECTED = "stonechat_component_disconnected"
_STANZA = "stonechat_stanza_from_component"


class Component:
    """Answers for a domain by whatever streams are admitted to it at the time."""

    def __init__(self, host: Host, domain: str, secret: Secret, most: int) -> None:
        self.host = host
        self.domain = domain
        self.secret = secret
        self.most = most
        self.streams: list[Stream] = []
        """Those admitted, in the order in which they came."""
        # Who has asked whom, with what id: the answer must not go to another stream.
        self._asked: OrderedDict[tuple[JID, str], Stream] = OrderedDict()

    # From the program

    def opened(self, stream: Stream) -> ComponentStream:
        """Somebody says that it answers for the domain."""
        return ComponentStream(self, stream)

    def admit(self, stream: Stream) -> None:
        """It has proven so; StreamError where there are enough already."""
        self.streams = [other for other in self.streams if other.is_open]
        if len(self.streams) >= self.most:
            raise StreamError("conflict", "The component is connected already.")
        self.streams.append(stream)
        stream.admit()

    def asks(self, iq: Iq, stream: Stream) -> None:
        """A request goes out over this stream."""
        if self.most == 1 or iq.to is None:
            return
        self._asked[iq.to, iq.id] = stream
        if len(self._asked) > MAX_ASKED:
            self._asked.popitem(last=False)

    def gone(self, stream: Stream) -> None:
        if stream in self.streams:
            self.streams.remove(stream)

    # To the program

    def deliver(self, stanza: Stanza) -> None:
        """The route of the domain."""
        try:
            sender = cast(JID, stanza.from_).bare.text
        except JIDError:
            sender = ""
        self.choose(sender, self._asker(stanza)).send(stanza)

    def choose(self, sender: str, asker: Stream | None = None) -> Stream:
        """The stream for what comes from a sender, by its bare JID; StanzaError for none.

        `asker` is the one that it answers.
        """
        streams = [stream for stream in self.streams if stream.is_open]
        if not streams:
            raise StanzaError("remote-server-timeout", "The service is not connected now.")
        stream = asker
        if stream is None or stream not in streams:
            stream = streams[_share(sender, len(streams))]
        if not stream.takes_stanzas:
            raise StanzaError("resource-constraint", "The service has too much to do now.")
        return stream

    def _asker(self, stanza: Stanza) -> Stream | None:
        """The stream whose request this answers."""
        if not isinstance(stanza, Iq) or stanza.is_request or stanza.from_ is None:
            return None
        return self._asked.pop((stanza.from_, stanza.id), None)


class ComponentStream:
    """What comes over one stream to the domain."""

    def __init__(self, component: Component, stream: Stream) -> None:
        self.component = component
        self.stream = stream
        self.host = component.host

    def received(self, element: Stanza | Element) -> None:
        if not self.stream.is_admitted:
            self._handshake(element)
        elif isinstance(element, Stanza):
            self._route(element)
        else:
            raise StreamError("unsupported-stanza-type")

    def ended(self, reason: str) -> None:
        if self.stream.is_admitted:
            self.component.gone(self.stream)
            self.host.log.info(
                "component disconnected",
                component=self.component.domain,
                address=self.stream.address,
                reason=reason,
            )
            self.host.notify(_DISCONNECTED, stream=self.stream)

    def _handshake(self, element: Stanza | Element) -> None:
        if isinstance(element, Stanza) or element.qualified_name != _HANDSHAKE:
            raise StreamError("not-authorized", "The handshake comes first.")
        secret = self.component.secret.reveal()
        # XEP-0114 says SHA-1, of the id and the secret.
        expected = hashlib.sha1((self.stream.id + secret).encode()).hexdigest()  # noqa: S324
        if not hmac.compare_digest(element.text.strip().encode(), expected.encode()):
            self.host.log.warning(
                "component refused",
                component=self.component.domain,
                address=self.stream.address,
                reason="wrong secret",
            )
            raise StreamError("not-authorized", "The handshake is wrong.")
        # The answer leaves before any stanza can.
        self.component.admit(self.stream)
        self.stream.send_element(Element(NS_CLIENT, "handshake"))
        self.host.log.info(
            "component connected", component=self.component.domain, address=self.stream.address
        )
        self.host.notify(_CONNECTED, stream=self.stream)

    def _route(self, stanza: Stanza) -> None:
        """Check who a stanza claims to be from (robustness rule 12), and send it on its way."""
        if "from" not in stanza.attributes or "to" not in stanza.attributes:
            raise StreamError("improper-addressing", "A stanza needs both addresses.")
        try:
            domain = cast(JID, stanza.from_).domain
        except JIDError:
            domain = ""
        if domain != self.component.domain:
            raise StreamError("invalid-from", "A component speaks for its own domain only.")
        try:
            if isinstance(stanza, Iq):
                stanza.check()
                if stanza.is_request:
                    self.component.asks(stanza, self.stream)
            elif isinstance(stanza, Presence) and stanza.type not in ("", *PRESENCE_TYPES):
                raise StanzaError("bad-request", "There is no such type of presence.")
            if self._is_taken(stanza):
                return
        except StanzaError as error:
            self.host.bounce(stanza, error)
        except JIDError as error:
            self.host.bounce(stanza, StanzaError("jid-malformed", str(error)))
        else:
            self.host.route(stanza)

    def _is_taken(self, stanza: Stanza) -> bool:
        """Whether a plugin sees to it, as to what a privileged entity sends (XEP-0356)."""
        if not self.host.has_hook(_STANZA):
            return False
        # To look at an address that is none is no fault of a plugin's.
        _ = stanza.to
        return bool(self.host.first(_STANZA, stream=self.stream, stanza=stanza))


def _share(sender: str, streams: int) -> int:
    """Whose work a stanza is: everything from one sender is the same stream's."""
    if streams == 1:
        return 0
    digest = hashlib.blake2b(sender.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % streams
