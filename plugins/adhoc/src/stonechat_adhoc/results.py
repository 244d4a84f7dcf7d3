"""The result of a command, which is plain data, as notes and forms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stonechat.forms import Field, Form, report
from stonechat.jid import JID
from stonechat.stanza import Element
from stonechat_adhoc.words import Note, Outcome

# A text that is no longer than this, in one line, is a remark; another is shown in a form.
_LONGEST_NOTE = 300


def outcome_of(result: Any, title: str, *, rows: int, form_type: str = "") -> Outcome:
    """Show what a command has returned, so many rows or lines on a page."""
    if result is None:
        return Outcome((Note("Done."),))
    if isinstance(result, str) and "\n" not in result and len(result) <= _LONGEST_NOTE:
        return Outcome((Note(result or "Done."),))
    if isinstance(result, Mapping):
        fields = [_field(str(name), value) for name, value in result.items()]
        return Outcome(pages=((_form(title, fields, form_type),),))
    if isinstance(result, str):
        lines: Sequence[Any] = result.rstrip("\n").split("\n")
    elif isinstance(result, Sequence):
        lines = result
    else:
        return Outcome(pages=((_form(title, [_field("result", result)], form_type),),))
    if not lines:
        return Outcome((Note("There is nothing to show."),))
    return Outcome(pages=Pages(lines, rows, title, form_type))


class Pages(Sequence[Sequence[Element]]):
    """A long result, of which each page is made when somebody turns to it."""

    def __init__(self, lines: Sequence[Any], rows: int, title: str, form_type: str) -> None:
        self._lines = lines
        self._rows = rows
        self._title = title
        self._form_type = form_type
        self._columns: list[str] = []
        if all(isinstance(line, Mapping) for line in lines):
            self._columns = list(dict.fromkeys(str(name) for line in lines for name in line))

    def __len__(self) -> int:
        return -(-len(self._lines) // self._rows)

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < len(self):
            raise IndexError(number)
        lines = self._lines[number * self._rows : (number + 1) * self._rows]
        title = self._title
        if len(self) > 1:
            title = f"{title} ({number + 1} of {len(self)})"
        if self._columns:
            return (_table(title, self._columns, lines),)
        return (_form(title, [_field("result", lines)], self._form_type),)


def label_of(name: str) -> str:
    """A name as people read it: `connected_since` is "Connected since"."""
    words = name.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]


def _form(title: str, fields: Sequence[Field], form_type: str) -> Element:
    return Form("result", form_type, title, fields=fields).to_element()


def _field(name: str, value: Any) -> Field:
    if isinstance(value, Mapping):
        lines = [f"{key}: {_text(item)}" for key, item in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        lines = [_text(item) for item in value]
    elif isinstance(value, bool):
        return Field(name, "boolean", label_of(name), _text(value))
    elif isinstance(value, JID):
        return Field(name, "jid-single", label_of(name), value.text)
    else:
        lines = _text(value).split("\n")
        if len(lines) == 1:
            return Field(name, "text-single", label_of(name), lines)
    return Field(name, "text-multi", label_of(name), lines)


def _table(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Element:
    fields = [Field(name, "text-single", label_of(name)) for name in columns]
    items = [{str(name): _cell(value) for name, value in row.items()} for row in rows]
    return report(fields, items, title=title)


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
