"""The users directory (XEP-0055), which looks for people in LDAP."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, cast

from stonechat.errors import StanzaError
from stonechat.forms import Field, Form, find_form, report
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.service import Item, Service
from stonechat.stanza import Element, Iq
from stonechat_ldap import Directory, Entry, LdapUnavailable, Link, all_of, any_of, like
from stonechat_vcard_ldap.cards import unavailable
from stonechat_vcard_ldap.fields import Sources

NS_SEARCH = "jabber:iq:search"

Wildcards = Literal["off", "end", "anywhere"]

# Of the namespace itself; it cannot have more ("Extensibility").
LEGACY_FIELDS = ("first", "last", "nick", "email")

LABELS = {
    "first": "Given Name",
    "last": "Family Name",
    "nick": "Nickname",
    "email": "Email Address",
    "fn": "Full Name",
    "middle": "Middle Name",
    "bday": "Birthday",
    "ctry": "Country",
    "locality": "City",
    "orgname": "Organization",
    "orgunit": "Department",
}

# Which part of a vCard each of them is.
PATHS = {
    "first": "N.GIVEN",
    "last": "N.FAMILY",
    "nick": "NICKNAME",
    "email": "EMAIL",
    "fn": "FN",
    "middle": "N.MIDDLE",
    "bday": "BDAY",
    "ctry": "ADR.CTRY",
    "locality": "ADR.LOCALITY",
    "orgname": "ORG.ORGNAME",
    "orgunit": "ORG.ORGUNIT",
}

# Each of them multiplies what a comparison may cost.
MAX_WILDCARDS = 3
MAX_LENGTH = 255

_WILDCARDS = re.compile(r"\*+")


class People:
    """Answers for the domain of the directory."""

    def __init__(
        self,
        host: Host,
        link: Callable[[], Link],
        fields: Mapping[str, Sources],
        domain: str,
        *,
        name: str,
        may_search: Callable[[JID], bool],
        wildcards: Wildcards,
        matches: int,
        return_all: bool,
    ) -> None:
        self._host = host
        self._link = link
        self._may_search = may_search
        self._wildcards = wildcards
        self._matches = matches
        self._return_all = return_all
        # Those that there is something to say of.
        self._fields = {name: fields[path] for name, path in PATHS.items() if path in fields}
        self._service = Service(
            host,
            domain,
            category="directory",
            type="user",
            name=name,
            features=[NS_SEARCH],
            handlers={("get", NS_SEARCH): self.show, ("set", NS_SEARCH): self.search},
        )

    @property
    def item(self) -> Item:
        return self._service.item

    def show(self, iq: Iq) -> Element:
        """The fields that one can search by."""
        self._check(iq)
        answer = Element(NS_SEARCH, "query")
        hint = "" if self._wildcards == "off" else " An asterisk stands for any text."
        answer.add("instructions", f"Fill in one or more fields.{hint}")
        for name in LEGACY_FIELDS:
            if name in self._fields:
                answer.add(name)
        form = Form(
            "form",
            NS_SEARCH,
            self._service.name,
            f"Who fits all that you fill in is found.{hint}",
            [Field(name, label=LABELS[name]) for name in self._fields],
        )
        answer.append(form.to_element())
        return answer

    def search(self, iq: Iq) -> Element:
        """Those who fit."""
        query = self._check(iq)
        element = find_form(query)
        if element is None:
            wanted = {name: query.find_text(name) for name in LEGACY_FIELDS}
        else:
            form = Form.read(element, form_type=NS_SEARCH, type="submit")
            wanted = {name: form.get(name) for name in self._fields}
        found = self._find({name: text for name, text in wanted.items() if name in self._fields})
        answer = Element(NS_SEARCH, "query")
        # Where nobody is found, the answer is empty, and without a table, too.
        if element is None:
            for localpart, values in found.items():
                item = answer.add("item", jid=self._address(localpart))
                for name in LEGACY_FIELDS:
                    item.add(name, values.get(name, ""))
        elif found:
            columns = [
                Field("jid", "jid-single", "Jabber ID"),
                *(Field(name, label=LABELS[name]) for name in self._fields),
            ]
            rows = [
                {"jid": self._address(localpart), **values} for localpart, values in found.items()
            ]
            answer.append(report(columns, rows, form_type=NS_SEARCH))
        return answer

    def _find(self, wanted: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """What there is to say of each, by localpart, in their order."""
        conditions = [
            condition
            for name, text in wanted.items()
            if (condition := self._condition(name, text))
        ]
        if not conditions and not self._return_all:
            raise StanzaError("not-acceptable", "Fill in one field at least.")
        try:
            directory = self._link().directory
            found = self._look(directory, conditions)
        except LdapUnavailable as error:
            raise unavailable() from error
        return dict(sorted(found.items()))

    def _look(self, directory: Directory, conditions: list[str]) -> dict[str, dict[str, str]]:
        attributes = {
            *directory.uid_attributes,
            *(name for source in self._fields.values() for name in source.attributes),
        }
        entries = directory.search(
            all_of(directory.people_filter, *conditions), sorted(attributes), limit=self._matches
        )
        found = {}
        for entry in entries:
            localpart = next(iter(directory.localparts(entry)), "")
            if localpart and directory.allows(entry, localpart):
                found[localpart] = self._values(entry, localpart)
        return found

    def _values(self, entry: Entry, localpart: str) -> dict[str, str]:
        return {
            name: next(iter(source.texts(entry, localpart, self._host.name)), "")
            for name, source in self._fields.items()
        }

    def _condition(self, name: str, text: str) -> str:
        """What an entry has to be for a field of the form, or `""` where anything will do."""
        parts = self._parts(" ".join(text.split()))
        if not any(parts):
            return ""
        conditions = [like(attribute, parts) for attribute in self._fields[name].attributes]
        if name == "nick":
            # It is the name of the account, whatever else it may be.
            options = self._link().directory.options
            conditions += [uid.like(parts, self._host.name) for uid in options.uids]
        return any_of(*dict.fromkeys(conditions))

    def _parts(self, text: str) -> list[str]:
        if len(text) > MAX_LENGTH:
            raise StanzaError("not-acceptable", f"A field has {MAX_LENGTH} characters at most.")
        text = _WILDCARDS.sub("*", text)
        if self._wildcards == "off":
            return [text]
        if self._wildcards == "end":
            return [text[:-1], ""] if text.endswith("*") else [text]
        if text.count("*") > MAX_WILDCARDS:
            raise StanzaError("not-acceptable", f"A field has {MAX_WILDCARDS} asterisks at most.")
        return text.split("*")

    def _address(self, localpart: str) -> str:
        return JID.make(localpart, self._host.name).text

    def _check(self, iq: Iq) -> Element:
        if not self._may_search(cast(JID, iq.from_)):
            raise StanzaError("forbidden", "You may not search here.")
        query = cast(Element, iq.payload)
        if query.name != "query":
            raise StanzaError("bad-request", "There is no such request.")
        return query
