"""The users directory (XEP-0055): who wants to be found is found there.

Accounts say that they do, or that they do not any more, by registering with the directory
(XEP-0077) or by cancelling that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from stonechat.errors import StanzaError
from stonechat.forms import Field, Form, find_form, report
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.service import Item, Service
from stonechat.stanza import Element, Iq
from stonechat_vcard.cards import FIELDS
from stonechat_vcard.search import Wildcards, condition
from stonechat_vcard.store import LISTED, PEOPLE, UNLISTED, Found, Store

NS_SEARCH = "jabber:iq:search"
NS_REGISTER = "jabber:iq:register"

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

_LISTED = "listed"


class Directory:
    """Answers for the domain of the directory."""

    def __init__(
        self,
        host: Host,
        store: Store,
        domain: str,
        *,
        name: str,
        may_search: Callable[[JID], bool],
        listed_by_default: bool,
        wildcards: Wildcards,
        matches: int,
        return_all: bool,
    ) -> None:
        self._host = host
        self._store = store
        self._may_search = may_search
        self._listed_by_default = listed_by_default
        self._wildcards: Wildcards = wildcards
        self._matches = matches
        self._return_all = return_all
        self._service = Service(
            host,
            domain,
            category="directory",
            type="user",
            name=name,
            features=[NS_SEARCH, NS_REGISTER],
            handlers={
                ("get", NS_SEARCH): self.show,
                ("set", NS_SEARCH): self.search,
                ("get", NS_REGISTER): self.show_registration,
                ("set", NS_REGISTER): self.register,
            },
        )

    @property
    def item(self) -> Item:
        return self._service.item

    # Searching

    def show(self, iq: Iq) -> Element:
        """The fields that one can search by."""
        self._check_search(iq)
        answer = Element(NS_SEARCH, "query")
        hint = "" if self._wildcards == "off" else " An asterisk stands for any text."
        answer.add("instructions", f"Fill in one or more fields.{hint}")
        for name in LEGACY_FIELDS:
            answer.add(name)
        form = Form(
            "form",
            NS_SEARCH,
            self._service.name,
            f"Who fits all that you fill in is found.{hint}",
            [Field(name, label=LABELS[name]) for name in FIELDS],
        )
        answer.append(form.to_element())
        return answer

    def search(self, iq: Iq) -> Element:
        """Those who fit."""
        query = self._check_search(iq)
        element = find_form(query)
        if element is None:
            wanted = {name: query.find_text(name) for name in LEGACY_FIELDS}
        else:
            form = Form.read(element, form_type=NS_SEARCH, type="submit")
            wanted = {name: form.get(name) for name in FIELDS}
        found = self._find(wanted)
        answer = Element(NS_SEARCH, "query")
        # Where nobody is found, the answer is empty, and without a table, too.
        if element is None:
            for person in found:
                item = answer.add("item", jid=self._address(person))
                for name in LEGACY_FIELDS:
                    item.add(name, person.fields[name])
        elif found:
            columns = [
                Field("jid", "jid-single", "Jabber ID"),
                *(Field(name, label=LABELS[name]) for name in FIELDS),
            ]
            rows = [{"jid": self._address(person), **person.fields} for person in found]
            answer.append(report(columns, rows, form_type=NS_SEARCH))
        return answer

    def _find(self, wanted: dict[str, str]) -> list[Found]:
        conditions = [
            found
            for name, text in wanted.items()
            if (found := condition(PEOPLE.c[f"folded_{name}"], text, self._wildcards)) is not None
        ]
        if not conditions and not self._return_all:
            raise StanzaError("not-acceptable", "Fill in one field at least.")
        return self._store.search(conditions, unasked=self._listed_by_default, limit=self._matches)

    def _address(self, person: Found) -> str:
        return f"{person.localpart}@{self._host.name}"

    def _check_search(self, iq: Iq) -> Element:
        if not self._may_search(cast(JID, iq.from_)):
            raise StanzaError("forbidden", "You may not search here.")
        return _query(iq)

    # Being found

    def is_listed(self, localpart: str) -> bool:
        """Whether an account may be found, as far as its owner has a say in it."""
        choice = self._store.choice(localpart)
        return choice == LISTED or (self._listed_by_default and choice != UNLISTED)

    def show_registration(self, iq: Iq) -> Element:
        """Whether the account is in the directory."""
        account, _ = self._own(iq)
        is_listed = self.is_listed(account.localpart)
        answer = Element(NS_REGISTER, "query")
        if is_listed:
            answer.add("registered")
        sentence = "Others find you by your vCard." if is_listed else "Others do not find you."
        answer.add("instructions", f"{sentence} Register to be found, or cancel that.")
        field = Field(
            _LISTED, "boolean", "Let others find me by my vCard", ("1" if is_listed else "0",)
        )
        form = Form("form", NS_REGISTER, self._service.name, sentence, [field])
        answer.append(form.to_element())
        return answer

    def register(self, iq: Iq) -> None:
        """The account comes into the directory, or leaves it."""
        account, query = self._own(iq)
        if query.find("remove") is not None:
            if len(query.elements) > 1:
                raise StanzaError("bad-request", "To remove is all that can be done at once.")
            if not self.is_listed(account.localpart):
                raise StanzaError("registration-required")
            self._store.choose(account.localpart, UNLISTED)
            return
        is_listed = True
        if (element := find_form(query)) is not None:
            form = Form.read(element, form_type=NS_REGISTER, type="submit")
            is_listed = form.boolean(_LISTED, True)
        self._store.choose(account.localpart, LISTED if is_listed else UNLISTED)

    def _own(self, iq: Iq) -> tuple[JID, Element]:
        """The account of the host that asks for itself."""
        account = cast(JID, iq.from_).bare
        if account.domain != self._host.name or not account.localpart:
            raise StanzaError("forbidden", f"This directory is for people of {self._host.name}.")
        return account, _query(iq)


def _query(iq: Iq) -> Element:
    query = cast(Element, iq.payload)
    if query.name != "query":
        raise StanzaError("bad-request", "There is no such request.")
    return query
