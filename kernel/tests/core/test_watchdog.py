"""The watchdog: a block of the hub is reported once, with the plugin and its stack (R14)."""

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import gevent
import pytest

from stonechat.core import plugin_loader
from stonechat.core import watchdog as module
from stonechat.core.watchdog import Watchdog, plugin_of

WARNING = 0.1
DEADLINE = 10

# Code that does what it is given, in a function with a name and a module of its own.
CODE = """
import sys

def scold(what):
    return what()

def here():
    return sys._getframe()
"""


def code_of(module_name):
    namespace = {"__name__": module_name}
    path = f"{module_name.replace('.', '/')}.py"
    exec(compile(CODE, path, "exec"), namespace)  # noqa: S102
    return SimpleNamespace(**namespace)


@pytest.fixture
def nurse(monkeypatch):
    """The code of a plugin, as if it had been loaded."""
    monkeypatch.setitem(plugin_loader.packages, "verona_nurse", "nurse")
    return code_of("verona_nurse.scolding")


# A watch whose clock and hub are moved by the test


class Watcher:
    callback = None
    is_closed = False

    def start(self, callback):
        self.callback = callback

    def stop(self):
        self.callback = None

    def close(self):
        self.is_closed = True


class Ended(BaseException):
    """The process would have ended."""


class Story:
    """What the hub does at which time, beside the watch."""

    def __init__(self, monkeypatch, abort=0.0):
        self.now = 1000.0
        self.reports = []
        self.written = b""
        self.moments = []
        self.before, self.after = Watcher(), Watcher()
        self.frame = code_of("stonechat.core.router").here()
        monkeypatch.setattr(module, "_monotonic", lambda: self.now)
        monkeypatch.setattr(module, "_sleep", self.sleep)
        monkeypatch.setattr(module, "_start_thread", self.start_thread)
        monkeypatch.setattr(module.os, "_exit", self.end)
        monkeypatch.setattr(
            sys, "_current_frames", lambda: {self.watchdog._hub_thread: self.frame}
        )
        loop = SimpleNamespace(
            MINPRI=-2,
            MAXPRI=2,
            prepare=lambda priority: self.before,
            check=lambda priority: self.after,
        )
        self.watchdog = Watchdog(SimpleNamespace(loop=loop), WARNING, abort, self.report)

    def start_thread(self, function, arguments):
        if function is module.os.write:
            self.written += arguments[1]
        elif function == self.report:
            function(*arguments)

    def report(self, plugin, seconds, stack):
        self.reports.append((round(self.now - 1000, 3), plugin, round(seconds, 3)))
        self.stack = stack

    def end(self, status):
        raise Ended(status)

    def sleep(self, seconds):
        end = self.now + seconds
        while self.moments and self.moments[0][0] <= end:
            self.now, happens = self.moments.pop(0)
            happens()
        self.now = end

    def tell(self, *moments):
        does = {
            "works": lambda: self.after.callback(),
            "waits": lambda: self.before.callback(),
            "stop": self.watchdog.stop,
        }
        self.moments = [(1000 + at, does[what]) for at, what in moments]
        self.watchdog._watch()
        return self.reports


def test_a_hub_that_waits_blocks_nobody(monkeypatch):
    story = Story(monkeypatch)
    assert (
        story.tell((0, "works"), (0.01, "waits"), (60, "works"), (60.05, "waits"), (61, "stop"))
        == []
    )
    assert story.watchdog.blocks == 0


def test_a_hub_that_works_in_short_turns_blocks_nobody(monkeypatch):
    turns = [(at / 100, what) for at in range(0, 500, 5) for what in ("waits", "works")]
    assert Story(monkeypatch).tell(*turns, (5, "stop")) == []


def test_a_block_is_noticed_when_it_has_lasted_too_long(monkeypatch, nurse):
    story = Story(monkeypatch)
    story.frame = nurse.here()
    reports = story.tell((0.03, "works"), (2, "waits"), (2.1, "stop"))
    assert reports == [(0.13, "nurse", 0.1)]
    assert "in here" in story.stack
    assert story.watchdog.blocks == 1


def test_each_block_is_reported_once(monkeypatch):
    story = Story(monkeypatch)
    reports = story.tell(
        (0, "works"), (5, "waits"), (5, "works"), (5.02, "waits"), (7, "works"), (9, "stop")
    )
    assert [round(at) for at, _, _ in reports] == [0, 7]
    assert story.watchdog.blocks == 2


def test_a_busy_machine_is_not_a_block(monkeypatch):
    story = Story(monkeypatch)
    # Between two callbacks, waiting for its turn.
    story.frame = code_of("gevent.hub").here()
    assert story.tell((0, "works"), (5, "stop")) == []
    story = Story(monkeypatch)
    story.frame = None
    assert story.tell((0, "works"), (5, "stop")) == []


def test_the_process_ends_after_a_block_that_is_too_long_even_for_that(monkeypatch, nurse):
    story = Story(monkeypatch, abort=10.0)
    story.frame = nurse.here()
    with pytest.raises(Ended) as caught:
        story.tell((0, "works"), (60, "stop"))
    assert caught.value.args == (70,)
    assert 10 <= story.now - 1000 < 11
    assert len(story.reports) == 1
    assert b"in here" in story.written
    assert story.written.endswith(b"the server is blocked; ending the process\n")


def test_a_process_that_shall_not_end_goes_on(monkeypatch):
    assert len(Story(monkeypatch).tell((0, "works"), (1000, "waits"), (1001, "stop"))) == 1


def test_who_has_stopped_watches_no_longer(monkeypatch):
    story = Story(monkeypatch)
    assert story.tell((0.01, "works"), (0.02, "stop")) == []
    for watcher in (story.before, story.after):
        assert (watcher.callback, watcher.is_closed) == (None, True)


# Whose code it is


def test_the_innermost_plugin_is_the_one(monkeypatch, nurse):
    monkeypatch.setitem(plugin_loader.packages, "verona_peter", "peter")
    peter = code_of("verona_peter")
    assert plugin_of(nurse.scold(peter.here)) == "peter"
    assert plugin_of(peter.scold(lambda: nurse.scold(lambda: sys._getframe()))) == "nurse"
    assert plugin_of(code_of("verona_nurse_x").here()) == ""
    assert plugin_of(None) == ""


# In service


class Blocking:
    """Holds the hub, through other code, until that is noticed."""

    def __init__(self, host, options):
        self.host = host

    def hold(self, scold, reported):
        self.host.call_later(1, lambda: scold(lambda: wait_for(reported)))


def wait_for(reported):
    deadline = time.monotonic() + DEADLINE
    while not reported() and time.monotonic() < deadline:
        time.sleep(0.001)


def turn_of_the_hub():
    """Let the hub wait for events once: the watch begins with that."""
    hub = gevent.get_hub()
    timer = hub.loop.timer(0.001)
    hub.wait(timer)


def test_a_plugin_that_blocks_the_server_is_named_in_its_log(server, nurse):
    server.configure(watchdog={"block_warning": "20 ms"})
    capulet = server.host("capulet.example", plugin_classes={"blocking": Blocking})
    turn_of_the_hub()
    capulet.plugin("blocking").hold(nurse.scold, lambda: server.logged("the server is blocked"))
    server.clock.advance(1)
    reports = [r for r in server.logged("the server is blocked") if r["plugin"] == "nurse"]
    assert len(reports) == 1
    assert reports[0]["seconds"] >= 0.02
    assert "in wait_for" in reports[0]["stack"]
    assert server.kernel.watchdog.blocks >= 1


def test_a_report_that_is_stuck_does_not_end_the_watch(nurse):
    noticed, release = threading.Event(), threading.Event()
    calls = []

    def report(plugin, seconds, stack):
        calls.append(plugin)
        if len(calls) == 1:
            release.wait(DEADLINE)
        else:
            noticed.set()

    watchdog = Watchdog(gevent.get_hub(), 0.02, 0.0, report)
    try:
        for blocks in (1, 2):
            turn_of_the_hub()
            gevent.spawn(
                nurse.scold, lambda blocks=blocks: wait_for(lambda: len(calls) >= blocks)
            ).join()
        assert noticed.wait(DEADLINE)
        assert calls[:2] == ["nurse", "nurse"]
    finally:
        release.set()
        watchdog.stop()


BLOCKED = """
import time
import gevent
from stonechat.core.watchdog import Watchdog

def report(plugin, seconds, stack):
    raise RuntimeError("the log is broken, too")

Watchdog(gevent.get_hub(), 0.02, 0.1, report)

def brooding():
    while True:
        time.sleep(0.01)

gevent.sleep(0.001)
gevent.spawn(brooding).join()
"""


def test_the_stack_is_the_last_word_of_a_process_that_is_ended():
    ended = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == 70
    assert b"in brooding" in ended.stderr
    assert ended.stderr.endswith(b"stonechat: the server is blocked; ending the process\n")
