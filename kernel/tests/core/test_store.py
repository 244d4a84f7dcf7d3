"""The store at work: groups, durability, and what a work must not do."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest
from gevent.event import Event
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from store_lines import (
    COUNT,
    Nurse,
    allocate_lock,
    call_nothing,
    call_nurse,
    count,
    held_up,
    join,
    said,
    say,
    spawn_writes,
)

from stonechat.core import store_writer
from stonechat.core.store import Store
from stonechat.core.store_writer import GROUP_JOBS
from stonechat.errors import StorageError
from stonechat.storage import Durability

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


def test_when_the_database_undoes_a_transaction_all_of_it_fail(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long the machine takes for them, they are one group.
    monkeypatch.setattr(store_writer, "GROUP_SECONDS", 60.0)
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
