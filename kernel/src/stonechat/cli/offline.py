"""A server without doors: to work on the data of one that is not running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from stonechat.cli.exit_codes import Failure
from stonechat.errors import ConfigError, StonechatError

if TYPE_CHECKING:
    from pathlib import Path

    from stonechat.core.config_types import Configuration
    from stonechat.core.server import Server

PATIENCE_SECONDS = 86_400


def load(file: Path) -> Configuration:
    """The configuration of a file; Failure with everything that is wrong with it."""
    from stonechat.core import plugin_loader
    from stonechat.core.config import load_configuration

    try:
        return load_configuration(file, plugin_loader.options_of)
    except ConfigError as error:
        raise Failure("\n".join(map(str, error.problems)), kind="configuration") from error


@contextmanager
def offline_server(configuration: Configuration) -> Iterator[Server]:
    """A server that nobody can connect to, with all its hosts; Failure if it does not start."""
    from stonechat.core import log
    from stonechat.core.config_model import Watchdog
    from stonechat.core.server import Server

    log.configure("error", "text")
    # Nobody else waits for this process: it may be busy for as long as it likes.
    patience = Watchdog(block_warning=PATIENCE_SECONDS)
    server = Server(replace(configuration, listeners=(), watchdog=patience))
    try:
        server.start()
    except StonechatError as error:
        raise Failure(str(error)) from error
    try:
        yield server
    except StonechatError as error:
        raise Failure(str(error)) from error
    finally:
        server.stop()
