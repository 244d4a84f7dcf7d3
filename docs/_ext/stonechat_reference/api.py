"""The public modules as Markdown: read from their source, so that types stand as written there."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import stonechat
from stonechat_reference.markdown import Pages, fence, prose

SOURCE = Path(stonechat.__file__).parent

PRIVATE = {"cli", "core", "net", "protocol"}
# These have pages of their own.
ELSEWHERE = {"hookspecs"}
# What the kernel hands in; its docstrings say that it is not for plugins.
_NOT_FOR_PLUGINS = {"stonechat.host.Kernel", "stonechat.host.Acquisitions"}

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
    parts += [_entry(f"stonechat.{name}", entry) for entry in _entries(path, tree)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


# Which names


def _entries(path: Path, tree: ast.Module) -> Iterator[Entry]:
    """The public names, in the order of the source; those that a package takes in from below."""
    own = {entry.name: entry for entry in _defined(tree.body)}
    exported = _exported(tree)
    if path.name != "__init__.py":
        wanted = [name for name in own if name in exported or not exported]
    else:
        wanted = exported
        for module, names in _imports(tree):
            found = _find(module)
            if found is None:
                continue
            below = {entry.name: entry for entry in _defined(_parse(found).body)}
            own |= {name: below[name] for name in names if name in below and name in wanted}
    for name in wanted:
        if name in own:
            yield own[name]


def _exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and _target(node) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def _imports(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, [alias.name for alias in node.names]


def _find(module: str) -> Path | None:
    if not module.startswith("stonechat."):
        return None
    path = SOURCE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return path if path.exists() else None


def _defined(body: Sequence[ast.stmt]) -> Iterator[Entry]:
    """Classes, functions and constants without an underscore before them."""
    for index, node in enumerate(body):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            name, docstring = node.name, ast.get_docstring(node) or ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            name, docstring = _target(node), _docstring_behind(body, index)
            if name == "__all__" or (isinstance(node, ast.Assign) and _is_type_variable(node)):
                continue
        else:
            continue
        if name and not name.startswith("_"):
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


def _entry(module: str, entry: Entry) -> str:
    node = entry.node
    if f"{module}.{entry.name}" in _NOT_FOR_PLUGINS:
        return ""
    if isinstance(node, ast.FunctionDef):
        return fence(f"py:function {_signature(node)}", prose(entry.docstring))
    if isinstance(node, ast.ClassDef):
        return _class(node)
    return _data("py:data", entry)


def _class(node: ast.ClassDef) -> str:
    if _is_error(node):
        kind = "py:exception"
    else:
        kind = "py:class"
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
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return f"({_arguments(member, drop_first=True)})" if member.args.args[1:] or (
                member.args.kwonlyargs or member.args.vararg
            ) else ""
    return ""


def _member(entry: Entry) -> str:
    node = entry.node
    if isinstance(node, ast.ClassDef):
        return ""
    if not isinstance(node, ast.FunctionDef):
        return _data("py:attribute", entry)
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    if any(name.endswith(".setter") for name in decorators):
        return ""
    docstring = prose(entry.docstring)
    if "property" in decorators or "cached_property" in decorators:
        kind = f"\n:type: {ast.unparse(node.returns)}\n" if node.returns else ""
        return fence(f"py:property {node.name}", f"{kind.lstrip()}\n{docstring}")
    options = [name for name in ("staticmethod", "classmethod", "abstractmethod") if name in decorators]
    first = "".join(f":{name}:\n" for name in options)
    is_static = "staticmethod" in decorators
    return fence(
        f"py:method {_signature(node, drop_first=not is_static)}", f"{first}\n{docstring}"
    )


def _signature(node: ast.FunctionDef, *, drop_first: bool = False) -> str:
    answer = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({_arguments(node, drop_first=drop_first)}){answer}"


def _arguments(node: ast.FunctionDef, *, drop_first: bool) -> str:
    arguments = ast.parse(f"def f({ast.unparse(node.args)}): ...").body[0]
    assert isinstance(arguments, ast.FunctionDef)
    if drop_first:
        (arguments.args.posonlyargs or arguments.args.args).pop(0)
    return ast.unparse(arguments.args)


def _data(kind: str, entry: Entry) -> str:
    node = entry.node
    assert isinstance(node, ast.Assign | ast.AnnAssign)
    lines = []
    if isinstance(node, ast.AnnAssign):
        lines.append(f":type: {ast.unparse(node.annotation)}")
    value = ast.unparse(node.value) if node.value is not None else ""
    if value and len(value) <= _LONGEST_VALUE:
        lines.append(f":value: {value}")
    return fence(f"{kind} {entry.name}", "\n".join([*lines, "", prose(entry.docstring)]))
