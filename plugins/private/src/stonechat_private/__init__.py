"""Private XML Storage (XEP-0049): clients keep data of their own on the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.options import ByteSize, PluginOptions, option
from stonechat.plugin import Imported, concerns, hookimpl
from stonechat.portable import Count, parts_of
from stonechat.stanza import Element, Iq
from stonechat_private.store import SCHEMA, Store

NS_PRIVATE = "jabber:iq:private"

# "Certain namespaces are reserved in Jabber": these, and what begins with those.
_RESERVED = "vcard-temp"
_RESERVED_BEGINNINGS = ("jabber:", "http://jabber.org/")


class Options(PluginOptions):
    max_elements: int = option(
        100, "Elements of different names that one account may keep.", ge=1, le=100_000
    )
    max_element_size: ByteSize = option(
        "64 KiB", "Size of all that is kept under one name and namespace.", ge=1
    )
    refuse_reserved: bool = option(
        False, "Keep nothing in namespaces that XMPP has reserved for itself."
    )


class Plugin:
    Options = Options
    schema = SCHEMA

    def __init__(self, host: Host, options: Options) -> None:
        self.options = options
        self.store = Store(host, options.max_elements)

    @hookimpl
    def stonechat_disco_features(self) -> Sequence[str]:
        return [NS_PRIVATE]

    @hookimpl
    def stonechat_account_disco_features(self) -> Sequence[str]:
        return [NS_PRIVATE]

    @hookimpl
    def stonechat_account_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("get", NS_PRIVATE): self.get, ("set", NS_PRIVATE): self.set}

    @hookimpl
    @concerns(f"{NS_PRIVATE} query")
    def stonechat_iq_to_user(self, iq: Iq) -> None:
        """Nobody gets at the data of another, whether that account exists or not."""
        if iq.is_request and cast(JID, iq.to).bare != cast(JID, iq.from_).bare:
            raise StanzaError("forbidden", "Private data is its owner's.")

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        self.store.erase(account.localpart)

    # Moving (XEP-0227, "Private XML Storage")

    @hookimpl
    def stonechat_export_account(self, account: JID) -> Iterator[Element]:
        query = Element(NS_PRIVATE, "query")
        yield from parts_of(query, self.store.all(account.localpart))

    @hookimpl
    def stonechat_import_account(
        self, account: JID, element: Element, dry_run: bool
    ) -> Imported | None:
        if element.qualified_name != f"{NS_PRIVATE} query":
            return None
        count = Count()
        by_name: dict[str, list[Element]] = {}
        for child in element.elements:
            by_name.setdefault(child.qualified_name, []).append(child)
        kept = self.store.get(account.localpart, list(by_name))
        changes: dict[str, bytes | None] = {}
        for name, same in by_name.items():
            if name in kept:
                known = sum(child in kept[name] for child in same)
                count.known += known
                count.lose("private data beside other data of that name", len(same) - known)
                continue
            try:
                octets = self._written(same)
            except StanzaError as error:
                count.lose(f"private data: {error}", len(same))
                continue
            if octets is not None:
                changes[name] = octets
                count.kept += len(same)
        try:
            self.store.put(account.localpart, changes, dry_run=dry_run)
        except StanzaError as error:
            if error.condition != "policy-violation":
                raise
            count.lose(f"private data: {error}", count.kept)
            count.kept = 0
        return count.total()

    # Requests

    def get(self, iq: Iq) -> Element:
        elements = _elements(iq)
        if not elements:
            raise StanzaError("bad-request", "What to get has to be said.")
        self._check(elements)
        if len({element.namespace for element in elements}) > 1:
            raise StanzaError("bad-request", "One namespace can be asked for at a time.")
        names = list(dict.fromkeys(element.qualified_name for element in elements))
        kept = self.store.get(_owner(iq).localpart, names)
        answer = Element(NS_PRIVATE, "query")
        for element in elements:
            # Asked for twice, it comes once.
            if (name := element.qualified_name) in names:
                names.remove(name)
                # Clients know what they never stored by an empty element.
                answer.append(*kept.get(name) or (Element(element.namespace, element.name),))
        return answer

    def set(self, iq: Iq) -> None:
        elements = _elements(iq)
        if not elements:
            raise StanzaError("not-acceptable", "What to keep has to be said.")
        by_name: dict[str, list[Element]] = {}
        for element in elements:
            by_name.setdefault(element.qualified_name, []).append(element)
        changes = {name: self._written(same) for name, same in by_name.items()}
        self.store.put(_owner(iq).localpart, changes)

    def _written(self, same: Sequence[Element]) -> bytes | None:
        """Elements of one name as they are stored; None for what says nothing."""
        self._check(same)
        if all(map(_says_nothing, same)):
            return None
        octets = Element(NS_PRIVATE, "query", None, *same).to_bytes()
        limit = self.options.max_element_size
        if len(octets) > limit:
            raise StanzaError("policy-violation", f"An element has {limit} octets at most.")
        return octets

    def _check(self, elements: Sequence[Element]) -> None:
        for element in elements:
            namespace = element.namespace
            if namespace in ("", NS_PRIVATE):
                raise StanzaError("not-acceptable", "An element needs a namespace of its own.")
            if self.options.refuse_reserved and (
                namespace == _RESERVED or namespace.startswith(_RESERVED_BEGINNINGS)
            ):
                raise StanzaError("not-acceptable", f"{namespace[:100]} is reserved.")


def _owner(iq: Iq) -> JID:
    """The account whose data is meant: whoever asks, for others are refused before."""
    return cast(JID, iq.from_).bare


def _elements(iq: Iq) -> list[Element]:
    query = cast(Element, iq.payload)
    if query.name != "query":
        if iq.to not in (None, _owner(iq)):
            # As for an account that does not exist, which the kernel answers for.
            raise StanzaError("service-unavailable")
        raise StanzaError("bad-request", "There is no such request.")
    return query.elements


def _says_nothing(element: Element) -> bool:
    return not (element.attributes or element.elements or element.text.strip())
