"""Real servers beside ours, started once; a test takes those that it names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Modules beside the tests are in nobody's reach by pytest's import mode.
sys.path.insert(0, str(Path(__file__).parent))

from peers import CAPULET, LAURENCE, MANTUA, MONTAGUE, PADUA, VERONA
from peers.ejabberd import Ejabberd
from peers.faulty import FaultyServer
from peers.node import Node
from peers.people import People
from peers.prosody import Prosody
from peers.stage import Stage, free_port


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("federation"))
    try:
        free_port(stage.address())
    except OSError:
        stage.close()
        pytest.skip("this system has one address of loopback only")
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def prosody(stage: Stage, needs: Callable[..., None]) -> Iterator[Prosody]:
    needs(*Prosody.programs)
    secure = [f"{credential}.{CAPULET}" for credential in ("expired", "stranger")]
    prosody = Prosody(stage, MONTAGUE, secure)
    prosody.start()
    yield prosody
    prosody.kill()


@pytest.fixture(scope="session")
def ejabberd(stage: Stage, needs: Callable[..., None]) -> Iterator[Ejabberd]:
    needs(*Ejabberd.programs)
    ejabberd = Ejabberd(stage, VERONA)
    ejabberd.start()
    yield ejabberd
    ejabberd.kill()


@pytest.fixture(scope="session")
def people() -> Iterator[People]:
    people = People()
    yield people
    people.close()


@pytest.fixture(scope="session")
def running_capulet(stage: Stage) -> Iterator[Node]:
    capulet = Node(stage, CAPULET)
    capulet.start()
    yield capulet
    capulet.kill()


@pytest.fixture(scope="session")
def mantua(stage: Stage) -> Iterator[Node]:
    """Another node of ours."""
    mantua = Node(stage, MANTUA)
    mantua.start()
    yield mantua
    mantua.kill()


@pytest.fixture
def capulet(running_capulet: Node) -> Iterator[Node]:
    """The node under test; an error in its log fails the test."""
    running_capulet.new_faults()
    yield running_capulet
    assert running_capulet.new_faults() == []


@pytest.fixture(params=["prosody", "ejabberd", "mantua"])
def peer(request: pytest.FixtureRequest) -> Prosody | Ejabberd | Node:
    """Each of the other servers, one after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def impatient(stage: Stage) -> Iterator[Node]:
    """A node of ours that does not wait long."""
    impatient = Node(stage, PADUA, timeout="3 s", dns={"timeout": "1 s"})
    impatient.start()
    yield impatient
    impatient.kill()


@pytest.fixture(scope="module")
def fickle(stage: Stage) -> Iterator[Node]:
    """A node of ours whose administrator changes his mind."""
    fickle = Node(stage, LAURENCE)
    fickle.start()
    yield fickle
    fickle.kill()


@pytest.fixture(scope="session")
def babbler(stage: Stage) -> Iterator[FaultyServer]:
    """Listens on a port, and talks of something else."""
    babbler = FaultyServer(stage, "babbler.example", [b"220 mail.example ESMTP\r\n", None])
    yield babbler
    babbler.close()
