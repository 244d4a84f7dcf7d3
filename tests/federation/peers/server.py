"""What Prosody and ejabberd have in common: a process in a directory of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from peers import DEADLINE
from peers.stage import Credential, Stage, free_port
from stonechat.testing import until

# How much of its log is shown where a test fails.
_SHOWN = 4000


class PeerServer(ABC):
    """A server that somebody else wrote, with a host for each credential and `romeo` on all.

    The main host is that with a good certificate; the others are subdomains of it.
    """

    name: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]
    """What has to be installed."""
    credentials: ClassVar[tuple[Credential, ...]] = (
        "good",
        "expired",
        "stranger",
        "selfsigned",
        "clear",
    )
    extra_hosts: ClassVar[tuple[str, ...]] = ()
    """More subdomains with a good certificate."""
    rooms: ClassVar[str] = "conference"
    """The subdomain of the service for many users."""

    def __init__(self, stage: Stage, domain: str) -> None:
        self.stage = stage
        self.domain = domain
        self.directory = stage.directory / domain
        self.directory.mkdir()
        self.address = stage.address()
        self.port = free_port(self.address)
        """For clients, without TLS."""
        self.s2s_port = free_port(self.address)
        self.log_file = self.directory / "server.log"
        self.certificates = {
            self.host(credential): stage.certificate(self.host(credential), credential)
            for credential in self.credentials
            if credential != "clear"
        }
        for extra in (*self.extra_hosts, self.rooms):
            host = f"{extra}.{domain}"
            self.certificates[host] = stage.certificate(host, "good")
        for host in (*self.certificates, self.host("clear")):
            stage.serve(host, self.address, self.s2s_port)
        self._process: subprocess.Popen[bytes] | None = None

    def host(self, credential: Credential) -> str:
        return self.domain if credential == "good" else f"{credential}.{self.domain}"

    @property
    def hosts(self) -> list[str]:
        """Those with users."""
        hosts = [host for host in self.certificates if not host.startswith(f"{self.rooms}.")]
        return [*hosts, self.host("clear")]

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def story(self) -> str:
        """The end of its log, for the message of a test that fails."""
        return f"\n{self.name} in {self.directory}:\n{self.log[-_SHOWN:]}"

    # Coming and going

    @abstractmethod
    def command(self) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        """How to start it: the arguments, and what the environment has to say beside."""

    def start(self) -> None:
        """Start for the first time."""
        self.start_again()

    def start_again(self) -> None:
        """Start, and wait until it takes connections."""
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
        until(self._answers, f"port of {self.name}", DEADLINE)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} ended at its start.{self.story()}"
        return all(self._takes(port) for port in (self.port, self.s2s_port))

    def _takes(self, port: int) -> bool:
        try:
            socket.create_connection((self.address, port), DEADLINE).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Let it end in order."""
        self.signal(signal.SIGTERM)
        self._wait()

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGKILL)
            self._wait()

    def suspend(self) -> None:
        """Let it hang: the system still takes connections for it, and nobody answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(DEADLINE)
