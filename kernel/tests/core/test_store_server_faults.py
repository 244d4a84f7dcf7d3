"""Database servers that stop, restart, die and hang under traffic (R5, R6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import gevent
import pytest
from server_lines import Stores, said, say, until
from sqlalchemy import make_url

from stonechat.core.breaker import MAX_WAITING
from stonechat.core.store_server import ServerStore
from stonechat.errors import StorageError
from stonechat.storage import StorageUncertain
from stonechat.testing.databases import DatabaseServer, MariaServer, PostgresServer, started

# What the promises allow: so long for an answer, and from the server's return to normal.
ANSWER_SECONDS = 5.0
RETURN_SECONDS = 2.0
# How late a busy machine may be.
LENIENCE = 3.0


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    stores = Stores(tmp_path)
    yield stores
    stores.close()


@pytest.fixture(scope="module", params=[PostgresServer, MariaServer])
def mortal_server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """A server of these tests' own, which may be ended; it runs when a test begins."""
    with started(request.param) as server:
        yield server


@pytest.fixture(params=["driver", "odbc"])
def url(request: pytest.FixtureRequest, mortal_server: DatabaseServer) -> Iterator[str]:
    name = mortal_server.new_database()
    url_of = mortal_server.odbc_url if request.param == "odbc" else mortal_server.url
    yield url_of(name)
    if not mortal_server.is_running:
        mortal_server.start()


def in_threads(call: object, *arguments: object) -> None:
    """What takes a while, without holding up the hub."""
    gevent.get_hub().threadpool.apply(call, arguments)


class Traffic:
    """Somebody who goes on saying lines, and knows which were promised."""

    def __init__(self, store: ServerStore) -> None:
        self._store = store
        self.promised: list[str] = []
        self.refused: list[BaseException] = []
        self.uncertain: list[str] = []
        self.longest = 0.0
        self._number = 0
        self._is_over = False
        self._greenlets = [gevent.spawn(self._talk) for _ in range(4)]

    def _talk(self) -> None:
        while not self._is_over:
            self._number += 1
            line = f"line {self._number}"
            begun = monotonic()
            try:
                self._store.write(say(line))
            except StorageUncertain:
                self.uncertain.append(line)
            except StorageError as error:
                self.refused.append(error)
                gevent.sleep(0.02)
            else:
                self.promised.append(line)
            self.longest = max(self.longest, monotonic() - begun)
            gevent.sleep(0.005)

    def flows(self) -> None:
        """Wait until more gets through."""
        before = len(self.promised)
        until(lambda: len(self.promised) > before + 5)

    def end(self) -> None:
        self._is_over = True
        gevent.joinall(self._greenlets, timeout=30, raise_error=True)

    def check(self, found: list[str]) -> None:
        """All that was promised is there, once, and nothing that nobody said."""
        assert len(found) == len(set(found))
        assert set(self.promised) <= set(found)
        assert set(found) <= set(self.promised) | set(self.uncertain)


@pytest.mark.parametrize("deed", ["stop", "kill"])
def test_a_server_that_ends_and_returns_costs_nothing_that_was_promised(
    mortal_server: DatabaseServer, url: str, stores: Stores, deed: str
) -> None:
    store = stores.open_with_lines(url)
    traffic = Traffic(store)
    traffic.flows()
    in_threads(getattr(mortal_server, deed))
    # Nobody waits for it for ever, and in the end nobody waits at all.
    until(lambda: traffic.refused)
    until(lambda: store._circuit.is_open)
    begun = monotonic()
    with pytest.raises(StorageError, match="does not answer"):
        store.read(said)
    assert monotonic() - begun < 0.5
    in_threads(mortal_server.start)
    returned = monotonic()
    until(lambda: not store._circuit.is_open)
    assert monotonic() - returned < RETURN_SECONDS + LENIENCE
    traffic.flows()
    traffic.end()
    assert traffic.longest < ANSWER_SECONDS + LENIENCE
    traffic.check(store.read(said))


def test_a_quick_restart_is_hardly_noticed(
    mortal_server: DatabaseServer, url: str, stores: Stores
) -> None:
    store = stores.open_with_lines(url)
    traffic = Traffic(store)
    traffic.flows()
    in_threads(mortal_server.restart)
    traffic.flows()
    traffic.end()
    traffic.check(store.read(said))


def test_a_server_that_hangs_holds_up_few_and_not_for_long(
    mortal_server: DatabaseServer, url: str, stores: Stores
) -> None:
    store = stores.open_with_lines(url, seconds=2.0)
    traffic = Traffic(store)
    traffic.flows()
    mortal_server.pause()
    try:
        begun = monotonic()
        crowd = [gevent.spawn(store.read, said) for _ in range(MAX_WAITING)]
        gevent.sleep(1.3)
        # So many wait already; who comes now is told at once.
        late = monotonic()
        with pytest.raises(StorageError):
            store.read(said)
        assert monotonic() - late < 0.5
        gevent.joinall(crowd, timeout=30)
        assert all(isinstance(each.exception, StorageError) for each in crowd)
        assert monotonic() - begun < 2.0 + LENIENCE
        until(lambda: store._circuit.is_open)
    finally:
        mortal_server.resume()
    returned = monotonic()
    until(lambda: not store._circuit.is_open)
    assert monotonic() - returned < RETURN_SECONDS + LENIENCE
    traffic.flows()
    traffic.end()
    assert traffic.longest < 2.0 + LENIENCE
    traffic.check(store.read(said))


def test_connections_that_were_cut_are_made_anew_unnoticed(
    mortal_server: DatabaseServer, url: str, stores: Stores
) -> None:
    store = stores.open_with_lines(url)
    store.write(say("before"))
    store.read(said)
    for number in range(3):
        if isinstance(mortal_server, PostgresServer):
            mortal_server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'stonechat'"
            )
        else:
            for identity, database in mortal_server.execute(
                "SELECT id, db FROM information_schema.processlist"
            ):
                if database == make_url(url).database:
                    mortal_server.execute(f"KILL CONNECTION {identity}")
        store.write(say(f"after {number}"))
        assert len(store.read(said)) == number + 2


def test_the_lock_is_taken_again_after_a_break(
    mortal_server: DatabaseServer, url: str, stores: Stores
) -> None:
    store = stores.open_with_lines(url)
    in_threads(mortal_server.restart)
    until(lambda: _writes(store, "after"))
    with pytest.raises(StorageError, match="another server uses the database"):
        stores.open(url, seconds=0.5)


def test_who_lost_the_database_to_another_server_writes_no_more(
    mortal_server: DatabaseServer, url: str, stores: Stores
) -> None:
    first = stores.open_with_lines(url)
    # As after a break that the other one was quicker to notice.
    first._server_writer._link.drop()
    second = stores.open(url)
    second.write(say("mine"))
    with pytest.raises(StorageError, match=r"another server uses the database|in time"):
        first.write(say("not mine"))
    second.close()
    until(lambda: _writes(first, "mine again"))
    assert first.read(said) == ["mine", "mine again"]


def test_an_answer_to_a_commit_that_never_comes_leaves_it_uncertain(
    mortal_server: DatabaseServer, url: str, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores.open_with_lines(url)
    session = store._server_writer._link.session
    assert session is not None
    commit = session.commit

    def commit_and_lose_the_answer() -> None:
        commit()
        session.database.cut(session.driver)
        session.run("SELECT 1")

    monkeypatch.setattr(session, "commit", commit_and_lose_the_answer)
    with pytest.raises(StorageUncertain):
        store.write(say("perhaps"))
    # The next one is on a new connection.
    store.write(say("certainly"))
    assert store.read(said) == ["perhaps", "certainly"]


def test_a_server_that_is_not_there_stops_the_start(
    mortal_server: DatabaseServer, url: str, stores: Stores
) -> None:
    mortal_server.stop()
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        stores.open(url, seconds=0.5)
    assert "wherefore" not in str(caught.value)


def test_a_server_that_starts_with_the_machine_is_waited_for(
    mortal_server: DatabaseServer, url: str, stores: Stores
) -> None:
    mortal_server.stop()
    opening = gevent.spawn(stores.open_with_lines, url)
    gevent.sleep(0.3)
    in_threads(mortal_server.start)
    opening.get(timeout=20).write(say("Ay me!"))


def _writes(store: ServerStore, line: str) -> bool:
    try:
        store.write(say(line))
    except StorageError:
        return False
    return True
