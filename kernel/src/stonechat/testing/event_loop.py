"""What tests of asyncio's clients stand on: an event loop in a thread, and a line to wait at."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# How long anything may take that has to happen at all, on a machine that is busy with others.
DEADLINE = 30.0


class EventLoop:
    """An event loop in a thread: what lives there goes on while the test does something else."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], Any], timeout: float = DEADLINE) -> Any:
        """Call it over there; returns the result, and waits for it if it is awaitable."""

        async def over_there() -> Any:
            result = call()
            return await result if inspect.isawaitable(result) else result

        future = asyncio.run_coroutine_threadsafe(over_there(), self._loop)
        try:
            return future.result(timeout)
        finally:
            future.cancel()

    def close(self) -> None:
        """End what still runs there, and the thread."""
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Inbox(Generic[T]):
    """Things that come in one thread wait here, in order, until another asks for them."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def take(self, fits: Callable[[T], bool], what: str, timeout: float = DEADLINE) -> T:
        """The first that fits; the others stay. AssertionError if none comes in time."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for index, item in enumerate(self._items):
                    if fits(item):
                        return self._items.pop(index)
                left = deadline - time.monotonic()
                if left <= 0:
                    waiting = "\n    ".join(map(str, self._items)) or "nothing"
                    raise AssertionError(f"{what} did not come within {timeout} s, but {waiting}")
                self._changed.wait(left)

    def discard_last(self, fits: Callable[[T], bool]) -> None:
        """Drop the last that fits, if there is one."""
        with self._changed:
            for index in reversed(range(len(self._items))):
                if fits(self._items[index]):
                    del self._items[index]
                    return

    def take_all(self) -> list[T]:
        """All that is here now, without waiting."""
        with self._changed:
            items, self._items = self._items, []
            return items
