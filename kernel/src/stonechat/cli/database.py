"""`stonechat db`: the database, whether a server is running or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stonechat.cli.exit_codes import NO_SERVER, Failure
from stonechat.cli.offline import load, offline_server
from stonechat.cli.output import show
from stonechat.cli.places import find_configuration
from stonechat.cli.remote import run_command
from stonechat.errors import StonechatError

if TYPE_CHECKING:
    from stonechat.core.store import NodeStore


def upgrade(given: str | None, *, as_json: bool) -> None:
    """Make and alter the tables of all plugins and backends."""
    # Starting is what does it; each plugin brings the tables that it needs.
    with offline_server(load(find_configuration(given))) as server:
        faults = {
            f"{host.name}: {plugin}": reason
            for host in server.hosts.values()
            for plugin, reason in host.plugins.quarantined.items()
        }
    if faults:
        raise Failure("\n".join(f"{where}: {reason}" for where, reason in faults.items()))
    show("the tables are up to date", as_json=as_json)


def check(given: str | None, *, as_json: bool) -> None:
    """Say whether the database is sound; Failure with its damages."""
    try:
        result = run_command("check-store", {}, given)
    except Failure as failure:
        if failure.code != NO_SERVER:
            raise
        with _open_store(given) as store:
            faults = store.check()
        if faults:
            raise Failure("\n".join(["the database is damaged:", *faults])) from None
        result = "the database is sound"
    show(result, as_json=as_json)


def backup(path: str, given: str | None, *, as_json: bool) -> None:
    """Copy the database."""
    target = os.path.abspath(path)
    try:
        result = run_command("backup", {"path": target}, given)
    except Failure as failure:
        if failure.code != NO_SERVER:
            raise
        with _open_store(given) as store:
            store.backup(Path(target))
        result = {"path": target, "bytes": os.stat(target).st_size}
    show(result, as_json=as_json)


@contextmanager
def _open_store(given: str | None) -> Iterator[NodeStore]:
    """The store alone, opened as the server would."""
    from stonechat.core.store import open_store

    configuration = load(find_configuration(given))
    try:
        store = open_store(configuration.storage, configuration.data_dir)
    except StonechatError as error:
        raise Failure(str(error)) from error
    try:
        yield store
    except StonechatError as error:
        raise Failure(str(error)) from error
    finally:
        store.close()
