"""Refused connections in the log."""

from stonechat.core.refusals import MAX_ADDRESSES, MINUTE, OTHERS, Refusals


class Log:
    def __init__(self):
        self.lines = []

    def info(self, event, **fields):
        self.lines.append((event, fields))


class Timers:
    def __init__(self):
        self.due = []

    def add(self, seconds, call):
        assert seconds == MINUTE
        self.due.append(call)

    def run(self):
        due, self.due = self.due, []
        for call in due:
            call()


def refusals():
    log, timers = Log(), Timers()
    return Refusals(log, timers), log, timers


def test_the_first_one_is_told_at_once_and_the_others_with_the_minute():
    register, log, timers = refusals()
    for _ in range(1000):
        register.note("192.0.2.1", "too fast")
    assert log.lines == [("connection refused", {"address": "192.0.2.1", "reason": "too fast"})]
    timers.run()
    assert log.lines[1:] == [("connections refused", {"address": "192.0.2.1", "more": 999})]


def test_a_single_one_has_a_single_line():
    register, log, timers = refusals()
    register.note("192.0.2.1", "too fast")
    timers.run()
    assert len(log.lines) == 1
    register.note("192.0.2.1", "too fast")
    assert len(log.lines) == 2
    assert len(timers.due) == 1


def test_many_addresses_share_a_line():
    register, log, timers = refusals()
    for number in range(MAX_ADDRESSES + 500):
        register.note(f"2001:db8::{number:x}", "too many")
    assert len(log.lines) == MAX_ADDRESSES
    timers.run()
    assert log.lines[MAX_ADDRESSES:] == [("connections refused", {"address": OTHERS, "more": 500})]
