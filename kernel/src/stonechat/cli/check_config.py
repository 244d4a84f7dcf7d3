"""`stonechat check-config`: whether a server would start with a configuration file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from stonechat.cli.exit_codes import OK, REFUSED
from stonechat.cli.output import show, show_error
from stonechat.cli.places import find_configuration

if TYPE_CHECKING:
    from stonechat.core.config_types import Configuration

# A certificate that has no longer than this is worth a word.
_FEW_DAYS = 21


def check_config(given: str | None, *, as_json: bool) -> int:
    """Say what is wrong with the file; returns the exit status."""
    from stonechat.core import plugin_loader
    from stonechat.core.config import load_configuration
    from stonechat.core.tls_setup import make_contexts
    from stonechat.errors import ConfigError

    file = find_configuration(given)
    problems: list[str] = []
    warnings: list[str] = []
    try:
        configuration = load_configuration(file, plugin_loader.options_of)
        make_contexts(configuration)
        warnings = [*configuration.warnings, *_warnings(configuration)]
    except ConfigError as error:
        problems = list(map(str, error.problems))
    if as_json:
        result = {
            "file": str(file),
            "valid": not problems,
            "problems": problems,
            "warnings": warnings,
        }
        show(result, as_json=True)
        return REFUSED if problems else OK
    for line in (*problems, *(f"warning: {warning}" for warning in warnings)):
        show_error(line)
    if problems:
        return REFUSED
    show(f"{file} is right", as_json=False)
    return OK


def _warnings(configuration: Configuration) -> list[str]:
    from stonechat.net.certificates import describe, read_chain

    now = int(time.time() * 1_000_000)
    warnings = []
    for host in configuration.hosts.values():
        for setting in host.plugins.values():
            if setting.fault:
                warnings.append(f"{host.domain}: plugin {setting.name}: {setting.fault}")
        if host.certificate is None:
            warnings.append(f"{host.domain} has no certificate of its own")
            continue
        days = describe(read_chain(host.certificate.chain)[0]).days_left(now)
        if days < 0:
            warnings.append(f"{host.domain}: the certificate has expired")
        elif days <= _FEW_DAYS:
            warnings.append(f"{host.domain}: the certificate expires in {days} days")
    return list(dict.fromkeys(warnings))
