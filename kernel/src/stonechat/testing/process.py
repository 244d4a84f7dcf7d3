"""The server as a process of its own: for tests over real sockets, and of what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

LOCALHOST = "127.0.0.1"

# Of accounts whose password does not matter.
PASSWORD = "Wherefore art thou?"

# For a machine that is busy with other things.
START_SECONDS = 30.0
STOP_SECONDS = 20.0

# How much of the log is shown where a test fails.
_SHOWN = 4000


class ServerProcess:
    """`stonechat serve` in a directory of its own.

    `configuration` is a document or the text of one. A document may leave out `data_dir`,
    `listen`, which is then one port for clients without TLS, and the numbers of ports. What
    it leaves out of `auth_options`, `log` and `watchdog` is set as tests want it: logins
    that cost little, a log in JSON, and no warnings because the machine is busy.
    """

    def __init__(self, directory: Path, configuration: Mapping[str, Any] | str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.config_file = directory / "stonechat.yml"
        self.log_file = directory / "stonechat.log"
        self.ports: list[int] = []
        self._process: subprocess.Popen[str] | None = None
        self._output: list[str] = []
        self._is_ready = threading.Event()
        self.configure(configuration)

    def configure(self, configuration: Mapping[str, Any] | str) -> None:
        """Write another configuration; it holds from the next start or reload on."""
        if isinstance(configuration, str):
            self.config_file.write_text(configuration)
            return
        document = dict(configuration)
        if "listen" not in document:
            document["listen"] = [{"type": "c2s", "starttls": "off"}]
            document.setdefault("allow_plain_without_tls", True)
        listeners = [dict(listener) for listener in document["listen"]]
        for number, listener in enumerate(listeners):
            listener.setdefault("address", LOCALHOST)
            if not listener.get("port"):
                # The same ones after a change: clients come back to them.
                known = self.ports[number] if number < len(self.ports) else free_port()
                listener["port"] = known
        self.ports = [listener["port"] for listener in listeners]
        document["listen"] = listeners
        document.setdefault("data_dir", "data")
        document.setdefault("log", {"format": "json"})
        document.setdefault("watchdog", {"block_warning": "10 s"})
        sections = [document, *filter(None, document.get("hosts", {}).values())]
        if not any("auth" in section for section in sections):
            # Every login costs a client so much, and some compute it in Python.
            document.setdefault("auth_options", {"internal": {"iterations": 4096}})
        # JSON is YAML.
        self.config_file.write_text(json.dumps(document, indent=2, default=str))

    @property
    def port(self) -> int:
        """The first port that is listened on."""
        return self.ports[0]

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What it has logged since its first start."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    @property
    def records(self) -> list[dict[str, Any]]:
        """What it has logged since its first start, one after the other, from a log in JSON.

        What is no record, as a traceback on standard error, counts as an error.
        """
        return [_record(line) for line in self.log.splitlines()]

    @property
    def faults(self) -> list[dict[str, Any]]:
        """The records that are warnings or worse."""
        return [record for record in self.records if record["level"] not in ("debug", "info")]

    # Coming and going

    def start(self, timeout: float = START_SECONDS) -> None:
        """Start, and wait until it is ready; AssertionError with its log if that fails."""
        assert not self.is_running, "the server runs already"
        self._is_ready = threading.Event()
        with self.log_file.open("a") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "stonechat.cli",
                    "serve",
                    "--config",
                    self.config_file.name,
                ],
                cwd=self.directory,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        # Nobody may stop reading, or the server would have to wait for us.
        reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        reader.start()
        deadline = time.monotonic() + timeout
        while not self._is_ready.wait(0.02):
            if self._process.poll() is not None:
                # It may have been ready for a moment.
                reader.join()
                if self._is_ready.is_set():
                    return
                raise AssertionError(f"the server ended at its start.{self.story()}")
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the server was not ready in {timeout} s.{self.story()}")

    def stop(self, timeout: float = STOP_SECONDS) -> int:
        """Ask it to stop, by SIGTERM, and wait; returns its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """End it at once, as by `kill -9`."""
        if self.is_running:
            self.signal(signal.SIGKILL)
            self.wait()

    def restart(self) -> None:
        """Stop in order and start again on the same data."""
        self.stop()
        self.start()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Wait for its end; returns its exit status, AssertionError if it goes on."""
        assert self._process is not None, "the server was not started"
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server did not end in {timeout} s.{self.story()}") from None

    # Talking to it

    def command(
        self, *arguments: str, stdin: str = "", timeout: float = START_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run `stonechat ...` on this server; returns what it answered, errors too."""
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "stonechat.cli",
                *arguments,
                "--config",
                str(self.config_file),
            ],
            cwd=self.directory,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def run(self, *arguments: str, stdin: str = "", timeout: float = START_SECONDS) -> str:
        """The same where it has to succeed; returns what it printed."""
        done = self.command(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode:
            said = f"status {done.returncode}: {done.stdout}{done.stderr}"
            raise AssertionError(f"stonechat {' '.join(arguments)}: {said}{self.story()}")
        return done.stdout

    def register(self, *accounts: str, password: str = PASSWORD) -> None:
        """Make accounts."""
        for account in accounts:
            self.run("register", account, "--password-stdin", stdin=f"{password}\n")

    def connect(self, port: int = 0, timeout: float = 5.0) -> socket.socket:
        """A plain connection to one of its ports, by default the first."""
        return socket.create_connection((LOCALHOST, port or self.port), timeout)

    @property
    def output(self) -> str:
        """What it has written to standard output."""
        return "".join(self._output)

    def story(self) -> str:
        """Its state and the end of its log, for the message of a test that fails."""
        state = "running"
        if self._process is None:
            state = "never started"
        elif self._process.poll() is not None:
            state = f"ended with status {self._process.returncode}"
        return f"\nstonechat in {self.directory}: {state}\n{self.output}{self.log[-_SHOWN:]}"

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._output.append(line)
                if line.strip() == "ready":
                    self._is_ready.set()


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    return record if isinstance(record, dict) else {"level": "error", "event": line}


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.create_server((LOCALHOST, 0)) as listener:
        return int(listener.getsockname()[1])
