"""Somebody who speaks XMPP by slixmpp, which nobody here wrote. Needs slixmpp."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from slixmpp import ClientXMPP, ComponentXMPP
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.stanza import Message, Presence
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from stonechat.errors import StanzaError
from stonechat.namespaces import NS_STANZA_ERRORS
from stonechat.testing.event_loop import DEADLINE, EventLoop, Inbox

Plugins = Iterable[str] | Mapping[str, Mapping[str, Any]]

_ALWAYS = ("xep_0030", "xep_0199")


class LoginFailed(Exception):
    """The server did not let a peer in; the arguments are slixmpp's event and its value."""


class SlixmppPeer:
    """A client or a component; `xmpp` is slixmpp's object, which lives in another thread.

    Messages and presence that come wait in line until a test asks for them, in the order
    in which they came, as slixmpp's stanzas. Every wait has a deadline.
    """

    failures: tuple[str, ...] = (
        "failed_all_auth",
        "ssl_invalid_chain",
        "stream_error",
        "disconnected",
    )
    """Events of slixmpp's by which a login fails."""

    def __init__(
        self, loop: EventLoop, make: Callable[[], ClientXMPP | ComponentXMPP], plugins: Plugins
    ) -> None:
        self._loop = loop
        self._stanzas: Inbox[Any] = Inbox()
        self._events: Inbox[tuple[str, Any]] = Inbox()
        self.xmpp: Any = loop.run(make)
        self.run(lambda: self._prepare(plugins))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.jid}>"

    def _prepare(self, plugins: Plugins) -> None:
        # What people do, tests do.
        self.xmpp.auto_authorize = self.xmpp.auto_subscribe = None
        configured = dict(plugins) if isinstance(plugins, Mapping) else {}
        for name in (*_ALWAYS, *plugins):
            self.xmpp.register_plugin(name, configured.get(name))
        for name in ("message", "presence"):
            self._collect(f"{{{self.xmpp.default_ns}}}{name}")
        for event in ("session_start", *self.failures):
            self.note(event)

    @property
    def jid(self) -> str:
        """The full address; what was asked for until the server has said what it is."""
        return str(self.xmpp.boundjid.full)

    @property
    def bare(self) -> str:
        return str(self.xmpp.boundjid.bare)

    # Coming and going

    def connect(self) -> None:
        """Log in; LoginFailed if that cannot be."""
        self.run(lambda: self._connect() and None)
        event, value = self.wait_event("session_start", *self.failures)
        if event != "session_start":
            self.close()
            raise LoginFailed(event, value)

    def _connect(self) -> Any:
        return self.xmpp.connect()

    def leave(self) -> None:
        """End the stream, as people do who mean it."""
        self.run(lambda: self.xmpp.disconnect(wait=DEADLINE))
        self.wait_event("disconnected")

    def vanish(self) -> None:
        """Be gone without a word, as in a tunnel."""
        self.run(self.xmpp.abort)
        self.wait_event("disconnected")

    def close(self) -> None:
        """Whatever state it is in, be done with it."""

        def close() -> None:
            self.xmpp.cancel_connection_attempt()
            if self.xmpp.transport is not None:
                self.xmpp.transport.abort()
            if self.xmpp._run_out_filters is not None:
                self.xmpp._run_out_filters.cancel()

        self._loop.run(close)

    # Doing

    def run(self, call: Callable[[], Any]) -> Any:
        """Something with `xmpp`, where it lives; an awaitable is awaited.

        StanzaError if the answer to a request was an error, AssertionError if none came.
        """
        try:
            return self._loop.run(call)
        except IqError as error:
            raise self.error_of(error.iq) from error
        except (IqTimeout, TimeoutError) as error:
            raise AssertionError(f"{self} got no answer in {DEADLINE} s") from error

    def call(self, plugin: str, method: str, /, *arguments: Any, **options: Any) -> Any:
        """The result of a method of one of slixmpp's plugins; errors as of `run`."""
        return self.run(lambda: getattr(self.xmpp.plugin[plugin], method)(*arguments, **options))

    def request(self, type: str, payload: Any, to: str = "") -> Any:
        """The answer to an iq with an element of xml.etree in it; errors as of `run`."""

        def send() -> Any:
            iq = self.xmpp.make_iq(ito=to or None)
            iq["type"] = type
            iq.append(payload)
            return iq.send()

        return self.run(send)

    def features(self, jid: str) -> set[str]:
        """What somebody can do, by disco#info."""
        return set(self.call("xep_0030", "get_info", jid=jid)["disco_info"]["features"])

    def send_presence(self, **attributes: Any) -> None:
        """Send any presence: `to`, `type`, `show`, `status`, `priority`, `from`."""
        named = {f"p{name.rstrip('_')}": value for name, value in attributes.items()}
        self.run(lambda: self.xmpp.send_presence(**named))

    def say(self, to: str, body: str, type: str = "chat", **more: str) -> None:
        """Send a message; `more` is for slixmpp's `send_message`."""
        self.run(lambda: self.xmpp.send_message(mto=to, mbody=body, mtype=type, **more))

    def send_raw(self, xml: str) -> None:
        self.run(lambda: self.xmpp.send_raw(xml))

    # What comes

    def collect(self, xpath: str) -> None:
        """Let stanzas like this come into line, too: `{jabber:client}iq/{urn:example}news`.

        Whoever collects a request answers it. Answers go to who asked, and never here.
        """
        self.run(lambda: self._collect(xpath))

    def _collect(self, xpath: str) -> None:
        self.xmpp.register_handler(Callback(f"line: {xpath}", MatchXPath(xpath), self._came))

    def _came(self, stanza: Any) -> None:
        if stanza.name != "iq" or stanza["type"] in ("get", "set"):
            self._stanzas.put(stanza)

    def note(self, event: str) -> None:
        """Let this event of slixmpp's be waited for."""
        self.xmpp.add_event_handler(event, lambda value: self._events.put((event, value)))

    def wait_event(self, *names: str) -> tuple[str, Any]:
        """The next event of these names that was noted, and what came with it."""
        what = f"{self}: {' or '.join(names)}"
        return self._events.take(lambda event: event[0] in names, what)

    def take(self, what: str, fits: Callable[[Any], bool], timeout: float = DEADLINE) -> Any:
        """The next stanza that fits; the others stay in line. `what` names it if none comes."""
        return self._stanzas.take(fits, f"{self}: {what}", timeout)

    def message(self, body: str | None = None) -> Message:
        """The next message, or the next with this body."""
        message: Message = self.take(
            f"a message {body or ''}",
            lambda stanza: isinstance(stanza, Message) and body in (None, stanza["body"]),
        )
        return message

    def presence(self, jid: str, type: str = "available") -> Presence:
        """The next presence of a type from an address, bare or full."""
        presence: Presence = self.take(
            f"{type} from {jid}",
            lambda stanza: (
                isinstance(stanza, Presence)
                and stanza["type"] == type
                and jid in (stanza["from"].full, stanza["from"].bare)
            ),
        )
        return presence

    @staticmethod
    def error_of(stanza: Any) -> StanzaError:
        """The error that a stanza of slixmpp's carries."""
        # Read by hand: slixmpp has no word for some conditions, and sees none of a component.
        error = stanza.xml.find("{*}error")
        if error is None:
            raise AssertionError(f"this is no error: {stanza}")
        found = [child.tag for child in error if child.tag.startswith(f"{{{NS_STANZA_ERRORS}}}")]
        names = [tag.partition("}")[2] for tag in found]
        condition = next((name for name in names if name != "text"), "undefined-condition")
        text = error.findtext(f"{{{NS_STANZA_ERRORS}}}text") or ""
        return StanzaError(condition, text, type=error.get("type") or "")
