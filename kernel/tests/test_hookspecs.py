"""Hooks are contracts: each says what it is, since when, and is asked for by somebody."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from pluggy import PluginManager

from stonechat import hookimpl, hookspecs
from stonechat.hookspecs import HANDLED, KINDS
from stonechat.plugin import concerns, concerns_of

FUNCTIONS = [
    node
    for node in ast.parse(inspect.getsource(hookspecs)).body
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
]
HOOKS = list(KINDS)


@pytest.fixture(scope="module")
def manager():
    manager = PluginManager("stonechat")
    manager.add_hookspecs(hookspecs)
    return manager


def test_every_hook_is_defined_once_and_is_of_one_kind():
    names = [node.name for node in FUNCTIONS]
    assert len(names) == len(set(names))
    assert names == HOOKS
    assert set(KINDS.values()) == {"collects", "filters", "first_answer", "notices"}
    for node in FUNCTIONS:
        assert [ast.unparse(decorator) for decorator in node.decorator_list] == [KINDS[node.name]]


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_a_contract(name):
    assert re.fullmatch(r"stonechat(_[a-z][a-z0-9]*)+", name)
    docstring = inspect.getdoc(getattr(hookspecs, name))
    first, _, rest = docstring.partition("\n")
    assert first.endswith((".", ":"))
    assert len(first) < 99
    assert re.search(r"\n\nSince \d+\.\d+\.$", f"\n\n{rest.strip()}"), "it says since when"


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_types(name):
    (node,) = (node for node in FUNCTIONS if node.name == name)
    assert node.returns is not None
    assert all(argument.annotation is not None for argument in node.args.args)
    answer = ast.unparse(node.returns)
    kind = KINDS[name]
    assert (answer == "None") is (kind == "notices")
    assert (answer == "Handled | None") is (kind == "filters")
    assert answer.endswith("| None") is (kind in ("filters", "first_answer"))


@pytest.mark.parametrize("name", HOOKS)
def test_pluggy_knows_it_by_its_kind(manager, name):
    spec = getattr(manager.hook, name).spec
    assert spec.opts["firstresult"] is (KINDS[name] == "first_answer")
    if KINDS[name] == "collects":
        # They are asked when a host starts, of nobody and nothing; or of one session or account.
        assert spec.argnames in ((), ("session",), ("account",))


def test_filters_are_named_by_stanza_and_direction(manager):
    for name in (name for name, kind in KINDS.items() if kind == "filters"):
        stanza, direction = re.fullmatch(
            r"stonechat_(message|presence|iq)_(from|to)_(?:user|server)", name
        ).groups()
        session = ("session",) if direction == "from" else ()
        assert getattr(manager.hook, name).spec.argnames == (*session, stanza)


@pytest.mark.parametrize("name", HOOKS)
def test_somebody_asks_for_it(name):
    """By its name as a text or, for a filter, by its chain."""
    root = Path(inspect.getfile(hookspecs)).parents[3]
    asked = re.compile(rf'"{name}"|\bhooks\.{name.removeprefix("stonechat_")}\b')
    places = [root / "kernel/src/stonechat/core", *root.glob("plugins/*/src")]
    assert any(
        asked.search(path.read_text(encoding="utf-8"))
        for place in places
        for path in place.rglob("*.py")
    )


def test_marks_are_of_this_project():
    @hookimpl(tryfirst=True)
    @concerns("urn:xmpp:ping ping", "type:headline")
    def stonechat_message_to_user(message):
        return HANDLED

    assert stonechat_message_to_user.stonechat_impl["tryfirst"]
    assert concerns_of(stonechat_message_to_user) == {"urn:xmpp:ping ping", "type:headline"}
    assert concerns_of(print) is None
    assert repr(HANDLED) == "HANDLED"
