"""The pytest plugin, found by its entry point: what tests get by naming it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stonechat.testing.kit import TestServer

pytest.register_assert_rewrite("stonechat.testing.contracts")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TestServer]:
    """A server in memory, without sockets, with a clock of its own.

    At the end of the test it is stopped; what a plugin has left behind, and every error
    that the test did not announce by `server.expect_errors()`, fails the test.
    """
    from stonechat.testing.kit import TestServer

    server = TestServer(tmp_path)
    try:
        yield server
    finally:
        server.close()
