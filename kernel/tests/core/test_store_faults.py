"""Killed processes, full disks, torn logs: what was promised is there (R1, R2, R4, R9)."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import gevent
import pytest
from sqlalchemy import Connection, text

from stonechat.core.store import Store
from stonechat.errors import StorageError
from stonechat.storage import StorageFull

CHILD = Path(__file__).with_name("store_child.py")
NUMBERS = text("SELECT number FROM promises ORDER BY number")


def command(path: Path, durability: str, patching: str, deed: str) -> list[str]:
    return [sys.executable, str(CHILD), str(path), durability, patching, deed]


def promises(path: Path) -> list[int]:
    store = Store(path)
    try:
        assert store.check() == []
        return store.read(lambda connection: list(connection.execute(NUMBERS).scalars()))
    finally:
        store.close()


@pytest.mark.parametrize("patching", ["patched", "unpatched"])
@pytest.mark.parametrize("durability", ["memory", "disk", "full"])
def test_nothing_that_was_promised_is_lost_when_the_process_is_killed(
    tmp_path: Path, durability: str, patching: str
) -> None:
    path = tmp_path / "stonechat.db"
    with subprocess.Popen(
        command(path, durability, patching, "for-ever"), stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        promised = [int(child.stdout.readline()) for _ in range(500)]
        child.kill()
        # What was in the pipe when it died was promised, too.
        rest = child.stdout.read().split(b"\n")[:-1]
    promised += [int(line) for line in rest]
    kept = promises(path)
    assert set(promised) <= set(kept)
    assert len(kept) == len(set(kept))


def without(reason: str) -> NoReturn:
    """Leave a test out on a laptop; where everything has to be there, it fails."""
    if os.environ.get("STONECHAT_REQUIRE_SERVERS"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def trace(tmp_path: Path, durability: str) -> list[str]:
    """The writes to standard output and the flushes of the disk, in order."""
    strace = shutil.which("strace")
    if strace is None:
        without("strace is not installed")
    log = tmp_path / "trace"
    child = subprocess.run(
        [
            *(strace, "-f", "-e", "trace=write,fsync,fdatasync", "-o", str(log)),
            *command(tmp_path / "stonechat.db", durability, "unpatched", "one-by-one"),
        ],
        capture_output=True,
        timeout=120,
    )
    if b"ready" not in child.stdout:
        without("strace may not trace here")
    calls = []
    for line in log.read_text().splitlines():
        if match := re.search(r'write\(1, "(\w+)\\n"', line):
            calls.append(match[1])
        elif re.search(r"\bf(data)?sync\(\d", line):
            calls.append("sync")
    return calls[calls.index("ready") + 1 :]


def test_with_full_durability_each_promise_comes_after_a_flush_of_its_own(tmp_path: Path) -> None:
    calls = trace(tmp_path, "full")
    for number in range(10):
        place = calls.index(str(number))
        assert calls[place - 1] == "sync"


def test_with_disk_durability_promises_do_not_wait_for_the_disk(tmp_path: Path) -> None:
    assert "sync" not in trace(tmp_path, "disk")


def test_a_log_that_was_cut_anywhere_opens_clean(tmp_path: Path) -> None:
    original = tmp_path / "original" / "stonechat.db"
    subprocess.run(
        command(original, "full", "unpatched", "one-by-one"),
        check=True,
        timeout=120,
        stdout=subprocess.DEVNULL,
    )
    main, log = original.read_bytes(), original.with_name("stonechat.db-wal").read_bytes()
    # SQLite's file format, 4.1: a header of 32 octets, then frames of 24 and a page.
    frames = range(32, len(log) + 1, 24 + 4096)
    assert len(frames) > 10
    cuts = sorted({0, 31, *frames, *(frame + 2000 for frame in frames)})
    kept = []
    for cut in cuts:
        path = tmp_path / f"cut-{cut}" / "stonechat.db"
        path.parent.mkdir()
        path.write_bytes(main)
        path.with_name("stonechat.db-wal").write_bytes(log[:cut])
        store = Store(path)
        try:
            assert store.check() == []
            there = store.read(
                lambda c: c.exec_driver_sql(
                    "SELECT count(*) FROM sqlite_schema WHERE name = 'promises'"
                ).scalar()
            )
            numbers = store.read(lambda c: list(c.execute(NUMBERS).scalars())) if there else []
        finally:
            store.close()
        assert numbers == list(range(len(numbers)))
        kept.append(len(numbers))
    assert kept == sorted(kept)
    assert kept[0] == 0
    assert kept[-1] == 10


# A full disk


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "stonechat.db")
    store.write(
        lambda c: c.exec_driver_sql("CREATE TABLE promises (number INTEGER, text BLOB)").close()
    )
    yield store
    store.close()


def keep(number: int, size: int = 3000) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(
            text("INSERT INTO promises VALUES (:number, zeroblob(:size))"),
            {"number": number, "size": size},
        )

    return work


def allow_pages(store: Store, more: int) -> None:
    def work(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + more}").close()

    store.write(work)


def numbers(store: Store) -> list[int]:
    return store.read(lambda connection: list(connection.execute(NUMBERS).scalars()))


def test_a_full_database_refuses_and_goes_on_when_there_is_room(store: Store) -> None:
    allow_pages(store, 3)
    written = []
    with pytest.raises(StorageFull):  # noqa: PT012 - the first to fail is not known
        for number in range(20):
            store.write(keep(number))
            written.append(number)
    assert written
    assert numbers(store) == written
    for number in (100, 101):
        with pytest.raises(StorageFull):
            store.write(keep(number))
    allow_pages(store, 1000)
    store.write(keep(200))
    assert numbers(store) == [*written, 200]


def test_of_a_group_that_meets_a_full_disk_everybody_knows_his_fate(store: Store) -> None:
    allow_pages(store, 3)
    greenlets = [gevent.spawn(store.write, keep(number)) for number in range(50)]
    gevent.joinall(greenlets, timeout=30)
    failed = [number for number in range(50) if greenlets[number].exception is not None]
    assert failed
    assert all(isinstance(greenlets[number].exception, StorageFull) for number in failed)
    assert numbers(store) == [number for number in range(50) if number not in failed]
    allow_pages(store, 1000)
    store.write(keep(200))


def test_a_disk_that_is_full_for_a_while_loses_no_promise(tmp_path: Path) -> None:
    path = tmp_path / "stonechat.db"
    child = subprocess.run(
        command(path, "disk", "unpatched", "small-disk"),
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )
    said = child.stdout.split()
    assert [word for word in said if not word.isdigit()] == ["ready", "full", "space", "closed"]
    assert promises(path) == [int(word) for word in said if word.isdigit()]


def test_a_stranger_that_holds_the_database_delays_but_breaks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "stonechat.db"
    store = Store(path, deadline=0.1)
    try:
        store.write(lambda c: c.exec_driver_sql("CREATE TABLE t (x)").close())
        stranger = sqlite3.connect(path, isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError):
            store.write(lambda c: c.exec_driver_sql("INSERT INTO t VALUES (1)").close())
        stranger.execute("ROLLBACK")
        stranger.close()
        insert_two = "INSERT INTO t VALUES (2)"
        store.write(lambda c: c.exec_driver_sql(insert_two).close(), deadline=30)
        found = store.read(lambda c: c.exec_driver_sql("SELECT x FROM t").scalars().all())
        assert found == [2]
    finally:
        store.close()
