"""What users get by pip: the wheels install into an empty environment and serve.

Takes the dependencies from the ordinary index, as a user's pip would.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]

# Bounds on a hang, not expectations.
PIP_SECONDS = 600
START_SECONDS = 60
ANSWER_SECONDS = 15

CONFIGURATION = """\
data_dir: ./data
hosts:
  capulet.example:
    certificate: {{chain: certificate.pem, key: key.pem}}
listen:
  - {{type: c2s, port: {port}, address: "127.0.0.1", starttls: required}}
auth: [internal]
plugins:
  ping: {{}}
"""

STREAM_HEADER = (
    b"<?xml version='1.0'?><stream:stream to='capulet.example' version='1.0' "
    b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)


def run(*command: str | Path, cwd: Path) -> None:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=PIP_SECONDS, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every distribution of the repository as a wheel, built from a clean copy.

    A copy, because setuptools would pick up what an earlier build left in `build/`.
    """
    sources = tmp_path_factory.mktemp("sources")
    left_over = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__", "tests")
    for part in ("kernel", "plugins", "auth_backends"):
        shutil.copytree(ROOT / part, sources / part, ignore=left_over)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources / name)
    distributions = sorted(path.parent for path in sources.rglob("setup.cfg"))
    target = tmp_path_factory.mktemp("wheels")
    pip = (sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps")
    run(*pip, "--wheel-dir", target, *distributions, cwd=sources)
    assert len(list(target.glob("*-py3-none-any.whl"))) == len(distributions)
    return target


def test_every_wheel_holds_the_licence(wheels: Path):
    for wheel in wheels.glob("*.whl"):
        with ZipFile(wheel) as archive:
            assert any(name.endswith("licenses/LICENSE") for name in archive.namelist()), wheel


@pytest.fixture(scope="module")
def environment(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the kernel, one plugin and one auth backend, by wheels."""
    directory = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(directory, with_pip=True)
    wanted = [
        next(wheels.glob(f"{name}-[0-9]*.whl"))
        for name in ("stonechat", "stonechat_auth_internal", "stonechat_ping")
    ]
    run(directory / "bin/python", "-m", "pip", "install", *wanted, cwd=wheels)
    return directory


@pytest.fixture
def configuration(tmp_path: Path) -> tuple[Path, int]:
    """A small configuration for capulet.example, and the port it names."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    run(
        *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=capulet.example"),
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-addext", "subjectAltName=DNS:capulet.example"),
        *("-keyout", "key.pem", "-out", "certificate.pem"),
        cwd=tmp_path,
    )
    file = tmp_path / "stonechat.yml"
    file.write_text(CONFIGURATION.format(port=port), encoding="utf-8")
    return file, port


@pytest.fixture
def process(environment: Path, configuration: tuple[Path, int]) -> Iterator[subprocess.Popen[str]]:
    """`stonechat serve` from the environment, ready; nothing of the checkout in reach."""
    file, _ = configuration
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    server = subprocess.Popen(
        [environment / "bin/stonechat", "serve", "--config", file],
        cwd=file.parent,
        env=clean,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until_ready(server)
        yield server
    finally:
        server.kill()
        server.communicate()


def wait_until_ready(server: subprocess.Popen[str]) -> None:
    assert server.stdout is not None
    output, deadline = "", monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(server.stdout, selectors.EVENT_READ)
        while not re.search(r"\bready\b", output):
            assert selector.select(deadline - monotonic()), f"The server is not ready:\n{output}"
            piece = os.read(server.stdout.fileno(), 4096).decode(errors="replace")
            assert piece, f"The server ended with {server.wait()}:\n{output}"
            output += piece


def features(port: int) -> bytes:
    """What the server answers to a stream header, up to the end of its features."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS) as stream:
        stream.sendall(STREAM_HEADER)
        while b"</stream:features>" not in answer:
            piece = stream.recv(4096)
            assert piece, f"The stream ended after {answer!r}"
            answer += piece
    return answer


def test_a_server_installed_from_wheels_answers_and_stops_cleanly(
    process: subprocess.Popen[str], configuration: tuple[Path, int]
) -> None:
    answer = features(configuration[1])
    assert b"<stream:stream " in answer
    assert b"capulet.example" in answer
    assert b"urn:ietf:params:xml:ns:xmpp-tls" in answer
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=ANSWER_SECONDS)
    assert process.returncode == 0
