"""XMPP Ping (XEP-0199): answers pings, and asks silent clients whether they are still there."""

from typing import Literal

import gevent

from stonechat import hookimpl
from stonechat.errors import StanzaError, StreamError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.options import Duration, DurationOrOff, PluginOptions, option
from stonechat.session import Session
from stonechat.stanza import Element, Iq

NS_PING = "urn:xmpp:ping"

# Pings of ours that wait for an answer at the same time; more are due at the next sweep.
MAX_PROBES = 500

# A look at a session takes a microsecond: others have their turn after so many.
_LOOKS_IN_A_ROW = 500


class Options(PluginOptions):
    interval: DurationOrOff = option(
        "off", "Ping a client from which nothing came for so long.", le=86400
    )
    timeout: Duration = option(
        "30 s", "How long a client may take to answer such a ping.", gt=0, le=600
    )
    action: Literal["none", "close"] = option(
        "close", "What happens to a client that does not answer: nothing, or its stream is closed."
    )


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.probes = 0

    def start(self) -> None:
        interval = self.options.interval
        if interval:
            # One timer for all sessions; a ping is late by a quarter at most.
            self.host.call_every(max(interval / 4, 0.5), self.sweep)

    @hookimpl
    def stonechat_disco_features(self) -> list[str]:
        return [NS_PING]

    @hookimpl
    def stonechat_account_disco_features(self) -> list[str]:
        return [NS_PING]

    @hookimpl
    def stonechat_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {("get", NS_PING): self.pong}

    @hookimpl
    def stonechat_account_iq_handlers(self) -> dict[tuple[str, str], IqHandler]:
        return {("get", NS_PING): self.pong_for_account}

    def pong(self, iq: Iq) -> None:
        """An empty result says all there is to say."""

    def pong_for_account(self, iq: Iq) -> None:
        """Strangers are answered as for an account that does not exist."""
        if not self.host.may_see_presence((iq.to or iq.from_).bare, iq.from_):
            raise StanzaError("service-unavailable")

    def sweep(self) -> None:
        """Ping every client that has been silent for the interval."""
        for looked_at, session in enumerate(list(self.host.all_sessions()), 1):
            if session.idle_seconds >= self.options.interval and session.is_open:
                if self.probes >= MAX_PROBES:
                    return
                self.probe_soon(session)
            if looked_at % _LOOKS_IN_A_ROW == 0:
                gevent.sleep(0)

    def probe_soon(self, session: Session) -> None:
        if NS_PING in session.data:
            return  # the last one still waits for its answer
        session.data[NS_PING] = True
        self.probes += 1
        self.host.spawn(self.probe, session)

    def probe(self, session: Session) -> None:
        ping = Iq(Element(NS_PING, "ping"), to=session.jid, from_=self.host.jid, type="get")
        try:
            self.host.ask(ping, self.options.timeout)
        except StanzaError:
            # An error is an answer too, and so is anything else that came meanwhile.
            if session.is_open and session.idle_seconds >= self.options.timeout:
                self.give_up(session)
        finally:
            self.probes -= 1
            session.data.pop(NS_PING, None)

    def give_up(self, session: Session) -> None:
        self.host.log.info("client does not answer", jid=session.jid.text)
        if self.options.action == "close":
            session.close(StreamError("connection-timeout"))
