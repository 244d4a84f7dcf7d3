"""A request for a page of the archive: what a client may ask for, read and checked."""

from __future__ import annotations

from dataclasses import dataclass

from stonechat import rsm, timestamps
from stonechat.errors import StanzaError
from stonechat.forms import Field, Form, find_form
from stonechat.jid import JID
from stonechat.rsm import ResultSet
from stonechat.xml import Element
from stonechat_mam import fulltext, ids

NS_MAM = "urn:xmpp:mam:2"
NS_EXTENDED = f"{NS_MAM}#extended"
NS_GROUPCHAT_FIELD = f"{NS_MAM}#groupchat-field"

_FIELDS = {
    "with": Field("with", "jid-single"),
    "start": Field("start"),
    "end": Field("end"),
    "before-id": Field("before-id"),
    "after-id": Field("after-id"),
    "ids": Field("ids", "list-multi", datatype="xs:string", open=True),
    "include-groupchat": Field("include-groupchat", "boolean"),
}
_FULLTEXT = Field(fulltext.FIELD, label="Words in the message")


@dataclass(frozen=True, slots=True)
class Query:
    """What is wanted. Ids are numbers; None stands for what was not said."""

    request: ResultSet
    id: str = ""
    flips: bool = False
    with_: JID | None = None
    start: int | None = None
    end: int | None = None
    after: int | None = None
    before: int | None = None
    ids: tuple[int, ...] | None = None
    words: tuple[str, ...] = ()
    page_after: int | None = None
    page_before: int | None = None

    @property
    def is_backwards(self) -> bool:
        """Whether the page is the last one of what is left of its bounds."""
        return self.request.before is not None

    @property
    def named(self) -> frozenset[int]:
        """Every id that the request names: all must be there."""
        named = (self.after, self.before, self.page_after, self.page_before, *(self.ids or ()))
        return frozenset(id_ for id_ in named if id_ is not None)


def fields(*, is_searchable: bool) -> Element:
    """The form that tells clients what they may ask for ("Retrieving form fields")."""
    known = [*_FIELDS.values(), *([_FULLTEXT] if is_searchable else [])]
    return Form("form", NS_MAM, fields=known).to_element()


def read(element: Element, *, limit: int, is_searchable: bool) -> Query:
    """The request that a `<query/>` is; StanzaError for what is malformed or not known."""
    if element.get("node"):
        # They belong to XEP-0442.
        raise StanzaError("feature-not-implemented", "An account's archive has no nodes.")
    request = rsm.read(element, limit=limit) or ResultSet()
    written = find_form(element)
    form = Form("submit")
    if written is not None:
        form = Form.read(written, form_type=NS_MAM, type="submit")
    for field in form.fields:
        if field.var not in _FIELDS and not (is_searchable and field.var == fulltext.FIELD):
            raise StanzaError("feature-not-implemented", "The form has a field not known here.")
        if field.var != "ids" and len(field.values) > 1:
            raise StanzaError("bad-request", f"{field.var} has one value.")
    # There is no groupchat in these archives, whichever way it is wanted.
    form.boolean("include-groupchat")
    return Query(
        request,
        id=element.get("queryid"),
        flips=element.find("flip-page") is not None,
        with_=next(iter(form.jids("with")), None),
        start=_moment(form, "start"),
        end=_moment(form, "end"),
        after=_id(form.get("after-id")),
        before=_id(form.get("before-id")),
        ids=_ids(form.values("ids")),
        words=fulltext.words_of(form.get(fulltext.FIELD)),
        page_after=_id(request.after or ""),
        page_before=_id(request.before or ""),
    )


def _moment(form: Form, var: str) -> int | None:
    text = form.get(var)
    if not text:
        return None
    try:
        return timestamps.read(text)
    except ValueError as error:
        raise StanzaError("bad-request", f"{var}: {error}") from None


def _id(text: str) -> int | None:
    if not text:
        return None
    number = ids.read(text)
    if number is None:
        raise StanzaError("item-not-found", "The archive has no message with this id.")
    return number


def _ids(texts: tuple[str, ...]) -> tuple[int, ...] | None:
    numbers = (_id(text.strip()) for text in texts)
    return tuple(dict.fromkeys(n for n in numbers if n is not None)) or None
