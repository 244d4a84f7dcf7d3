"""The reference of hooks: from `stonechat.hookspecs`, in its order, and who implements them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

from stonechat import hookspecs
from stonechat_reference.distributions import all_plugins
from stonechat_reference.markdown import Pages, code, fence, prose, table

KINDS = {
    "collects": "Collects: all answers are joined.",
    "filters": "Filter: None lets the stanza go on, `HANDLED` takes it over, an exception"
    " refuses it.",
    "first_answer": "First answer: plugins are asked in turn until one answers other than None.",
    "notices": "Notice: told after the fact, answers are ignored.",
}


def pages() -> Pages:
    return {"hooks.md": _hooks(), "hooks-table.md": _overview()}


def _overview() -> str:
    rows = (
        (f"{{py:func}}`{name} <stonechat.hookspecs.{name}>`", code(kind), _first_line(name))
        for name, kind in hookspecs.KINDS.items()
    )
    return table(("Hook", "Kind", "What it is for"), rows) + "\n"


def _first_line(name: str) -> str:
    return (getattr(hookspecs, name).__doc__ or "").partition("\n")[0]


def _hooks() -> str:
    source = inspect.getsource(hookspecs)
    lines = source.splitlines()
    parts = [fence("py:currentmodule stonechat.hookspecs", "")]
    section = ""
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef) or node.name not in hookspecs.KINDS:
            continue
        title = _section_above(lines, node.lineno)
        if title and title != section:
            section = title
            parts.append(f"## {title}")
        parts.append(fence(f"py:function {_signature(node)}", _hook(node)))
    return "\n\n".join(parts) + "\n"


def _signature(node: ast.FunctionDef) -> str:
    answer = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args)}){answer}"


def _hook(node: ast.FunctionDef) -> str:
    kind = hookspecs.KINDS[node.name]
    users = list(_implementations(node.name))
    implemented = f"\n\nImplemented by: {', '.join(users)}." if users else ""
    return f"*{KINDS[kind]}*\n\n{prose(ast.get_docstring(node) or '')}{implemented}"


def _section_above(lines: list[str], lineno: int) -> str:
    """The nearest comment at the margin: the module has one above each group of hooks."""
    return next(
        (line.removeprefix("# ") for line in reversed(lines[:lineno]) if line.startswith("# ")), ""
    )


def _implementations(hook: str) -> Iterator[str]:
    """The standard plugins that have the hook, with the place that they ask for."""
    for plugin in all_plugins():
        found: Any = getattr(plugin.cls, hook, None)
        marks = getattr(found, "stonechat_impl", None)
        if marks is not None:
            place = " (first)" if marks["tryfirst"] else " (last)" if marks["trylast"] else ""
            yield f"[{plugin.name}](../plugins/{plugin.page}.md){place}"
