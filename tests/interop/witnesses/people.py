"""People who use slixmpp: it has a thread and an event loop of its own, and tests wait here."""

from __future__ import annotations

import asyncio
import inspect
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slixmpp import ClientXMPP
from slixmpp.stanza import Iq, Message, Presence
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from stonechat.testing.process import LOCALHOST
from witnesses import DEADLINE

PLUGINS = (
    "xep_0012",
    "xep_0030",
    "xep_0092",
    "xep_0199",
    "xep_0202",
    "xep_0203",
)


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], Any], timeout: float = DEADLINE) -> Any:
        """Call it over there; returns the result, and waits for it if it has to come."""

        async def over_there() -> Any:
            result = call()
            return await result if inspect.isawaitable(result) else result

        return asyncio.run_coroutine_threadsafe(over_there(), self._loop).result(timeout)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()


class LoginFailed(Exception):
    """The server did not let somebody in; the argument says what came instead."""


class Person:
    """One client. Stanzas that come wait until somebody asks for them."""

    def __init__(
        self,
        loop: Loop,
        jid: str,
        password: str,
        *,
        port: int,
        trusted: Path,
        address: str = LOCALHOST,
        direct_tls: bool = False,
        mechanism: str = "",
        tls_version: ssl.TLSVersion | None = None,
        certificate: tuple[Path, Path] | None = None,
        registers: bool = False,
        lang: str = "en",
    ) -> None:
        self._loop = loop
        self._where = (address, port)
        self._changed = threading.Condition()
        self._inbox: list[Message | Presence | Iq] = []
        self._events: list[tuple[str, Any]] = []
        self._registers = registers
        context = ssl.create_default_context(cafile=str(trusted))
        if tls_version is not None:
            context.minimum_version = context.maximum_version = tls_version
        self.client: ClientXMPP = loop.run(
            lambda: self._make(jid, password, context, direct_tls, mechanism, lang)
        )
        if certificate is not None:
            self.client.certfile, self.client.keyfile = map(str, certificate)

    def _make(
        self,
        jid: str,
        password: str,
        context: ssl.SSLContext,
        direct_tls: bool,
        mechanism: str,
        lang: str,
    ) -> ClientXMPP:
        client = ClientXMPP(
            jid, password, sasl_mech=mechanism or None, lang=lang, ssl_context=context
        )
        client.enable_direct_tls = direct_tls
        client.enable_starttls = not direct_tls
        # What people do, tests do.
        client.auto_authorize = None
        client.auto_subscribe = False
        for plugin in PLUGINS:
            client.register_plugin(plugin)
        if self._registers:
            client.register_plugin("xep_0077", {"force_registration": False})
            client.add_event_handler("register", self._register)
        else:
            client.register_plugin("xep_0077", {"create_account": False})
        for name in ("message", "presence"):
            matcher = MatchXPath(f"{{jabber:client}}{name}")
            client.register_handler(Callback(f"inbox of {name}s", matcher, self._received))
        client.add_event_handler("roster_update", self._received)
        for event in (
            "disconnected",
            "failed_all_auth",
            "session_start",
            "ssl_invalid_chain",
            "stream_error",
        ):
            client.add_event_handler(event, self._noter(event))
        return client

    # What happens over there

    def _received(self, stanza: Any) -> None:
        if stanza.name == "iq" and stanza["type"] == "result":
            return  # the roster, which was asked for
        with self._changed:
            self._inbox.append(stanza)
            self._changed.notify_all()

    def _noter(self, event: str) -> Callable[[Any], None]:
        def note(value: Any) -> None:
            with self._changed:
                self._events.append((event, value))
                self._changed.notify_all()

        return note

    async def _register(self, form: Any) -> None:
        answer = self.client.Iq()
        answer["type"] = "set"
        answer["register"]["username"] = self.client.boundjid.user
        answer["register"]["password"] = self.client.password
        try:
            await answer.send(timeout=DEADLINE)
        except Exception as error:  # noqa: BLE001 - the test's thread hears of it
            self._noter("not registered")(error)
            self.client.disconnect()

    # Waiting

    def _wait(self, found: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + DEADLINE
        with self._changed:
            while True:
                result = found()
                if result is not None:
                    return result
                left = deadline - time.monotonic()
                if left <= 0:
                    shown = [*map(str, self._inbox), *map(str, self._events)]
                    raise AssertionError(f"{self.client.boundjid}: no {what}, but {shown}")
                self._changed.wait(left)

    def wait_event(self, *names: str) -> tuple[str, Any]:
        """The first event of these names, and what came with it."""
        return self._wait(
            lambda: next((event for event in self._events if event[0] in names), None),
            " or ".join(names),
        )

    def take(self, what: str, fits: Callable[[Any], bool]) -> Any:
        """The first stanza in the inbox that fits; the others stay."""

        def found() -> Any:
            for index, stanza in enumerate(self._inbox):
                if fits(stanza):
                    return self._inbox.pop(index)
            return None

        return self._wait(found, what)

    def message(self, body: str | None = None) -> Message:
        """The next message, or the next with this body."""
        return self.take(
            f"message {body or ''}",
            lambda stanza: isinstance(stanza, Message) and body in (None, stanza["body"]),
        )

    def presence(self, jid: str, type: str = "available") -> Presence:
        """The next presence of a type from a JID, bare or full."""
        return self.take(
            f"{type} from {jid}",
            lambda stanza: (
                isinstance(stanza, Presence)
                and stanza["type"] == type
                and jid in (stanza["from"].full, stanza["from"].bare)
            ),
        )

    def push(self, jid: str, subscription: str, ask: str = "") -> dict[str, Any]:
        """The next roster push that brings an item to this state; returns the item."""

        def fits(stanza: Any) -> bool:
            if not isinstance(stanza, Iq) or stanza["type"] != "set":
                return False
            item = stanza["roster"]["items"].get(jid)
            return (
                item is not None
                and item["subscription"] == subscription
                and (item["ask"] or "") == ask
            )

        return self.take(f"push of {jid} {subscription} {ask}", fits)["roster"]["items"][jid]

    def rest(self) -> list[Any]:
        """What else has come, once everything sent to this client so far has."""
        self.sync()
        with self._changed:
            inbox, self._inbox = self._inbox, []
        return inbox

    def sync(self) -> None:
        """Wait until the server has handled what was sent, and answered it."""
        server = self.client.boundjid.domain
        self.run(lambda: self.client.plugin["xep_0199"].ping(server, timeout=DEADLINE))

    # Doing

    def run(self, call: Callable[[], Any]) -> Any:
        """Something with the client, where it lives."""
        return self._loop.run(call)

    def connect(self) -> None:
        """Log in; LoginFailed if that cannot be."""
        self.run(lambda: self._connect() and None)
        event, value = self.wait_event(
            "session_start",
            "not registered",
            "failed_all_auth",
            "ssl_invalid_chain",
            "stream_error",
            "disconnected",
        )
        if event != "session_start":
            self.close()
            raise LoginFailed(event, value)

    def _connect(self) -> Any:
        return self.client.connect(*self._where)

    @property
    def jid(self) -> str:
        return str(self.client.boundjid.full)

    @property
    def bare(self) -> str:
        return str(self.client.boundjid.bare)

    @property
    def mechanism(self) -> str:
        """How this client has logged in."""
        return str(self.client.plugin["feature_mechanisms"].mech.name)

    @property
    def tls_version(self) -> str:
        return str(self.run(lambda: self.client.socket.version()))

    def available(self, priority: int = 0, **more: str) -> None:
        """Send presence, and wait until it has come back: then all know it."""
        self.run(lambda: self.client.send_presence(ppriority=priority, **_with_p(more)))
        self.presence(self.jid)

    def send_presence(self, **attributes: Any) -> None:
        """Send any presence: `to`, `type`, `show`, `status`."""
        self.run(lambda: self.client.send_presence(**_with_p(attributes)))

    def say(self, to: str, body: str, type: str = "chat", **more: str) -> None:
        """Send a message."""
        self.run(lambda: self.client.send_message(mto=to, mbody=body, mtype=type, **more))

    def send_raw(self, xml: str) -> None:
        self.run(lambda: self.client.send_raw(xml))

    @property
    def roster_version(self) -> str:
        """The version that this client knows."""
        return str(self.client.client_roster.version)

    def get_roster(self, known: str = "") -> dict[str, Any]:
        """Ask for the roster, or for what is new since a version; from here on there are pushes.

        Returns the items of the answer by JID.
        """
        self.client.client_roster.version = known
        answer = self.run(lambda: self.client.get_roster(timeout=DEADLINE))
        return {str(jid): item for jid, item in answer["roster"]["items"].items()}

    def request(self, type: str, payload: Any, to: str = "") -> Iq:
        """Send an IQ with an XML element in it; IqError if that is the answer."""

        def send() -> Any:
            iq = self.client.make_iq(ito=to or None)
            iq["type"] = type
            iq.append(payload)
            return iq.send(timeout=DEADLINE)

        return self.run(send)

    # Going

    def leave(self) -> None:
        """End the stream, as people do who mean it."""
        self.run(lambda: self.client.disconnect(wait=DEADLINE))
        self.wait_event("disconnected")

    def vanish(self) -> None:
        """Be gone without a word, as in a tunnel."""
        self.run(lambda: self.client.abort())
        self.wait_event("disconnected")

    def close(self) -> None:
        """Whatever state it is in, be done with it."""

        def close() -> None:
            self.client.cancel_connection_attempt()
            if self.client.transport is not None:
                self.client.transport.abort()
            if self.client._run_out_filters is not None:
                self.client._run_out_filters.cancel()

        self.run(close)


def _with_p(attributes: dict[str, Any]) -> dict[str, Any]:
    """slixmpp's own names for the parameters of a presence."""
    return {f"p{name}": value for name, value in attributes.items()}
