"""Sees what goes wrong inside a server under test: errors in its log, leaks of its plugins."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import gevent
import structlog

if TYPE_CHECKING:
    from stonechat.core.command_registry import CommandRegistry
    from stonechat.core.plugin_manager import Running
    from stonechat.core.virtual_host import VirtualHost

_LOGGER = "stonechat.server"

# A test that computes for long holds the hub as a plugin does that blocks.
_NO_FAULTS = frozenset({"the server is blocked"})


# What a greenlet may still have to do after its server has stopped.
PATIENCE = 0.2


class LogWatch(logging.Handler):
    """Collects what the server logs. pytest shows it too, where a test fails.

    `events` are the records as they were written, a dictionary each, with `event` and
    `level` among the fields; `errors` are those that nobody should see in service.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._structlog: dict[str, Any] = {}
        self._level = logging.NOTSET
        self._print_exception: Callable[..., None] | None = None

    def start(self) -> None:
        logger = logging.getLogger("stonechat")
        self._level = logger.level
        logger.setLevel(logging.INFO)
        logging.getLogger().addHandler(self)
        self._structlog = structlog.get_config()
        structlog.configure(
            processors=[structlog.processors.add_log_level, self._collect],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=lambda *_: logging.getLogger(_LOGGER),
            cache_logger_on_first_use=False,
        )
        # Without this, what a greenlet did not catch only stands on standard error.
        hub = gevent.get_hub()
        self._print_exception = hub.print_exception
        hub.print_exception = self._uncaught

    def stop(self) -> None:
        gevent.get_hub().print_exception = self._print_exception
        structlog.configure(**self._structlog)
        logging.getLogger().removeHandler(self)
        logging.getLogger("stonechat").setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        """What is logged by the standard library's way."""
        if record.name == _LOGGER or not record.name.startswith("stonechat"):
            return
        event = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        self._keep(event, record.exc_info)

    def _collect(
        self, _logger: Any, _method: str, event: MutableMapping[str, Any]
    ) -> tuple[tuple[str], dict[str, Any]]:
        error = event.pop("exc_info", None)
        self._keep(dict(event), error)
        text = " ".join(f"{key}={value!r}" for key, value in event.items() if key != "event")
        return (f"{event['event']} {text}".replace("%", "%%"),), {"exc_info": error}

    def _keep(self, event: dict[str, Any], error: Any) -> None:
        self.events.append(event)
        if event["level"] in ("error", "critical") and event["event"] not in _NO_FAULTS:
            fields = ", ".join(f"{k}={v!r}" for k, v in event.items() if v is not None)
            self.errors.append(f"logged: {fields}{_traceback(error)}")

    def _uncaught(self, context: Any, kind: Any, value: Any, trace: Any) -> None:
        text = "".join(traceback.format_exception(kind, value, trace))
        self.errors.append(f"not caught in {context!r}:\n{text}")
        assert self._print_exception is not None
        self._print_exception(context, kind, value, trace)


def _traceback(error: Any) -> str:
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, tuple):
        error = error[1]
    if not isinstance(error, BaseException):
        return ""
    return "\n" + "".join(traceback.format_exception(error))


class GreenletWatch:
    """Knows the greenlets that were started since it began."""

    def __init__(self) -> None:
        self._greenlets: WeakSet[gevent.Greenlet] = WeakSet()

    def start(self) -> None:
        gevent.Greenlet.add_spawn_callback(self._greenlets.add)

    def stop(self) -> None:
        gevent.Greenlet.remove_spawn_callback(self._greenlets.add)

    def alive(self) -> list[gevent.Greenlet]:
        """Those that do not come to their end."""
        alive = [greenlet for greenlet in self._greenlets if not greenlet.dead]
        gevent.joinall(alive, timeout=PATIENCE)
        return [greenlet for greenlet in alive if not greenlet.dead]


def leaks_of_plugin(host: VirtualHost, running: Running) -> Iterator[str]:
    """What a plugin that has stopped has left on its host."""
    name = running.name
    if len(running.ledger):
        yield f"{len(running.ledger)} things in its ledger (routes, timers, greenlets, services)"
    if host.hooks.manager.is_registered(running.instance):
        yield "its hooks"
    for table in (host.local_iq, host.account_iq):
        for (type_, namespace), entry in table._entries.items():
            if entry.plugin == name:
                yield f"its handler of {type_} {namespace}"
    for plugin, maker in (*host.feature_makers, *host.server_feature_makers):
        if plugin == name:
            yield f"its stream feature {maker!r}"
    for domain in host.router.domains:
        if host.router.owner(domain) == name:
            yield f"its route for {domain}"


def leaks_of_hosts(hosts: Iterable[VirtualHost], commands: CommandRegistry) -> Iterator[str]:
    """What is left on hosts whose plugins have all stopped."""
    for host in hosts:
        for service in host.services:
            yield f"{host.name}: the service {service!r} is still provided"
        for type_, namespace in host.unauthenticated_iq:
            yield f"{host.name}: {type_} {namespace} before login is still handled"
        if len(host.requests):
            yield f"{host.name}: {len(host.requests)} requests still wait for an answer"
        for session in host.session_manager:
            yield f"{host.name}: the session {session.jid} is still there"
    for command in commands.commands():
        for name in commands.hosts_of(command.name):
            yield f"{name}: the command {command.name} is still offered"
