"""A real server process and those who talk to it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The clients are modules beside the tests, which pytest's import mode puts in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from witnesses.cast import Cast
from witnesses.node import Node
from witnesses.people import Loop


@pytest.fixture(scope="session")
def running_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One server for all tests; they leave it as it was."""
    node = Node(tmp_path_factory.mktemp("node"))
    node.process.start()
    yield node
    if node.process.is_running:
        assert node.process.stop() == 0, node.process.story()


@pytest.fixture
def node(running_node: Node) -> Iterator[Node]:
    """The server; an error in its log fails the test."""
    if not running_node.process.is_running:
        # The last test has failed with it; the others are to tell what they can.
        running_node.process.start()
    running_node.new_faults()
    yield running_node
    assert running_node.process.is_running, running_node.process.story()
    assert running_node.new_faults() == []


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def cast(node: Node, loop: Loop) -> Iterator[Cast]:
    """Makes accounts and clients; both are gone at the end of the test."""
    cast = Cast(node, loop)
    yield cast
    cast.close()
