"""Options that many subcommands have."""

from __future__ import annotations

import click

TIMEOUT = 600.0


def config_option() -> click.Option:
    return click.Option(
        ["--config", "cli_config"],
        metavar="FILE",
        help="The configuration file (default: $STONECHAT_CONFIG, ./stonechat.yml,"
        " /etc/stonechat/stonechat.yml).",
    )


def json_option() -> click.Option:
    return click.Option(["--json", "cli_json"], is_flag=True, help="Answer in JSON.")


def timeout_option() -> click.Option:
    return click.Option(
        ["--timeout", "cli_timeout"],
        type=click.FloatRange(min=0, min_open=True),
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"How long to wait for the server's answer (default: {TIMEOUT:g}).",
    )
