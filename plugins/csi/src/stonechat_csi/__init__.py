"""Client State Indication (XEP-0352): little traffic for a phone that nobody looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from stonechat.errors import StreamError
from stonechat.host import Host
from stonechat.options import ByteSize, PluginOptions, option
from stonechat.plugin import hookimpl
from stonechat.session import InlineFeature, Session, UnboundStream
from stonechat.stanza import Element
from stonechat_csi.rest import Rest

__all__ = ["Options", "Plugin"]

NS_CSI = "urn:xmpp:csi:0"

_KEY = "csi"


class Options(PluginOptions):
    """What can wait while a client is inactive, and how much of it."""

    presence: bool = option(True, "Hold presence: of each contact only the latest is sent.")
    chat_states: Literal["hold", "drop", "send"] = option(
        "hold",
        "What becomes of messages that only say that somebody is typing, and the like: of"
        " each sender only the latest is sent (`hold`), none (`drop`), or all (`send`).",
    )
    events: bool = option(
        True, "Hold news of contacts' moods, avatars and such: of each only the latest is sent."
    )
    max_held: int = option(
        250, "Stanzas held for one client; then all of them are sent.", ge=1, le=100_000
    )
    max_held_bytes: ByteSize = option("64 KiB", "Size of them.", ge=1024)


class Plugin:
    """Holds back from inactive clients what can wait."""

    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        # The inactive sessions.
        self.resting: dict[Session, Rest] = {}

    def stop(self) -> None:
        for session in list(self.resting):
            self.activate(session)

    # What is offered

    @hookimpl
    def stonechat_stream_features(self) -> Sequence[Callable[[UnboundStream], Element | None]]:
        return [_feature]

    @hookimpl
    def stonechat_bind2_features(self) -> Sequence[InlineFeature[Session]]:
        return [InlineFeature(NS_CSI, "inactive", _offered, self.indicate)]

    @hookimpl
    def stonechat_stream_elements(
        self,
    ) -> Mapping[tuple[str, str], Callable[[Session, Element], None]]:
        return {(NS_CSI, "active"): self.indicate, (NS_CSI, "inactive"): self.indicate}

    @hookimpl
    def stonechat_unbound_stream_elements(
        self,
    ) -> Mapping[tuple[str, str], Callable[[UnboundStream, Element], None]]:
        return {(NS_CSI, "active"): _remember, (NS_CSI, "inactive"): _remember}

    # Active and inactive

    def indicate(self, session: Session, element: Element) -> None:
        """A client says which it is; there is no answer to that."""
        if element.name == "inactive":
            self.deactivate(session)
        else:
            self.activate(session)

    def deactivate(self, session: Session) -> None:
        # While it was bound with others, it may have ended: nobody would tell of that again.
        if session.is_open and session not in self.resting:
            rest = self.resting[session] = Rest(self.host, session, self.options)
            session.add_outlet(rest)

    def activate(self, session: Session) -> None:
        rest = self.resting.pop(session, None)
        if rest is not None:
            # Before anything that the client sends next is answered ("In-order processing").
            rest.flush()
            session.remove_outlet(rest)

    # Sessions

    @hookimpl
    def stonechat_session_bound(self, session: Session) -> None:
        if session.data.pop(_KEY, "") == "inactive":
            self.deactivate(session)

    @hookimpl
    def stonechat_session_resumed(self, session: Session) -> None:
        # "The CSI state is not restored."
        self.activate(session)

    @hookimpl
    def stonechat_session_state(self, session: Session) -> Mapping[str, object]:
        # Presence is asked for anew after a restart, and who was typing then does not now.
        rest = self.resting.get(session)
        if rest is not None:
            rest.flush_events()
        return {}

    # Last: who keeps the session over a restart asks for its state before.
    @hookimpl(trylast=True)
    def stonechat_session_ending(self, session: Session) -> None:
        self.resting.pop(session, None)


def _feature(stream: UnboundStream) -> Element | None:
    return Element(NS_CSI, "csi") if stream.is_authenticated else None


def _offered(stream: UnboundStream) -> Element:
    return Element(NS_CSI, "csi")


def _remember(stream: UnboundStream, element: Element) -> None:
    """The feature is offered before a resource is bound, so it may be used before, too."""
    if not stream.is_authenticated:
        raise StreamError("not-authorized", "Log in first.")
    stream.data[_KEY] = element.name
