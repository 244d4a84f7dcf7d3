"""The configuration: read, checked as a whole, frozen.

`load_configuration` gives a `Configuration` or raises ConfigError with every
fault in the file, so that a reload changes either everything or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stonechat.core.config_build import build
from stonechat.core.config_types import (
    AuthSetting,
    BrokenPlugin,
    CertificateFiles,
    ClusterSetting,
    Configuration,
    HostConfiguration,
    Kind,
    PluginSetting,
    Resolver,
    UnknownPlugin,
)
from stonechat.errors import ConfigError
from stonechat.options import ListenerOptions

__all__ = [
    "AuthSetting",
    "BrokenPlugin",
    "CertificateFiles",
    "ClusterSetting",
    "Configuration",
    "HostConfiguration",
    "Kind",
    "PluginSetting",
    "Resolver",
    "UnknownPlugin",
    "load_configuration",
    "load_configuration_text",
]

# A file of this size is not a configuration, whatever it is.
_LARGEST_FILE = 8 * 1024 * 1024


def load_configuration(
    path: Path | str,
    resolver: Resolver,
    listener_types: Mapping[str, type[ListenerOptions]] | None = None,
) -> Configuration:
    """Read and check a configuration file.

    `listener_types` are those that plugins add to the kernel's own: "c2s", "s2s" and
    "component".
    """
    try:
        with Path(path).open("rb") as file:
            source = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(source) > _LARGEST_FILE:
        raise ConfigError(f"{path}: is too large to be a configuration")
    directory = Path(path).absolute().parent
    return _load(source, str(path), directory, resolver, listener_types)


def load_configuration_text(
    text: str,
    name: str,
    resolver: Resolver,
    listener_types: Mapping[str, type[ListenerOptions]] | None = None,
) -> Configuration:
    """Like `load_configuration`, from a text; `name` is what faults call the file.

    Relative paths in it start from the working directory.
    """
    return _load(text, name, Path.cwd(), resolver, listener_types)


def _load(
    source: bytes | str,
    name: str,
    directory: Path,
    resolver: Resolver,
    listener_types: Mapping[str, type[ListenerOptions]] | None,
) -> Configuration:
    from stonechat.core.config_reader import read  # ruamel.yaml takes 40 ms

    return build(read(source, name), directory, resolver, listener_types or {})
