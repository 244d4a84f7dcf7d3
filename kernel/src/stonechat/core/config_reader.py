"""Reads a YAML file into plain dicts and lists, and remembers where everything stood.

The nodes that ruamel.yaml composes are taken as they are, with their marks; its
constructors, which make dates, sets and objects out of tags, have no part in it.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from stonechat.core.config_faults import Document, Faults, Path, Places
from stonechat.errors import ConfigError, Position

# Aliases can make much out of little; no honest file comes near these.
_MOST_VALUES = 100_000
_LONGEST_NUMBER = 40

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_TAG = "tag:yaml.org,2002:"
_TRUE_OR_FALSE = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_UNREADABLE = {
    "int": "is not a number that can be read",
    "float": "is not a number that can be read",
    "bool": "must be true or false",
}


def read(source: bytes | str, file: str) -> Document:
    """Read YAML; ConfigError if it cannot be understood at all.

    Faults that leave the rest readable, such as a key given twice, are put with
    those to come: the operator is told everything at once.
    """
    text = _decode(source, file) if isinstance(source, bytes) else source
    root = _compose(text, file)
    builder = _Builder(file)
    try:
        data = None if root is None else builder.build(root, ())
    except RecursionError:
        raise _too_deep(file) from None
    if data is None:
        raise ConfigError(f"{Position(file, 1, 1)}: the file is empty")
    if not isinstance(data, dict):
        place = builder.places.key(())
        raise ConfigError(f"{place}: the file must be a mapping, with keys such as hosts:")
    return Document(data, builder.faults)


def _decode(source: bytes, file: str) -> str:
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = source[: error.start].decode("utf-8-sig")
        raise ConfigError(f"{_position_after(before, file)}: the file is not UTF-8") from None


def _compose(text: str, file: str) -> Node | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            root: Node | None = YAML(typ="safe", pure=True).compose(text)
            return root
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file, 1, 1)
        what = ", ".join(part for part in (error.context, error.problem) if part)
    except ReaderError as error:
        position = _position_after(text[: error.position], file)
        what = "this character is not allowed in YAML"
    except RecursionError:
        raise _too_deep(file) from None
    except Exception as error:  # noqa: BLE001 - the file is to blame, whatever it is
        # The scanner lets a few of Python's own errors through, such as OverflowError
        # for "\UFFFFFFFF" and AssertionError for "%YAML 1.99"; which, is not documented.
        position, what = Position(file, 1, 1), f"{type(error).__name__}: {error}"
    raise ConfigError(f"{position}: not YAML: {' '.join(what.split())}")


def _position_after(text: str, file: str) -> Position:
    """Where the next character stands, with lines counted as YAML counts them."""
    lines = _LINE_BREAK.split(text)
    return Position(file, len(lines), len(lines[-1]) + 1)


def _too_deep(file: str) -> ConfigError:
    return ConfigError(f"{Position(file, 1, 1)}: the file is nested too deep")


class _Builder:
    """Turns nodes into plain data."""

    def __init__(self, file: str) -> None:
        self.places = Places(file)
        self.faults = Faults(self.places)
        self._file = file
        self._count = 0
        self._open: set[int] = set()  # nodes we are inside of: an alias may lead back to one

    def build(self, node: Node, path: Path) -> Any:
        """The data that a node stands for; its key, if it has one, has its place already."""
        self._weigh(node)
        if path not in self.places:
            self.places.put_key(path, self._position(node))
        if isinstance(node, ScalarNode):
            if node.tag != f"{_TAG}null":  # nothing after a colon is no word to point at
                self.places.put_word(path, self._position(node))
            return self._scalar(node, path)
        if id(node) in self._open:
            self.faults.add(path, "an alias must not stand inside of what it stands for")
            return None
        self._open.add(id(node))
        try:
            if not isinstance(node, MappingNode):
                return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            data: dict[str, Any] = {}
            self._fill(data, node, path, own=True)
            return data
        finally:
            self._open.discard(id(node))

    def _fill(self, data: dict[str, Any], node: MappingNode, path: Path, *, own: bool) -> None:
        """Put in the keys of a mapping: its own, then those it takes from others by `<<`."""
        merged: list[Node] = []
        for key, value in node.value:
            inner = (*path, key.value)
            if key.tag == f"{_TAG}merge":
                merged += value.value if isinstance(value, SequenceNode) else [value]
            elif not isinstance(key, ScalarNode) or key.tag == f"{_TAG}null":
                self.faults.add(path, "a key must be a word", at=self._position(key))
            elif key.value not in data:
                self.places.put_key(inner, self._position(key))
                data[key.value] = self.build(value, inner)
            elif own:
                line = self.places.key(inner).line
                message = f"is given twice, first in line {line}"
                self.faults.add(inner, message, at=self._position(key))
        for source in merged:
            self._weigh(source)
            if not isinstance(source, MappingNode) or id(source) in self._open:
                self.faults.add(path, "<< needs another mapping", at=self._position(source))
                continue
            self._open.add(id(source))
            self._fill(data, source, path, own=False)
            self._open.discard(id(source))

    def _weigh(self, node: Node) -> None:
        self._count += 1
        if self._count > _MOST_VALUES:
            raise ConfigError(f"{self._position(node)}: the file has too many values")

    def _scalar(self, node: ScalarNode, path: Path) -> object:
        kind = node.tag.removeprefix(_TAG) if node.tag else "str"
        text = node.value
        # A date has no meaning here: what looks like one is text, as it is in a password.
        if kind in ("str", "timestamp"):
            return text
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in _TRUE_OR_FALSE:
            return _TRUE_OR_FALSE[text.lower()]
        if kind in ("int", "float") and len(text) <= _LONGEST_NUMBER:
            try:
                return _integer(text) if kind == "int" else _float(text)
            except ValueError:
                pass  # said below, like a number that is too long and a tag we do not know
        self.faults.add(path, _UNREADABLE.get(kind, "a tag has no meaning here"))
        return None

    def _position(self, node: Node) -> Position:
        mark = node.start_mark
        return Position(self._file, mark.line + 1, mark.column + 1)


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2], 10)
    return sign * int(digits if base == 10 else digits[2:], base)


def _float(text: str) -> float:
    return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
