"""Durations, sizes and rates: written with a unit in a file, plain numbers in code."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from stonechat.options.written import Written

_NUMBER_AND_UNIT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?([A-Za-z]*)", re.ASCII)
_LARGEST_NUMBER = 10**15

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_BYTES = {
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_BYTES_IN_ANY_CASE = {unit.casefold(): size for unit, size in _BYTES.items()}


def parse_duration(value: object) -> float:
    """Seconds, from `30 s`, `100 ms`, `5 min`, `2 h`, `7 d` or a plain number of seconds."""
    number, unit = _split(value)
    if number is not None and unit == "ms":
        # Divided, not multiplied by 0.001, so that 300 ms are exactly 0.3.
        return number / 1000
    if number is None or (unit and unit not in _SECONDS):
        raise ValueError("must be a duration such as 30 s, 5 min, 2 h or 7 d")
    return float(number * _SECONDS[unit or "s"])


def parse_duration_or_off(value: object) -> float:
    """Like a duration; `off` is 0."""
    if value == "off":
        return 0.0
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{error}, or off") from None


def parse_byte_size(value: object) -> int:
    """Bytes, from `262144`, `100 KiB`, `1 MB` and the like; `1.5 MiB` is whole, `1.5 B` is not."""
    number, unit = _split(value)
    factor = _BYTES_IN_ANY_CASE.get(unit.casefold() or "b")
    if number is None or factor is None or number * factor % 1:
        raise ValueError("must be a number of bytes such as 262144, 100 KiB or 1 MB")
    return int(number * factor)


def parse_rate(value: object) -> int:
    """Bytes per second, from `100 KiB/s` and the like; `none` is 0, which is no limit."""
    if value == "none":
        return 0
    try:
        return parse_byte_size(value.removesuffix("/s") if isinstance(value, str) else value)
    except ValueError:
        raise ValueError("must be bytes per second such as 100 KiB/s, or none") from None


def show_duration(seconds: float) -> str:
    for unit in ("d", "h", "min"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f} {unit}"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.15g} ms"
    return f"{seconds:.15g} s"


def show_duration_or_off(seconds: float) -> str:
    return show_duration(seconds) if seconds else "off"


def show_byte_size(size: int) -> str:
    for unit in ("GiB", "MiB", "KiB", "GB", "MB", "kB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]} {unit}"
    return str(size)


def show_rate(rate: int) -> str:
    return f"{show_byte_size(rate)}/s" if rate else "none"


def _split(value: object) -> tuple[int | float | None, str]:
    """Number and unit as written; None for the number if `value` is nothing of the kind."""
    if isinstance(value, bool):
        return None, ""
    if isinstance(value, int | float):
        # Infinity and NaN fall out here as well.
        return (value, "") if 0 <= value <= _LARGEST_NUMBER else (None, "")
    match = _NUMBER_AND_UNIT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None, ""
    number = match[1]
    return (float(number) if "." in number else int(number)), match[2]


def _number_or_text(sentence: str, example: str) -> WithJsonSchema:
    kinds = [{"type": "number", "minimum": 0}, {"type": "string"}]
    return WithJsonSchema({"anyOf": kinds, "description": sentence, "examples": [example]})


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    _number_or_text("A duration: 100 ms, 30 s, 5 min, 2 h, 7 d, or seconds.", "30 s"),
    Written("duration", show_duration),
]
DurationOrOff = Annotated[
    float,
    BeforeValidator(parse_duration_or_off),
    _number_or_text("A duration such as 30 s, or off.", "30 s"),
    Written("duration or off", show_duration_or_off),
]
ByteSize = Annotated[
    int,
    BeforeValidator(parse_byte_size),
    _number_or_text("A number of bytes: 262144, 100 KiB, 1 MB.", "100 KiB"),
    Written("size", show_byte_size),
]
Rate = Annotated[
    int,
    BeforeValidator(parse_rate),
    _number_or_text("Bytes per second: 100 KiB/s; none is no limit.", "100 KiB/s"),
    Written("rate or none", show_rate),
]
