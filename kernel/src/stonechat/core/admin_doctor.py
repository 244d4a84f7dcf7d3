"""The kernel's commands that find out what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.commands import command
from stonechat.core.admin import chosen_hosts

if TYPE_CHECKING:
    from stonechat.core.server import Server


class DoctorCommands:
    """Commands about the health of the node."""

    def __init__(self, server: Server) -> None:
        self._server = server

    # Of the whole node: the listeners are.
    @command(
        "doctor-tls",
        "Examine certificates, whom they cover, and TLS on every listener; say what to do.",
        example="stonechat doctor tls capulet.example",
        whole_node=True,
    )
    def doctor_tls(self, host: str = "") -> list[dict[str, str]]:
        """For one host or for all. It connects to each listener as others do.

        Trust is judged by the authorities that vouch for other servers: those of
        `federation.ca_file`, or of the operating system.
        """
        from stonechat.core.tls_advice import advice_on
        from stonechat.core.tls_doctor import examine_tls

        return [
            {
                "step": finding.step,
                "target": finding.target,
                "verdict": finding.verdict,
                "code": finding.code,
                "found": finding.text,
                "advice": advice_on(finding),
            }
            for finding in examine_tls(self._server, chosen_hosts(self._server, host))
        ]
