"""Where the store's patience ends: queues, deadlines, threads."""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent
import pytest
from gevent import socket
from gevent.threadpool import ThreadPool
from sqlalchemy import Connection
from store_lines import (
    ENDLESS,
    Nurse,
    allocate_lock,
    call_nurse,
    count,
    held_up,
    join,
    said,
    say,
    spawn_writes,
)

from stonechat.core.store import Store
from stonechat.core.store_jobs import sleep
from stonechat.errors import StorageError
from stonechat.storage import StorageFull, StorageUncertain

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


# What takes long


def dawdle(_connection: Connection) -> None:
    sleep(0.05)


@pytest.mark.parametrize("call", ["read", "write"])
def test_what_takes_long_is_logged_by_its_name_and_not_each_time(
    make_store: Callable[..., Store], caplog: pytest.LogCaptureFixture, call: str
) -> None:
    store = make_store(slow=0.03)
    for _ in range(3):
        getattr(store, call)(dawdle)
    gevent.sleep(0)
    slow = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [message for message in slow if "dawdle" in message] == slow[:1]
    assert "was slow: dawdle took 0." in slow[0]


def test_nothing_is_logged_where_that_is_switched_off(
    make_store: Callable[..., Store], caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(slow=0)
    store.write(dawdle)
    store.read(dawdle)
    gevent.sleep(0)
    assert "slow" not in caplog.text


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
