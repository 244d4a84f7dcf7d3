"""ejabberd 23, as Debian has it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, ClassVar

from cryptography import x509

from peers import DEADLINE
from peers.server import PeerServer
from peers.stage import Stage, free_port
from stonechat.testing import PASSWORD

# It asks for SRV records by Erlang's own resolver, for addresses by the system's.
_NAME_SERVER = """\
{{resolv_conf, ""}}.
{{hosts_file, ""}}.
{{lookup, [file, dns]}}.
{{nameserver, {{{host}}}, {port}}}.
"""


class Ejabberd(PeerServer):
    """Its host `strict` knows no dialback, neither its own nor others'."""

    name = "ejabberd"
    # It is not started by its own script, which changes to a user whom a directory of the
    # tests is closed to, and wants a name server for nodes.
    programs = ("ejabberdctl", "erl")
    extra_hosts: ClassVar[tuple[str, ...]] = ("strict",)

    def __init__(self, stage: Stage, domain: str) -> None:
        super().__init__(stage, domain)
        # It takes the certificate that names a host, or else any. This one names it where others
        # do not look: RFC 6125, 6.4.4.
        stranger = self.host("stranger")
        elsewhere = [x509.DNSName(f"not-{stranger}")]
        self.certificates[stranger] = stage.authority.issue(stranger, names=elsewhere)
        self._http_port = free_port(self.address)
        self._config_file = self.directory / "ejabberd.yml"
        # JSON is YAML.
        self._config_file.write_text(json.dumps(self._configuration(), indent=2))
        host, port = stage.literal_dns.address.split(":")
        self._resolver_file = self.directory / "inetrc"
        self._resolver_file.write_text(_NAME_SERVER.format(host=host.replace(".", ","), port=port))

    def command(self) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        script = Path(str(shutil.which("ejabberdctl"))).read_text()
        libraries = re.search(r"^ERL_LIBS='(.+)'$", script, re.MULTILINE)
        environment = {
            "EJABBERD_CONFIG_PATH": str(self._config_file),
            "EJABBERD_LOG_PATH": str(self.directory / "ejabberd.log"),
            "ERL_CRASH_DUMP_BYTES": "0",
            "ERL_INETRC": str(self._resolver_file),
            # Where a secret of the node's would be kept.
            "HOME": str(self.directory),
        }
        if libraries:
            environment["ERL_LIBS"] = libraries[1]
        database = f'"{self.directory}/mnesia"'
        program = shutil.which("erl")
        assert program is not None
        return [program, "-noinput", "-mnesia", "dir", database, "-s", "ejabberd"], environment

    def start(self) -> None:
        super().start()
        for host in self.hosts:
            self.call("register", user="romeo", host=host, password=PASSWORD)

    def call(self, command: str, **arguments: Any) -> Any:
        """The result of an administrator's command."""
        connection = HTTPConnection(self.address, self._http_port, timeout=DEADLINE)
        with closing(connection):
            connection.request("POST", f"/api/{command}", json.dumps(arguments))
            answer = connection.getresponse()
            text = answer.read()
        assert answer.status == HTTPStatus.OK, text
        return json.loads(text)

    def _configuration(self) -> dict[str, Any]:
        modules: dict[str, Any] = {
            "mod_disco": {},
            "mod_http_api": {},
            "mod_muc": {"host": "conference.@HOST@"},
            "mod_ping": {},
            "mod_roster": {},
            "mod_version": {},
        }
        dialback = {"modules": {"mod_s2s_dialback": {}}}
        hosts: dict[str, Any] = {host: dict(dialback) for host in self.hosts}
        hosts.pop(f"strict.{self.domain}", None)
        return {
            "loglevel": "debug",
            "log_rotate_count": 0,
            "hosts": self.hosts,
            "ca_file": str(self.stage.authority.path),
            "certfiles": [str(file) for pair in self.certificates.values() for file in pair],
            "listen": [
                {
                    "port": self.port,
                    "ip": self.address,
                    "module": "ejabberd_c2s",
                    "access": "all",
                    "shaper": "none",
                },
                {"port": self.s2s_port, "ip": self.address, "module": "ejabberd_s2s_in"},
                {
                    "port": self._http_port,
                    "ip": self.address,
                    "module": "ejabberd_http",
                    "request_handlers": {"/api": "mod_http_api"},
                },
            ],
            "api_permissions": {"tests": {"who": "all", "what": "*"}},
            "s2s_use_starttls": "optional",
            "s2s_max_retry_delay": 1,
            "modules": modules,
            "append_host_config": hosts,
            "host_config": {self.host("clear"): {"s2s_use_starttls": False}},
        }
