"""How the kit waits: for other threads, for what nobody announces, and never for ever."""

import asyncio
import threading

import gevent
import pytest

from stonechat.testing import until
from stonechat.testing.event_loop import EventLoop, Inbox


@pytest.fixture
def loop():
    loop = EventLoop()
    yield loop
    if loop._thread.is_alive():
        loop.close()


@pytest.fixture
def inbox():
    return Inbox()


def test_until_returns_what_it_has_found():
    found = iter([None, 0, "", "a rose"])
    assert until(lambda: next(found), "flower") == "a rose"


def test_until_names_what_did_not_come():
    with pytest.raises(AssertionError, match=r"in 0\.0 s there was no flower"):
        until(lambda: None, "flower", 0.0)


def test_greenlets_run_while_a_test_waits():
    flowers = []
    gevent.spawn(flowers.append, "a rose")
    assert until(lambda: flowers, "flower") == ["a rose"]


def test_a_call_and_a_coroutine_are_run_in_the_thread_of_the_loop(loop):
    async def who():
        return threading.current_thread()

    assert loop.run(threading.current_thread) is loop.run(who) is not threading.current_thread()


def test_what_is_raised_over_there_is_raised_here(loop):
    with pytest.raises(ZeroDivisionError):
        loop.run(lambda: 1 / 0)


def test_what_takes_too_long_is_cancelled(loop):
    cancelled = threading.Event()

    async def wait():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(TimeoutError):
        loop.run(wait, timeout=0.01)
    assert cancelled.wait(30)


def test_a_loop_that_is_closed_has_ended_its_tasks(loop):
    ended = []

    async def begin():
        async def wait():
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        return [asyncio.ensure_future(wait()), await asyncio.sleep(0)]

    loop.run(begin)
    loop.close()
    assert ended == [True]
    assert not loop._thread.is_alive()


def test_the_first_that_fits_is_taken_and_the_others_stay(inbox):
    for word in ("what", "light", "through", "window"):
        inbox.put(word)
    assert inbox.take(lambda word: "i" in word, "i") == "light"
    assert inbox.take_all() == ["what", "through", "window"]
    assert inbox.take_all() == []


def test_the_last_that_fits_is_dropped_if_there_is_one(inbox):
    for word in ("what", "light", "window", "through"):
        inbox.put(word)
    inbox.discard_last(lambda word: "i" in word)
    inbox.discard_last(lambda word: "z" in word)
    assert inbox.take_all() == ["what", "light", "through"]


def test_what_comes_later_is_waited_for(inbox):
    inbox.put("what")
    threading.Timer(0.01, inbox.put, ["light"]).start()
    assert inbox.take(lambda word: word == "light", "light") == "light"


def test_what_does_not_come_is_told_with_what_came_instead(inbox):
    inbox.put("what")
    with pytest.raises(AssertionError, match=r"light did not come within 0\.0 s, but what"):
        inbox.take(lambda word: word == "light", "light", 0.0)
