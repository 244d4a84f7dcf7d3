"""`stonechat db migrate`: all data from one database to another."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stonechat.cli.exit_codes import Failure
from stonechat.cli.offline import load
from stonechat.cli.output import show, show_error
from stonechat.cli.places import find_configuration
from stonechat.errors import ConfigError, StonechatError

if TYPE_CHECKING:
    from stonechat.core.config_types import Configuration
    from stonechat.core.store import NodeStore
    from stonechat.storage import Schema


def migrate(
    source: str | None,
    target: str,
    source_password: str | None,
    target_password: str | None,
    given: str | None,
    *,
    as_json: bool,
) -> None:
    """Copy everything from the database `source`, or the configured one, to `target`."""
    from stonechat.core.store_moving import move

    configuration = _configuration(given, is_needed=source is None)
    data_dir = configuration.data_dir if configuration else Path.cwd()
    with ExitStack() as opened:
        try:
            if source is None:
                assert configuration is not None
                before = _open(configuration.storage.url, data_dir, configuration.storage)
            else:
                before = _open(source, data_dir, password_file=source_password)
            opened.callback(before.close)
            after = _open(target, data_dir, password_file=target_password)
            opened.callback(after.close)
            moved = move(before, after, _installed_schemas(), _progress())
        except ConfigError as error:
            raise Failure("\n".join(map(str, error.problems)), kind="configuration") from error
        except StonechatError as error:
            raise Failure(str(error)) from error
        finally:
            _clear()
    show(
        {
            "moved": [{"table": name, "rows": rows} for name, rows in moved.items()],
            "next": "set storage.url in the configuration to the new database, then start",
        },
        as_json=as_json,
    )


def _configuration(given: str | None, *, is_needed: bool) -> Configuration | None:
    try:
        return load(find_configuration(given))
    except Failure:
        if is_needed or given is not None:
            raise
        return None


def _open(
    url: str, data_dir: Path, options: Any = None, *, password_file: str | None = None
) -> NodeStore:
    """The store of a URL, locked against a server that runs."""
    from sqlalchemy import exc, make_url

    from stonechat.core.config_model import Storage
    from stonechat.core.store import open_store

    options = options or Storage(url=url)
    if password_file is not None:
        try:
            password = Path(password_file).read_text("utf-8").strip()
            parsed = make_url(url).set(password=password)
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"{password_file} cannot be read: {error}") from error
        except exc.ArgumentError as error:
            raise Failure(f"{url} is not the URL of a database") from error
        options = options.model_copy(update={"url": parsed.render_as_string(hide_password=False)})
    return open_store(options, data_dir, for_node=False)


def _installed_schemas() -> list[Schema]:
    """Those of every plugin and backend that is installed, in use or not."""
    from stonechat.core import plugin_loader
    from stonechat.core.config_types import BrokenPlugin

    found: dict[str, Schema] = {}
    for kind in plugin_loader.GROUPS:
        for name in sorted(plugin_loader.installed(kind)):
            try:
                schema = getattr(plugin_loader.load(kind, name), "schema", None)
            except BrokenPlugin as error:
                show_error(f"{name}: {error}; its tables are not known")
                continue
            if schema is not None:
                found.setdefault(schema.name, schema)
    return list(found.values())


_WIDTH = 60


def _progress() -> Any:
    """Shows how many rows have come, where somebody looks."""

    def told(name: str, rows: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r" + f"{name}: {rows} rows".ljust(_WIDTH))
            sys.stderr.flush()

    return told


def _clear() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r" + " " * _WIDTH + "\r")
