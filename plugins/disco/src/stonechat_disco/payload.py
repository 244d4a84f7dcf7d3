"""Answers that are made once and given to everybody who asks."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from stonechat.host import Host
from stonechat.jid import JID
from stonechat.stanza import Element

Feature = str
Item = tuple[JID, str, str]


class Collected:
    """A payload made from what all plugins answer to a collecting hook.

    It is made again only when plugins come or go.
    """

    def __init__(self, host: Host, hook: str, make: Callable[[tuple[Any, ...]], Element]) -> None:
        self._host = host
        self._hook = hook
        self._make = make
        self._version = -1
        self._payload: Element | None = None

    def payload(self) -> Element:
        """The payload, frozen: every reply shares it."""
        version = self._host.plugins_version
        if self._payload is None or version != self._version:
            answers = chain.from_iterable(self._host.collect(self._hook))
            self._payload = self._make(tuple(answers)).freeze()
            self._version = version
        return self._payload


def items_payload(namespace: str, items: Sequence[Item]) -> Element:
    query = Element(namespace, "query")
    for jid, node, name in items:
        item = query.add("item", jid=jid.text)
        if node:
            item.set("node", node)
        if name:
            item.set("name", name)
    return query
