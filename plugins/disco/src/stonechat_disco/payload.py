"""Answers that are made once and given to everybody who asks."""

from collections.abc import Callable, Sequence
from itertools import chain

from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_DISCO_INFO, NS_DISCO_ITEMS
from stonechat.stanza import Element

Identity = tuple[str, str, str]
Item = tuple[JID, str, str]


class Collected:
    """A payload made from what all plugins answer to collecting hooks.

    `make` gets the answers to each hook as a tuple. It is made again only when plugins
    come or go, or after `forget`.
    """

    def __init__(self, host: Host, make: Callable[..., Element], *hooks: str) -> None:
        self._host = host
        self._make = make
        self._hooks = hooks
        self._version = -1
        self._payload: Element | None = None

    def payload(self) -> Element:
        """The payload, frozen: every reply shares it."""
        version = self._host.plugins_version
        if self._payload is None or version != self._version:
            answers = [
                tuple(chain.from_iterable(self._host.collect(hook))) for hook in self._hooks
            ]
            self._payload = self._make(*answers).freeze()
            self._version = version
        return self._payload

    def forget(self) -> None:
        """What goes into it has changed."""
        self._payload = None


def info_payload(
    identities: Sequence[Identity], features: Sequence[str], forms: Sequence[Element] = ()
) -> Element:
    query = Element(NS_DISCO_INFO, "query")
    # Of two names for the same identity, and of two forms of the same type, the first
    # holds: an answer with both is malformed (XEP-0030, 3.1; XEP-0115, 5.4).
    names: dict[tuple[str, str], str] = {}
    for category, type, name in identities:
        names.setdefault((category, type), name)
    for (category, type), name in names.items():
        identity = query.add("identity", category=category, type=type)
        if name:
            identity.set("name", name)
    for feature in sorted(set(features)):
        query.add("feature", var=feature)
    types: set[str] = set()
    for form in forms:
        if (form_type := form_type_of(form)) not in types:
            types.add(form_type)
            query.append(form)
    return query


def items_payload(items: Sequence[Item]) -> Element:
    query = Element(NS_DISCO_ITEMS, "query")
    for jid, node, name in items:
        item = query.add("item", jid=jid.text)
        if node:
            item.set("node", node)
        if name:
            item.set("name", name)
    return query


def form_type_of(form: Element) -> str:
    """What the form of a plugin is for."""
    for field in form.find_all("field"):
        if field.get("var") == "FORM_TYPE":
            return field.find_text("value")
    return ""
