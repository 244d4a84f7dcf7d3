"""A service: a domain of a plugin's own, beside that of its host.

    class Plugin:
        def __init__(self, host: Host, options: Options) -> None:
            self.service = Service(
                host,
                options.domain.for_host(host.name),
                category="directory",
                type="user",
                name="User Directory",
                features=[NS_SEARCH],
                handlers={("get", NS_SEARCH): self.show, ("set", NS_SEARCH): self.search},
            )

        @hookimpl
        def stonechat_disco_items(self) -> list[Item]:
            return [self.service.item]

It answers service discovery (XEP-0030) and what its handlers are for, and refuses the rest
as RFC 6120 wants it. The domain is given back when the plugin stops.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent

from stonechat import rsm
from stonechat.errors import JIDError, StanzaError
from stonechat.forms import Form
from stonechat.host import Host
from stonechat.iq import IGNORE, IqHandler, discipline_of
from stonechat.jid import JID
from stonechat.namespaces import NS_DISCO_INFO, NS_DISCO_ITEMS, NS_RSM
from stonechat.stanza import Element, Iq, Message, Presence, Stanza

__all__ = ["Item", "Service"]

Item = tuple[JID, str, str]
"""What disco#items lists: JID, node and name; node and name may be `""`."""

# Of each handler that is queued: requests that wait, and that are parallel.
QUEUE_LIMIT = 1000
PARALLEL_LIMIT = 100

# How many items a page of disco#items has at most.
ITEMS_LIMIT = 500


class Service:
    """Answers for a domain while its plugin runs.

    `handlers` are as in `stonechat.iq`, queueing included; one for disco#info or
    disco#items takes the place of our own, and may call `describe` or `list_items`.
    `items` gives what disco#items lists to whoever asks; without it that is nothing.

    Messages go to `on_message` and presence to `on_presence`, errors of either kind to
    `on_error` only, so that nobody answers one. All may block, and may raise StanzaError
    to answer. A message that nobody takes is answered with service-unavailable.

    Addresses below the domain do not exist, unless `any_address` has them handled as the
    domain itself is; our own answers to service discovery are of the domain all the same.
    """

    def __init__(
        self,
        host: Host,
        domain: str,
        *,
        category: str,
        type: str,
        name: str,
        features: Sequence[str] = (),
        handlers: Mapping[tuple[str, str], IqHandler] | None = None,
        forms: Sequence[Form | Element] = (),
        items: Callable[[Iq], Sequence[Item]] | None = None,
        on_message: Callable[[Message], None] | None = None,
        on_presence: Callable[[Presence], None] | None = None,
        on_error: Callable[[Message | Presence], None] | None = None,
        any_address: bool = False,
    ) -> None:
        self.jid = JID.make("", domain)
        self.name = name
        self._host = host
        self._items = items
        self._on_message = on_message
        self._on_presence = on_presence
        self._on_error = on_error
        self._any_address = any_address
        self._handlers: dict[tuple[str, str], IqHandler] = {
            ("get", NS_DISCO_INFO): self.describe,
            ("get", NS_DISCO_ITEMS): self.list_items,
            **(handlers or {}),
        }
        if wrong := [kind for kind, _ in self._handlers if kind not in ("get", "set")]:
            raise ValueError(f"a request is of type get or set, not {wrong[0]!r}")
        # Two pairs may have one handler, and then have one queue.
        workers = {"one_queue": 1, "parallel": PARALLEL_LIMIT}
        self._queues = {
            handler: _Queue(self, handler, workers[discipline])
            for handler in self._handlers.values()
            if (discipline := discipline_of(handler)) != "no_queue"
        }
        identity = {"category": category, "type": type, "name": name}
        self._info = Element(
            NS_DISCO_INFO, "query", None, Element(NS_DISCO_INFO, "identity", identity)
        )
        ours = {NS_DISCO_INFO, NS_DISCO_ITEMS} | ({NS_RSM} if items else set())
        for feature in sorted(ours.union(features)):
            self._info.add("feature", var=feature)
        for form in forms:
            self._info.append(form.to_element() if isinstance(form, Form) else form)
        self._info.freeze()
        host.register_route(self.jid.domain, self.receive)

    @property
    def item(self) -> Item:
        """How the host lists the service: for the plugin's `stonechat_disco_items`."""
        return (self.jid, "", self.name)

    def receive(self, stanza: Stanza) -> None:
        """Handle a stanza to the domain; the router's part."""
        if isinstance(stanza, Iq):
            self._receive_iq(stanza)
        elif stanza.type == "error":
            if isinstance(stanza, Message | Presence) and self._on_error is not None:
                self._on_error(stanza)
        elif isinstance(stanza, Message):
            self._check_address(stanza)
            if self._on_message is None:
                raise StanzaError("service-unavailable")
            self._on_message(stanza)
        elif (
            isinstance(stanza, Presence)
            and self._on_presence is not None
            # Where nobody is, presence ends unanswered.
            and self._has_address(stanza)
        ):
            self._on_presence(stanza)

    # Requests

    def describe(self, iq: Iq) -> Element:
        """The answer to a disco#info of the domain."""
        self._refuse_parts(iq)
        return self._info

    def list_items(self, iq: Iq) -> Element:
        """The answer to a disco#items of the domain, a page of it (XEP-0059) where it is long."""
        query = self._refuse_parts(iq)
        request = rsm.read(query, limit=ITEMS_LIMIT)
        items = self._items(iq) if self._items is not None else ()
        page, result_set = rsm.page_of(items, _item_key, request, ITEMS_LIMIT)
        answer = Element(NS_DISCO_ITEMS, "query")
        for jid, node, name in page:
            item = answer.add("item", jid=jid.text)
            if node:
                item.set("node", node)
            if name:
                item.set("name", name)
        if result_set is not None:
            answer.append(result_set)
        return answer

    def _refuse_parts(self, iq: Iq) -> Element:
        """The payload of a request that is about the domain itself, and no part of it."""
        assert iq.payload is not None
        if iq.to != self.jid or iq.payload.get("node"):
            raise StanzaError("item-not-found")
        return iq.payload

    def _receive_iq(self, iq: Iq) -> None:
        iq.check()
        if not iq.is_request:
            return
        self._check_address(iq)
        handler = self._handlers.get((iq.type, iq.namespace))
        if handler is None:
            raise StanzaError("service-unavailable")
        queue = self._queues.get(handler)
        if queue is not None:
            queue.put(iq)
            return
        try:
            self._answer(handler, iq)
        except gevent.GreenletExit:
            # The sender's greenlet is killed; its request is answered all the same.
            self._host.bounce(iq, StanzaError("internal-server-error"))
            raise

    def _has_address(self, stanza: Stanza) -> bool:
        return self._any_address or stanza.to == self.jid

    def _check_address(self, stanza: Stanza) -> None:
        if not self._has_address(stanza):
            assert stanza.to is not None
            raise StanzaError("item-not-found" if stanza.to.localpart else "service-unavailable")

    def _answer(self, handler: IqHandler, iq: Iq) -> None:
        """Call a handler and send what it answers; what it raises is for the caller."""
        payload = handler(iq)
        if payload is IGNORE:
            return
        if payload is not None and not isinstance(payload, Element):
            raise TypeError(f"a handler answers with an Element, not with {payload!r}")
        self._host.route(iq.result(payload))

    def _answer_late(self, handler: IqHandler, iq: Iq) -> None:
        """The same where no router waits for what is raised."""
        try:
            self._answer(handler, iq)
        except StanzaError as error:
            self._host.bounce(iq, error)
        except JIDError as error:
            self._host.bounce(iq, StanzaError("jid-malformed", str(error)))
        except BaseException:
            self._host.bounce(iq, StanzaError("internal-server-error"))
            raise


class _Queue:
    """Requests that wait for a handler; its workers live while there is work."""

    def __init__(self, service: Service, handler: IqHandler, workers: int) -> None:
        self._service = service
        self._handler = handler
        self._free = workers
        self._waiting: deque[Iq] = deque()

    def put(self, iq: Iq) -> None:
        if len(self._waiting) >= QUEUE_LIMIT:
            raise StanzaError("resource-constraint", "Too many requests are waiting.")
        self._waiting.append(iq)
        if self._free:
            self._start_worker()

    def _start_worker(self) -> None:
        worker = self._service._host.spawn(self._work)
        self._free -= 1
        worker.link(self._ended)

    def _work(self) -> None:
        while self._waiting:
            self._service._answer_late(self._handler, self._waiting.popleft())

    def _ended(self, worker: Any) -> None:
        """A worker had nothing left to do, or failed (it is logged), or was killed."""
        self._free += 1
        if not self._waiting:
            return
        try:
            self._start_worker()
        except RuntimeError:
            # The plugin has stopped; nobody else would tell those who wait.
            gevent.spawn(self._refuse_all)

    def _refuse_all(self) -> None:
        while self._waiting:
            self._service._host.bounce(self._waiting.popleft(), StanzaError("service-unavailable"))


def _item_key(item: Item) -> str:
    jid, node, _ = item
    # No JID has a line end, so no two items have the same key.
    return f"{jid.text}\n{node}" if node else jid.text
