"""Structured logs: one record is one line, whatever a stranger put into it."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO, cast

# structlog takes these along where they are installed, to colour tracebacks, which we never
# do: 4 MB of every server. None keeps a module from being imported.
_UNUSED = {"rich", "colorama"} - sys.modules.keys()
sys.modules.update(dict.fromkeys(_UNUSED))  # type: ignore[arg-type]
import structlog  # noqa: E402
from structlog.typing import EventDict, FilteringBoundLogger, Processor  # noqa: E402

for _name in _UNUSED:
    del sys.modules[_name]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class _Output:
    """Where records go. Loggers keep this object, so that a reload reaches all of them.

    A full disk, or a reader that has gone, loses records and nothing else: what
    they tell of has to go on (robustness promise R9).
    """

    def __init__(self) -> None:
        self.level = logging.INFO
        self.stream: TextIO = sys.stderr
        self.is_ours = False  # to close
        self.render: Processor = _render_text

    def write(self, text: str) -> None:
        try:
            self.stream.write(text)
        except (OSError, ValueError):  # ValueError: another thread has just closed it
            return

    def flush(self) -> None:
        try:
            self.stream.flush()
        except (OSError, ValueError):
            return


def configure(level: str, format_: str, file: Path | None = None) -> None:
    """Send all logs of the process to a file or to standard error.

    May be called again, for loggers that exist as well; a file is opened anew then, for
    it may have been moved away. OSError if it cannot be, and all stays as it was.
    """
    stream = None if file is None else file.open("a", encoding="utf-8", buffering=1)
    old = _output.stream if _output.is_ours else None
    _output.level = LEVELS[level]
    _output.render = _render_json if format_ == "json" else _render_text
    _output.stream = stream or sys.stderr
    _output.is_ours = stream is not None
    if old is not None:
        try:
            old.close()
        except OSError:
            pass  # its disk is full; it is closed all the same
    structlog.configure(
        processors=[
            _drop_unimportant,
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _drop_empty,
            _render,
        ],
        # Not by level: what a logger leaves out at its making, no reload brings back.
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _output)),
        cache_logger_on_first_use=False,
    )
    # Libraries, and parts of ours that know nothing of structlog.
    root = logging.getLogger()
    root.handlers = [_Bridge()]
    root.setLevel(LEVELS[level])


def is_configured() -> bool:
    """Whether the logs of this process are ours to direct."""
    return _drop_unimportant in structlog.get_config()["processors"]


def get_logger(**fields: Any) -> FilteringBoundLogger:
    """A logger that writes these fields in every record."""
    return cast(FilteringBoundLogger, structlog.get_logger(**fields))


class _Bridge(logging.Handler):
    """Takes what is logged by the standard library's way into the same stream."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - whoever logs wrongly gets it back as it is
            message = f"{record.msg!r} with {record.args!r}"
        level = max(logging.DEBUG, min(record.levelno, logging.CRITICAL)) // 10 * 10
        # `get_logger` has a parameter `logger` of its own.
        structlog.get_logger().log(level, message, logger=record.name, exc_info=record.exc_info)


def _drop_unimportant(_logger: Any, method: str, event: EventDict) -> EventDict:
    if LEVELS.get(method, logging.ERROR) < _output.level:
        raise structlog.DropEvent
    return event


def _render(logger: Any, method: str, event: EventDict) -> Any:
    return _output.render(logger, method, event)


def _drop_empty(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {key: value for key, value in event.items() if value is not None}


def _render_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    import json

    # ASCII only: JSON's own escapes leave no way to end the line early.
    return json.dumps(event, default=str)


def _render_text(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    head = f"{event.pop('timestamp')} {event.pop('level'):<7} {_plain(event.pop('event'))}"
    exception = event.pop("exception", "")
    fields = [head, *(f"{key}={_quoted(value)}" for key, value in event.items())]
    if exception:
        fields.append(f"exception={exception!r}")
    return " ".join(fields)


def _plain(value: Any) -> str:
    """Text as it is, but with what could break a line or move a cursor escaped."""
    text = str(value)
    return text if text.isprintable() else repr(text)[1:-1]


def _quoted(value: Any) -> str:
    text = str(value)
    if text and text.isprintable() and not any(c in text for c in " '\"="):
        return text
    return repr(text)


_output = _Output()
