"""Statistics Gathering (XEP-0039): how many use the server, and how long it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from stonechat import hookimpl
from stonechat.commands import command
from stonechat.errors import StanzaError
from stonechat.host import Figures, Host
from stonechat.iq import IqHandler, one_queue
from stonechat.jid import JID
from stonechat.options import PluginOptions, option
from stonechat.stanza import Element, Iq

NS_STATS = "http://jabber.org/protocol/stats"

# To count accounts may cost a look through the database, and anybody may ask again.
FRESH_SECONDS = 5.0

# In one request; there are not as many.
MAX_ASKED = 100


Name = Literal[
    "users/online",
    "users/total",
    "users/all-hosts/online",
    "users/all-hosts/total",
    "time/uptime",
    "time/cputime",
]


class Fault(NamedTuple):
    """Why a statistic is not told ("Error Codes")."""

    code: int
    text: str


UNAUTHORIZED = Fault(401, "Unauthorized")
NOT_FOUND = Fault(404, "Not Found")
UNAVAILABLE = Fault(503, "Service Unavailable")


class Statistic(NamedTuple):
    """How one is measured; None while that cannot be said."""

    units: str
    value: Callable[[Plugin], str | None]


def _users(count: Callable[[Figures], int | None], *, all_hosts: bool = False) -> Statistic:
    def value(plugin: Plugin) -> str | None:
        number = count(plugin.figures(all_hosts))
        return None if number is None else str(number)

    return Statistic("users", value)


STATISTICS: Mapping[str, Statistic] = {
    "users/online": _users(lambda figures: figures.online),
    "users/total": _users(lambda figures: figures.registered),
    "users/all-hosts/online": _users(lambda figures: figures.online, all_hosts=True),
    "users/all-hosts/total": _users(lambda figures: figures.registered, all_hosts=True),
    "time/uptime": Statistic("seconds", lambda plugin: str(int(plugin.figures(False).uptime))),
    "time/cputime": Statistic("seconds", lambda plugin: f"{time.process_time():.3f}"),
}


class Options(PluginOptions):
    access: str = option("admin", "The access rule for who may ask for every statistic.")
    for_users: tuple[Name, ...] = option(
        (
            "users/online",
            "users/total",
            "users/all-hosts/online",
            "users/all-hosts/total",
            "time/uptime",
        ),
        "Statistics that the accounts of the host may ask for.",
    )
    for_everybody: tuple[Name, ...] = option(
        (), "Statistics that everybody may ask for, on other servers too."
    )


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        # By whether they are of all hosts: until when they hold, and the figures.
        self.counted: dict[bool, tuple[float, Figures]] = {}

    @hookimpl
    def stonechat_disco_features(self) -> Sequence[str]:
        return [NS_STATS]

    @hookimpl
    def stonechat_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("get", NS_STATS): self.report, ("set", NS_STATS): self.refuse}

    @command(
        "stats",
        "Show the statistics of a host.",
        permission_option="access",
        example="stats --host capulet.example",
    )
    def stats(self) -> dict[str, str | None]:
        return {name: statistic.value(self) for name, statistic in STATISTICS.items()}

    # Answers

    # In line, or all who ask while users are being counted would have them counted again.
    @one_queue
    def report(self, iq: Iq) -> Element:
        assert iq.payload is not None
        assert iq.from_ is not None
        asked = [stat.get("name") for stat in iq.payload.find_all("stat")]
        if len(asked) > MAX_ASKED:
            raise StanzaError("bad-request", f"Ask for {MAX_ASKED} statistics at most.")
        allowed = self.allowed(iq.from_)
        if not allowed:
            # "Authorization ... errors that would render all the statistics meaningless."
            raise StanzaError("not-authorized", code=401)
        query = Element(NS_STATS, "query")
        for name in asked or allowed:
            query.append(self.answer(name, allowed) if asked else _stat(name))
        return query

    def refuse(self, iq: Iq) -> Element:
        raise StanzaError("not-allowed", "Statistics cannot be set.")

    def allowed(self, jid: JID) -> Sequence[str]:
        """What somebody may ask for, in order ("Namespace query authorization")."""
        if self.host.allows(self.options.access, jid):
            return list(STATISTICS)
        open_to = set(self.options.for_everybody)
        if jid.localpart and jid.domain == self.host.name:
            open_to.update(self.options.for_users)
        return [name for name in STATISTICS if name in open_to]

    def answer(self, name: str, allowed: Sequence[str]) -> Element:
        statistic = STATISTICS.get(name)
        if statistic is None:
            return _faulty(name, NOT_FOUND)
        if name not in allowed:
            return _faulty(name, UNAUTHORIZED)
        value = statistic.value(self)
        if value is None:
            return _faulty(name, UNAVAILABLE)
        return _stat(name, units=statistic.units, value=value)

    def figures(self, all_hosts: bool) -> Figures:
        """How many there are, or were a moment ago."""
        now = self.host.monotonic()
        until, figures = self.counted.get(all_hosts, (now, None))
        if figures is None or now >= until:
            figures = self.host.figures(all_hosts=all_hosts)
            self.counted[all_hosts] = (now + FRESH_SECONDS, figures)
        return figures


def _stat(name: str, **attributes: str) -> Element:
    return Element(NS_STATS, "stat", {"name": name, **attributes})


def _faulty(name: str, fault: Fault) -> Element:
    stat = _stat(name)
    stat.add("error", fault.text, code=str(fault.code))
    return stat
