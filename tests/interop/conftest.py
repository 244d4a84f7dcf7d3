"""A real server process and those who talk to it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from OpenSSL import SSL

from stonechat.testing.event_loop import EventLoop

# The clients are modules beside the tests, which pytest's import mode puts in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from witnesses.cast import Cast
from witnesses.node import CAPULET, Node
from witnesses.own_client import OwnClient
from witnesses.pipes import Pipe, PyOpenSslPipe, SClientPipe, ask_for_tls, open_socket

# Wrong logins make the next one of the same account wait.
NAMES = iter(f"guest{number}" for number in range(1000))


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
def loop() -> Iterator[EventLoop]:
    loop = EventLoop()
    yield loop
    loop.close()


@pytest.fixture
def cast(node: Node, loop: EventLoop) -> Iterator[Cast]:
    """Makes accounts and clients; both are gone at the end of the test."""
    cast = Cast(node, loop)
    yield cast
    cast.close()


@pytest.fixture
def name(cast: Cast) -> str:
    """The localpart of an account that no other test has."""
    name = next(NAMES)
    cast.account(f"{name}@{CAPULET}")
    return name


@pytest.fixture
def connect(needs: Callable[..., None], node: Node) -> Iterator[Callable[..., OwnClient]]:
    """Opens streams over TLS, by pyOpenSSL or by `openssl s_client` with an option of its."""
    with ExitStack() as stack:

        def connect(
            version: int = SSL.TLS1_3_VERSION,
            *,
            domain: str = CAPULET,
            direct_tls: bool = False,
            certificate: tuple[Path, Path] | None = None,
            by_program: str = "",
        ) -> OwnClient:
            trusted = node.authority.file
            pipe: Pipe
            if by_program:
                needs("openssl")
                pipe = SClientPipe(node.starttls, domain, trusted, by_program)
            else:
                connection = open_socket(node.direct if direct_tls else node.starttls)
                if not direct_tls:
                    ask_for_tls(connection, domain)
                pipe = PyOpenSslPipe(
                    connection, domain, trusted, version=version, certificate=certificate
                )
            stack.callback(pipe.close)
            return OwnClient(pipe, domain)

        yield connect
