"""The application, started and stopped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stonechat.testing import until

APPLICATION = Path(__file__).with_name("application.py")


class ApplicationProcess:
    """`url` is where it answers."""

    def __init__(self, directory, certificate=(), **accounts):
        self._port_file = directory / "port"
        self._certificate = [str(file) for file in certificate]
        self._accounts = accounts
        self._process = None
        self.port = 0
        self.start()

    @property
    def url(self):
        scheme, name = ("https", "localhost") if self._certificate else ("http", "127.0.0.1")
        return f"{scheme}://{name}:{self.port}/xmpp"

    def start(self):
        """On the same port, where it was started before."""
        self._port_file.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, APPLICATION, self._port_file, *self._certificate],
            env={**os.environ, "PORT": str(self.port), "ACCOUNTS": json.dumps(self._accounts)},
        )
        until(self._port_file.exists, "application")
        self.port = int(self._port_file.read_text())

    def stop(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture
def application(tmp_path):
    processes = []

    def start(certificate=(), **accounts):
        processes.append(ApplicationProcess(tmp_path, certificate, **accounts))
        return processes[-1]

    yield start
    for process in processes:
        process.stop()


@pytest.fixture(scope="module")
def shared_application(tmp_path_factory):
    """One for many tests: processes are slow to start. It has no accounts at first."""
    process = ApplicationProcess(tmp_path_factory.mktemp("application"))
    yield process
    process.stop()


@pytest.fixture
def secret_file(tmp_path):
    file = tmp_path / "secret"
    file.write_text("a secret between the two\n")
    return file
