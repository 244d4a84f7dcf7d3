"""Answers that are made once and given to everybody who asks."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from stonechat.host import Host
from stonechat.jid import JID
from stonechat.stanza import Element
from stonechat.xml import parse

Feature = str
Item = tuple[JID, str, str]


class Collected:
    """A payload made from what all plugins answer to a collecting hook.

    Plugins come and go while the server runs, and their answers too. To ask them all
    takes 8 µs; the payload, which takes ten times that, is made when they differ.
    """

    def __init__(self, host: Host, hook: str, make: Callable[[tuple[Any, ...]], Element]) -> None:
        self._host = host
        self._hook = hook
        self._make = make
        self._answers: tuple[Any, ...] | None = None
        self._payload: Element | None = None

    def payload(self) -> Element:
        """The payload, frozen: every reply shares it."""
        answers = tuple(chain.from_iterable(self._host.collect(self._hook)))
        if answers != self._answers or self._payload is None:
            self._payload = parse(self._make(answers).to_bytes())
            self._answers = answers
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
