"""Rules that hold in all our sources, where no linter can say them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("kernel/src", "plugins/*/src", "auth_backends/*/src")
XML = "kernel/src/stonechat/xml"

QUEUES = {
    "Channel",
    "JoinableQueue",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "SimpleQueue",
    "UnboundQueue",
}
# A queue with a bound of its own would make those wait who are to be refused: the
# writer looks at the length of its queue before it takes a job.
BOUNDED_BY_HAND = {"kernel/src/stonechat/core/store_queue.py"}

PARSERS = {"pyexpat", "xml", "lxml"}
OUR_PARSERS = {"guarded_parser", "TreeBuilder", "ParserCreate"}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for place in PLACES:
        for directory in ROOT.glob(place):
            for path in sorted(directory.rglob("*.py")):
                tree = ast.parse(path.read_text(encoding="utf-8"), path)
                yield path.relative_to(ROOT).as_posix(), tree


def imported(tree: ast.Module) -> Iterator[str]:
    """The top-level packages that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


def names(tree: ast.Module) -> set[str]:
    """Every name that a module uses or imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.alias):
            found.add(node.name)
    return found


def unbounded_queues(tree: ast.Module) -> list[int]:
    """The lines where a queue is made that has no bound."""
    lines = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = (
            function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        )
        if name not in QUEUES:
            continue
        bounds = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "maxsize")]
        if not bounds or any(isinstance(b, ast.Constant) and not b.value for b in bounds):
            lines.append(node.lineno)
    return lines


def test_there_are_sources_to_look_at():
    paths = [path for path, _ in sources()]
    assert len(paths) > 100
    for place in ("kernel/", "plugins/", "auth_backends/"):
        assert any(path.startswith(place) for path in paths)


def test_no_queue_is_without_a_bound():
    # Robustness rule 17.
    assert {path for path, tree in sources() if unbounded_queues(tree)} <= BOUNDED_BY_HAND


@pytest.mark.parametrize(
    ("code", "is_unbounded"),
    [
        ("Queue()", True),
        ("queue.Queue()", True),
        ("Queue(None)", True),
        ("Queue(maxsize=0)", True),
        ("Queue(items=[1])", True),
        ("gevent.queue.JoinableQueue(maxsize=None)", True),
        ("Queue(100)", False),
        ("Queue(maxsize=LIMIT)", False),
        ("deque()", False),
    ],
)
def test_it_would_be_found(code, is_unbounded):
    assert bool(unbounded_queues(ast.parse(code))) is is_unbounded


def test_nothing_is_left_to_a_weak_generator():
    # Robustness rule 7: tokens come from `secrets`, and all chance is for tokens.
    assert [path for path, tree in sources() if "random" in imported(tree)] == []


def test_whatever_enters_goes_through_one_door():
    # Robustness rule 1.
    users = {path for path, tree in sources() if not PARSERS.isdisjoint(imported(tree))}
    assert users == {
        f"{XML}/parser.py",
        f"{XML}/convert.py",  # to and from trees of lxml; it parses nothing
        f"{XML}/documents.py",  # for its exceptions
        "kernel/src/stonechat/protocol/reader.py",  # for its exceptions
    }
    assert {path for path, tree in sources() if "ParserCreate" in names(tree)} == {
        f"{XML}/parser.py"
    }
    convert = ast.parse((ROOT / XML / "convert.py").read_text(encoding="utf-8"))
    assert names(convert).isdisjoint({"fromstring", "parse", "XML", "XMLParser", "iterparse"})


def test_nobody_gets_round_the_guards_of_the_parser():
    users = {path for path, tree in sources() if not OUR_PARSERS.isdisjoint(names(tree))}
    assert users == {
        f"{XML}/__init__.py",
        f"{XML}/documents.py",  # files that an operator gives us
        f"{XML}/parser.py",
        "kernel/src/stonechat/protocol/reader.py",
    }


def test_nothing_that_a_stranger_wrote_gets_into_a_file_name(server):
    """Robustness rule 23."""
    host = server.host("capulet.example")
    juliet = host.connect("juliet..%2f..%5cstrange@capulet.example/../../strange")
    juliet.available(status="../../strange")
    juliet.message("strange@capulet.example", "../../strange")
    stream = host.open_stream(header=False)
    stream.send(
        "<stream:stream to='../../strange' version='1.0' xmlns='jabber:client'"
        " xmlns:stream='http://etherx.jabber.org/streams'>"
    )
    names = [path.name for path in server.kernel.configuration.data_dir.rglob("*")]
    assert names
    assert not [name for name in names if "strange" in name or "juliet" in name]
