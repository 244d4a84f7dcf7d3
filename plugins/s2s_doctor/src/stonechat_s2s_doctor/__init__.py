"""The federation doctor: why another server can be spoken to, or not, and what to do about it."""

from __future__ import annotations

from stonechat.commands import command
from stonechat.host import Host
from stonechat.options import PluginOptions
from stonechat_s2s_doctor.advice import advice_on


class Plugin:
    def __init__(self, host: Host, options: PluginOptions) -> None:
        self.host = host

    # Of the whole node: who sees what answers at the addresses that a domain of his own
    # names can look around in our network.
    @command(
        "doctor-federation",
        "Examine the server of another domain, step by step, and say what to do.",
        example="stonechat doctor federation montague.example",
        whole_node=True,
    )
    def doctor_federation(self, domain: str) -> list[dict[str, str]]:
        """DNS, connections, TLS, certificates and proofs, as this host would come to them.

        With a domain of this server it shows what other servers see. Streams in service are
        left alone. It takes half a minute at most.
        """
        return [
            {
                "step": finding.step,
                "target": finding.target,
                "verdict": finding.verdict,
                "code": finding.code,
                "found": finding.text,
                "advice": advice_on(finding),
            }
            for finding in self.host.examine_server(domain)
        ]
