"""The hooks of auth backends: at work for as long as their host's accounts are in force."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pluggy import PluginValidationError

from stonechat.core.chains import FAULTS, Hooks
from stonechat.errors import ConfigError

if TYPE_CHECKING:
    from stonechat.auth import AuthBackend
    from stonechat.core.virtual_host import VirtualHost


def label_of(name: str) -> str:
    """What a backend is called among the plugins of its host."""
    return f"auth-{name}"


def check(name: str, backend: AuthBackend) -> None:
    """ConfigError for hooks that do not exist: once they are needed it would be too late."""
    if _has_hooks(backend):
        try:
            Hooks(lambda call, error, stanza: None).add(label_of(name), backend)
        except PluginValidationError as error:
            raise ConfigError(f"auth {name}: {error}") from error


def connect(host: VirtualHost, backends: Iterable[AuthBackend]) -> None:
    """Have a host call the backends' hooks. Does not block."""
    for backend in backends:
        if _has_hooks(backend):
            host.hooks.add(backend.host.plugin_name, backend)


def disconnect(host: VirtualHost, backends: Iterable[AuthBackend]) -> None:
    """Forget their hooks, as far as they are known. Does not block."""
    for backend in backends:
        if host.hooks.manager.is_registered(backend):
            host.hooks.remove(backend)


def tell_ready(host: VirtualHost, backends: Iterable[AuthBackend]) -> None:
    """Their accounts are in force, and the host's plugins run."""
    for backend in backends:
        try:
            backend.ready()
        except FAULTS as error:
            host.plugin_failed(backend.host.plugin_name, "ready", error, None)


def _has_hooks(backend: AuthBackend) -> bool:
    cls = type(backend)
    return any(hasattr(getattr(cls, name, None), "stonechat_impl") for name in dir(cls))
