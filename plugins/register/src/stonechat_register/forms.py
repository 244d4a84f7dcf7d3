"""What is asked of somebody who registers, and what comes back.

Each question goes out twice, as the fields of XEP-0077 and as a data form (XEP-0004);
a client answers one of the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stonechat.errors import JIDError, StanzaError
from stonechat.forms import Field, Form, find_form
from stonechat.jid import JID
from stonechat.stanza import Element

NS_REGISTER = "jabber:iq:register"
NS_OOB = "jabber:x:oob"  # XEP-0066

# What a data form may be for, where it says so; above all, not `jabber:iq:register:cancel`.
_FORM_TYPES = {"", NS_REGISTER, f"{NS_REGISTER}:changepassword"}


@dataclass(frozen=True, slots=True)
class Submission:
    """What somebody filled in; None for what was not there."""

    username: str | None
    password: str | None = field(repr=False)
    old_password: str | None = field(repr=False)

    @classmethod
    def read(cls, query: Element) -> Submission:
        element = find_form(query)
        if element is None:
            values = {
                child.name: child.text
                for child in query.elements
                if child.namespace == NS_REGISTER
            }
        else:
            form = Form.read(element, type="submit")
            if form.form_type not in _FORM_TYPES:
                raise StanzaError("bad-request", "This is not a form to register with.")
            values = {field.var: field.value for field in form.fields}
        return cls(values.get("username"), values.get("password"), values.get("old_password"))

    def names(self, account: JID) -> bool:
        """Whether the name, with or without the domain, is that of an account."""
        username = self.username or ""
        try:
            if "@" in username:
                return JID.parse(username) == account
            return JID.make(username, account.domain) == account
        except JIDError:
            return False


def is_removal(query: Element) -> bool:
    """Whether an account is to be removed."""
    return query.find("remove") is not None


def form_to_fill_in() -> Element:
    """What a stranger is asked."""
    text = "Choose a name and a password for your account."
    query = _query(text)
    query.add("username")
    query.add("password")
    fields = [
        Field("username", label="Name", required=True),
        Field("password", "text-private", "Password", required=True),
    ]
    query.append(Form("form", NS_REGISTER, "Registration", text, fields).to_element())
    return query


def form_with_account(username: str) -> Element:
    """What is on file of somebody who is registered."""
    query = _query("You are registered. Give your name and a new password to change it.")
    query.add("registered")
    query.add("username", username)
    query.add("password")
    return query


def redirection(url: str) -> Element:
    """Where to register instead."""
    query = _query(f"To register, visit {url}")
    query.add("x", namespace=NS_OOB).add("url", url)
    return query


def _query(instructions: str) -> Element:
    query = Element(NS_REGISTER, "query")
    query.add("instructions", instructions)
    return query
