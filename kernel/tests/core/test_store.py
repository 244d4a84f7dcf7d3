"""The store at work: groups, failures, bounds, deadlines, threads."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import monkey, socket
from gevent.event import Event
from gevent.threadpool import ThreadPool
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError

from stonechat.core.config_model import Storage as StorageOptions
from stonechat.core.store import Store, open_store
from stonechat.core.store_writer import GROUP_JOBS
from stonechat.errors import ConfigError, StorageError
from stonechat.storage import (
    AutoKey,
    Durability,
    LocalText,
    Schema,
    StorageFull,
    StorageUncertain,
    host_column,
)

# Locks of the system's own, also in a process that gevent has patched.
allocate_lock = monkey.get_original("_thread", "allocate_lock")

metadata = MetaData()
lines = Table(
    "lines",
    metadata,
    Column("id", AutoKey, primary_key=True),
    host_column(primary_key=False),
    Column("speaker", LocalText, nullable=False),
    Column("line", Text, unique=True),
)
LINES = Schema("lines", 1, metadata)

INSERT = insert(lines)
BY_SPEAKER = select(lines.c.line).where(lines.c.speaker == bindparam("speaker")).order_by("id")
COUNT = select(func.count()).select_from(lines)
# Counts for a good part of a second.
LONG = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000000)"
    " SELECT sum(i) FROM n"
)
# Counts for hours.
ENDLESS = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
)


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    stores = []

    def make(**options: Any) -> Store:
        store = Store(tmp_path / "stonechat.db", **options)
        stores.append(store)
        store.ensure(LINES)
        return store

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store()


def say(line: str, speaker: str = "juliet") -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(INSERT, {"host": "capulet.example", "speaker": speaker, "line": line})

    return work


def said(connection: Connection, speaker: str = "juliet") -> list[str]:
    return list(connection.execute(BY_SPEAKER, {"speaker": speaker}).scalars())


def count(connection: Connection) -> int:
    return connection.execute(COUNT).scalar_one()


class Nurse(Exception):
    """Raised by works that fail on purpose."""


def call_nurse(_connection: Connection) -> None:
    raise Nurse


def call_nothing(_connection: Connection) -> None:
    """Nothing to do."""


@contextmanager
def held_up(
    call: Callable[[Callable[[Connection], None]], object],
) -> Iterator[gevent.Greenlet]:
    """Keep a thread of the store busy with one job, until the block is left."""
    loop = gevent.get_hub().loop
    begun = Event()
    go = allocate_lock()
    go.acquire()

    def work(_connection: Connection) -> None:
        loop.run_callback_threadsafe(begun.set)
        assert go.acquire(timeout=30)

    greenlet = gevent.spawn(call, work)
    assert begun.wait(30)
    try:
        yield greenlet
    finally:
        go.release()
        greenlet.join(30)


def spawn_writes(
    store: Store, works: list[Callable[[Connection], object]]
) -> list[gevent.Greenlet]:
    greenlets = [gevent.spawn(store.write, work) for work in works]
    gevent.sleep(0)  # lets each hand its work over
    return greenlets


def join(greenlets: list[gevent.Greenlet]) -> None:
    assert len(gevent.joinall(greenlets, timeout=30)) == len(greenlets)


# What every caller may count on


def test_a_write_returns_what_its_work_returns(store: Store) -> None:
    assert store.write(lambda connection: (say("Ay me!")(connection), "gone")[1]) == "gone"


def test_a_read_sees_every_write_that_has_returned(store: Store) -> None:
    for number in range(50):
        store.write(say(f"line {number}"))
        assert store.read(count) == number + 1


def test_a_read_sees_one_moment(store: Store) -> None:
    with held_up(store.read):  # another reader, so that the next one has a thread of its own
        loop = gevent.get_hub().loop
        first_read = Event()
        written = allocate_lock()
        written.acquire()

        def work(connection: Connection) -> tuple[int, int]:
            before = count(connection)
            loop.run_callback_threadsafe(first_read.set)
            assert written.acquire(timeout=30)
            return before, count(connection)

        reader = gevent.spawn(store.read, work)
        assert first_read.wait(30)
        store.write(say("Ay me!"))
        written.release()
        assert reader.get(timeout=30) == (0, 0)
    assert store.read(count) == 1


def test_writes_are_carried_out_in_the_order_of_the_calls(store: Store) -> None:
    expected = [f"line {number}" for number in range(500)]
    greenlets = spawn_writes(store, [say(line) for line in expected])
    join(greenlets)
    assert store.read(said) == expected


def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises(StorageError, match="readonly"):
        store.read(say("Ay me!"))
    assert store.read(count) == 0


# Groups


def test_writes_that_wait_share_one_commit(store: Store) -> None:
    with held_up(store.write):
        before = store.figures
        greenlets = spawn_writes(store, [say(f"line {number}") for number in range(50)])
        assert store.figures.writes_waiting == 50
    join(greenlets)
    # One for the job that held the writer up; more only if the machine is so busy that
    # the group's 5 ms ran out.
    assert store.figures.commits - before.commits < 25
    assert store.figures.writes - before.writes == 51


def test_a_group_has_a_bound(store: Store) -> None:
    with held_up(store.write):
        before = store.figures.commits
        greenlets = spawn_writes(store, [lambda _: None] * (3 * GROUP_JOBS))
    join(greenlets)
    assert store.figures.commits - before >= 3


@pytest.mark.parametrize("place", [0, 1, 9])
def test_a_write_that_fails_takes_nothing_with_it(store: Store, place: int) -> None:
    works: list[Callable[[Connection], object]] = [say(f"line {number}") for number in range(10)]

    def fail_after_writing(connection: Connection) -> None:
        say("never said")(connection)
        raise Nurse

    works[place] = fail_after_writing
    with held_up(store.write):
        greenlets = spawn_writes(store, works)
    join(greenlets)
    assert [type(greenlet.exception) for greenlet in greenlets] == [
        Nurse if number == place else type(None) for number in range(10)
    ]
    assert store.read(said) == [f"line {number}" for number in range(10) if number != place]


def test_a_group_of_failures_writes_nothing(store: Store) -> None:
    with held_up(store.write):
        greenlets = spawn_writes(store, [call_nurse] * 5)
    join(greenlets)
    assert all(isinstance(greenlet.exception, Nurse) for greenlet in greenlets)
    assert store.figures.failed_writes == 5
    store.write(say("Ay me!"))
    assert store.read(said) == ["Ay me!"]


def test_a_broken_constraint_reaches_the_caller_as_it_is(store: Store) -> None:
    store.write(say("Ay me!"))
    with pytest.raises(IntegrityError):
        store.write(say("Ay me!"))


def test_an_error_does_not_tell_the_values(store: Store) -> None:
    store.write(say("a secret vow"))
    with pytest.raises(IntegrityError) as caught:
        store.write(say("a secret vow"))
    assert "secret" not in str(caught.value)


def test_when_the_database_undoes_a_transaction_all_of_it_fail(store: Store) -> None:
    store.write(
        lambda connection: connection.exec_driver_sql(
            "CREATE TRIGGER poison BEFORE INSERT ON lines WHEN new.line = 'poison'"
            " BEGIN SELECT RAISE(ROLLBACK, 'undone'); END"
        ).close()
    )
    with held_up(store.write) as holder:
        greenlets = spawn_writes(store, [say("before"), say("poison"), say("after")])
    join(greenlets)
    assert isinstance(greenlets[0].exception, StorageError)
    assert greenlets[1].exception is not None
    assert isinstance(holder.exception, StorageError)
    assert greenlets[2].exception is None
    assert store.read(said) == ["after"]


# Durability


@pytest.mark.parametrize(
    ("durability", "as_chosen", "durable", "not_durable"),
    [("memory", 0, 2, 0), ("disk", 1, 2, 1), ("full", 2, 2, 1)],
)
def test_durability_sets_what_a_commit_waits_for(
    make_store: Callable[..., Store],
    durability: Durability,
    as_chosen: int,
    durable: int,
    not_durable: int,
) -> None:
    def level(connection: Connection) -> int:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    store = make_store(durability=durability)
    assert store.write(level) == as_chosen
    assert store.write(level, durable=True) == durable
    assert store.write(level, durable=False) == not_durable
    assert store.write(level) == as_chosen


@pytest.mark.parametrize(("durability", "least"), [("memory", 0), ("disk", 1), ("full", 1)])
def test_what_may_be_lost_does_not_endanger_the_file(
    make_store: Callable[..., Store], durability: Durability, least: int
) -> None:
    levels = []

    def note_level(connection: Connection) -> None:
        levels.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    store = make_store(durability=durability)
    store.write_soon(note_level)
    store.write(call_nothing, durable=False)
    assert levels[0] == least


def test_a_group_is_as_durable_as_its_most_careful_write(store: Store) -> None:
    levels = []

    def note_level(connection: Connection) -> None:
        levels.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    with held_up(store.write):
        greenlets = [
            gevent.spawn(store.write, note_level),
            gevent.spawn(store.write, note_level, durable=True),
        ]
        gevent.sleep(0)
    join(greenlets)
    assert levels[1] == 2


# Bounds


def test_a_full_queue_refuses_at_once(make_store: Callable[..., Store]) -> None:
    store = make_store(max_writes_waiting=3)
    with held_up(store.write):
        greenlets = spawn_writes(store, [say(f"line {number}") for number in range(3)])
        with pytest.raises(StorageFull):
            store.write(say("one too many"))
    join(greenlets)
    store.write(say("room again"))
    assert store.read(said) == ["line 0", "line 1", "line 2", "room again"]


def test_reads_have_a_bound_too(make_store: Callable[..., Store]) -> None:
    store = make_store(max_reads_waiting=3, reader_threads=1)
    with held_up(store.read):
        greenlets = [gevent.spawn(store.read, count) for _ in range(3)]
        gevent.sleep(0)
        with pytest.raises(StorageError):
            store.read(count)
    join(greenlets)
    assert [greenlet.value for greenlet in greenlets] == [0, 0, 0]


def test_what_may_be_lost_is_written_without_waiting(store: Store) -> None:
    with held_up(store.write):
        store.write_soon(say("some time"))
        assert store.read(count) == 0
    store.write(say("afterwards"))
    assert store.read(said) == ["some time", "afterwards"]


def test_what_may_be_lost_leaves_half_of_the_queue_to_others(
    make_store: Callable[..., Store], caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(max_writes_waiting=4)
    with held_up(store.write):
        for number in range(5):
            store.write_soon(say(f"line {number}"))
        greenlets = spawn_writes(store, [say("an important one")])
    join(greenlets)
    gevent.sleep(0)
    assert store.read(said) == ["line 0", "line 1", "an important one"]
    assert store.figures.dropped_writes == 3
    assert "writes that may be lost were dropped" in caplog.text


def test_a_failure_that_nobody_waits_for_is_logged(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.write_soon(call_nurse)
    store.write(say("Ay me!"))
    gevent.sleep(0)
    assert [(record.levelno, "call_nurse" in record.message) for record in caplog.records] == [
        (logging.WARNING, True)
    ]


# Deadlines


def test_a_read_that_takes_too_long_fails_and_frees_its_thread(
    make_store: Callable[..., Store],
) -> None:
    store = make_store(reader_threads=1)
    with pytest.raises(StorageError, match="in time"):
        store.read(lambda connection: connection.execute(ENDLESS).scalar(), deadline=0.05)
    assert store.read(count) == 0


def test_a_write_that_has_not_begun_by_its_deadline_is_not_carried_out(store: Store) -> None:
    with held_up(store.write), pytest.raises(StorageError) as caught:
        store.write(say("too late"), deadline=0.05)
    assert not isinstance(caught.value, StorageUncertain)
    store.write(say("in time"))
    assert store.read(said) == ["in time"]


def test_a_write_that_has_begun_by_its_deadline_is_uncertain(store: Store) -> None:
    def write(work: Callable[[Connection], None]) -> None:
        store.write(work, deadline=0.05)

    with held_up(write) as greenlet:
        greenlet.join(30)
        assert isinstance(greenlet.exception, StorageUncertain)
    store.write(say("Ay me!"))


def test_a_greenlet_that_is_killed_takes_its_write_back(store: Store) -> None:
    with held_up(store.write):
        greenlets = spawn_writes(store, [say("killed"), say("alive")])
        greenlets[0].kill()
    join(greenlets)
    assert store.read(said) == ["alive"]


def test_a_timeout_of_the_caller_ends_its_waiting_only(store: Store) -> None:
    with held_up(store.write), pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
        store.write(say("given up"))
    store.write(say("Ay me!"))
    assert store.read(said) == ["Ay me!"]


# Threads and the hub


def test_the_hub_goes_on_while_a_work_blocks(store: Store) -> None:
    go = allocate_lock()
    go.acquire()

    def work(_connection: Connection) -> bool:
        return bool(go.acquire(timeout=30))

    gevent.spawn(go.release)  # runs only if the hub does
    assert store.write(work)


def test_other_threads_may_use_the_store(store: Store) -> None:
    pool = ThreadPool(2)
    try:
        for greenlet in [pool.spawn(store.write, say(f"line {number}")) for number in range(20)]:
            greenlet.get(timeout=30)
        assert pool.spawn(store.read, count).get(timeout=30) == 20
        with pytest.raises(Nurse):
            pool.spawn(store.write, call_nurse).get(timeout=30)
    finally:
        pool.kill()


def test_slow_reads_call_for_more_threads(make_store: Callable[..., Store]) -> None:
    store = make_store(reader_threads=3)
    with held_up(store.read), held_up(store.read):
        assert store.read(count) == 0


def test_a_busy_hub_does_not_starve_the_store(make_store: Callable[..., Store]) -> None:
    # Each turn of this hub finds a socket to read and works for a moment, like a server
    # in full traffic. The store's threads get the interpreter only if the hub gives way.
    near, far = socket.socketpair()
    near.send(b"<")
    watcher = gevent.get_hub().loop.io(far.fileno(), 1)
    watcher.start(lambda: sum(range(100_000)))
    store = make_store(deadline=2.0)
    try:
        for _ in range(10):
            greenlets = spawn_writes(store, [lambda c: [count(c) for _ in range(5)]] * 200)
            join(greenlets)
            assert [greenlet.exception for greenlet in greenlets] == [None] * 200
            for _ in range(10):
                store.write(count)
    finally:
        watcher.close()
        near.close()
        far.close()


# What a work must not do


@pytest.mark.parametrize("name", ["commit", "rollback", "close"])
def test_a_work_does_not_end_the_transaction(store: Store, name: str) -> None:
    for call in (store.read, store.write):
        with pytest.raises(StorageError):
            call(lambda connection: getattr(connection, name)())
    store.write(say("Ay me!"))
    assert store.read(said) == ["Ay me!"]


def test_a_work_that_commits_behind_the_stores_back_is_told_so(store: Store) -> None:
    with pytest.raises(StorageError):
        store.write(lambda connection: connection.exec_driver_sql("COMMIT").close())
    store.write(say("Ay me!"))
    assert store.read(said) == ["Ay me!"]


def test_a_work_may_undo_a_part_of_itself(store: Store) -> None:
    def work(connection: Connection) -> None:
        say("kept")(connection)
        part = connection.begin_nested()
        say("undone")(connection)
        part.rollback()

    store.write(work)
    assert store.read(said) == ["kept"]


def test_a_part_left_open_undoes_the_whole_work(store: Store) -> None:
    def work(connection: Connection) -> None:
        say("before")(connection)
        connection.begin_nested()
        say("within")(connection)

    with held_up(store.write):
        greenlets = spawn_writes(store, [say("another's"), work, say("one more")])
    join(greenlets)
    assert isinstance(greenlets[1].exception, StorageError)
    assert store.read(said) == ["another's", "one more"]


def test_an_open_result_is_refused(store: Store) -> None:
    with pytest.raises(StorageError, match="fetch"):
        store.read(lambda connection: connection.execute(COUNT))


def test_a_work_does_not_call_the_store(store: Store) -> None:
    with pytest.raises(RuntimeError, match="its connection"):
        store.write(lambda _: store.read(count))


def test_the_hub_itself_must_not_wait(store: Store) -> None:
    caught = []

    def callback() -> None:
        try:
            store.read(count)
        except RuntimeError as error:
            caught.append(str(error))

    gevent.get_hub().loop.run_callback(callback)
    gevent.sleep(0)
    assert "hub" in caught[0]


# Opening and closing


def test_closing_carries_out_what_waits(tmp_path: Path, make_store: Callable[..., Store]) -> None:
    store = make_store()
    with held_up(store.write):
        for number in range(300):
            store.write_soon(say(f"line {number}"))
    store.close()
    # All of it is in the one file that is left.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stonechat.db", "stonechat.lock"]
    assert make_store().read(count) == 300


def test_a_closed_store_refuses(store: Store) -> None:
    store.close()
    store.close()
    for call in (store.read, store.write, store.write_soon):
        with pytest.raises(StorageError, match="closed"):
            call(count)


def test_the_configuration_names_the_file(tmp_path: Path) -> None:
    store = open_store(StorageOptions(url="sqlite:///mail/stonechat.db"), tmp_path / "data")
    store.close()
    assert (tmp_path / "data" / "mail" / "stonechat.db").exists()


def test_the_configuration_says_how_long_a_call_may_take(tmp_path: Path) -> None:
    store = open_store(StorageOptions(timeout="10 ms"), tmp_path)
    try:
        with pytest.raises(StorageError, match="in time"):
            store.read(lambda connection: connection.execute(LONG).scalar())
    finally:
        store.close()


def test_the_configuration_says_how_many_read_at_a_time(tmp_path: Path) -> None:
    store = open_store(StorageOptions(connections=6), tmp_path)
    try:
        with ExitStack() as held:
            for _ in range(6):
                held.enter_context(held_up(store.read))
            assert store.figures.reads_waiting == 0
    finally:
        store.close()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:stonechat.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///a.db?mode=ro",
        "oracle://scott:tiger@capulet.example/x",
    ],
)
def test_an_unknown_database_is_refused_without_telling_its_password(
    tmp_path: Path, url: str
) -> None:
    with pytest.raises(ConfigError, match=r"storage\.url") as caught:
        open_store(StorageOptions(url=url), tmp_path)
    assert "tiger" not in str(caught.value)
