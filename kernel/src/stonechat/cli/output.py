"""Shows results: as JSON, or as aligned plain text."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]


def show(result: Any, *, as_json: bool) -> None:
    """Print a result on standard output."""
    if as_json:
        print(json.dumps(result, indent=2))  # noqa: T201
        return
    text = as_text(result)
    if text:
        print(text)  # noqa: T201


def show_error(text: str) -> None:
    """Print what went wrong on standard error, one line for each line of it."""
    for line in text.splitlines():
        print(plain(line), file=sys.stderr)  # noqa: T201


def plain(value: object) -> str:
    """Text that stays on its line and moves no cursor, whoever wrote it."""
    text = str(value)
    return text if text.isprintable() else repr(text)[1:-1]


def as_text(result: Any) -> str:
    """A result as lines that a person and `awk` can read."""
    return "\n\n".join(
        _table_text(title, rows) if rows is not None else title for title, rows in _parts(result)
    )


def _parts(result: Any) -> list[tuple[str, list[Row] | None]]:
    """What to show one below the other: texts, and tables with their titles."""
    if result is None:
        return []
    if isinstance(result, list):
        if result and all(isinstance(item, Mapping) for item in result):
            return [("", result)]
        lines = [cell("", item) for item in result]
        return [("\n".join(lines), None)] if lines else []
    if not isinstance(result, Mapping):
        return [("\n".join(plain(line) for line in _lines(result)), None)]
    simple = {name: value for name, value in result.items() if not _is_table(value)}
    width = max((len(heading(name)) for name in simple), default=0)
    lines = [f"{heading(name):<{width}}  {cell(name, value)}" for name, value in simple.items()]
    parts: list[tuple[str, list[Row] | None]] = [("\n".join(lines), None)] if lines else []
    parts += [(heading(name), value) for name, value in result.items() if _is_table(value)]
    return parts


def _lines(value: object) -> list[str]:
    return value.splitlines() if isinstance(value, str) else [cell("", value)]


def _is_table(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, Mapping) for item in value)
    )


def _columns(rows: list[Row]) -> list[str]:
    names = dict.fromkeys(name for row in rows for name in row)
    # A column in which no row has anything is left out.
    return [name for name in names if any(row.get(name) not in (None, "", [], {}) for row in rows)]


def _table_text(title: str, rows: list[Row]) -> str:
    names = _columns(rows)
    lines = [[heading(name) for name in names]]
    lines += [[cell(name, row.get(name)) for name in names] for row in rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(names))]
    right = [_justify(rows, name) == "right" for name in names]
    text = [
        "  ".join(
            word.rjust(width) if is_right else word.ljust(width)
            for word, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join([title, *text] if title else text)


def _justify(rows: list[Row], name: str) -> Any:
    values = [row.get(name) for row in rows]
    is_number = all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        for value in values
    )
    return "right" if is_number else "left"


# Names end in their unit, which a person reads beside the number.
_UNITS = ("_seconds", "_bytes", "_days")


def heading(name: str) -> str:
    for unit in _UNITS:
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def cell(name: str, value: Any) -> str:
    """One value on one line."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(name, value)
    if isinstance(value, Mapping):
        return ", ".join(f"{plain(key)}: {cell('', item)}" for key, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(cell("", item) for item in value) or "-"
    return plain(value)


def _number(name: str, value: float) -> str:
    if name.endswith("_bytes"):
        return _bytes(value)
    if name.endswith("_seconds"):
        return _seconds(value)
    if name.endswith("_days"):
        return f"{value} days"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bytes(value: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def _seconds(value: float) -> str:
    if value < 120:
        return f"{value:g} s"
    minutes, _ = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
