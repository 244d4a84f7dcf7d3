"""The public modules as Markdown: read from their source, so that types stand as written there."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import stonechat
from stonechat_reference.markdown import Pages, fence, prose

SOURCE = Path(stonechat.__file__).parent

PRIVATE = {"cli", "core", "net", "protocol"}
# These have pages of their own.
ELSEWHERE = {"hookspecs"}
# What the kernel hands in, and what the kit calls itself.
_NOT_FOR_PLUGINS = {"Kernel", "Acquisitions", "octets_came", "end_came"}

_LONGEST_VALUE = 60

Node = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Entry:
    """A name of a module: where it is defined, and its docstring if it stands behind it."""

    name: str
    node: Node
    docstring: str


def modules() -> list[str]:
    """The public modules of the kernel, without `stonechat.` before them."""
    names = {path.stem for path in SOURCE.glob("*.py")} | {
        path.parent.name for path in SOURCE.glob("*/__init__.py")
    }
    return sorted(names - PRIVATE - {"__init__"})


def pages() -> Pages:
    return {f"api-{name}.md": _module(name) for name in modules() if name not in ELSEWHERE}


def _module(name: str) -> str:
    path = SOURCE / name / "__init__.py"
    if not path.exists():
        path = SOURCE / f"{name}.py"
    tree = _parse(path)
    parts = [
        f"## stonechat.{name}",
        fence(f"py:module stonechat.{name}", ""),
        prose(ast.get_docstring(tree) or ""),
    ]
    parts += [_entry(entry) for entry in _entries(path, tree)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


# Which names


def _entries(path: Path, tree: ast.Module) -> Iterator[Entry]:
    """The public names: its own in the order of the source, then those that it takes in."""
    own = {entry.name: entry for entry in _defined(tree.body)}
    exported = _exported(tree)
    yield from (entry for name, entry in own.items() if name in exported or not exported)
    inside = f"stonechat.{path.parent.name}." if path.name == "__init__.py" else ""
    for name in exported:
        if name in own:
            continue
        module = _origin(tree, name)
        # What a module merely takes over from its neighbour is on the neighbour's page.
        ours = inside and module.startswith(inside)
        if ours or module.removeprefix("stonechat.") in ELSEWHERE:
            entry = _definition(module, name)
            if entry is not None:
                yield entry


def _definition(module: str, name: str) -> Entry | None:
    """Where a name that was imported is really defined."""
    path = SOURCE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not module.startswith("stonechat.") or not path.exists():
        return None
    tree = _parse(path)
    for entry in _defined(tree.body):
        if entry.name == name:
            return entry
    return _definition(_origin(tree, name), name)


def _origin(tree: ast.Module, name: str) -> str:
    """The module that a name is imported from; empty for none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            return node.module or ""
    return ""


def _exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and _target(node) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def _defined(body: Sequence[ast.stmt]) -> Iterator[Entry]:
    """Classes, functions and constants without an underscore before them."""
    for index, node in enumerate(body):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if "overload" in map(ast.unparse, node.decorator_list):
                continue  # the one behind it says what all of them take
            name, docstring = node.name, ast.get_docstring(node) or ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            name, docstring = _target(node), _docstring_behind(body, index)
            if name == "__all__" or (isinstance(node, ast.Assign) and _is_type_variable(node)):
                continue
        else:
            continue
        if name and not name.startswith(("_", "test_")) and name not in _NOT_FOR_PLUGINS:
            yield Entry(name, node, docstring)


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else ""


def _is_type_variable(node: ast.Assign) -> bool:
    value = node.value
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar"


def _docstring_behind(body: Sequence[ast.stmt], index: int) -> str:
    if index + 1 < len(body):
        following = body[index + 1]
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            return str(following.value.value)
    return ""


# How they look


def _entry(entry: Entry) -> str:
    node = entry.node
    if isinstance(node, ast.FunctionDef):
        return fence(f"py:function {_signature(node)}", prose(entry.docstring))
    if isinstance(node, ast.ClassDef):
        return _class(node)
    return _data("py:data", entry)


def _class(node: ast.ClassDef) -> str:
    kind = "py:exception" if _is_error(node) else "py:class"
    bases = [ast.unparse(base) for base in node.bases]
    shown = [base for base in bases if base not in ("ABC", "Protocol", "NamedTuple", "str")]
    parts = [prose(ast.get_docstring(node) or "")]
    if shown:
        parts.insert(0, f"Bases: {', '.join(f'`{base}`' for base in shown)}")
    parts += [_member(entry) for entry in _defined(node.body)]
    return fence(
        f"{kind} {node.name}{_constructor(node)}", "\n\n".join(filter(None, parts)), depth=1
    )


def _is_error(node: ast.ClassDef) -> bool:
    return any(
        ast.unparse(base).endswith(("Error", "Exception", "Unavailable")) for base in node.bases
    )


def _constructor(node: ast.ClassDef) -> str:
    """The arguments in brackets; nothing where there are none, or where they are the fields."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            arguments = _arguments(member, drop_first=True)
            is_ours = any(name in arguments for name in _NOT_FOR_PLUGINS)
            return f"({arguments})" if arguments and not is_ours else ""
    return ""


def _member(entry: Entry) -> str:
    node = entry.node
    if isinstance(node, ast.ClassDef):
        return ""
    if not isinstance(node, ast.FunctionDef):
        return _data("py:attribute", entry)
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if any(name.endswith((".setter", ".fixture")) for name in decorators):
        return ""
    docstring = prose(entry.docstring)
    if "property" in decorators or "cached_property" in decorators:
        kind = f"\n:type: {ast.unparse(node.returns)}\n" if node.returns else ""
        return fence(f"py:property {node.name}", f"{kind.lstrip()}\n{docstring}")
    options = [
        name for name in ("staticmethod", "classmethod", "abstractmethod") if name in decorators
    ]
    first = "".join(f":{name}:\n" for name in options)
    is_static = "staticmethod" in decorators
    return fence(
        f"py:method {_signature(node, drop_first=not is_static)}", f"{first}\n{docstring}"
    )


def _signature(node: ast.FunctionDef, *, drop_first: bool = False) -> str:
    answer = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({_arguments(node, drop_first=drop_first)}){answer}"


def _arguments(node: ast.FunctionDef, *, drop_first: bool) -> str:
    shown = copy.deepcopy(node.args)
    if drop_first:
        (shown.posonlyargs or shown.args).pop(0)
    return ast.unparse(shown)


def _data(kind: str, entry: Entry) -> str:
    lines = []
    annotation = getattr(entry.node, "annotation", None)
    if annotation is not None:
        lines.append(f":type: {ast.unparse(annotation)}")
    given = getattr(entry.node, "value", None)
    value = "" if given is None else ast.unparse(given)
    if value and len(value) <= _LONGEST_VALUE:
        lines.append(f":value: {value}")
    return fence(f"{kind} {entry.name}", "\n".join([*lines, "", prose(entry.docstring)]))
