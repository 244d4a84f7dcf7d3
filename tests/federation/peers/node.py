"""A node of ours, and what its administrator sees of it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from peers import DEADLINE, MANTUA, MONTAGUE, VERONA
from peers.stage import Credential, Stage, free_port
from stonechat.cli.control_client import ControlClient
from stonechat.testing import PASSWORD, ServerProcess, until
from stonechat.testing.process import LOCALHOST

TRUSTS: tuple[Literal["require", "dialback", "any"], ...] = ("require", "dialback", "any")

# Hosts whose certificates others may refuse: what others have to show them is another matter.
FAULTY: tuple[Credential, ...] = ("expired", "stranger", "selfsigned")

# For the subdomains of each peer: those that show little enough pass, with two exceptions.
_RULES = {
    f"{name}.{domain}": rule
    for domain in (MANTUA, MONTAGUE, VERONA)
    for name, rule in {
        "*": {"trust": "any"},
        "expired": {"trust": "require"},
        "selfsigned": {"access": "deny"},
    }.items()
}

# Of a host that is to have it.
_EXPECTED = "the certificate has expired"


class Node:
    """Its main host wants certificates, and its hosts `dialback` and `any` want less.

    There is a host for each faulty certificate, too; `clear` has none. The host `strict` knows
    no dialback, `bidi` speaks in both directions over one stream (XEP-0288), `direct` is only to
    be found where TLS begins at once, and `choosy` is not the same to all.
    Juliet and Romeo are on all of them.
    """

    name = "stonechat"

    def __init__(
        self,
        stage: Stage,
        domain: str,
        *,
        dns: Mapping[str, Any] = MappingProxyType({}),
        **federation: Any,
    ) -> None:
        self.stage = stage
        self.domain = domain
        self.address = LOCALHOST
        """Where clients connect to."""
        self._s2s_address = stage.address()
        self._s2s_port, self._clear_port, self._direct_port = (
            free_port(self._s2s_address) for _ in range(3)
        )
        self._certificates = {
            host: stage.certificate(host, "good")
            for host in (
                *map(self.trusting, TRUSTS),
                *(f"{name}.{domain}" for name in ("bidi", "choosy", "direct", "strict")),
            )
        }
        for credential in FAULTY:
            host = self.host(credential)
            self._certificates[host] = stage.certificate(host, credential)
        self._dns, self._federation = dns, federation
        self.process = ServerProcess(stage.directory / domain, self._configuration())
        self.port = self.process.port
        for host in self._certificates:
            stage.serve(host, self._s2s_address, self._s2s_port)
        stage.serve(self.host("clear"), self._s2s_address, self._clear_port)
        stage.serve_direct(f"direct.{domain}", self._s2s_address, self._direct_port)
        self._ways_read = self._faults_read = 0

    @property
    def s2s(self) -> tuple[str, int]:
        """Where other servers connect to."""
        return self._s2s_address, self._s2s_port

    def host(self, credential: Credential) -> str:
        return self.domain if credential == "good" else f"{credential}.{self.domain}"

    def trusting(self, trust: str) -> str:
        """The host that wants so much of others."""
        return self.domain if trust == "require" else f"{trust}.{self.domain}"

    def _configuration(self) -> dict[str, Any]:
        hosts: dict[str, dict[str, Any]] = {}
        for host, (chain, key) in self._certificates.items():
            hosts[host] = {"certificate": {"chain": str(chain), "key": str(key)}}
            kind = host.removesuffix(f".{self.domain}")
            if kind in TRUSTS:
                hosts[host]["federation"] = {"trust": kind}
            elif kind in FAULTY:
                hosts[host]["federation"] = {"trust": "dialback"}
            elif kind == "choosy":
                hosts[host]["federation"] = {"domains": _RULES}
            elif kind == "bidi":
                hosts[host]["plugins"] = {"s2s_bidi": {}}
            elif kind == "strict":
                hosts[host]["plugins"] = {"dialback": None}
        hosts[self.host("clear")] = {"federation": {"trust": "any"}}
        s2s = {"type": "s2s", "address": self._s2s_address}
        return {
            "hosts": hosts,
            "listen": [
                {"type": "c2s", "starttls": "off"},
                {**s2s, "port": self._s2s_port, "starttls": "optional"},
                {**s2s, "port": self._clear_port, "starttls": "off"},
                {**s2s, "port": self._direct_port, "tls": "direct"},
            ],
            "allow_plain_without_tls": True,
            "dns": {"servers": [self.stage.dns.address], **self._dns},
            "federation": {"ca_file": str(self.stage.authority.path), **self._federation},
            "plugins": {"dialback": {}, "disco": {}, "ping": {}, "roster": {}, "version": {}},
        }

    # Coming and going

    def start(self) -> None:
        self.process.start()
        for host in (*self._certificates, self.host("clear")):
            for name in ("juliet", "romeo"):
                self.ask("register", jid=f"{name}@{host}", password=PASSWORD)

    def start_again(self) -> None:
        """After an end of whatever kind."""
        self.process.start()

    def stop(self) -> None:
        assert self.process.stop() == 0, self.process.story()

    def kill(self) -> None:
        self.process.kill()

    def suspend(self) -> None:
        """Let it hang: the system still takes connections for it, and nobody answers."""
        self.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.signal(signal.SIGCONT)

    def reload(self, **federation: Any) -> None:
        """Put into force what the main host's `federation` says now."""
        configuration = self._configuration()
        configuration["hosts"][self.domain]["federation"] = federation
        self.process.configure(configuration)
        self.ask("reload")

    # What its administrator sees

    def ask(self, command: str, **arguments: Any) -> Any:
        """The result of a command."""
        socket = self.process.directory / "data" / "stonechat.sock"
        with ControlClient(socket, DEADLINE) as client:
            return client.run(command, arguments)

    def forget(self, domain: str) -> None:
        """End the streams to and from a domain, and let it be tried again."""
        self.ask("s2s-close", domain=domain)
        until(lambda: not self.ask("s2s-list", domain=domain), "end of all streams", DEADLINE)

    def forget_all(self) -> None:
        """The same for all domains; `ways` begins anew."""
        for domain in {row["remote"] for row in self.ask("s2s-list")}:
            self.forget(domain)
        self.skip_log()

    def skip_log(self) -> None:
        """Let `ways` and `reason` tell only of what comes from now on."""
        self._ways_read = len(self.process.records)

    def rested(self, domain: str) -> None:
        """Wait until a domain may be tried: it may not for a while after its stream was lost."""

        def may_be_tried() -> bool:
            rows = self.ask("s2s-list", domain=domain)
            return not any(row["state"].startswith("rests") for row in rows)

        until(may_be_tried, f"end of the rest of {domain}", DEADLINE)

    def ways(self, local: str, remote: str, direction: Literal["in", "out"]) -> set[str]:
        """In which ways a pair was authorized."""
        return {
            record["way"]
            for record in self.process.records[self._ways_read :]
            if record["event"] == "domain authorized"
            and (record["local"], record["remote"]) == (local, remote)
            and record["direction"] == direction
        }

    def reason(self, local: str, remote: str) -> str:
        """Why there was no stream the last time."""
        reasons = [
            record["reason"]
            for record in self.process.records[self._ways_read :]
            if record["event"] == "no stream to a server"
            and (record["local"], record["remote"]) == (local, remote)
        ]
        return str(reasons[-1]) if reasons else ""

    def new_faults(self) -> list[dict[str, Any]]:
        """Errors that it has logged since the last call."""
        records = self.process.records
        new, self._faults_read = records[self._faults_read :], len(records)
        return [
            record
            for record in new
            if record["level"] in ("error", "critical") and record["event"] != _EXPECTED
        ]
