"""Prosody's accounts in the form of XEP-0227."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from stonechat import timestamps
from stonechat.auth import Credentials, ScramCredentials
from stonechat.errors import XMLError
from stonechat.namespaces import NS_CLIENT, NS_DATA_FORM, NS_DELAY, NS_FORWARD, NS_ROSTER
from stonechat.portable import NS_PIE, NS_PIE_ARCHIVE, parts_of
from stonechat.shell import ShellError
from stonechat.stanza import Element
from stonechat.xml import XML_LANG, parse
from stonechat_migrate.lua_data import Table, Value, octets
from stonechat_migrate.pie import (
    MAX_ITERATIONS,
    NS_BLOCKING,
    NS_MAM,
    NS_PRIVACY,
    NS_PRIVATE,
    Begun,
    Losses,
    Lost,
    Part,
)
from stonechat_migrate.prosody_store import Database, Files, Store

NS_PUBSUB = "http://jabber.org/protocol/pubsub"
NS_PUBSUB_OWNER = f"{NS_PUBSUB}#owner"

# Kept for a session, or made anew by the one who needs it.
_PASSING = {"accounts", "cron", "invite_token", "lastlog2", "skeletons", "smacks_h", "tombstones"}

_HASHES = {20: "SHA-1", 32: "SHA-256", 64: "SHA-512"}


def read_prosody(path: str) -> Iterator[Part]:
    """All accounts of a data directory, or of a database by its URL."""
    store: Store
    if "://" in path:
        store = Database(path)
    else:
        directory = Path(path)
        if not directory.is_dir():
            raise ShellError(f"{path}: neither a directory nor the URL of a database")
        store = Files(directory)
    return _accounts(store)


def _accounts(store: Store) -> Iterator[Part]:
    for host in store.hosts():
        is_any = False
        for user in store.users(host):
            is_any = True
            yield from _Account(store, host, user).parts()
        if not is_any:
            yield Lost(f"what is kept for {host}, which has no accounts", host)


class _Account:
    def __init__(self, store: Store, host: str, user: str) -> None:
        self._store, self._host, self._user = store, host, user
        self._jid = f"{user}@{host}"

    def parts(self) -> Iterator[Part]:
        yield from self._begin()
        stores = self._store.stores(self._host, self._user)
        # In the order in which the one needs the other.
        readers = {
            "roster": self._roster,
            "privacy": self._privacy,
            "blocklist": self._blocklist,
            "private": self._private,
            "vcard": self._vcard,
            "offline": self._offline,
            "archive_prefs": self._preferences,
            "archive": self._archive,
            "pep": self._pep,
        }
        for name, reader in readers.items():
            if name in stores:
                yield from reader()
        for name in sorted(stores - set(readers) - _PASSING):
            if not name.startswith("pep_"):
                yield Lost(f"what Prosody keeps as {name!r}")

    def _table(self, name: str) -> Table:
        return self._store.table(self._host, self._user, name)

    def _begin(self) -> Iterator[Part]:
        account = self._table("accounts")
        password = account.get("password")
        scram: tuple[ScramCredentials, ...] = ()
        lost = None
        if not password and "stored_key" in account:
            try:
                scram = (_scram(account),)
            except (KeyError, TypeError, ValueError):
                lost = Lost("credentials that are malformed")
        yield Begun(
            self._host,
            self._user,
            Credentials(password if isinstance(password, str) else "", scram),
        )
        if lost:
            yield lost

    def _roster(self) -> Iterator[Part]:
        roster = self._table("roster")
        about = roster.pop(False, None)
        # Older versions have it under a name that no contact has.
        pending = _dict(roster.pop("pending", None)) | _dict(_dict(about).get("pending"))
        items = (
            _roster_item(jid, _dict(item))
            for jid, item in roster.items()
            if isinstance(jid, str) and isinstance(item, dict)
        )
        yield from parts_of(Element(NS_ROSTER, "query"), items)
        for jid, request in pending.items():
            presence = _element(request, NS_CLIENT) if isinstance(request, dict) else None
            if presence is None:
                presence = Element(NS_CLIENT, "presence")
            presence.set("type", "subscribe")
            presence.set("from", str(jid))
            presence.set("to", self._jid)
            yield presence

    def _privacy(self) -> Iterator[Part]:
        privacy = self._table("privacy")
        query = Element(NS_PRIVACY, "query")
        if isinstance(privacy.get("default"), str):
            query.add("default", name=str(privacy["default"]))
        for name, found in _dict(privacy.get("lists")).items():
            element = query.add("list", name=str(name))
            for item in _array(_dict(_dict(found).get("items"))):
                attributes = {
                    key: _plain(item[key])
                    for key in ("type", "value", "action", "order")
                    if item.get(key)
                }
                child = element.add("item", **attributes)
                for kind in ("message", "iq", "presence-in", "presence-out"):
                    if item.get(kind):
                        child.add(kind)
        if query.children:
            yield query

    def _blocklist(self) -> Iterator[Part]:
        blocked = (
            Element(NS_BLOCKING, "item", {"jid": jid})
            for jid, is_blocked in self._table("blocklist").items()
            if isinstance(jid, str) and is_blocked
        )
        yield from parts_of(Element(NS_BLOCKING, "blocklist"), blocked)

    def _private(self) -> Iterator[Part]:
        found = [_element(value, "") for value in self._table("private").values()]
        elements = [element for element in found if element is not None]
        yield from parts_of(Element(NS_PRIVATE, "query"), elements)
        yield from [Lost("private data that is malformed")] * (len(found) - len(elements))

    def _vcard(self) -> Iterator[Part]:
        card = _element(self._table("vcard"), "vcard-temp")
        yield Lost("a vCard that is malformed") if card is None else card

    def _offline(self) -> Iterator[Part]:
        lost = Losses()

        def messages() -> Iterator[Element]:
            for item in self._store.items(self._host, self._user, "offline"):
                message = _stanza(item)
                if message is None:
                    lost.add("an offline message that is malformed")
                    continue
                stamp = _stamp(item)
                if stamp:
                    message.add(
                        "delay", namespace=NS_DELAY, **{"from": self._host, "stamp": stamp}
                    )
                yield message

        yield from parts_of(Element(NS_PIE, "offline-messages"), messages())
        yield from lost

    def _preferences(self) -> Iterator[Part]:
        found = self._table("archive_prefs")
        default = found.pop(False, None)
        words = {True: "always", False: "never", "roster": "roster"}
        element = Element(NS_MAM, "prefs", {"default": words.get(_word(default), "roster")})
        for name, wanted in (("always", True), ("never", False)):
            listed = element.add(name)
            for jid, is_archived in found.items():
                if isinstance(jid, str) and is_archived is wanted:
                    listed.add("jid", jid)
        yield element

    def _archive(self) -> Iterator[Part]:
        lost = Losses()

        def results() -> Iterator[Element]:
            for item in self._store.items(self._host, self._user, "archive"):
                message, stamp = _stanza(item), _stamp(item)
                if message is None or not stamp:
                    lost.add("an archived message that is malformed")
                    continue
                result = Element(NS_MAM, "result", {"id": str(item.get("key", ""))})
                forwarded = result.add("forwarded", namespace=NS_FORWARD)
                forwarded.add("delay", namespace=NS_DELAY, stamp=stamp)
                forwarded.append(message)
                yield result

        yield from parts_of(Element(NS_PIE_ARCHIVE, "archive"), results())
        yield from lost

    def _pep(self) -> Iterator[Part]:
        nodes = {str(name): _dict(node) for name, node in self._table("pep").items()}
        owner = Element(NS_PUBSUB_OWNER, "pubsub")
        for name, node in nodes.items():
            form = owner.add("configure", node=name).add("x", namespace=NS_DATA_FORM, type="form")
            form.add("field", var="FORM_TYPE", type="hidden").add(
                "value", f"{NS_PUBSUB}#node_config"
            )
            for option, value in _dict(node.get("config")).items():
                form.add("field", var=f"pubsub#{option}").add("value", _plain(value))
            people = _dict(node.get("affiliations"))
            if people:
                listed = owner.add("affiliations", node=name)
                for jid, affiliation in people.items():
                    listed.add("affiliation", jid=str(jid), affiliation=_plain(affiliation))
        if nodes:
            yield owner
        for name in nodes:
            published = Element(NS_PUBSUB, "items", {"node": name})
            for item in self._store.items(self._host, self._user, f"pep_{name}"):
                element = _stanza(item, NS_PUBSUB)
                if element is None:
                    yield Lost("a published item that is malformed")
                    continue
                element.set("id", str(item.get("key", "")))
                element.set("publisher", None)
                published.append(element)
            if published.children:
                yield Element(NS_PUBSUB, "pubsub", None, published)


def _scram(account: Table) -> ScramCredentials:
    stored_key = bytes.fromhex(str(account["stored_key"]))
    iterations = int(str(account["iteration_count"]).partition(".")[0])
    if iterations > MAX_ITERATIONS:
        raise ValueError(iterations)
    return ScramCredentials(
        _HASHES[len(stored_key)],
        octets(str(account["salt"])),
        iterations,
        stored_key,
        bytes.fromhex(str(account["server_key"])),
    )


def _roster_item(jid: str, item: Table) -> Element:
    element = Element(NS_ROSTER, "item", {"jid": jid})
    for name in ("name", "subscription", "ask"):
        value = item.get(name)
        if isinstance(value, str) and value:
            element.set(name, value)
    if item.get("approved"):
        element.set("approved", "true")
    for group in _dict(item.get("groups")):
        if isinstance(group, str):
            element.add("group", group)
    return element


def _stanza(item: Table, namespace: str = NS_CLIENT) -> Element | None:
    """The stanza of an item of an archive; None where it is none."""
    xml = item.get("xml")
    if isinstance(xml, str):
        # Prosody writes stanzas without the namespace that is in force around them.
        try:
            return parse(xml.encode(), f"<x xmlns='{namespace}'>".encode()).copy()
        except (XMLError, UnicodeEncodeError):
            return None
    element = _element(item, namespace)
    if element is not None:
        # Of the storage, and not of the stanza.
        element.set("stamp", None)
        element.set("stamp_legacy", None)
    return element


def _element(found: Value, namespace: str) -> Element | None:
    """The element that a table is, in a namespace where it names none; None where it is none."""
    table = _dict(found)
    name, attributes = table.get("name"), _dict(table.get("attr"))
    if not isinstance(name, str) or not name:
        return None
    namespace = str(attributes.pop("xmlns", namespace))
    element = Element(namespace, name)
    for key, value in attributes.items():
        if isinstance(key, str) and isinstance(value, str):
            # The namespace and the name, with something between them that is in neither.
            plain = XML_LANG if key == "xml:lang" else key.replace("\x01", " ")
            element.set(plain, _text(value))
    for child in _sequence(table):
        if isinstance(child, str):
            element.append(_text(child))
        else:
            below = _element(child, namespace)
            if below is not None:
                element.append(below)
    return element


def _stamp(item: Table) -> str:
    """When an item was kept, or nothing."""
    when = item.get("when")
    try:
        if isinstance(when, int | float) and when > 0:
            return timestamps.written(round(when * 1_000_000))
        legacy = _dict(item.get("attr")).get("stamp")
        if isinstance(legacy, str):
            return timestamps.written(timestamps.read(legacy))
    except (ValueError, OverflowError):
        return ""
    return ""


def _text(text: str) -> str:
    """What is no UTF-8 was no XML either."""
    return octets(text).decode("utf-8", "replace")


def _plain(value: Value) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _word(value: Value) -> bool | str:
    return value if isinstance(value, bool | str) else "roster"


def _dict(value: Value) -> Table:
    return value if isinstance(value, dict) else {}


def _sequence(table: Table) -> Iterator[Value]:
    number = 1
    while number in table:
        yield table[number]
        number += 1


def _array(table: Table) -> Iterable[Table]:
    return (_dict(value) for value in _sequence(table))
