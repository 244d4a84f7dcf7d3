"""Stream Management (XEP-0198): acknowledged stanzas, and sessions that outlive connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from stonechat import hookimpl
from stonechat.errors import StreamError
from stonechat.federation import ServerStream
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.options import ByteSize, Duration, DurationOrOff, PluginOptions, option
from stonechat.plugin import Stage, stage
from stonechat.session import InlineFeature, Session, UnboundStream
from stonechat.stanza import Element, Presence, Stanza
from stonechat_sm.elements import NS_SM, WRAP, acknowledged_in, count_in, failed
from stonechat_sm.ends import Ends
from stonechat_sm.managed import Managed
from stonechat_sm.resting import Resting
from stonechat_sm.resumption import Refusal, Resumption
from stonechat_sm.rounds import Rounds
from stonechat_sm.servers import Servers
from stonechat_sm.spool import Spool
from stonechat_sm.tables import SCHEMA

# Of the five seconds that a plugin has to stop: for what ended sessions have left, for
# sessions that are kept, and for what waits to be written.
STOP_SECONDS = (1.5, 1.5, 1.5)

# How often to look for what nobody sees to, and for sessions whose time is over.
LOOK_SECONDS = 60.0


class Options(PluginOptions):
    resume_for: DurationOrOff = option(
        "5 min", "How long a session whose connection was lost waits to be resumed."
    )
    keep_over_restart: bool = option(
        True, "Keep the sessions that can be resumed while the server is restarted."
    )
    location: str = option(
        "", "Where clients should rather resume, as `domain:port` or `[address]:port`."
    )
    ask_every: int = option(
        8, "Unacknowledged stanzas after which the peer is asked at once.", ge=1
    )
    ack_timeout: Duration = option(
        "60 s", "A client, or server, that answers no request for so long has lost its connection."
    )
    max_unacked: int = option(
        5000, "Unacknowledged stanzas of one stream; further messages are kept elsewhere.", ge=1
    )
    max_unacked_bytes: ByteSize = option("1 MiB", "Size of them.", ge=1)
    servers: bool = option(True, "Acknowledge stanzas on streams between servers, too.")


class Plugin:
    Options = Options
    schema = SCHEMA

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.now: Callable[[], int] = host.now
        self.rounds = Rounds(host, options.ack_timeout)
        self.spool = Spool(host)
        self.ends = Ends(host, self.spool)
        self.resting = Resting(self, host, self.spool, self.ends)
        self.resumption = Resumption(self, host, self.spool, self.ends)
        self.servers = Servers(host, options, self.rounds)

    def ready(self) -> None:
        """All plugins are there: what a crash has left can go to them."""
        self.host.spawn(self.ends.recover)
        self.host.call_every(LOOK_SECONDS, self.resting.expire)
        self.host.call_every(LOOK_SECONDS, self.ends.recover)
        self.rounds.start()

    def stop(self) -> None:
        to_finish, to_keep, to_write = STOP_SECONDS
        self.servers.stop()
        self.resumption.release_all()
        self.ends.finish(to_finish)
        self.resting.write(to_keep)
        self.spool.stop(to_write)

    # What is offered

    @hookimpl
    def stonechat_stream_features(self) -> list[Callable[[UnboundStream], Element | None]]:
        return [_feature]

    @hookimpl
    def stonechat_sasl2_features(self) -> list[InlineFeature[UnboundStream]]:
        return [InlineFeature(NS_SM, "resume", _inline_feature, self.resume_inline)]

    @hookimpl
    def stonechat_bind2_features(self) -> list[InlineFeature[Session]]:
        return [InlineFeature(NS_SM, "enable", _inline_feature, self.enable)]

    # Elements of the stream

    @hookimpl
    def stonechat_unbound_stream_elements(
        self,
    ) -> Mapping[tuple[str, str], Callable[[UnboundStream, Element], None]]:
        return {
            (NS_SM, "resume"): self.resume,
            **dict.fromkeys(((NS_SM, "enable"), (NS_SM, "r"), (NS_SM, "a")), _too_early),
        }

    @hookimpl
    def stonechat_stream_elements(
        self,
    ) -> Mapping[tuple[str, str], Callable[[Session, Element], None]]:
        return {
            (NS_SM, "r"): self.requested,
            (NS_SM, "a"): self.answered,
            (NS_SM, "enable"): self.enable_by_element,
            (NS_SM, "resume"): _out_of_order,
        }

    def enable_by_element(self, session: Session, element: Element) -> None:
        managed = managed_of(session)
        if managed is not None:
            session.write(failed("unexpected-request").to_bytes())
            raise StreamError("policy-violation", "Stream management is enabled already.")
        # The counts begin on both sides with this answer: nothing may come between.
        session.write(self.enable(session, element).to_bytes())

    def enable(self, session: Session, element: Element) -> Element:
        """Begin to manage a session; returns `<enabled/>` or `<failed/>`."""
        text = element.get("max")
        if text and not (text.isascii() and text.isdigit() and len(text) <= 10):
            return failed("bad-request")
        managed = self.resumption.manage(session)
        enabled = Element(NS_SM, "enabled")
        seconds = self.options.resume_for
        if element.get("resume") in ("true", "1") and seconds:
            self.resumption.offer(managed, min(seconds, int(text)) if text else seconds)
            enabled.set("id", managed.id)
            enabled.set("resume", "true")
            # An xs:positiveInteger.
            enabled.set("max", str(max(1, int(managed.max_seconds))))
            if self.options.location:
                enabled.set("location", self.options.location)
        return enabled

    def requested(self, session: Session, element: Element) -> None:
        managed = managed_of(session)
        if managed is None:
            _out_of_order(session, element)
        else:
            managed.requested()

    def answered(self, session: Session, element: Element) -> None:
        managed = managed_of(session)
        if managed is None:
            _out_of_order(session, element)
        else:
            managed.answered(acknowledged_in(element))

    def resume(self, stream: UnboundStream, element: Element) -> None:
        if not stream.is_authenticated:
            _too_early(stream, element)
            return
        stream.send(self.resume_inline(stream, element))

    def resume_inline(self, stream: UnboundStream, element: Element) -> Element:
        """Go on with an earlier session; returns `<resumed/>` or `<failed/>`."""
        h = count_in(element)
        if h is None:
            return failed("bad-request")
        try:
            managed = self.resumption.resume(stream, element.get("previd"), h)
        except Refusal as refusal:
            answer = failed(refusal.condition)
            if refusal.h is not None:
                answer.set("h", str(refusal.h % WRAP))
            return answer
        return Element(NS_SM, "resumed", {"previd": managed.id, "h": str(managed.safe % WRAP)})

    # Streams between servers

    @hookimpl
    def stonechat_server_stream_features(
        self,
    ) -> Sequence[Callable[[ServerStream], Element | None]]:
        return self.servers.features

    @hookimpl
    def stonechat_server_stream_elements(
        self,
    ) -> Mapping[tuple[str, str], Callable[[ServerStream, Element], None]]:
        return self.servers.elements

    @hookimpl
    def stonechat_server_stream_authorized(self, stream: ServerStream) -> None:
        self.servers.authorized(stream)

    @hookimpl
    def stonechat_server_stream_closed(self, stream: ServerStream) -> None:
        self.servers.closed(stream)

    # Sessions

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_session_bound(self, session: Session) -> None:
        # Before anybody sends it what would not be counted.
        self.resting.bound(session)

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_presence_changed(
        self, session: Session, presence: Presence, previous: Presence | None
    ) -> None:
        # Before anybody delivers what was kept later than that.
        if self.ends.is_recovering and previous is None:
            self.ends.recover_account(session.jid.localpart)

    @hookimpl
    def stonechat_session_detached(self, session: Session, reason: str) -> bool | None:
        managed = managed_of(session)
        if managed is None or not managed.id:
            return None
        self.resumption.wait(managed)
        if managed.queue and self.host.has_hook("stonechat_stanza_waits"):
            # What was on its way over the connection may not have come.
            for sent in managed.queue:
                self.waits(managed, Stanza.from_bytes(sent.octets))
        return True

    @hookimpl
    def stonechat_session_ending(self, session: Session) -> None:
        managed = managed_of(session)
        if managed is None:
            return
        managed.stop()
        self.rounds.discard(managed)
        self.spool.discard(managed)
        self.resumption.ended(managed)

    @hookimpl
    def stonechat_session_closed(self, session: Session) -> None:
        # Whoever waits for the session's end waits for its messages too.
        self.ends.wait(session.jid.localpart)

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        self.spool.clear(account.localpart)

    # For managed streams

    def will_spool(self, managed: Managed) -> None:
        self.spool.soon(managed)

    def acknowledged(self, managed: Managed) -> None:
        self.spool.forget(managed.token, managed.acked)

    def waits(self, managed: Managed, stanza: Stanza) -> None:
        if managed.is_over:
            # Once it is in the queue.
            self.host.spawn(self.ends.came_late, managed)
        else:
            self.host.notify("stonechat_stanza_waits", session=managed.session, stanza=stanza)


def managed_of(session: Session) -> Managed | None:
    """The management of a session, if it is enabled."""
    managed: Managed | None = session.data.get("sm")
    return managed


def _feature(stream: UnboundStream) -> Element | None:
    return Element(NS_SM, "sm") if stream.is_authenticated else None


def _inline_feature(stream: UnboundStream) -> Element | None:
    return Element(NS_SM, "sm")


def _too_early(stream: UnboundStream, element: Element) -> None:
    stream.send(failed("unexpected-request"))


def _out_of_order(session: Session, element: Element) -> None:
    session.write(failed("unexpected-request").to_bytes())
