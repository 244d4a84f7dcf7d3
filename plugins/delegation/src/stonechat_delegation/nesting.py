"""What components have to say in the server's own answers to disco#info ("Nesting")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_DATA_FORM, NS_DISCO_INFO
from stonechat.stanza import Element, Iq
from stonechat_delegation.options import NS_DELEGATION, SPECIAL

# Of one namespace. They are in every answer that we give.
MAX_ELEMENTS = 500

# The separator in the name of the node, by whether it is about accounts.
_SEPARATORS = {False: "::", True: ":bare:"}


class Nesting:
    """Asks components once, when they come, and keeps what they say.

    `delegated` are the namespaces, and the domains of their components.
    """

    def __init__(self, host: Host, delegated: dict[str, str], timeout: float) -> None:
        self._host = host
        self._delegated = {ns: domain for ns, domain in delegated.items() if ns not in SPECIAL}
        self._timeout = timeout
        # By namespace, and whether it is of accounts.
        self._known: dict[tuple[str, bool], tuple[Element, ...]] = {}
        self._asking: dict[str, Any] = {}

    # Asking

    def begin(self, domain: str) -> None:
        """A component has come: ask it, anew where another of the same name was asked."""
        self._stop_asking(domain)
        if domain in self._delegated.values():
            self._asking[domain] = self._host.spawn(self._ask_all, domain)

    def gone(self, domain: str) -> None:
        """A component is gone: what it has can be had no more."""
        self._stop_asking(domain)
        for namespace in self._namespaces(domain):
            for of_account in _SEPARATORS:
                self._known.pop((namespace, of_account), None)
        self._tell()

    def _namespaces(self, domain: str) -> list[str]:
        return [ns for ns, manager in self._delegated.items() if manager == domain]

    def _stop_asking(self, domain: str) -> None:
        greenlet = self._asking.pop(domain, None)
        if greenlet is not None:
            greenlet.kill(block=False)

    def _ask_all(self, domain: str) -> None:
        for namespace in self._namespaces(domain):
            for of_account, separator in _SEPARATORS.items():
                node = f"{NS_DELEGATION}{separator}{namespace}"
                self._known[namespace, of_account] = self._ask(domain, node)
                self._tell()

    def _ask(self, domain: str, node: str) -> tuple[Element, ...]:
        query = Element(NS_DISCO_INFO, "query", {"node": node})
        request = Iq(query, type="get", from_=self._host.jid, to=JID.make("", domain))
        try:
            answer = self._host.ask(request, self._timeout).payload
        except StanzaError as error:
            self._host.log.info(
                "a component has nothing to nest", component=domain, node=node, reason=str(error)
            )
            return ()
        if answer is None or answer.qualified_name != f"{NS_DISCO_INFO} query":
            return ()
        elements = [element for element in answer.elements if _key(element)]
        if len(elements) > MAX_ELEMENTS:
            self._host.log.warning("a component has too much to nest", component=domain, node=node)
        return tuple(elements[:MAX_ELEMENTS])

    def _tell(self) -> None:
        disco = self._host.service("disco")
        if disco is not None:
            disco.changed()

    # Answering

    def change(self, query: Element, *, of_account: bool) -> None:
        """Put what components have in the place of what plugins have for the same namespaces.

        So it is with a filter on attributes, too ("General Case", N.B.), and while the
        component is away: nobody else answers for the namespace.
        """
        for element in query.elements:
            if any(_is_about(element, namespace) for namespace in self._delegated):
                query.remove(element)
        there = {_key(element) for element in query.elements}
        for element in self._nested(of_account):
            if (key := _key(element)) not in there:
                there.add(key)
                query.append(element)

    def _nested(self, of_account: bool) -> Iterator[Element]:
        for namespace in self._delegated:
            yield from self._known.get((namespace, of_account), ())


def _is_about(element: Element, namespace: str) -> bool:
    """Whether a feature or a form is about a namespace: it, or a part of it behind a `#`."""
    names: Iterable[str] = ()
    if element.name == "feature":
        names = (element.get("var"),)
    elif element.namespace == NS_DATA_FORM:
        names = (_form_type(element),)
    return any(name == namespace or name.startswith(f"{namespace}#") for name in names)


def _key(element: Element) -> tuple[str, ...]:
    """What no two elements of an answer have in common; empty for what is none of them."""
    if element.namespace == NS_DATA_FORM:
        form_type = _form_type(element)
        return ("form", form_type) if form_type and element.get("type") == "result" else ()
    if element.namespace != NS_DISCO_INFO:
        return ()
    if element.name == "feature" and element.get("var"):
        return ("feature", element.get("var"))
    if element.name == "identity" and element.get("category") and element.get("type"):
        return ("identity", element.get("category"), element.get("type"), element.lang)
    return ()


def _form_type(form: Element) -> str:
    for field in form.find_all("field"):
        if field.get("var") == "FORM_TYPE":
            return field.find_text("value")
    return ""
