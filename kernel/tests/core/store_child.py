"""A process with a store in it, for tests that kill it, trace it or take its disk away.

It says on standard output what it was promised, a line each.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.argv[3] == "patched":
    from gevent import monkey

    monkey.patch_all()

import itertools
import resource
import signal

import gevent
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, insert

from stonechat.core.store import Store
from stonechat.errors import StorageError
from stonechat.storage import Durability, Schema, StorageUncertain

metadata = MetaData()
promises = Table(
    "promises", metadata, Column("number", Integer, primary_key=True), Column("text", Text)
)
INSERT = insert(promises)


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def promise(store: Store, number: int) -> None:
    def work(connection: Connection) -> None:
        connection.execute(INSERT, {"number": number, "text": "x" * 200})

    store.write(work)
    say(str(number))


def promise_for_ever(store: Store) -> None:
    """Twenty greenlets, until the process is killed."""
    numbers = itertools.count()

    def go_on() -> None:
        while True:
            promise(store, next(numbers))

    gevent.joinall([gevent.spawn(go_on) for _ in range(20)], raise_error=True)


def promise_one_by_one(store: Store) -> None:
    """Ten promises, then die without closing anything."""
    for number in range(10):
        promise(store, number)
    os._exit(0)


def promise_on_a_small_disk(store: Store) -> None:
    """Until files cannot grow, then until they can again; and close."""
    # The kernel refuses to let a file grow with EFBIG, once nobody dies of the signal.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    refusals = 0
    for number in itertools.count():
        try:
            promise(store, number)
        except StorageUncertain:
            say("uncertain")
        except StorageError:
            refusals += 1
            if refusals == 1:
                say("full")
            if refusals == 20:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
                say("space")
        else:
            if refusals >= 20:
                break
    store.close()
    say("closed")


def main() -> None:
    path, durability = Path(sys.argv[1]), sys.argv[2]
    chosen: Durability = "full" if durability == "full" else "disk"
    store = Store(path, durability="memory" if durability == "memory" else chosen)
    store.ensure(Schema("promises", 1, metadata))
    say("ready")
    {
        "for-ever": promise_for_ever,
        "one-by-one": promise_one_by_one,
        "small-disk": promise_on_a_small_disk,
    }[sys.argv[4]](store)


if __name__ == "__main__":
    main()
