"""Builds the `Configuration` from a document, or says everything that is wrong with it.

Each part is looked at even when another is wrong, so that all faults are found in
one go; therefore this works from the plain data and not from the checked model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any

from stonechat.core.access import AccessRules
from stonechat.core.config_check import BackendTable, Checker, PluginTable, mapping
from stonechat.core.config_faults import Document, Path
from stonechat.core.config_model import (
    Certificate,
    ClientListener,
    Cluster,
    ComponentListener,
    ConfigurationFile,
    HostFederation,
    HostSection,
    Limits,
    ServerListener,
)
from stonechat.core.config_types import (
    BrokenPlugin,
    CertificateFiles,
    ClusterSetting,
    Configuration,
    HostConfiguration,
    Resolver,
    UnknownPlugin,
)
from stonechat.core.config_warnings import unproven
from stonechat.errors import ConfigError, JIDError
from stonechat.jid import prepare_domain
from stonechat.options import ListenerOptions, PluginOptions
from stonechat.spelling import did_you_mean

_LARGEST_CERTIFICATE = 1024 * 1024


def build(
    document: Document,
    directory: FilePath,
    resolver: Resolver,
    listener_types: Mapping[str, type[ListenerOptions]],
) -> Configuration:
    """The configuration that a document means; ConfigError if anything in it is wrong."""
    checker = Checker(document, directory, resolver)
    data = document.data
    file = checker.validate(ConfigurationFile, [((), data)])
    types: dict[str, type[ListenerOptions]] = {
        "c2s": ClientListener,
        "s2s": ServerListener,
        "component": ComponentListener,
        **listener_types,
    }
    listeners = _listeners(checker, data.get("listen"), types, file.limits if file else Limits())
    federates = any(isinstance(listener, ServerListener) for listener in listeners)
    plugins = PluginTable(checker, mapping(data.get("plugins")))
    hosts = _hosts(checker, data, plugins, file, federates=federates)
    cluster = _cluster(checker, mapping(data.get("cluster")))
    checker.faults.raise_if_any()
    if file is None or cluster is None:
        raise ConfigError(f"{checker.places.file}: cannot be used")
    return Configuration(
        file=checker.places.file,
        data_dir=file.data_dir,
        durability=file.durability,
        language=file.language,
        hosts=MappingProxyType(hosts),
        listeners=tuple(listeners),
        tls=file.tls,
        allow_plain_without_tls=file.allow_plain_without_tls,
        storage=file.storage,
        plugins=MappingProxyType(plugins.of_node()),
        access=AccessRules(file.access),
        cluster=cluster,
        limits=file.limits,
        log=file.log,
        watchdog=file.watchdog,
        federation=file.federation,
        dns=file.dns,
        warnings=tuple(unproven(checker.places, data, hosts)),
    )


def _listeners(
    checker: Checker,
    given: object,
    types: Mapping[str, type[ListenerOptions]],
    limits: Limits,
) -> list[ListenerOptions]:
    if given is None:
        given = ConfigurationFile.model_fields["listen"].default
    listeners: list[ListenerOptions] = []
    for index, item in enumerate(given if isinstance(given, list | tuple) else ()):
        path: Path = ("listen", index)
        kind = mapping(item).get("type")
        if not isinstance(item, Mapping):
            continue
        if not isinstance(kind, str) or kind not in types:
            hint = did_you_mean(kind, types) if isinstance(kind, str) else ""
            checker.faults.add((*path, "type"), f"must be one of {', '.join(types)}{hint}")
            continue
        options = {name: value for name, value in item.items() if value is not None}
        inherited = {
            name: getattr(limits, name)
            for name in types[kind].model_fields
            if name in Limits.model_fields
        }
        listener = checker.validate(types[kind], [(path, options)], inherited=inherited)
        if listener is None:
            continue
        if other := next((other for other in listeners if _collide(listener, other)), None):
            address = other.address
            checker.faults.add(path, f"port {other.port} on {address} is listened on already")
        listeners.append(listener)
    return listeners


def _collide(one: ListenerOptions, other: ListenerOptions) -> bool:
    """Whether two listeners want the same port of the same address."""
    if not one.port or one.port != other.port:
        return False
    # A plugin's listener may have an option of this name; all of the kernel's are TCP.
    if getattr(one, "transport", "tcp") != getattr(other, "transport", "tcp"):
        return False
    addresses = {one.address, other.address}
    return len(addresses) == 1 or addresses == {"::", "0.0.0.0"}  # noqa: S104


def _hosts(
    checker: Checker,
    data: Mapping[str, Any],
    plugins: PluginTable,
    file: ConfigurationFile | None,
    *,
    federates: bool,
) -> dict[str, HostConfiguration]:
    names = data.get("auth")
    if names is None:
        names = ConfigurationFile.model_fields["auth"].default
    backends = BackendTable(checker, names, mapping(data.get("auth_options")))
    rules = AccessRules(file.access if file else None)
    hosts: dict[str, HostConfiguration] = {}
    spellings: dict[str, str] = {}
    for name, given in mapping(data.get("hosts")).items():
        path: Path = ("hosts", name)
        domain = _domain(checker, path, name, spellings)
        section = (file and file.hosts[name]) or HostSection()
        hosts[domain] = HostConfiguration(
            domain=domain,
            certificate=_certificate(checker, (*path, "certificate"), section.certificate),
            auth=backends.of_host(path, mapping(given)),
            plugins=MappingProxyType(
                plugins.of_host((*path, "plugins"), mapping(mapping(given).get("plugins")))
            ),
            access=rules.overridden_by(section.access),
            language=section.language or (file.language if file else ""),
            federation=_federation(file, section, federates=federates),
            see_other_host=section.see_other_host,
        )
    plugins.check_unused()
    backends.check_unused()
    return hosts


def _federation(
    file: ConfigurationFile | None, section: HostSection, *, federates: bool
) -> HostFederation:
    """Whom a host speaks to: what it says itself, and what the top says for the rest."""
    general = file.federation if file else HostFederation()
    options = {name: getattr(general, name) for name in HostFederation.model_fields}
    own = section.federation
    options |= {name: getattr(own, name) for name in own.model_fields_set}
    if options["enabled"] is None:
        options["enabled"] = federates
    # Checked already, each where it stands.
    return HostFederation.model_construct(**options)


def _domain(checker: Checker, path: Path, name: str, spellings: dict[str, str]) -> str:
    try:
        domain = prepare_domain(name)
    except JIDError as error:
        checker.faults.add(path, str(error), at=checker.places.key(path))
        return name
    other = spellings.setdefault(domain, name)
    if other != name:
        line = checker.places.key(("hosts", other)).line
        message = f"is the same domain as {other} in line {line}"
        checker.faults.add(path, message, at=checker.places.key(path))
    return domain


def _certificate(
    checker: Checker, path: Path, given: Certificate | None
) -> CertificateFiles | None:
    if given is None:
        return None
    key = given.key or given.chain
    digest = hashlib.sha256()
    for file in (given.chain, key):
        try:
            with file.open("rb") as stream:
                content = stream.read(_LARGEST_CERTIFICATE)
        except OSError as error:  # gone since it was checked
            checker.faults.add(path, f"cannot read {file}: {error.strerror}")
            return None
        digest.update(hashlib.sha256(content).digest())
    return CertificateFiles(given.chain, key, digest.hexdigest())


def _cluster(checker: Checker, given: Mapping[str, Any]) -> ClusterSetting | None:
    """The engine's options stand beside the kernel's own."""
    options = {name: value for name, value in given.items() if value is not None}
    engine = options.get("engine", "local")
    if engine == "local" or not isinstance(engine, str):
        cluster = checker.validate(Cluster, [(("cluster",), options)])
        return ClusterSetting(cluster.engine, cluster.node, PluginOptions()) if cluster else None
    own = {name: value for name, value in options.items() if name in Cluster.model_fields}
    rest = {name: value for name, value in options.items() if name not in own}
    cluster = checker.validate(Cluster, [(("cluster",), own)])
    model = checker.resolve("plugin", engine)
    if isinstance(model, UnknownPlugin | BrokenPlugin):
        checker.faults.add(("cluster", "engine"), str(model))
        return None
    engine_options = checker.validate(model, [(("cluster",), rest)])
    if cluster is None or engine_options is None:
        return None
    return ClusterSetting(engine, cluster.node, engine_options)
