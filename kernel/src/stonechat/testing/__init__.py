"""The kit for whoever tests a plugin: a real kernel in memory, clients, and a clock.

pytest finds the fixtures `server` and `stonechat_process` by themselves
(`stonechat.testing.plugin`). What is named here is loaded when it is first used, because
pytest loads this package in every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stonechat.testing.client import TestClient, error_of
    from stonechat.testing.clock import TestClock
    from stonechat.testing.contracts import AuthBackendContract
    from stonechat.testing.kit import TestHost, TestServer
    from stonechat.testing.process import ServerProcess
    from stonechat.testing.stream import RawStream

__all__ = [
    "AuthBackendContract",
    "RawStream",
    "ServerProcess",
    "TestClient",
    "TestClock",
    "TestHost",
    "TestServer",
    "error_of",
]

_MODULES = {
    "AuthBackendContract": "contracts",
    "RawStream": "stream",
    "ServerProcess": "process",
    "TestClient": "client",
    "TestClock": "clock",
    "TestHost": "kit",
    "TestServer": "kit",
    "error_of": "client",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
