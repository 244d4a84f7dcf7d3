"""Other domains: whether they have a multicast service, which then gets one stanza for all.

What a domain can do is found by service discovery (XEP-0033, "Multicast service"). Meanwhile
what goes there waits, in order; it goes to each address by itself where that fails.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stonechat.custody import Release
from stonechat.errors import JIDError, StanzaError
from stonechat.forms import Form
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_DATA_FORM, NS_DISCO_INFO, NS_DISCO_ITEMS
from stonechat.stanza import Element, Iq
from stonechat_multicast.header import NS_ADDRESS
from stonechat_multicast.parcel import Parcel

# "The result SHOULD NOT be cached for more than 24 hours."
FOUND_SECONDS = 6 * 3600.0
NOT_FOUND_SECONDS = 1800.0
MAX_CACHED = 1000

LOOKUP_SECONDS = 20.0
MAX_LOOKUPS = 100
MAX_WAITING = 100

# Services of one domain that are asked what they can do.
MAX_ITEMS = 10

# What every service should take ("more than 20"), if it does not say.
USUAL_LIMIT = 20
MAX_LIMIT = 100


class Support(NamedTuple):
    """The multicast service of a domain, if it has one, and until when we believe that."""

    service: JID | None
    limits: dict[str, int]
    until: float


class Targets:
    """Sends parcels to other domains in the way that these understand."""

    def __init__(self, host: Host, own: Callable[[], JID]) -> None:
        self._host = host
        self._own = own
        self._known: OrderedDict[str, Support] = OrderedDict()
        self._waiting: dict[str, deque[tuple[Parcel, Release]]] = {}

    def send(self, domain: str, parcel: Parcel) -> None:
        """Send a parcel to a domain now, or as soon as it is known how."""
        waiting = self._waiting.get(domain)
        if waiting is not None:
            if len(waiting) < MAX_WAITING:
                waiting.append((parcel, parcel.stanza.hold()))
            else:
                parcel.send_each()
            return
        support = self._known.get(domain)
        if support is not None and support.until > self._host.monotonic():
            self._forward(parcel, support)
        elif (
            # One stanza it is, either way.
            len(parcel.addresses) == 1
            or domain == self._own().domain
            or len(self._waiting) >= MAX_LOOKUPS
        ):
            parcel.send_each()
        else:
            self._waiting[domain] = deque([(parcel, parcel.stanza.hold())])
            self._host.spawn(self._look_up, domain)

    def _forward(self, parcel: Parcel, support: Support) -> None:
        service = support.service
        if service is None:
            parcel.send_each()
            return
        limit = support.limits.get(parcel.stanza.name, USUAL_LIMIT)
        for start in range(0, len(parcel.addresses), limit):
            some = parcel._replace(addresses=parcel.addresses[start : start + limit])
            if len(some.addresses) == 1:
                some.send_each()
            else:
                some.send_by(service)

    # Discovery

    def _look_up(self, domain: str) -> None:
        support = Support(None, {}, self._host.monotonic() + NOT_FOUND_SECONDS)
        try:
            support = self._find(domain) or support
        finally:
            # Whatever has ended the look-up: what waits must go.
            self._known[domain] = support
            self._known.move_to_end(domain)
            if len(self._known) > MAX_CACHED:
                self._known.popitem(last=False)
            waiting = self._waiting[domain]
            try:
                self._flush(waiting, support)
            finally:
                # Or the rest of it, where this greenlet was killed.
                self._flush(waiting, support)
                del self._waiting[domain]

    def _flush(self, waiting: deque[tuple[Parcel, Release]], support: Support) -> None:
        while waiting:
            parcel, release = waiting.popleft()
            try:
                self._forward(parcel, support)
            finally:
                release()

    def _find(self, domain: str) -> Support | None:
        """The service of a domain: itself, or one of those that it lists."""
        deadline = self._host.monotonic() + LOOKUP_SECONDS
        target = JID.make("", domain)
        try:
            support = self._support_of(target, deadline)
            if support is not None:
                return support
            items = self._ask(NS_DISCO_ITEMS, target, deadline)
        except StanzaError:
            return None
        for jid in self._candidates(items, domain):
            try:
                support = self._support_of(jid, deadline)
            except StanzaError:
                continue
            if support is not None:
                return support
        return None

    def _candidates(self, items: Element, domain: str) -> Iterator[JID]:
        """Services below the domain: what goes to people there is nobody else's business."""
        for item in list(items.find_all("item"))[:MAX_ITEMS]:
            try:
                jid = JID.parse(item.get("jid"))
            except JIDError:
                continue
            if jid.is_domain and jid.domain.endswith(f".{domain}") and jid != self._own():
                yield jid

    def _support_of(self, jid: JID, deadline: float) -> Support | None:
        info = self._ask(NS_DISCO_INFO, jid, deadline)
        if all(feature.get("var") != NS_ADDRESS for feature in info.find_all("feature")):
            return None
        return Support(jid, _limits(info), self._host.monotonic() + FOUND_SECONDS)

    def _ask(self, namespace: str, jid: JID, deadline: float) -> Element:
        left = deadline - self._host.monotonic()
        if left <= 0:
            raise StanzaError("remote-server-timeout")
        request = Iq(Element(namespace, "query"), type="get", to=jid, from_=self._host.jid)
        payload = self._host.ask(request, left).payload
        return Element(namespace, "query") if payload is None else payload


def _limits(info: Element) -> dict[str, int]:
    """How many addresses a stanza of each kind may have, as some services say (XEP-0128)."""
    limits: dict[str, int] = {}
    for element in info.find_all("x", NS_DATA_FORM):
        try:
            form = Form.read(element, type="result")
            if form.form_type != NS_ADDRESS:
                continue
            for kind in ("message", "presence"):
                if (limit := form.integer(kind)) is not None and limit > 0:
                    limits[kind] = min(limit, MAX_LIMIT)
        except StanzaError:
            continue  # what is malformed says nothing
    return limits
