"""Streams of clients in each state up to their binding, and stores with a table of lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stonechat.core.store import Store
from stonechat.testing.kit import PASSWORD

# What several files of tests share is in modules beside them, which pytest's import mode puts
# in nobody's reach.
sys.path.insert(0, str(Path(__file__).parent))

from store_lines import LINES

# Streams; the account is Juliet's


@pytest.fixture
def host(server):
    host = server.host("capulet.example")
    host.create_account("juliet")
    return host


@pytest.fixture
def stream(host):
    """Encrypted and open, not logged in."""
    return host.open_stream(tls=True)


@pytest.fixture
def logged_in(stream):
    """Authenticated and open again, not bound."""
    assert stream.authenticate("juliet", PASSWORD).name == "success"
    stream.open()
    return stream


@pytest.fixture
def door(host):
    """The plugin, where the host is one of `unbound_door`."""
    return host.plugin("door")


# Stores


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    stores = []

    def make(**options: Any) -> Store:
        store = Store(tmp_path / "stonechat.db", **options)
        stores.append(store)
        store.ensure(LINES)
        return store

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(make_store: Callable[..., Store]) -> Store:
    return make_store()


# Streams between servers


@pytest.fixture
def manager(server):
    from server_cast import CAPULET, Manager, Prover

    server.host(CAPULET, plugin_classes={"prover": Prover})
    return Manager(server)


@pytest.fixture
def prover(server, manager):
    return server.kernel.hosts["capulet.example"].plugins.running["prover"].instance
