"""Gathers everything that is wrong with a configuration file, each fault with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stonechat.errors import ConfigError, Position
from stonechat.options.reference import bounds_text, models_within
from stonechat.spelling import did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

# The way from the top of the file to a value.
Path = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[\w.:@+/-]{1,80}")
_LONGEST_KEY = 60

# pydantic's words, where plainer ones say the same.
_PLAIN_MESSAGES = {
    "missing": "must be given",
    "extra_forbidden": "is unknown here",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
}
_OUT_OF_BOUNDS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


class Places:
    """Where each key and each value of a file stands."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._keys: dict[Path, Position] = {}
        self._words: dict[Path, Position] = {}

    def put_key(self, path: Path, position: Position) -> None:
        """The key, or for an item of a list the item."""
        self._keys[path] = position

    def put_word(self, path: Path, position: Position) -> None:
        """The value, where it is a word or a number and not a mapping or a list."""
        self._words[path] = position

    def __contains__(self, path: Path) -> bool:
        return path in self._keys

    def key(self, path: Path) -> Position:
        """The key; of one that is missing, the nearest key around it."""
        while path and path not in self._keys:
            path = path[:-1]
        return self._keys.get(path) or Position(self.file, 1, 1)

    def value(self, path: Path) -> Position:
        """The value if it is a word, else its key."""
        return self._words.get(path) or self.key(path)


class Faults:
    """The faults of one file; all are found before any is reported."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._found: dict[tuple[Position, str], list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, path: Path, message: str, at: Position | None = None) -> None:
        """A fault of the value at `path`, or at another place if one is given.

        The same fault met again, as when two hosts share a setting, counts once.
        """
        messages = self._found.setdefault((at or self.places.value(path), _shown(path)), [])
        line = " ".join(message.split())
        if line not in messages:
            messages.append(line)

    def extend(self, other: Faults) -> None:
        """Take in the faults of another, but for those of what is known to be wrong."""
        for place, messages in other._found.items():
            self._found.setdefault(place, messages)

    def add_validation(
        self,
        error: ValidationError,
        model: type[BaseModel],
        origin: Callable[[Path], Path],
    ) -> None:
        """What pydantic found; `origin` says where in the file a value came from."""
        # What is known to be wrong is not said again in other words: a value that the
        # reader could not read, an option that the host before this one has as well.
        known = set(self._found)
        details = error.errors(include_url=False)
        # A list whose items are all wrong is not empty, whatever pydantic says.
        around = {d["loc"][:end] for d in details for end in range(len(d["loc"]))}
        for detail in details:
            if detail["type"] == "too_short" and detail["loc"] in around:
                continue
            path, field, siblings = self._follow(detail["loc"], model, origin)
            message = _message(detail, field)
            if detail["type"] == "extra_forbidden":
                message += did_you_mean(str(path[-1]), siblings)
                position = self.places.key(path)
            else:
                position = self.places.value(path)
            if (position, _shown(path)) not in known:
                self.add(path, message, at=position)

    def _follow(
        self, location: Path, model: type[BaseModel], origin: Callable[[Path], Path]
    ) -> tuple[Path, FieldInfo | None, list[str]]:
        """The path in the file, the option there, and the names that would be right there.

        pydantic's locations also name the members of unions and suchlike, which
        stand in no file: these are left out.
        """
        path: Path = ()
        models, field = [model], None
        siblings: list[str] = []
        for step in location:
            fields = [m.model_fields[step] for m in models if step in m.model_fields]
            if fields:
                field = fields[0]
                siblings = [name for m in models for name in m.model_fields]
                models = [inner for f in fields for inner in models_within(f.annotation)]
            elif origin((*path, step)) in self.places:
                siblings = [name for m in models for name in m.model_fields]
            else:
                continue
            path = (*path, step)
        return origin(path), field, siblings

    @property
    def lines(self) -> list[str]:
        """Every fault, in the order of the file."""
        found = sorted(self._found.items(), key=lambda item: (item[0][0].line, item[0][0].column))
        return [
            f"{position}: {path}: {', or '.join(messages)}"
            if path
            else f"{position}: {', or '.join(messages)}"
            for (position, path), messages in found
        ]

    def raise_if_any(self) -> None:
        """Raise ConfigError with every fault."""
        if self._found:
            raise ConfigError(*self.lines)


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration file as data; `faults` already holds what is wrong with its form."""

    data: dict[str, Any]
    faults: Faults


def _shown(path: Path) -> str:
    """`listen[0].port`; a key that is not plain is quoted, so that a line stays one line."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
            continue
        if not _PLAIN_KEY.fullmatch(step):
            step = json.dumps(step if len(step) <= _LONGEST_KEY else f"{step[:_LONGEST_KEY]}…")
        text += f".{step}" if text else step
    return text


def _message(detail: ErrorDetails, field: FieldInfo | None) -> str:
    kind = detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    if kind in _PLAIN_MESSAGES:
        return _PLAIN_MESSAGES[kind]
    if kind == "value_error":
        return str(context["error"])
    if kind in ("literal_error", "enum"):
        words = re.findall("'([^']*)'", context["expected"])
        given = detail["input"]
        hint = did_you_mean(given, words) if isinstance(given, str) else ""
        return f"must be {context['expected']}{hint}"
    if kind in _OUT_OF_BOUNDS and field is not None:
        return f"must be {bounds_text(field)}"
    if kind == "too_short":
        least = context["min_length"]
        return "must not be empty" if least == 1 else f"must have at least {least} items"
    if kind == "too_long":
        return f"must have at most {context['max_length']} items"
    return detail["msg"].replace("Input should be ", "must be ")
