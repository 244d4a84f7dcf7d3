"""A configuration of ours out of ejabberd's, and a report of what has no counterpart."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from stonechat.errors import JIDError
from stonechat.jid import JID, prepare_domain
from stonechat.shell import Shell, ShellError
from stonechat_migrate.certificates import find_certificates
from stonechat_migrate.ejabberd_names import (
    CONFLICTS,
    LEVELS,
    MODULE_OPTIONS,
    NEEDLESS,
    NEEDLESS_MODULES,
    NEEDLESS_OPTIONS,
    PLUGINS,
)

_LARGEST = 4 * 1024 * 1024
_HEADER = """\
# Made of {source} by `stonechat import-config`.
# What had no counterpart is not here: the command has reported it.
"""
_DURATION = re.compile(
    r"([0-9]+)\s*(?:(ms|millisecond|s|sec|second|m|min|minute|h|hour|d|day)s?)?"
)
_UNITS = {"m": "min", "s": "s", "h": "h", "d": "d"}

OK, INCOMPLETE = 0, 4


def convert(shell: Shell, source: Path, target: Path) -> int:
    """Read the one, write the other, and report; ShellError where that cannot be."""
    conversion = Conversion(_read(source), source.resolve().parent)
    document = conversion.document()
    text = _HEADER.format(source=source.name) + _written(document)
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise ShellError(f"{target}: it is there already") from None
    except OSError as error:
        raise ShellError(f"{target}: {error.strerror}") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    result: dict[str, Any] = {"path": str(target.absolute())}
    for name, rows in (
        ("no_counterpart", conversion.missing),
        ("to_be_looked_at", conversion.changed),
        ("not_needed", conversion.needless),
    ):
        if rows:
            result[name] = [{"option": option, "why": why} for option, why in rows]
    shell.show(result)
    return INCOMPLETE if conversion.missing else OK


def _read(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        if path.stat().st_size > _LARGEST:
            raise ShellError(f"{path}: it is too large for a configuration")
        found = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ShellError(f"{path}: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ShellError(f"{path}: {error}") from error
    if not isinstance(found, dict) or "hosts" not in found:
        raise ShellError(f"{path}: this is no configuration of ejabberd: it has no hosts")
    return found


def _written(document: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


class Conversion:
    """One configuration on its way; what becomes of each option is written down."""

    def __init__(self, given: dict[str, Any], directory: Path) -> None:
        self._given = _without_macros(given)
        self._directory = directory
        self.missing: list[tuple[str, str]] = []
        self.changed: list[tuple[str, str]] = []
        self.needless: list[tuple[str, str]] = []
        self._limits: dict[str, Any] = {}

    def document(self) -> dict[str, Any]:
        """Our document."""
        given = self._given
        hosts = [self._host_name(name) for name in _list(given.get("hosts"))]
        document: dict[str, Any] = {"data_dir": "data"}
        document["hosts"] = self._hosts([host for host in hosts if host])
        federation = self._federation()
        document["listen"] = list(self._listeners(federation))
        document["auth"] = self._auth()
        if given.get("auth_password_format") == "plain":
            document["auth_options"] = {"internal": {"store": "plain"}}
        document["plugins"] = self._plugins(_dict(given.get("modules")))
        access = self._access()
        if access:
            document["access"] = access
        document["federation"] = federation
        self._limit_sessions()
        if self._limits:
            document["limits"] = self._limits
        level = LEVELS.get(given.get("loglevel", "info"), "info")
        document["log"] = {"level": level}
        if isinstance(given.get("language"), str):
            document["language"] = given["language"]
        self._rest()
        return document

    # Hosts and ports

    def _host_name(self, name: object) -> str:
        try:
            return prepare_domain(str(name))
        except JIDError:
            self.missing.append((f"hosts: {name}", "this is no domain by RFC 7622"))
            return ""

    def _hosts(self, hosts: list[str]) -> dict[str, Any]:
        patterns = [str(name) for name in _list(self._given.get("certfiles"))]
        found = find_certificates(self._directory, patterns, hosts)
        sections: dict[str, Any] = {}
        for host in hosts:
            sections[host] = {}
            pair = found.get(host)
            if pair is None:
                why = "no file that can be read has a certificate for it, and its key"
                self.missing.append((f"certfiles: {host}", why))
                continue
            chain, key = pair
            sections[host]["certificate"] = {"chain": str(chain), "key": str(key)}
        return sections

    def _listeners(self, federation: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number, found in enumerate(_list(self._given.get("listen")), 1):
            listener = _dict(found)
            module, port = listener.get("module"), listener.get("port")
            where = f"listen {number}: {module}"
            if module not in ("ejabberd_c2s", "ejabberd_s2s_in"):
                why = "nothing here listens so yet"
                if module == "ejabberd_service":
                    why = "the secret of each component is in a file: see the plugin component"
                self.missing.append((where, why))
                continue
            ours: dict[str, Any] = {
                "type": "c2s" if module == "ejabberd_c2s" else "s2s",
                "address": str(listener.get("ip", "::")),
                "port": port,
            }
            if listener.get("tls") is True:
                ours["tls"] = "direct"
            elif module == "ejabberd_c2s":
                if listener.get("starttls_required") is True:
                    ours["starttls"] = "required"
                elif listener.get("starttls") is True:
                    ours["starttls"] = "optional"
                else:
                    ours["starttls"] = "required"
                    why = "logins without TLS are not taken over: set `starttls` yourself"
                    self.changed.append((f"{where}: starttls", why))
            elif federation.get("trust") == "any":
                ours["starttls"] = "optional"
            size = listener.get("max_stanza_size")
            if module == "ejabberd_c2s" and isinstance(size, int) and size >= 10_000:
                self._limits["stanza_bytes"] = max(size, self._limits.get("stanza_bytes", 0))
            for option, why in _LISTENER_OPTIONS.items():
                if option in listener and listener[option] not in _USUAL.get(option, ()):
                    self.changed.append((f"{where}: {option}", why))
            yield ours

    def _federation(self) -> dict[str, Any]:
        given = self._given
        ports = [_dict(each).get("module") for each in _list(given.get("listen"))]
        if "ejabberd_s2s_in" not in ports:
            return {"enabled": False}
        use = given.get("s2s_use_starttls", False)
        dialback = "mod_s2s_dialback" in _dict(given.get("modules"))
        trust = "require"
        if dialback:
            # ejabberd takes a dialback over a stream that need not be encrypted.
            trust = "dialback" if use in ("required", "required_trusted", "optional") else "any"
        if use == "required_trusted":
            trust = "require"
        if use is False or use == "false":
            why = "streams to other servers begin TLS where they can"
            self.changed.append(("s2s_use_starttls: false", why))
        if "s2s_access" in given:
            why = "say by `federation.domains` whom to speak to"
            self.changed.append(("s2s_access", why))
        return {"enabled": True, "trust": trust}

    # Accounts and rules

    def _auth(self) -> list[str]:
        methods = _list(self._given.get("auth_method", "mnesia"))
        for method in methods:
            if method in ("internal", "mnesia", "sql"):
                continue
            why = (
                f"accounts that are elsewhere: see the auth backend for {method}, if there is one"
            )
            self.missing.append((f"auth_method: {method}", why))
        if "mnesia" in methods or "internal" in methods:
            why = (
                "Mnesia is read by ejabberd alone: `ejabberdctl export_piefxis DIR`, and then"
                " `stonechat db import`"
            )
            self.changed.append(("auth_method: accounts in Mnesia", why))
        return ["internal"]

    def _access(self) -> dict[str, Any]:
        """The rule `admin`: those who may configure ejabberd."""
        rules = _dict(self._given.get("access_rules")) or _dict(self._given.get("access"))
        names = self._allowed(rules.get("configure"))
        users: set[str] = set()
        for name in names:
            users |= set(self._accounts(name))
        for name in rules:
            if name != "configure":
                why = "rules are named by the options that use them: see `access`"
                self.changed.append((f"access_rules: {name}", why))
        return {"admin": {"users": sorted(users)}} if users else {}

    def _allowed(self, rule: object) -> list[str]:
        """The ACLs that a rule allows, in each of the ways in which that is written."""
        names: list[str] = []
        for each in rule if isinstance(rule, list) else [rule]:
            for action, who in _dict(each).items():
                if action == "allow":
                    names += [str(name) for name in _list(who) if not isinstance(name, dict)]
                    names += [str(n) for w in _list(who) for n in _list(_dict(w).get("acl"))]
        return names

    def _accounts(self, name: str) -> Iterator[str]:
        found = _dict(_dict(self._given.get("acl")).get(name))
        for kind, who in found.items():
            if kind != "user":
                why = "an administrator is named by an address here"
                self.missing.append((f"acl: {name}: {kind}", why))
                continue
            for each in _list(who):
                pairs = each.items() if isinstance(each, dict) else [(each, "")]
                for user, server in pairs:
                    text = f"{user}@{server}" if server else str(user)
                    try:
                        jid = JID.parse(text)
                    except JIDError:
                        jid = None
                    if jid is not None and jid.localpart:
                        yield jid.bare.text
                    elif text:
                        why = "an administrator is named by an address with its host"
                        self.missing.append((f"acl: {name}: {text}", why))

    # Plugins and bounds

    def _plugins(self, modules: dict[str, Any]) -> dict[str, Any]:
        plugins: dict[str, Any] = {"migrate": {}}
        for module, given in modules.items():
            if module in NEEDLESS_MODULES:
                self.needless.append((f"modules: {module}", NEEDLESS_MODULES[module]))
                continue
            plugin = PLUGINS.get(module)
            if plugin is None:
                self.missing.append((f"modules: {module}", "no plugin does this yet"))
                continue
            options = plugins.setdefault(plugin, {})
            for option, value in _dict(given).items():
                self._module_option(module, option, value, options)
        # What ejabberd does without a module.
        plugins.setdefault("disco", {})
        return dict(sorted(plugins.items()))

    def _module_option(self, module: str, option: str, value: Any, options: Any) -> None:
        where = f"modules: {module}: {option}"
        if option in NEEDLESS_OPTIONS:
            return
        if module == "mod_vcard" and option == "search":
            if value is False:
                options["search_domain"] = None
            return
        if module == "mod_ping" and option == "send_pings":
            if value is not True:
                options["interval"] = "off"
            return
        ours = MODULE_OPTIONS.get((module, option))
        if ours is None:
            self.missing.append((where, f"the plugin {PLUGINS[module]} has no such option"))
            return
        name, kind = ours
        converted = _converted(value, kind)
        if converted is None:
            self.missing.append((where, f"{value!r} cannot be said here"))
        elif options.get(name) != "off":
            options[name] = converted

    def _limit_sessions(self) -> None:
        rules = _dict(self._given.get("shaper_rules"))
        sessions = rules.get("max_user_sessions")
        if isinstance(sessions, int) and sessions > 0:
            self._limits["sessions_per_account"] = sessions
        elif sessions is not None:
            why = "`limits.sessions_per_account` is one number for all"
            self.changed.append(("shaper_rules: max_user_sessions", why))
        for name in rules:
            if name != "max_user_sessions":
                why = "bounds are under `limits`, and among the options of plugins"
                self.changed.append((f"shaper_rules: {name}", why))
        conflict = CONFLICTS.get(str(self._given.get("resource_conflict", "")))
        if conflict:
            self._limits["resource_conflict"] = conflict

    def _rest(self) -> None:
        """What nobody has looked at."""
        for option in self._given:
            if option in _DONE:
                continue
            if option in NEEDLESS:
                self.needless.append((option, NEEDLESS[option]))
            elif option.startswith("sql_"):
                why = "another database than SQLite is named by `storage.url`, and begins empty"
                self.changed.append((option, why))
            elif option in _BY_HAND:
                self.missing.append((option, _BY_HAND[option]))
            elif option in _OTHER:
                self.changed.append((option, _OTHER[option]))
            else:
                self.missing.append((option, "there is no such option"))


_DONE = {
    "access",
    "access_rules",
    "acl",
    "auth_method",
    "auth_password_format",
    "certfiles",
    "define_macro",
    "hosts",
    "language",
    "listen",
    "loglevel",
    "modules",
    "resource_conflict",
    "s2s_access",
    "s2s_use_starttls",
    "shaper_rules",
}

_LISTENER_OPTIONS = {
    "access": "who may connect is not a matter of ports: see `access`",
    "ciphers": "TLS is the same on all ports: see `tls`",
    "protocol_options": "TLS is the same on all ports: see `tls`",
    "shaper": "`rate` of the port, or `limits.rate`, says how much may come",
    "use_proxy_protocol": "name the proxies by the option of the port: see `listen`",
}

# What stands in every configuration, and says nothing.
_USUAL = {"access": ("all", "c2s"), "shaper": ("none",)}

_OTHER = {
    "api_permissions": "commands want the access rule `admin`, or the control socket",
    "c2s_ciphers": "`tls.ciphers` has the names of OpenSSL, and sensible ones without it",
    "s2s_ciphers": "`tls.ciphers` has the names of OpenSSL, and sensible ones without it",
    "c2s_protocol_options": "`tls.min_version` says how old TLS may be",
    "s2s_protocol_options": "`tls.min_version` says how old TLS may be",
    "disable_sasl_mechanisms": "weak ones are not offered in the first place",
    "shaper": "`limits.rate` says how much one connection may send",
}


_BY_HAND = {
    "append_host_config": "what one host has alone stands in its section under `hosts`",
    "host_config": "what one host has alone stands in its section under `hosts`",
    "include_config_file": "one file is converted: put the text of the other in",
}


def _without_macros(given: dict[str, Any]) -> dict[str, Any]:
    """The configuration with what its macros stand for."""
    macros = _dict(given.get("define_macro"))

    def resolved(value: Any, depth: int = 0) -> Any:
        if depth > 20:
            raise ShellError("macros stand for each other in circles, or too deep")
        if isinstance(value, str) and value in macros:
            return resolved(macros[value], depth + 1)
        if isinstance(value, list):
            return [resolved(each, depth + 1) for each in value]
        if isinstance(value, dict):
            return {key: resolved(each, depth + 1) for key, each in value.items()}
        return value

    found: dict[str, Any] = resolved(
        {name: value for name, value in given.items() if name != "define_macro"}
    )
    return found


def _converted(value: Any, kind: str) -> Any:
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "number":
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if kind == "word":
        return value if value in ("always", "never", "roster") else None
    match = _DURATION.fullmatch(str(value))
    if match is None:
        return None
    unit = "ms" if match[2] and match[2].startswith(("ms", "milli")) else (match[2] or "s")[0]
    return f"{match[1]} {_UNITS.get(unit, unit)}"


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
