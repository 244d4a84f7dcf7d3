"""Servers that others wrote, and whose accounts are to move to ours."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from stonechat.testing import until
from stonechat.testing.process import LOCALHOST, free_port

CAPULET = "capulet.example"
MONTAGUE = "montague.example"
DEADLINE = 30.0
_SHOWN = 4000


class Elder(ABC):
    """A process in a directory of its own; clients come without TLS."""

    programs: tuple[str, ...]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.log_file = directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        """How to start it, and what the environment has to say beside."""

    def start(self) -> None:
        arguments, environment = self.command()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                arguments,
                cwd=self.directory,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(self._answers, f"port of {type(self).__name__}", DEADLINE)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.story()
        try:
            socket.create_connection((LOCALHOST, self.port), DEADLINE).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Let it end in order, so that all is written."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise AssertionError(self.story()) from None

    def story(self) -> str:
        log = self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        return f"\n{type(self).__name__} in {self.directory}:\n{log[-_SHOWN:]}"


class Prosody(Elder):
    """One host keeps hashes of passwords, the other passwords. `storage` is of Prosody's."""

    programs = ("prosody", "prosodyctl")

    def __init__(self, directory: Path, storage: str) -> None:
        super().__init__(directory)
        self.data = directory / "data"
        self.data.mkdir()
        self.source = str(self.data)
        if storage == "sql":
            self.source = f"sqlite:///{self.data}/prosody.sqlite"
        self._config_file = directory / "prosody.cfg.lua"
        self._config_file.write_text(
            f"""
            run_as_root = true
            pidfile = "{directory}/prosody.pid"
            data_path = "{self.data}"
            log = {{ {{ levels = {{ min = "info" }}, to = "console" }} }}
            interfaces = {{ "{LOCALHOST}" }}
            c2s_ports = {{ {self.port} }}
            c2s_direct_tls_ports = {{ }}
            s2s_ports = {{ }}
            s2s_direct_tls_ports = {{ }}
            c2s_require_encryption = false
            allow_unencrypted_plain_auth = true
            storage = "{storage}"
            sql = {{ driver = "SQLite3", database = "prosody.sqlite" }}
            default_archive_policy = true
            archive_expires_after = "never"
            modules_enabled = {{
                "disco", "roster", "saslauth", "ping", "private", "vcard", "offline", "mam",
                "blocklist", "pep",
            }}
            VirtualHost "{CAPULET}"
                authentication = "internal_hashed"
            VirtualHost "{MONTAGUE}"
                authentication = "internal_plain"
            Component "rooms.{CAPULET}" "muc"
            """
        )

    def command(self) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        return [str(shutil.which("prosody")), "-F", "--config", self._config_file], {}

    def register(self, localpart: str, host: str, password: str) -> None:
        subprocess.run(
            ["prosodyctl", "--config", self._config_file, "register", localpart, host, password],
            check=True,
            capture_output=True,
            timeout=DEADLINE,
        )


# Erlang's own resolver asks nobody, and the machine's name is not looked up.
_RESOLVER = "{file, hosts, []}.\n{lookup, [file]}.\n"


class Ejabberd(Elder):
    """`new_schema`: with a column for the host in all tables; else one host has the database."""

    programs = ("ejabberdctl", "erl")

    def __init__(self, directory: Path, *, new_schema: bool, plain: bool) -> None:
        super().__init__(directory)
        self._http_port = free_port()
        self.database = directory / "ejabberd.db"
        self.source = f"sqlite:///{self.database}"
        self.config_file = directory / "ejabberd.yml"
        documents = (
            Path("/usr/share/doc/ejabberd"),
            *Path("/usr/lib").glob("*/ejabberd-*/priv/sql"),
        )
        schema = "lite.new.sql" if new_schema else "lite.sql"
        files = [path for place in documents for path in place.rglob(f"{schema}*")]
        assert files, f"there is no {schema}"
        text = files[0].read_bytes()
        if files[0].suffix == ".gz":
            text = gzip.decompress(text)
        with closing(sqlite3.connect(self.database)) as connection:
            connection.executescript(text.decode())
        # JSON is YAML.
        self.config_file.write_text(json.dumps(self._configuration(new_schema, plain), indent=2))

    def _configuration(self, new_schema: bool, plain: bool) -> dict[str, Any]:
        sql = {"db_type": "sql"}
        return {
            "loglevel": "info",
            "log_rotate_count": 0,
            "hosts": [CAPULET],
            "auth_method": "sql",
            "auth_password_format": "plain" if plain else "scram",
            "auth_scram_hash": "sha256",
            "default_db": "sql",
            "sql_type": "sqlite",
            "sql_database": str(self.database),
            "new_sql_schema": new_schema,
            "acl": {"admin": {"user": [f"juliet@{CAPULET}"]}},
            "access_rules": {"configure": {"allow": "admin"}},
            "listen": [
                {
                    "port": self.port,
                    "ip": LOCALHOST,
                    "module": "ejabberd_c2s",
                    "access": "all",
                    "shaper": "none",
                    "max_stanza_size": 262144,
                },
                {
                    "port": self._http_port,
                    "ip": LOCALHOST,
                    "module": "ejabberd_http",
                    "request_handlers": {"/api": "mod_http_api"},
                },
            ],
            "api_permissions": {"tests": {"who": "all", "what": "*"}},
            "modules": {
                "mod_blocking": {},
                "mod_caps": {},
                "mod_disco": {},
                "mod_http_api": {},
                "mod_last": sql,
                "mod_mam": {**sql, "default": "always"},
                "mod_offline": sql,
                "mod_ping": {},
                "mod_privacy": sql,
                "mod_private": sql,
                "mod_pubsub": {**sql, "plugins": ["pep"]},
                "mod_roster": sql,
                "mod_vcard": sql,
            },
        }

    def command(self) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        script = Path(str(shutil.which("ejabberdctl"))).read_text()
        libraries = re.search(r"^ERL_LIBS='(.+)'$", script, re.MULTILINE)
        resolver = self.directory / "inetrc"
        resolver.write_text(_RESOLVER)
        environment = {
            "EJABBERD_CONFIG_PATH": str(self.config_file),
            "EJABBERD_LOG_PATH": str(self.directory / "ejabberd.log"),
            "ERL_CRASH_DUMP_BYTES": "0",
            "ERL_INETRC": str(resolver),
            "HOME": str(self.directory),
        }
        if libraries:
            environment["ERL_LIBS"] = libraries[1]
        mnesia = f'"{self.directory}/mnesia"'
        program = str(shutil.which("erl"))
        return [program, "-noinput", "-mnesia", "dir", mnesia, "-s", "ejabberd"], environment

    def register(self, localpart: str, host: str, password: str) -> None:
        self.call("register", user=localpart, host=host, password=password)

    def export(self) -> Path:
        """All accounts in the form of XEP-0227, as it writes that itself."""
        directory = self.directory / "exported"
        directory.mkdir()
        self.call("export_piefxis", dir=str(directory))
        return directory

    def call(self, command: str, **arguments: Any) -> None:
        """Give an administrator's command."""
        connection = HTTPConnection(LOCALHOST, self._http_port, timeout=DEADLINE)
        with closing(connection):
            connection.request("POST", f"/api/{command}", json.dumps(arguments))
            answer = connection.getresponse()
            assert answer.status == HTTPStatus.OK, answer.read()
