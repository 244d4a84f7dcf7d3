"""Reads the data files of Prosody: tables in the notation of Lua, of which nothing is run.

A file says `return` and one value, or a list of `item(value);`. Tables become dicts, with
the numbers from 1 on for what has no key. Texts are octets in Lua: what is no UTF-8 comes
with surrogates, and `octets` gives it back.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from stonechat.shell import ShellError

__all__ = ["Table", "Value", "octets", "read_items", "read_value"]

Value: TypeAlias = "str | int | float | bool | dict[Value, Value] | None"
Table: TypeAlias = dict[Value, Value]

MAX_DEPTH = 150

_SPACE = re.compile(rb"(?:[ \t\r\n\f\v;]|--\[(=*)\[.*?\]\1\]|--[^\n]*)*", re.DOTALL)
_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(
    rb"[+-]?(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
)
_NO_NUMBER = re.compile(rb"\(\s*(-?[01])\s*/\s*0\s*\)")
_STRING = re.compile(rb"\"(?:[^\"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+'", re.DOTALL)
_LONG_STRING = re.compile(rb"\[(=*)\[\n?(.*?)\]\1\]", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:([0-9]{1,3})|x([0-9a-fA-F]{2})|z[ \t\r\n\f\v]*|(.))", re.DOTALL)
_ESCAPED = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
}
_WORDS: dict[bytes, bool | None] = {b"true": True, b"false": False, b"nil": None}


def octets(text: str) -> bytes:
    """What a text is in Lua."""
    return text.encode("utf-8", "surrogateescape")


def read_value(path: Path) -> Value:
    """The value of a file; None where there is no such file. ShellError where it is none."""
    with _opened(path) as data:
        if data is None:
            return None
        reader = _Reader(data, path)
        reader.expect(b"return")
        value = reader.value()
        reader.end()
        return value


def read_items(path: Path) -> Iterator[Value]:
    """The values of a list, of which there may be any number; ShellError as above."""
    with _opened(path) as data:
        if data is None:
            return
        reader = _Reader(data, path)
        while not reader.at_end():
            reader.expect(b"item")
            reader.expect(b"(")
            yield reader.value()
            reader.expect(b")")


@contextmanager
def _opened(path: Path) -> Iterator[mmap.mmap | None]:
    try:
        with path.open("rb") as file:
            # An empty file cannot be mapped.
            if not path.stat().st_size:
                yield None
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield data
    except FileNotFoundError:
        yield None
    except OSError as error:
        raise ShellError(f"{path}: {error.strerror}") from error


class _Reader:
    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self._data = data
        self._path = path
        self._at = 0
        self._skip()

    def _skip(self) -> None:
        found = _SPACE.match(self._data, self._at)
        assert found is not None
        self._at = found.end()

    def _fail(self) -> ShellError:
        line = self._data[: self._at].count(b"\n") + 1
        return ShellError(f"{self._path}: line {line}: this is no data of Prosody")

    def _take(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        found = pattern.match(self._data, self._at)
        if found is not None:
            self._at = found.end()
            self._skip()
        return found

    def _next(self, octet: bytes) -> bool:
        if self._data[self._at : self._at + 1] != octet:
            return False
        self._at += 1
        self._skip()
        return True

    def expect(self, word: bytes) -> None:
        if self._data[self._at : self._at + len(word)] != word:
            raise self._fail()
        self._at += len(word)
        self._skip()

    def at_end(self) -> bool:
        return self._at >= len(self._data)

    def end(self) -> None:
        if not self.at_end():
            raise self._fail()

    def value(self, depth: int = 0) -> Value:
        octet = self._data[self._at : self._at + 1]
        if octet in (b'"', b"'"):
            found = self._take(_STRING)
            if found is not None:
                return _text(_ESCAPE.sub(_unescaped, found[0][1:-1]))
        elif octet == b"{":
            return self._table(depth)
        elif octet == b"[":
            found = self._take(_LONG_STRING)
            if found is not None:
                return _text(found[2])
        elif octet == b"(":
            # Infinity, or what is no number: nothing that we read says so.
            if self._take(_NO_NUMBER):
                return None
        elif octet.isalpha():
            found = self._take(_NAME)
            if found is not None and found[0] in _WORDS:
                return _WORDS[found[0]]
        else:
            found = self._take(_NUMBER)
            if found is not None:
                return _number(found[0].decode())
        raise self._fail()

    def _table(self, depth: int) -> Table:
        if depth > MAX_DEPTH:
            raise self._fail()
        self.expect(b"{")
        table: Table = {}
        number = 1
        while not self._next(b"}"):
            key = self._key(depth)
            value = self.value(depth + 1)
            if isinstance(key, dict):
                raise self._fail()
            if key is None:
                key, number = number, number + 1
            if value is not None:
                table[key] = value
            # A semicolon counts as space.
            self._next(b",")
        return table

    def _key(self, depth: int) -> Value:
        """The key that comes before a value; None where there is none."""
        begin = self._at
        if self._data[begin : begin + 1] == b"[" and not _LONG_STRING.match(self._data, begin):
            self.expect(b"[")
            key = self.value(depth + 1)
            self.expect(b"]")
            self.expect(b"=")
            if key is None:
                raise self._fail()
            return key
        found = self._take(_NAME)
        if found is not None and self._next(b"="):
            return found[0].decode()
        self._at = begin
        return None


def _unescaped(found: re.Match[bytes]) -> bytes:
    decimal, hexadecimal, other = found.groups()
    if decimal:
        return bytes([int(decimal) & 255])
    if hexadecimal:
        return bytes.fromhex(hexadecimal.decode())
    return _ESCAPED.get(other, other) if other else b""


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _number(text: str) -> int | float:
    try:
        return int(text, 0) if "x" in text.lower() else int(text)
    except ValueError:
        return float(text)
