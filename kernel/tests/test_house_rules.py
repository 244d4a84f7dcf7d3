"""Rules that no behaviour shows: what code of ours must not even contain."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for pattern in ("kernel/src", "plugins/*/src", "auth_backends/*/src")
    for directory in ROOT.glob(pattern)
    for path in directory.rglob("*.py")
)

# Classes of queue.* and gevent.queue.*; of all of them the first argument is the bound.
QUEUES = {"Channel", "JoinableQueue", "LifoQueue", "PriorityQueue", "Queue"}
# A formatted string, or one that is put together.
PATCHWORK = (ast.JoinedStr, ast.BinOp)


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call, with the last part of the name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.func.id, node
            elif isinstance(node.func, ast.Attribute):
                yield node.func.attr, node


def queues_without_a_bound(tree: ast.AST) -> list[int]:
    return [
        call.lineno
        for name, call in calls(tree)
        if name in QUEUES and not call.args and "maxsize" not in {k.arg for k in call.keywords}
    ]


def statements_put_together(tree: ast.AST) -> list[int]:
    """Calls of `text` and of what carries SQL out, with a string that is not written down."""
    return [
        call.lineno
        for name, call in calls(tree)
        if name in ("exec_driver_sql", "text")
        and call.args
        and (
            isinstance(call.args[0], PATCHWORK)
            or (
                isinstance(call.args[0], ast.Call)
                and isinstance(call.args[0].func, ast.Attribute)
                and call.args[0].func.attr == "format"
            )
        )
    ]


def guessable_numbers(tree: ast.AST) -> list[int]:
    found = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if {"random", "uuid"}.intersection(names):
            found.append(node.lineno)
    return found


RULES = {
    # Robustness rule 17.
    "a queue has a bound": (queues_without_a_bound, "import queue\nqueue.Queue()"),
    # Rule 19: values are bound, never pasted in.
    "a statement is written down": (statements_put_together, "text(f'SELECT {name}')"),
    # Rule 7: tokens come from `secrets`.
    "nothing can be guessed": (guessable_numbers, "from random import choice"),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_is_kept_everywhere(rule):
    look, _ = RULES[rule]
    assert len(SOURCES) > 100
    broken = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line in look(ast.parse(path.read_bytes()))
    ]
    assert not broken, rule


@pytest.mark.parametrize("rule", RULES)
def test_what_breaks_the_rule_is_found(rule):
    look, bad = RULES[rule]
    assert look(ast.parse(bad))


@pytest.mark.parametrize(
    "good",
    ["queue.Queue(100)", "Queue(maxsize=8)", "text('SELECT 1')", "import secrets"],
)
def test_what_keeps_the_rules_is_not(good):
    tree = ast.parse(good)
    assert not any(look(tree) for look, _ in RULES.values())
