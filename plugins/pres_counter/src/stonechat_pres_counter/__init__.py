"""Presence Counter: bounds how many subscription requests a user sends and gets."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.options import Domain, Duration, PluginOptions, option
from stonechat.plugin import Stage, concerns, hookimpl, stage
from stonechat.session import Session
from stonechat.stanza import Presence

__all__ = ["Options", "Plugin"]

NAME = "pres_counter"

SUBSCRIPTIONS = frozenset({"subscribe", "subscribed", "unsubscribe", "unsubscribed"})

# Accounts whose requests are counted at a time. Whoever is beyond it longest is forgotten;
# to be forgotten is to begin anew.
MAX_ACCOUNTS = 10_000


class Options(PluginOptions):
    """How much is too much, and whose presence is not counted."""

    count: int = option(5, "So many are let through in an interval.", ge=1, le=1_000_000)
    interval: Duration = option("60 s", "How long is counted.", gt=0, le=86_400)
    only_subscriptions: bool = option(
        True,
        "Count what a session sends about subscriptions; else all presence that it sends to"
        " somebody, as when it enters a room.",
    )
    exempt: tuple[Domain, ...] = option(
        (), "Domains with which presence is not counted: gateways, for one."
    )


class Window:
    """What was counted in an interval that began at some time."""

    __slots__ = ("begun", "count")

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.count = 0


class Plugin:
    """Counts presence of each session, and subscription requests to each account."""

    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.exempt = frozenset(options.exempt)
        # By localpart, the one that began longest ago first.
        self.requests: OrderedDict[str, Window] = OrderedDict()

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_presence_from_user(self, session: Session, presence: Presence) -> None:
        kind, to = presence.type, cast(JID, presence.to)
        # Nobody is kept from saying that they are gone, or that something went wrong.
        if kind in ("unavailable", "error") or to.domain in self.exempt:
            return
        if self.options.only_subscriptions and kind not in SUBSCRIPTIONS:
            return
        now = self.host.monotonic()
        window: Window | None = session.data.get(NAME)
        if window is None or now - window.begun >= self.options.interval:
            window = session.data[NAME] = Window(now)
        self.count(window, direction="out", jid=session.jid)

    @hookimpl
    @stage(Stage.GUARD)
    @concerns("type:subscribe")
    def stonechat_presence_to_user(self, presence: Presence) -> None:
        """Only requests: answers and withdrawals change nothing that was not begun before."""
        sender, to = presence.from_, cast(JID, presence.to)
        if sender is None or sender.domain in self.exempt or sender.bare == to.bare:
            return
        now = self.host.monotonic()
        self.forget(now)
        window = self.requests.get(to.localpart)
        if window is None:
            if len(self.requests) >= MAX_ACCOUNTS:
                self.requests.popitem(last=False)
            window = self.requests[to.localpart] = Window(now)
        self.count(window, direction="in", jid=to.bare)

    def count(self, window: Window, *, direction: str, jid: JID) -> None:
        """Count one more; StanzaError where it is one too many."""
        window.count += 1
        most = self.options.count
        if window.count <= most:
            return
        if window.count == most + 1:
            # Once in an interval: a flood of requests is none of log lines.
            self.host.log.warning(
                "too much presence", jid=jid.text, direction=direction, count=most
            )
        raise StanzaError("policy-violation", "This is too much presence at once.", type="wait")

    def forget(self, now: float) -> None:
        """Drop what is over; each call costs no more than what was counted before it."""
        requests, interval = self.requests, self.options.interval
        while requests:
            localpart, window = next(iter(requests.items()))
            if now - window.begun < interval:
                return
            del requests[localpart]
