"""`stonechat serve`: the server in the foreground, until a signal or `stonechat stop`.

    SIGTERM, SIGINT   stop in order; a second one gives sessions two seconds at most
    SIGHUP            reload the configuration, and open the log file anew

`stonechat restart` stops it in order, too, and has it begin again.

One line, `ready`, goes to standard output when every listener accepts; the log goes to
standard error or to the file that the configuration names.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stonechat.cli.exit_codes import INTERNAL, OK, REFUSED, Failure

if TYPE_CHECKING:
    from stonechat.core.config_types import Configuration
    from stonechat.core.server import Server

# Robustness promise R11: after the second signal the process is gone within this time.
HASTE_SECONDS = 2.0

# Of descriptors, a connection takes one; more than this nobody needs.
_MOST_DESCRIPTORS = 1 << 20


def serve(given: str | None) -> int:
    """Run a server; returns the exit status when it has stopped."""
    from stonechat.errors import ConfigError, StonechatError

    # What is imported and read now stays; looking for garbage in it only takes time.
    gc.disable()
    # Accounts and mail are in the files that are to come.
    os.umask(0o077)
    _allow_many_descriptors()
    try:
        configuration = _load(given)
        return _run(configuration)
    except ConfigError as error:
        return _refuse(*map(str, error.problems))
    except (Failure, StonechatError) as error:
        return _refuse(str(error))
    except Exception:  # noqa: BLE001 - the end of the process: whoever started it gets a status
        traceback.print_exc()
        return INTERNAL


def _refuse(*lines: str) -> int:
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201
    return REFUSED


def _load(given: str | None) -> Configuration:
    from stonechat.cli.places import find_configuration
    from stonechat.core import log, plugin_loader
    from stonechat.core.config import load_configuration
    from stonechat.errors import ConfigError

    configuration = load_configuration(find_configuration(given), plugin_loader.options_of)
    options = configuration.log
    try:
        log.configure(options.level, options.format, options.file)
    except OSError as error:
        raise ConfigError(f"log.file: {options.file}: {error.strerror}") from error
    return configuration


def _run(configuration: Configuration) -> int:
    import gevent

    from stonechat.core.server import Server

    server = Server(configuration, control=True)
    hub = gevent.get_hub()
    hub.print_exception = _exception_logger(server)
    # One greenlet that exits must not end the process for all.
    hub.SYSTEM_ERROR = (KeyboardInterrupt, SystemError)
    signals = _Signals(server)
    # What was made so far stays: no full pass of the collector need see it again.
    # Not after the start, when a pass is long enough for the watchdog to bark.
    gc.collect()
    gc.freeze()
    # Stanzas make no garbage in circles, so the passes may be rare.
    gc.set_threshold(10_000, 20, 20)
    gc.enable()
    server.start()
    try:
        print("ready", flush=True)  # noqa: T201
    except OSError:
        server.log.warning("nobody reads standard output")
    signals.started()
    server.stopped.wait()
    if server.is_restarting:
        _start_anew()
    return OK


def _start_anew() -> None:
    """Begin this process again, with the same command line.

    It stays the same one for whoever started it. What is open is closed by that, but for
    its standard streams.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606


def _exception_logger(server: Server) -> Callable[..., None]:
    """What nobody caught goes to the log like everything else, and not raw to standard error."""

    def log(context: Any, kind: Any, error: Any, traceback: Any) -> None:
        server.log.error(
            "nobody caught an exception", where=repr(context), exc_info=(kind, error, traceback)
        )

    return log


class _Signals:
    """What the process does when it is told something from outside."""

    def __init__(self, server: Server) -> None:
        import gevent

        self._server = server
        self._is_started = False
        self._is_stop_wanted = False
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, self._stop)
        gevent.signal_handler(signal.SIGHUP, self._reload)

    def started(self) -> None:
        """The server is up; a signal to stop that came before counts now."""
        self._is_started = True
        if self._is_stop_wanted:
            self._is_stop_wanted = False
            self._stop()

    def _stop(self) -> None:
        import gevent

        self._server.is_restarting = False
        if not self._is_started:
            self._is_stop_wanted = True
        elif not self._server.is_stopping:
            gevent.spawn(self._server.stop)
            # Whatever a plugin does at its end, ours comes.
            limit = self._server.configuration.limits.shutdown_timeout
            gevent.spawn_later(limit + HASTE_SECONDS, self._give_up)
        else:
            # Half of the time for the sessions, half to write and close everything.
            gevent.spawn(self._server.stop, HASTE_SECONDS / 2)
            gevent.spawn_later(HASTE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._server.log.error("could not stop in order")
        os._exit(INTERNAL)

    def _reload(self) -> None:
        if self._is_started:
            # In the handler's own greenlet; what is wrong is in the log already.
            from stonechat.core.reload import reload
            from stonechat.errors import StonechatError

            try:
                reload(self._server)
            except StonechatError:
                return


def _allow_many_descriptors() -> None:
    try:
        import resource
    except ImportError:  # no such limit there
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
