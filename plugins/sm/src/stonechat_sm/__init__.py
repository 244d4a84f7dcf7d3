"""Stream Management (XEP-0198): acknowledged stanzas, and sessions that outlive connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stonechat import hookimpl
from stonechat.errors import StreamError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_STANZA_ERRORS
from stonechat.options import ByteSize, Duration, DurationOrOff, PluginOptions, option
from stonechat.plugin import Stage, stage
from stonechat.session import InlineFeature, Session, UnboundStream
from stonechat.stanza import Element, Presence, Stanza
from stonechat_sm.ends import Ends
from stonechat_sm.managed import NS_SM, WRAP, Managed
from stonechat_sm.resting import Resting
from stonechat_sm.resumption import Refusal, Resumption
from stonechat_sm.spool import Spool
from stonechat_sm.tables import SCHEMA

# How long stanzas that nobody asked about wait for company, or for the client's own ack.
ASK_SECONDS = 0.5

# How long a client waits at least for its <a/> while something that it sent is made safe,
# and at most twice as long. It hears then what is safe, and the rest when that is.
ACK_SECONDS = 0.25

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
        8, "Unacknowledged stanzas after which the client is asked at once.", ge=1
    )
    ack_timeout: Duration = option(
        "60 s", "A client that answers no request for so long has lost its connection."
    )
    max_unacked: int = option(
        5000, "Unacknowledged stanzas of one session; further messages are kept elsewhere.", ge=1
    )
    max_unacked_bytes: ByteSize = option("1 MiB", "Size of them.", ge=1)


class Plugin:
    Options = Options
    schema = SCHEMA

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.now: Callable[[], int] = host.now
        self.spool = Spool(host)
        self.ends = Ends(host, self.spool)
        self.resting = Resting(self, host, self.spool, self.ends)
        self.resumption = Resumption(self, host, self.spool, self.ends)
        # Sessions to be asked soon; each at most once.
        self._to_ask: set[Managed] = set()
        # Sessions whose clients have been asked, or want to know, and those since longer.
        self._asked: set[Managed] = set()
        self._owing: set[Managed] = set()
        self._owing_longer: set[Managed] = set()

    def ready(self) -> None:
        """All plugins are there: what a crash has left can go to them."""
        self.host.spawn(self.ends.recover)
        self.host.call_every(LOOK_SECONDS, self.resting.expire)
        self.host.call_every(LOOK_SECONDS, self.ends.recover)
        self.host.call_every(self.options.ack_timeout / 4, self._look_for_silent)

    def stop(self) -> None:
        to_finish, to_keep, to_write = STOP_SECONDS
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
            session.write(_failed("unexpected-request").to_bytes())
            raise StreamError("policy-violation", "Stream management is enabled already.")
        # The counts begin on both sides with this answer: nothing may come between.
        session.write(self.enable(session, element).to_bytes())

    def enable(self, session: Session, element: Element) -> Element:
        """Begin to manage a session; returns `<enabled/>` or `<failed/>`."""
        text = element.get("max")
        if text and not (text.isascii() and text.isdigit() and len(text) <= 10):
            return _failed("bad-request")
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
            h = _count(element)
            if h is None:
                raise StreamError("bad-format", "<a/> needs the number of handled stanzas.")
            managed.answered(h)

    def resume(self, stream: UnboundStream, element: Element) -> None:
        if not stream.is_authenticated:
            _too_early(stream, element)
            return
        stream.send(self.resume_inline(stream, element))

    def resume_inline(self, stream: UnboundStream, element: Element) -> Element:
        """Go on with an earlier session; returns `<resumed/>` or `<failed/>`."""
        h = _count(element)
        if h is None:
            return _failed("bad-request")
        try:
            managed = self.resumption.resume(stream, element.get("previd"), h)
        except Refusal as refusal:
            failed = _failed(refusal.condition)
            if refusal.h is not None:
                failed.set("h", str(refusal.h % WRAP))
            return failed
        return Element(NS_SM, "resumed", {"previd": managed.id, "h": str(managed.safe % WRAP)})

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
        for waiting in (self._to_ask, self._asked, self._owing, self._owing_longer):
            waiting.discard(managed)
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

    def will_ask(self, managed: Managed) -> None:
        if not self._to_ask:
            self.host.call_later(ASK_SECONDS, self._ask)
        self._to_ask.add(managed)

    def _ask(self) -> None:
        to_ask, self._to_ask = self._to_ask, set()
        for managed in to_ask:
            if managed.queue and not managed.asked and managed.flows:
                managed.ask()

    def asks(self, managed: Managed) -> None:
        managed.asked_at = self.host.monotonic()
        self._asked.add(managed)

    def _look_for_silent(self) -> None:
        asked, self._asked = self._asked, set()
        longest = self.options.ack_timeout
        now = self.host.monotonic()
        for managed in asked:
            session = managed.session
            if not managed.asked or not session.is_open:
                continue
            # One that sends anything is there, and busy with what we sent before.
            if min(now - managed.asked_at, session.idle_seconds) >= longest:
                session.disconnect("the client answers no request for an ack")
            else:
                self._asked.add(managed)

    def owes(self, managed: Managed) -> None:
        if managed in self._owing_longer:
            return  # it is answered soon
        if not self._owing and not self._owing_longer:
            self.host.call_later(ACK_SECONDS, self._answer)
        self._owing.add(managed)

    def _answer(self) -> None:
        for managed in self._owing_longer:
            if managed.owes and managed.flows:
                managed.write_ack()
        self._owing_longer, self._owing = self._owing, set()
        if self._owing_longer:
            self.host.call_later(ACK_SECONDS, self._answer)

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


def _count(element: Element) -> int | None:
    """The attribute `h`, an xs:unsignedInt; None if it is none."""
    text = element.get("h").strip()
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < WRAP:
        return int(text)
    return None


def _feature(stream: UnboundStream) -> Element | None:
    return Element(NS_SM, "sm") if stream.is_authenticated else None


def _inline_feature(stream: UnboundStream) -> Element | None:
    return Element(NS_SM, "sm")


def _failed(condition: str) -> Element:
    failed = Element(NS_SM, "failed")
    failed.add(condition, namespace=NS_STANZA_ERRORS)
    return failed


def _too_early(stream: UnboundStream, element: Element) -> None:
    stream.send(_failed("unexpected-request"))


def _out_of_order(session: Session, element: Element) -> None:
    session.write(_failed("unexpected-request").to_bytes())
