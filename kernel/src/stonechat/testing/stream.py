"""A client's end of a stream, as raw as a test wants it."""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import gevent
from gevent.event import Event

from stonechat.errors import XMLError
from stonechat.namespaces import NS_CLIENT, NS_SASL, NS_STREAM, NS_STREAM_ERRORS, NS_TLS
from stonechat.protocol.splitter import Splitter, StreamEnd, StreamHeader
from stonechat.stanza import Stanza
from stonechat.testing.transport import Peer
from stonechat.xml import Element, escape_attribute, serialize

if TYPE_CHECKING:
    from stonechat.codec import Codec
    from stonechat.testing.transport import MemoryConnection

DEADLINE = 5.0

NS_SASL2 = "urn:xmpp:sasl:2"

# More than any server sends in one element.
_LARGEST = 64 * 1024 * 1024

# How much of a conversation is shown where a test fails.
_SHOWN = 20

Received = Stanza | Element
T = TypeVar("T", bound=Received)


class RawStream(Peer):
    """A client that sends what it is told to, and shows everything that comes.

    `receive` gives stanzas as `Message`, `Presence` or `Iq` and all else as `Element`.
    The server's last header is in `header`, the features that came with it in `features`
    if the stream was opened by `open`.
    """

    # That of the stanzas on the wire; those that come out are in jabber:client.
    _content_namespace = NS_CLIENT

    def __init__(
        self,
        name: str,
        domain: str,
        connection: MemoryConnection,
        settle: Callable[[], None],
    ) -> None:
        self.name = name
        self.domain = domain
        self.header: StreamHeader | None = None
        self.features: Element | None = None
        self._settle = settle
        self._codec: Codec | None = None
        self._splitter = Splitter(_LARGEST, content_namespace=self._content_namespace)
        self._items: deque[Received] = deque()
        self._transcript: deque[str] = deque(maxlen=_SHOWN)
        self._error: Element | None = None
        self._has_ended = False
        self._arrived = Event()
        self.connection = connection
        connection.peer = self

    def __repr__(self) -> str:
        return f"<RawStream {self.name}>"

    # What the connection calls

    def octets_came(self, data: bytes) -> None:
        if self._codec is not None:
            data = self._codec.decode(data, _LARGEST)
        self._note("S", data)
        if data.startswith(b"<?xml"):
            # The server begins the stream anew, with an error before we open it perhaps.
            self._splitter = Splitter(_LARGEST, content_namespace=self._content_namespace)
        try:
            events = self._splitter.feed(data)
        except XMLError as error:
            raise AssertionError(f"the server sent bad XML ({error}): {data!r}") from error
        for event in events:
            if isinstance(event, StreamHeader):
                self.header = event
            elif isinstance(event, StreamEnd):
                self._has_ended = True
            else:
                if isinstance(event, Element) and event.qualified_name == f"{NS_STREAM} error":
                    self._error = event
                self._items.append(event)
        self._arrived.set()

    def end_came(self) -> None:
        # As a client does that is done with a stream.
        self.connection.hang_up()
        self._arrived.set()

    # Sending

    def send(self, data: str | bytes | Stanza | Element) -> None:
        """Send XML, and wait until the server has handled it."""
        if isinstance(data, Stanza):
            octets = data.to_bytes()
        elif isinstance(data, Element):
            octets = serialize(data, NS_CLIENT)
        else:
            octets = data.encode() if isinstance(data, str) else data
        self._note("C", octets)
        if self._codec is not None:
            octets = self._codec.encode(octets)
        self.send_octets(octets)

    def send_octets(self, octets: bytes) -> None:
        """Send octets past the codec, if there is one, and wait until they are handled."""
        self.connection.deliver(octets)
        self._settle()

    def open(self, to: str | None = None, **attributes: str) -> Element | None:
        """Open the stream, or open it anew; returns the features if they came."""
        written = {"to": self.domain if to is None else to, "version": "1.0", **attributes}
        head = " ".join(f"{k}='{escape_attribute(v)}'" for k, v in written.items() if v)
        self._splitter = Splitter(_LARGEST, content_namespace=self._content_namespace)
        self.features = None
        self.send(
            f"<?xml version='1.0'?><stream:stream xmlns='{NS_CLIENT}'"
            f" xmlns:stream='{NS_STREAM}' {head}>"
        )
        return self._take_features()

    def _take_features(self) -> Element | None:
        first = self._items[0] if self._items else None
        if isinstance(first, Element) and first.qualified_name == f"{NS_STREAM} features":
            self.features = first
            self._items.popleft()
        return self.features

    def start_tls(self) -> Element | None:
        """Encrypt the stream, in name, and open it anew; returns the features."""
        self.send(f"<starttls xmlns='{NS_TLS}'/>")
        answer = self.receive_element()
        assert answer.qualified_name == f"{NS_TLS} proceed", f"{self}: no TLS: {answer}"
        self.shake_hands()
        return self.open()

    def shake_hands(self) -> None:
        """Do what TLS would do after <proceed/>."""
        self.connection.shake_hands()
        self._settle()

    def transform(self, codec: Codec) -> None:
        """Speak through a codec from now on, as the server does, too. `open` the stream then."""
        self._codec = codec

    def authenticate(self, localpart: str, password: str) -> Element:
        """Log in with SASL PLAIN; returns the server's answer. `open` the stream after it."""
        text = base64.b64encode(f"\0{localpart}\0{password}".encode()).decode()
        self.send(f"<auth xmlns='{NS_SASL}' mechanism='PLAIN'>{text}</auth>")
        return self.receive_element()

    def log_in_inline(
        self, localpart: str, password: str, *payload: Element | str, agent: str = ""
    ) -> Element:
        """Log in with PLAIN by XEP-0388; returns `<success/>`, `<continue/>` or `<failure/>`.

        `payload` is what the client asks for besides, `agent` the id by which it names
        itself. The stream goes on as it is: the features that follow are in `features`.
        """
        text = base64.b64encode(f"\0{localpart}\0{password}".encode()).decode()
        name = f"<user-agent id='{agent}'/>" if agent else ""
        self.send(
            f"<authenticate xmlns='{NS_SASL2}' mechanism='PLAIN'>"
            f"<initial-response>{text}</initial-response>{name}"
            f"{''.join(map(str, payload))}</authenticate>"
        )
        answer = self.receive_element()
        if answer.name == "success":
            self.features = self.receive_element()
        return answer

    def close(self) -> None:
        """End the stream properly."""
        self.send("</stream:stream>")

    def drop(self) -> None:
        """Lose the connection without a word."""
        self.connection.hang_up()
        self._settle()

    # Receiving

    def receive(self, timeout: float = DEADLINE) -> Received:
        """The next thing that the server sent; waits for it."""
        return self._next(lambda item: True, "something", timeout)

    def receive_element(self, timeout: float = DEADLINE) -> Element:
        """The next thing that is no stanza; stanzas stay in line."""
        item = self._next(lambda item: isinstance(item, Element), "an element", timeout)
        assert isinstance(item, Element)
        return item

    def receive_first(self, kind: type[T], timeout: float = DEADLINE) -> T:
        """The next stanza of a kind; all else stays in line."""
        item = self._next(lambda item: isinstance(item, kind), f"a {kind.__name__}", timeout)
        assert isinstance(item, kind)
        return item

    def receive_where(
        self, accepts: Callable[[Received], bool], what: str, timeout: float = DEADLINE
    ) -> Received:
        """The next thing that `accepts` says yes to; `what` names it where none comes."""
        return self._next(accepts, what, timeout)

    def received(self) -> list[Received]:
        """All that has come and was not fetched yet, without waiting for more."""
        self._settle()
        items = list(self._items)
        self._items.clear()
        return items

    def _next(self, accepts: Callable[[Received], bool], what: str, timeout: float) -> Received:
        self._settle()
        deadline = time.monotonic() + timeout
        while True:
            self._arrived.clear()
            for index, item in enumerate(self._items):
                if accepts(item):
                    del self._items[index]
                    return item
            if self.is_closed:
                raise AssertionError(f"{what} did not come before the end.{self.story()}")
            if not self._arrived.wait(max(0.0, deadline - time.monotonic())):
                raise AssertionError(f"{what} did not come within {timeout} s.{self.story()}")

    # How it ended

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over."""
        return self.connection.is_closed

    @property
    def has_ended(self) -> bool:
        """Whether the server has sent the end of the stream."""
        return self._has_ended

    @property
    def is_secure(self) -> bool:
        return self.connection.tls is not None

    def closed_with(self, timeout: float = DEADLINE) -> str:
        """Wait for the end; the condition of the stream error, `""` if there was none."""
        self._settle()
        deadline = time.monotonic() + timeout
        while not self.is_closed:
            self._arrived.clear()
            if not self._arrived.wait(max(0.0, deadline - time.monotonic())):
                raise AssertionError(f"the stream did not end within {timeout} s.{self.story()}")
            gevent.sleep(0)
        return self.error_condition

    @property
    def error(self) -> Element | None:
        """The stream error that has come, whole."""
        return self._error

    @property
    def error_condition(self) -> str:
        """The condition of the stream error that has come, `""` for none."""
        if self._error is None:
            return ""
        conditions = [e.name for e in self._error.elements if e.namespace == NS_STREAM_ERRORS]
        return next((name for name in conditions if name != "text"), "undefined-condition")

    def story(self) -> str:
        """What was said last on this stream, for the message of a test that fails."""
        state = "closed" if self.is_closed else "open"
        if self.connection.close_reason:
            state += f": {self.connection.close_reason}"
        waiting = f"{len(self._items)} in line" if self._items else "nothing in line"
        lines = [f"\n{self.name} ({state}, {waiting}); said last:", *self._transcript]
        return "\n    ".join(lines if self._transcript else [*lines, "nothing"])

    def _note(self, who: str, data: bytes) -> None:
        shown = data if len(data) <= 1000 else data[:1000] + b" ..."
        self._transcript.append(f"{who}: {shown.decode(errors='replace')}")
