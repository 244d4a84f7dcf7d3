"""The batcher: rows in few transactions, in order, and never lost without a word."""

from itertools import chain
from typing import NamedTuple

import gevent
import pytest
from gevent.event import Event

from stonechat.batcher import MAX_ROWS, Batcher
from stonechat.custody import Custody, Release
from stonechat.errors import StorageError
from stonechat.storage import StorageFull


class Log:
    def __init__(self):
        self.errors = []

    def error(self, event, **fields):
        self.errors.append((event, fields))


class Storage:
    """A store whose commits wait for the test."""

    def __init__(self):
        self.gate = Event()
        self.gate.set()
        self.faults = []
        self.commits = 0

    def write(self, work):
        self.gate.wait()
        if self.faults:
            raise self.faults.pop(0)
        self.commits += 1
        return work(None)


class Host:
    def __init__(self):
        self.storage = Storage()
        self.log = Log()

    def spawn(self, function, *arguments):
        return gevent.spawn(function, *arguments)


@pytest.fixture
def host():
    return Host()


def batcher_of(host, written, **options):
    return Batcher(host, lambda _connection, rows: written.append(list(rows)), **options)


def test_rows_that_come_together_are_written_together(host):
    written = []
    batcher = batcher_of(host, written)
    for number in range(10):
        batcher.add(number)
    assert batcher.flush()
    assert written == [list(range(10))]


def test_rows_that_come_during_a_commit_make_the_next_batch(host):
    written = []
    batcher = batcher_of(host, written, gather=0.0)
    host.storage.gate.clear()
    batcher.add(1)
    gevent.sleep(0)
    for number in (2, 3, 4):
        batcher.add(number)
    host.storage.gate.set()
    assert batcher.flush()
    assert written == [[1], [2, 3, 4]]


def test_a_batch_has_an_end(host):
    written = []
    batcher = batcher_of(host, written)
    for number in range(MAX_ROWS + 1):
        batcher.add(number)
    assert batcher.flush()
    assert [len(rows) for rows in written] == [MAX_ROWS, 1]


def test_whoever_waits_is_told_after_the_commit_in_order(host):
    written, done = [], []
    batcher = batcher_of(host, written)
    host.storage.gate.clear()
    for number in range(3):
        batcher.add(number, lambda number=number: done.append((number, len(written))))
    gevent.sleep(0.01)
    assert done == []
    host.storage.gate.set()
    assert batcher.flush()
    assert done == [(0, 1), (1, 1), (2, 1)]


def test_rows_wait_while_the_store_fails(host, monkeypatch):
    monkeypatch.setattr("stonechat.batcher.RETRY_SECONDS", 0.0)
    written = []
    host.storage.faults = [StorageFull("no room"), StorageError("gone")]
    batcher = batcher_of(host, written)
    batcher.add("row")
    assert batcher.flush()
    assert written == [["row"]]
    assert [event for event, _ in host.log.errors] == ["rows not written yet"] * 2


def test_too_many_rows_are_refused_and_nothing_of_them_is_taken(host):
    written = []
    batcher = batcher_of(host, written, limit=2)
    host.storage.gate.clear()
    batcher.add(1)
    batcher.add(2)
    with pytest.raises(StorageFull):
        batcher.add(3)
    host.storage.gate.set()
    assert batcher.flush()
    assert written == [[1, 2]]
    batcher.add(4)
    assert batcher.flush()


def refusing(written, *bad):
    """Rows that no database takes."""

    def write_rows(_connection, rows):
        if not set(bad).isdisjoint(rows):
            raise ValueError("no database takes this")
        written.append(list(rows))

    return write_rows


def test_a_row_that_cannot_be_written_does_not_keep_the_others(host):
    written = []
    batcher = Batcher(host, refusing(written, 3, 4))
    for number in range(10):
        batcher.add(number)
    assert batcher.flush()
    assert list(chain(*written)) == [0, 1, 2, 5, 6, 7, 8, 9]
    # They are found by halves: most are still written together.
    assert len(written) < 6
    assert len(batcher) == 0


def test_nobody_is_told_that_a_row_is_safe_which_cannot_be_written(host):
    batcher = Batcher(host, refusing([], "bad"))
    done, failed = [], []
    for row in ("one", "bad", "two"):
        batcher.add(
            row,
            lambda row=row: done.append(row),
            lambda error, row=row: failed.append((row, str(error))),
        )
    assert batcher.flush()
    assert done == ["one", "two"]
    assert failed == [("bad", "no database takes this")]


def test_what_cannot_be_written_is_logged_by_kind_and_size_and_not_by_what_it_says(host):
    class Row(NamedTuple):
        account: int
        text: str
        stanza: bytes

    bad = Row(1, "Ay me!", b"<message/>")
    batcher = Batcher(host, refusing([], bad))
    batcher.add(bad)
    assert batcher.flush()
    ((event, fields),) = host.log.errors
    assert isinstance(fields.pop("exc_info"), ValueError)
    assert (event, fields) == ("row can never be written", {"kind": "Row", "octets": 16})


def test_who_held_a_stanza_for_a_row_lets_go_of_it_when_that_cannot_be_written(host):
    freed = []
    custody = Custody(lambda: freed.append(True))
    custody.hold()
    release = Release(custody)
    batcher = Batcher(host, refusing([], "bad"))
    batcher.add("bad", failed=release)
    assert batcher.flush()
    assert freed == [True]


def test_a_row_found_to_be_bad_is_not_tried_again_when_the_store_fails_after_it(host, monkeypatch):
    monkeypatch.setattr("stonechat.batcher.RETRY_SECONDS", 0.0)
    written, failed = [], []
    refuse = refusing(written, "bad")
    faults = [StorageError("gone")]

    def write_rows(connection, rows):
        if list(rows) == ["two"] and faults:
            raise faults.pop()
        refuse(connection, rows)

    batcher = Batcher(host, write_rows)
    batcher.add("bad", failed=failed.append)
    batcher.add("two")
    assert batcher.flush()
    assert (written, len(failed)) == ([["two"]], 1)
    assert [event for event, _ in host.log.errors] == [
        "row can never be written",
        "rows not written yet",
    ]


def test_there_is_room_again_when_what_waited_cannot_be_written(host):
    batcher = Batcher(host, refusing([], 1, 2), limit=4)
    for row in (1, 2):
        batcher.add(row)
    assert batcher.is_busy
    batcher.wait_for_room()
    assert not batcher.is_busy


def test_flush_says_when_it_took_too_long(host):
    batcher = batcher_of(host, [])
    host.storage.gate.clear()
    batcher.add("row")
    assert not batcher.flush(0.01)
    host.storage.gate.set()
    assert batcher.flush()


def test_whoever_is_told_may_break_and_the_others_are_told_all_the_same(host):
    written, done = [], []
    batcher = batcher_of(host, written)

    def broken():
        raise ValueError("not my day")

    batcher.add(1, broken)
    batcher.add(2, lambda: done.append(2))
    assert batcher.flush()
    assert done == [2]


def test_whoever_has_more_waits_while_much_is_under_way(host):
    written = []
    batcher = batcher_of(host, written, limit=10)
    host.storage.gate.clear()
    for number in range(4):
        batcher.add(number)
    assert not batcher.is_busy
    batcher.add(4)
    assert batcher.is_busy
    waiting = gevent.spawn(batcher.wait_for_room)
    gevent.sleep(0.01)
    assert not waiting.dead
    host.storage.gate.set()
    waiting.join(5)
    assert waiting.dead
    assert not batcher.is_busy


def test_what_is_added_during_a_flush_is_not_waited_for(host):
    written = []
    batcher = batcher_of(host, written, gather=0.0)
    host.storage.gate.clear()
    batcher.add("old")
    flushing = gevent.spawn(batcher.flush)
    gevent.sleep(0)
    batcher.add("new")
    # The gate lets one commit through.
    commits = []

    def write(work):
        host.storage.gate.wait()
        commits.append(work(None))
        host.storage.gate.clear()

    host.storage.write = write
    host.storage.gate.set()
    assert flushing.get(timeout=5)
    assert written[0] == ["old"]
    host.storage.gate.set()
    host.storage.write = type(host.storage).write.__get__(host.storage)
    assert batcher.flush()
