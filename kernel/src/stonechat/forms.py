"""Data Forms (XEP-0004): asked, filled in, and shown as a table.

    form = Form.read(element, form_type=NS_MINE, type="submit")
    name = form.get("name")
    limit = form.integer("limit", 10, minimum=1, maximum=100)

A FORM_TYPE (XEP-0068) is no field here but `form_type`. Hints for clients on what may be
filled in (XEP-0122) are written from a field's `datatype`, `minimum`, `maximum` and `open`,
and not read; what comes back is checked by `boolean`, `integer`, `jids` and `choice`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, overload

from stonechat.errors import JIDError, StanzaError
from stonechat.jid import JID
from stonechat.namespaces import NS_DATA_FORM
from stonechat.xml import Element

__all__ = ["NS_DATA_FORM", "NS_VALIDATE", "Field", "Form", "Option", "find_form", "report"]

NS_VALIDATE = "http://jabber.org/protocol/xdata-validate"

# Of a form that somebody sends us; values are those of options too.
MAX_FIELDS = 500
MAX_VALUES = 1000

FORM_TYPES = frozenset({"form", "submit", "cancel", "result"})
_SINGLE = frozenset({"boolean", "fixed", "jid-single", "list-single", "text-private"})
_MULTI = frozenset({"hidden", "jid-multi", "list-multi", "text-multi"})
FIELD_TYPES = _SINGLE | _MULTI | {"text-single"}

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}
_WHITESPACE = " \t\r\n"
_LINE_END = re.compile(r"\r\n?|\n")


class Option(NamedTuple):
    """One of the choices of a list: what is sent, and what people see."""

    value: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a form. A text counts as one value; an option is a value, or (value, label).

    `datatype` is of XML Schema (`"xs:integer"`), `minimum` and `maximum` as it writes them;
    `open` lets people enter what is not among the options.
    """

    var: str
    type: str = "text-single"
    label: str = ""
    values: Sequence[str] = ()
    options: Sequence[Option | tuple[str, str] | str] = ()
    required: bool = False
    desc: str = ""
    datatype: str = ""
    minimum: str = ""
    maximum: str = ""
    open: bool = False

    def __post_init__(self) -> None:
        values = (self.values,) if isinstance(self.values, str) else tuple(self.values)
        object.__setattr__(self, "values", values)
        options = tuple(
            Option(option) if isinstance(option, str) else Option(*option)
            for option in self.options
        )
        object.__setattr__(self, "options", options)

    @property
    def value(self) -> str:
        """The first value, or `""`."""
        return self.values[0] if self.values else ""

    def to_element(self, *, form_type: str = "form") -> Element:
        """The `<field/>`, as it stands in a form of that type."""
        element = Element(NS_DATA_FORM, "field")
        if self.var:
            element.set("var", self.var)
        # Of a submission the type is known to whoever asked ("The Field Element").
        if form_type != "submit" or self.type == "hidden":
            element.set("type", self.type)
        if self.label:
            element.set("label", self.label)
        if self.desc:
            element.add("desc", _one_line(self.desc))
        if self.required:
            element.add("required")
        if self.datatype or self.minimum or self.maximum or self.open:
            element.append(self._validate())
        for value in self.values:
            # Each line is a value of its own ("Field Types").
            for line in _LINE_END.split(value) if self.type == "text-multi" else (value,):
                element.add("value", line)
        for option in self.options:
            value, label = Option(*option)
            choice = element.add("option")
            if label:
                choice.set("label", label)
            choice.add("value", value)
        return element

    def _validate(self) -> Element:
        is_bounded = self.minimum or self.maximum
        # Texts have no bounds ("Validation Ranges").
        datatype = self.datatype or ("xs:integer" if is_bounded else "xs:string")
        validate = Element(NS_VALIDATE, "validate", {"datatype": datatype})
        if is_bounded:
            bounds = validate.add("range")
            if self.minimum:
                bounds.set("min", self.minimum)
            if self.maximum:
                bounds.set("max", self.maximum)
        else:
            validate.add("open" if self.open else "basic")
        return validate


@dataclass(frozen=True, slots=True)
class Form:
    """A form of type form, submit, cancel or result; `var in form` says if it has a field."""

    type: str = "form"
    form_type: str = ""
    title: str = ""
    instructions: str = ""
    fields: Sequence[Field] = ()

    def __post_init__(self) -> None:
        if self.type not in FORM_TYPES:
            raise ValueError(f"there are no forms of type {self.type!r}")
        object.__setattr__(self, "fields", tuple(self.fields))

    def to_element(self) -> Element:
        """The `<x/>`."""
        element = _form_element(self.type, self.title, self.instructions, self.form_type)
        element.append(*(field.to_element(form_type=self.type) for field in self.fields))
        return element

    @classmethod
    def read(cls, element: Element, *, form_type: str = "", type: str = "") -> Self:
        """The form that an `<x/>` is; of a table with items, what stands beside it.

        With `form_type`, a form that names another one is not-acceptable; one that names
        none is taken for it. With `type`, a form of another is a bad-request, as all is that
        XEP-0004 does not allow, or too many fields or values.
        """
        if element.name != "x" or element.namespace != NS_DATA_FORM:
            raise StanzaError("bad-request", "This is not a data form.")
        kind = element.get("type")
        if kind not in FORM_TYPES or (type and kind != type):
            raise StanzaError("bad-request", f"A form of type {type or 'form or submit'}, please.")
        fields = _Reader(kind).read(element)
        purpose = ""
        if (named := fields.get("FORM_TYPE")) and (named.type == "hidden" or kind == "submit"):
            purpose = named.value
            del fields["FORM_TYPE"]
        if form_type and purpose and purpose != form_type:
            raise StanzaError("not-acceptable", f"This is not a form for {form_type}.")
        instructions = "\n".join(part.text for part in element.find_all("instructions"))
        title = element.find_text("title")
        return cls(kind, purpose, title, instructions, tuple(fields.values()))

    # What was filled in

    def field(self, var: str) -> Field | None:
        """The field of that name."""
        for field in self.fields:
            if field.var == var and var:
                return field
        return None

    def __contains__(self, var: str) -> bool:
        return self.field(var) is not None

    def get(self, var: str, default: str = "") -> str:
        """The first value, `""` if the field was left empty, or the default without a field."""
        field = self.field(var)
        return default if field is None else field.value

    def values(self, var: str) -> tuple[str, ...]:
        """All values of a field; none without it."""
        field = self.field(var)
        return () if field is None else tuple(field.values)

    def text(self, var: str, default: str = "") -> str:
        """The lines of a field of type text-multi as one text."""
        field = self.field(var)
        return default if field is None else "\n".join(field.values)

    def boolean(self, var: str, default: bool = False) -> bool:
        """A field that says yes or no; the default where it is empty or not there."""
        text = self._single(var)
        if not text:
            return default
        if text not in _BOOLEANS:
            raise StanzaError("bad-request", f"{_shown(var)} is 0, 1, true or false.")
        return _BOOLEANS[text]

    @overload
    def integer(
        self, var: str, default: int, minimum: int | None = None, maximum: int | None = None
    ) -> int: ...
    @overload
    def integer(
        self,
        var: str,
        default: None = None,
        minimum: int | None = None,
        maximum: int | None = None,
    ) -> int | None: ...
    def integer(
        self,
        var: str,
        default: int | None = None,
        minimum: int | None = None,
        maximum: int | None = None,
    ) -> int | None:
        """A whole number; the default where the field is empty or not there.

        Outside of its bounds it is not-acceptable.
        """
        text = self._single(var)
        if not text:
            return default
        if not _INTEGER.fullmatch(text):
            raise StanzaError("bad-request", f"{_shown(var)} is a whole number.")
        number = int(text)
        if minimum is not None and number < minimum:
            raise StanzaError("not-acceptable", f"{_shown(var)} is {minimum} or more.")
        if maximum is not None and number > maximum:
            raise StanzaError("not-acceptable", f"{_shown(var)} is {maximum} or less.")
        return number

    def jids(self, var: str) -> tuple[JID, ...]:
        """The addresses in a field, each once; not-acceptable where one is malformed."""
        found: dict[JID, None] = {}
        for value in self.values(var):
            # Not all clients leave out the line that is left empty.
            if text := value.strip(_WHITESPACE):
                try:
                    found[JID.parse(text)] = None
                except JIDError as error:
                    raise StanzaError("not-acceptable", f"{_shown(var)}: {error}") from None
        return tuple(found)

    def choice(self, var: str, allowed: Iterable[str], default: str = "") -> str:
        """One of the values that were to be chosen from; not-acceptable for another."""
        text = self._single(var)
        if not text:
            return default
        if text not in allowed:
            raise StanzaError("not-acceptable", f"{_shown(var)} has a value not to be chosen.")
        return text

    def _single(self, var: str) -> str:
        values = self.values(var)
        if len(values) > 1:
            raise StanzaError("bad-request", f"{_shown(var)} has one value.")
        return values[0].strip(_WHITESPACE) if values else ""


class _Reader:
    """Reads the fields of one form, and counts what it reads."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._values = 0

    def read(self, element: Element) -> dict[str, Field]:
        """The fields by name; those without one, which say something only, by their number."""
        fields: dict[str, Field] = {}
        for number, child in enumerate(element.find_all("field")):
            if number >= MAX_FIELDS:
                raise StanzaError("bad-request", f"A form has {MAX_FIELDS} fields at most.")
            field = self._field(child)
            if field.var in fields:
                raise StanzaError("bad-request", "Two fields of a form have the same name.")
            fields[field.var or f"\0{number}"] = field
        return fields

    def _field(self, element: Element) -> Field:
        var = element.get("var")
        type = written_type = element.get("type")
        if type not in FIELD_TYPES:
            type = "text-single"
        if not var and type != "fixed":
            raise StanzaError("bad-request", "A field of a form has no name.")
        values = [value.text for value in element.find_all("value")]
        self._count(len(values))
        # In a submission the type is what was asked for, whether it is named or not.
        if len(values) > 1 and written_type in FIELD_TYPES - _MULTI:
            raise StanzaError("bad-request", f"{_shown(var)} has one value.")
        options = []
        for option in element.find_all("option"):
            texts = [value.text for value in option.find_all("value")]
            self._count(1)
            if len(texts) != 1:
                raise StanzaError("bad-request", "An option has one value.")
            options.append(Option(texts[0], option.get("label")))
        return Field(
            var,
            type,
            element.get("label"),
            values,
            options,
            element.find("required") is not None,
            element.find_text("desc"),
        )

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise StanzaError("bad-request", f"A form has {MAX_VALUES} values at most.")


def report(
    fields: Sequence[Field],
    items: Iterable[Mapping[str, str | Sequence[str]]],
    *,
    title: str = "",
    form_type: str = "",
) -> Element:
    """A table as a form of type result: the columns, and rows of values by column.

    A row may lack columns, which are then empty. XEP-0004 wants nothing beside the table,
    so give a `form_type` only where the protocol has one there, as XEP-0055 does.
    """
    element = _form_element("result", title, "", form_type)
    reported = element.add("reported")
    for field in fields:
        column = reported.add("field", var=field.var, type=field.type)
        if field.label:
            column.set("label", field.label)
    for item in items:
        row = element.add("item")
        for field in fields:
            cell = row.add("field", var=field.var)
            values = item.get(field.var, "")
            for value in (values,) if isinstance(values, str) else values or ("",):
                cell.add("value", value)
    return element


def find_form(parent: Element) -> Element | None:
    """The first form among the children of a payload."""
    return parent.find("x", NS_DATA_FORM)


def _form_element(type: str, title: str, instructions: str, form_type: str) -> Element:
    element = Element(NS_DATA_FORM, "x", {"type": type})
    if title:
        element.add("title", _one_line(title))
    if instructions:
        for line in _LINE_END.split(instructions):
            element.add("instructions", line)
    if form_type:
        element.append(Field("FORM_TYPE", "hidden", values=form_type).to_element())
    return element


def _one_line(text: str) -> str:
    """Titles and descriptions have no line ends ("Protocol", "The Field Element")."""
    return _LINE_END.sub(" ", text)


def _shown(var: str) -> str:
    """The name of a field in an error, which a stranger may have chosen."""
    return repr(var[:100])
