"""Docstrings and tables as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

# Paths below the folder of generated files, and what is in them.
Pages = dict[str, str]

_CODE = re.compile(r"(`[^`]*`)")


def prose(text: str) -> str:
    """A docstring as Markdown: code stays code, `<a/>` is no HTML, and lists look like lists."""
    blocks = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        block if block.startswith("    ") else escaped(_as_list(block)) for block in blocks
    )


def _as_list(block: str) -> str:
    """Our docstrings write lists with hanging lines, and without a mark before each item."""
    lines = block.split("\n")
    if not any(line.startswith("    ") for line in lines):
        return block
    return "\n".join(
        f"  {line.strip()}" if line.startswith("    ") else f"- {line}" for line in lines
    )


def escaped(text: str) -> str:
    """What would be HTML outside of code, as the characters that it is."""
    parts = _CODE.split(text)
    return "".join(part if part.startswith("`") else part.replace("<", r"\<") for part in parts)


def one_line(text: str) -> str:
    return " ".join(text.split())


def code(text: str) -> str:
    """Code within a line or a cell; empty for nothing."""
    return f"`{text}`" if text else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell holds Markdown on one line."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(one_line(cell).replace('|', chr(92) + '|') for cell in line)} |"
        for line in lines
    )


def fence(info: str, content: str, depth: int = 0) -> str:
    """A directive; one that holds others has a greater depth than they."""
    colons = ":" * (3 + depth)
    return f"{colons}{{{info.partition(' ')[0]}}} {info.partition(' ')[2]}\n{content}\n{colons}"
