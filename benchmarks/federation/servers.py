"""The servers to measure: pairs of one kind that prove themselves by their certificates."""

from __future__ import annotations

import json
import os
import socket
import sys
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "federation"))

from peers import DEADLINE, ejabberd, prosody
from peers.server import PeerServer
from peers.stage import Credential, Stage

from stonechat.cli.control_client import ControlClient
from stonechat.testing import until

__all__ = ["GENERATOR_CPU", "KINDS", "PASSWORD", "TICK", "Measured", "Stage"]

PASSWORD = "secret"

# All servers are on one processor, the generator on another one if there is one.
SERVERS_CPU, *_, GENERATOR_CPU = sorted(os.sched_getaffinity(0)) * 2

# As in benchmarks/compare: one scheduler, for one processor.
_ERLANG_FLAGS = ("+S", "1:1")

TICK = 1 / os.sysconf("SC_CLK_TCK")


class Measured(PeerServer):
    """One host with a good certificate, TLS between servers, no dialback, no limits, no log."""

    credentials: tuple[Credential, ...] = ("good",)
    extra_hosts = ()

    @abstractmethod
    def make_account(self, name: str) -> None: ...

    @property
    def cpu_seconds(self) -> float:
        """What its process has used so far."""
        assert self._process is not None
        line = Path(f"/proc/{self._process.pid}/stat").read_text()
        # Fields 14 and 15; the second one, a name, may have spaces.
        fields = line.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK

    @property
    def streams_in(self) -> int:
        """Connections from other servers that are open."""
        address = int.from_bytes(socket.inet_aton(self.address), sys.byteorder)
        here = f"{address:08X}:{self.s2s_port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1] == here and row[3] == "01" for row in rows)


class Stonechat(Measured):
    name = "stonechat"
    programs = ()

    def command(self) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        chain, key = self.certificates[self.domain]
        configuration: dict[str, Any] = {
            "data_dir": "data",
            "hosts": {self.domain: {"certificate": {"chain": str(chain), "key": str(key)}}},
            "listen": [
                {"type": "c2s", "address": self.address, "port": self.port, "starttls": "off"},
                {"type": "s2s", "address": self.address, "port": self.s2s_port},
            ],
            "allow_plain_without_tls": True,
            "auth_options": {"internal": {"store": "plain"}},
            "dns": {"servers": [self.stage.dns.address]},
            "federation": {"ca_file": str(self.stage.authority.path)},
            "plugins": {"disco": {}, "offline": {}, "ping": {}, "roster": {}},
            "limits": {
                "rate": "none",
                "unauthenticated_per_address": 100_000,
                "unauthenticated_total": 100_000,
            },
            "log": {"level": "error"},
        }
        file = self.directory / "stonechat.yml"
        # JSON is YAML.
        file.write_text(json.dumps(configuration, indent=2))
        return _pinned([sys.executable, "-m", "stonechat.cli", "serve", "--config", file]), {}

    def start_again(self) -> None:
        super().start_again()
        # It comes after the ports.
        until(self._control.exists, "the control socket", DEADLINE)

    @property
    def _control(self) -> Path:
        return self.directory / "data" / "stonechat.sock"

    def make_account(self, name: str) -> None:
        with ControlClient(self._control, DEADLINE) as client:
            client.run("register", {"jid": f"{name}@{self.domain}", "password": PASSWORD})


class Prosody(Measured, prosody.Prosody):
    def command(self) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        command, environment = super().command()
        return _pinned(command), environment

    def make_account(self, name: str) -> None:
        """Whoever logs in has one."""

    def _configuration(self) -> Iterator[str]:
        name_server = self.stage.dns.address.replace(":", "@")
        yield "run_as_root = true"
        yield 'network_backend = "epoll"'
        yield f'pidfile = "{self.directory}/prosody.pid"'
        yield f'data_path = "{self.directory}/data"'
        yield f'plugin_paths = {{ "{self.directory}/modules" }}'
        yield f'log = {{ error = "{self.directory}/error.log" }}'
        yield f'interfaces = {{ "{self.address}" }}'
        yield f"c2s_ports = {{ {self.port} }}"
        yield "c2s_direct_tls_ports = { }"
        yield f"s2s_ports = {{ {self.s2s_port} }}"
        yield "s2s_direct_tls_ports = { }"
        yield f'unbound = {{ forward = {{ "{name_server}" }}, hoststxt = false }}'
        yield "c2s_require_encryption = false"
        yield "allow_unencrypted_plain_auth = true"
        yield "s2s_require_encryption = true"
        yield "s2s_secure_auth = true"
        yield 'authentication = "insecure"'
        yield 'insecure_open_authentication = "Yes please, I know what I\'m doing!"'
        yield 'modules_disabled = { "dialback", "limits", "s2s_bidi" }'
        yield 'modules_enabled = { "test_name_server", "disco", "roster", "saslauth", "tls" }'
        yield f'VirtualHost "{self.domain}"'
        yield self._tls(self.domain)


class Ejabberd(Measured, ejabberd.Ejabberd):
    def command(self) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        (program, *arguments), environment = super().command()
        return _pinned([program, *_ERLANG_FLAGS, *arguments]), environment

    def start(self) -> None:
        self.start_again()

    def make_account(self, name: str) -> None:
        self.call("register", user=name, host=self.domain, password=PASSWORD)

    def _configuration(self) -> dict[str, Any]:
        configuration = super()._configuration()
        of_clients, of_servers, of_commands = configuration["listen"]
        return configuration | {
            "loglevel": "critical",
            "hosts": [self.domain],
            "certfiles": [str(file) for file in self.certificates[self.domain]],
            "listen": [of_clients, {**of_servers, "shaper": "none"}, of_commands],
            "s2s_use_starttls": "required",
            "modules": {
                "mod_disco": {},
                "mod_http_api": {},
                "mod_offline": {},
                "mod_ping": {},
                "mod_roster": {},
            },
            "append_host_config": {},
            "host_config": {},
        }


KINDS: dict[str, type[Measured]] = {kind.name: kind for kind in (Stonechat, Prosody, Ejabberd)}


def _pinned(command: Sequence[str | Path]) -> list[str | Path]:
    # taskset replaces itself by the server: the pid stays the same.
    return ["taskset", "-c", str(SERVERS_CPU), *command]
