"""How a store begins, by the configuration, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from store_lines import LONG, count, held_up, say

from stonechat.core.config_model import Storage as StorageOptions
from stonechat.core.store import Store, open_store
from stonechat.errors import ConfigError, StorageError


def test_closing_carries_out_what_waits(tmp_path: Path, make_store: Callable[..., Store]) -> None:
    store = make_store()
    with held_up(store.write):
        for number in range(300):
            store.write_soon(say(f"line {number}"))
    store.close()
    # All of it is in the one file that is left.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stonechat.db", "stonechat.lock"]
    assert make_store().read(count) == 300


def test_a_closed_store_refuses(store: Store) -> None:
    store.close()
    store.close()
    for call in (store.read, store.write, store.write_soon):
        with pytest.raises(StorageError, match="closed"):
            call(count)


def test_the_configuration_names_the_file(tmp_path: Path) -> None:
    store = open_store(StorageOptions(url="sqlite:///mail/stonechat.db"), tmp_path / "data")
    store.close()
    assert (tmp_path / "data" / "mail" / "stonechat.db").exists()


def test_the_configuration_says_how_long_a_call_may_take(tmp_path: Path) -> None:
    store = open_store(StorageOptions(timeout="10 ms"), tmp_path)
    try:
        with pytest.raises(StorageError, match="in time"):
            store.read(lambda connection: connection.execute(LONG).scalar())
    finally:
        store.close()


def test_the_configuration_says_how_many_read_at_a_time(tmp_path: Path) -> None:
    store = open_store(StorageOptions(connections=6), tmp_path)
    try:
        with ExitStack() as held:
            for _ in range(6):
                held.enter_context(held_up(store.read))
            assert store.figures.reads_waiting == 0
    finally:
        store.close()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:stonechat.db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///a.db?mode=ro",
        "oracle://scott:tiger@capulet.example/x",
    ],
)
def test_an_unknown_database_is_refused_without_telling_its_password(
    tmp_path: Path, url: str
) -> None:
    with pytest.raises(ConfigError, match=r"storage\.url") as caught:
        open_store(StorageOptions(url=url), tmp_path)
    assert "tiger" not in str(caught.value)
