"""Watches over the hub from a thread: who blocks it, and for how long."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from gevent import monkey

from stonechat.core.plugin_loader import packages

# To write the stack to standard error, if anybody takes it.
LAST_WORDS_SECONDS = 0.2

# Real threads and sleep, also where the process is patched.
_start_thread = monkey.get_original("_thread", "start_new_thread")
_sleep = monkey.get_original("time", "sleep")
_monotonic = monkey.get_original("time", "monotonic")
_thread_id = monkey.get_original("_thread", "get_ident")


class Watchdog:
    """Tells `on_block(plugin, seconds, stack)` once when the hub is held for too long.

    After `abort_seconds` (0: never) the process ends with status 70, for a
    supervisor to start it again. Make it in the hub's thread.
    """

    def __init__(
        self,
        hub: Any,
        warning_seconds: float,
        abort_seconds: float,
        on_block: Callable[[str, float, str], None],
    ) -> None:
        self._warning = warning_seconds
        self._abort = abort_seconds
        self._on_block = on_block
        self._hub_thread = _thread_id()
        self._busy_since = 0.0  # 0 while the hub waits for events
        self._stopped = False
        self.blocks = 0
        # The hub calls these just before it waits and just after. The first must be
        # the last of its kind: another one of them is where gevent switches to greenlets.
        self._before = hub.loop.prepare(priority=hub.loop.MINPRI)
        self._after = hub.loop.check(priority=hub.loop.MAXPRI)
        self._before.start(self._waits)
        self._after.start(self._works)
        # They alone keep no loop alive.
        self._before.ref = self._after.ref = False
        _start_thread(self._watch, ())

    def _waits(self) -> None:
        self._busy_since = 0.0

    def _works(self) -> None:
        self._busy_since = _monotonic()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped = True
        for watcher in (self._before, self._after):
            watcher.stop()
            watcher.close()

    def _watch(self) -> None:
        reported = 0.0
        wait = self._warning / 2
        while not self._stopped:
            _sleep(wait)
            wait = self._warning / 2
            since = self._busy_since
            if not since:
                continue
            held = _monotonic() - since
            if held < self._warning:
                # To be there when it is due, and not half a turn later.
                wait = min(wait, self._warning - held)
                continue
            frame = sys._current_frames().get(self._hub_thread)
            if frame is None or frame.f_globals.get("__name__") == "gevent.hub":
                # Between two callbacks: the machine is busy, no code of ours is.
                continue
            stack = "".join(traceback.format_stack(frame))
            if since != reported:
                reported = since
                self.blocks += 1
                # A log may be held by the very code it would tell of; the watch goes on.
                _start_thread(self._on_block, (plugin_of(frame), held, stack))
            if self._abort and held >= self._abort:
                _end_process(stack)


def _end_process(stack: str) -> None:
    text = f"{stack}stonechat: the server is blocked; ending the process\n"
    # Straight to the descriptor, and not for long: whoever reads it may be stuck, too.
    _start_thread(os.write, (2, text.encode(errors="replace")))
    _sleep(LAST_WORDS_SECONDS)
    os._exit(70)


def plugin_of(frame: FrameType | None) -> str:
    """The plugin whose code is at work, innermost first, or `""`."""
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in packages:
            return packages[package]
        frame = frame.f_back
    return ""
