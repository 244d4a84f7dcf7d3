"""psycopg's connection for the store's threads. Imported only when it is used."""

from __future__ import annotations

import select
from contextlib import suppress
from time import monotonic
from typing import Any

import psycopg
from gevent import monkey

from stonechat.core.store_server_session import CONNECT_SECONDS

try:
    _new_poll = monkey.get_original("select", "poll")
except AttributeError:  # Windows
    _new_poll = None

_READ, _WRITE = 1, 2


class StoresConnection(psycopg.Connection[Any]):
    """Waits neither for ever nor as gevent does, which is for greenlets."""

    # The moment after which no answer is waited for.
    until = 0.0

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        until = self.until or monotonic() + CONNECT_SECONDS
        if _new_poll is None:
            return super().wait(gen, interval=interval, timeout=max(0.0, until - monotonic()))
        try:
            wanted = next(gen)
            poll = _new_poll()
            while True:
                mask = (select.POLLIN if wanted & _READ else 0) | (
                    select.POLLOUT if wanted & _WRITE else 0
                )
                poll.register(self.pgconn.socket, mask)
                found = poll.poll(max(0.0, until - monotonic()) * 1000)
                if not found:
                    # An answer may come yet, and would be taken for that to the next question.
                    with suppress(Exception):
                        self.pgconn.finish()
                    raise psycopg.OperationalError("no answer in time")
                flags = found[0][1]
                ready = (_READ if flags & select.POLLIN else 0) | (
                    _WRITE if flags & select.POLLOUT else 0
                )
                # What is wrong with the socket, libpq finds when it uses it.
                wanted = gen.send(ready or wanted)
        except StopIteration as stop:
            return stop.value
