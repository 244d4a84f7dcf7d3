"""What a checked configuration is: frozen objects that the server works from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from stonechat.core.access import AccessRules
from stonechat.core.config_model import (
    Dns,
    Federation,
    HostFederation,
    Limits,
    Log,
    Storage,
    Tls,
    Watchdog,
)
from stonechat.errors import StonechatError
from stonechat.options import ListenerOptions, PluginOptions
from stonechat.spelling import did_you_mean

Kind = Literal["plugin", "auth"]


class UnknownPlugin(StonechatError):
    """No installed distribution has a plugin or an auth backend of that name.

    `known` are the names that exist; `distribution` is what to install, if it is
    known where one of that name comes from.
    """

    def __init__(
        self, kind: Kind, name: str, known: Iterable[str] = (), distribution: str = ""
    ) -> None:
        what = "plugin" if kind == "plugin" else "auth backend"
        if distribution:
            text = f"this {what} is not installed: pip install {distribution}"
        else:
            text = f"there is no {what} of this name{did_you_mean(name, known)}"
        super().__init__(text)
        self.kind = kind
        self.name = name


class BrokenPlugin(StonechatError):
    """The plugin or auth backend is installed but its code cannot be loaded."""


class Resolver(Protocol):
    """Finds the model of a plugin's or an auth backend's options.

    Raises UnknownPlugin or BrokenPlugin.
    """

    def __call__(self, kind: Kind, name: str, /) -> type[PluginOptions]: ...


@dataclass(frozen=True, slots=True)
class PluginSetting:
    """One plugin on one host, or on the node.

    A plugin with a `fault` cannot be loaded: it is to be reported as quarantined,
    and its options are empty.
    """

    name: str
    options: PluginOptions
    required: bool = False
    fault: str = ""


class AuthSetting(NamedTuple):
    """One auth backend of a host."""

    name: str
    options: PluginOptions


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate chain and its key, which may be one file.

    The fingerprint changes with the content of either.
    """

    chain: Path
    key: Path
    fingerprint: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HostConfiguration:
    """What holds on one virtual host, the global settings included."""

    domain: str
    certificate: CertificateFiles | None
    auth: tuple[AuthSetting, ...]
    plugins: Mapping[str, PluginSetting]
    access: AccessRules
    language: str
    federation: HostFederation
    see_other_host: str = ""


@dataclass(frozen=True, slots=True)
class ClusterSetting:
    """The engine that joins nodes ("local" is none) and its own options."""

    engine: str
    node: str
    options: PluginOptions


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that the file says, and the default of everything that it does not.

    `plugins` are the settings at the top of the file: they are for plugins of
    which the node has one, while a host's own are in `hosts`. `federation` is what holds
    for the node; whom a host speaks to is at the host. `warnings` name what is no fault
    and yet hardly meant, each with its place.
    """

    file: str
    data_dir: Path
    durability: Literal["memory", "disk", "full"]
    language: str
    hosts: Mapping[str, HostConfiguration]
    listeners: tuple[ListenerOptions, ...]
    tls: Tls
    allow_plain_without_tls: bool
    storage: Storage
    plugins: Mapping[str, PluginSetting]
    access: AccessRules
    cluster: ClusterSetting
    limits: Limits
    log: Log
    watchdog: Watchdog
    federation: Federation
    dns: Dns
    warnings: tuple[str, ...] = ()
