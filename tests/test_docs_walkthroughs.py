"""The tutorial and the guides, done as they say: their commands are taken from the pages."""

from __future__ import annotations

import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stonechat.testing import ServerProcess
from stonechat.testing.process import LOCALHOST, free_port

DOCS = Path(__file__).parents[1] / "docs"

SECONDS = 60
PASSWORD = "Wherefore art thou?"

_BLOCK = re.compile(r"^ *```(?:\{code-block\} )?(\w+)\n(.*?)^ *```$", re.M | re.S)


def blocks(page: str) -> list[tuple[str, str]]:
    """Every block of a page, in order: its language, and its text without indentation."""
    found = _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    return [(language, re.sub(r"^ +(?=\S)", "", text, flags=re.M)) for language, text in found]


def typed(text: str) -> Iterator[str]:
    """The commands of a block of type console."""
    for line in text.replace("\\\n", " ").splitlines():
        yield line.removeprefix("$ ")


def stonechat(directory: Path, line: str, stdin: str = "") -> str:
    """Carry out `stonechat ...` as it stands on a page; returns what it printed."""
    words = shlex.split(line)
    assert words[0] == "stonechat"
    done = subprocess.run(
        [sys.executable, "-m", "stonechat.cli", *words[1:]],
        cwd=directory,
        input=stdin,
        env={**os.environ, "STONECHAT_CONFIG": str(directory / "stonechat.yml")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def first_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """What `scripts/server` starts, on ports that are free."""
    stonechat(tmp_path, "stonechat init --host localhost")
    text = (tmp_path / "stonechat.yml").read_text(encoding="utf-8")
    for port in ("5222", "5223"):
        assert f"port: {port}," in text
        text = text.replace(f"port: {port},", f"port: {free_port()},")
    server = ServerProcess(tmp_path, text)
    server.start()
    yield server
    server.kill()


def test_the_tutorial_works(first_server: ServerProcess, needs: Callable[..., None]):
    needs("go-sendxmpp")
    directory = first_server.directory
    output = ""
    carried_out = []
    for language, text in blocks("tutorial/index.md"):
        if language == "text":
            if carried_out and not text.startswith("/"):  # else what the people type
                assert output == text
            continue
        for line in typed(text):
            if not line.startswith("stonechat "):
                continue  # the environment, which is here already
            if "offline-count" in line:
                send_as_juliet(first_server, "romeo@localhost", "Good night, good night!")
            if "--dry-run" in line:
                take_away_the_mark(first_server.config_file, "echo: {}")
            is_new = line.startswith("stonechat register ")
            output = stonechat(
                directory,
                f"{line} --password-stdin" if is_new else line,
                f"{PASSWORD}\n" if is_new else "",
            )
            carried_out.append(line)
    assert carried_out[-1] == "stonechat stop"
    assert first_server.wait() == 0


def take_away_the_mark(file: Path, line: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert f"# {line}" in text
    file.write_text(text.replace(f"# {line}", line), encoding="utf-8")


def send_as_juliet(server: ServerProcess, to: str, body: str) -> None:
    port = re.findall(r"port: (\d+)", server.config_file.read_text(encoding="utf-8"))[0]
    address = f"{LOCALHOST}:{port}"
    subprocess.run(
        [
            *("go-sendxmpp", "-u", "juliet@localhost", "-p", PASSWORD),
            *("-j", address, "--no-tls-verify", to),
        ],
        input=body,
        text=True,
        timeout=SECONDS,
        check=True,
    )


def test_a_backup_is_restored_as_the_guide_says(first_server: ServerProcess):
    directory = first_server.directory
    register = "stonechat register juliet@localhost --password-stdin"
    stonechat(directory, register, PASSWORD)
    lines = [
        line for kind, text in blocks("how-to/back-up-and-restore.md") for line in typed(text)
    ]
    copy = directory / "monday.db"
    data = directory / "data"
    for line in (line.replace("/var/backups/stonechat-monday.db", str(copy)) for line in lines):
        program, *words = shlex.split(line)
        if program == "stonechat":
            stonechat(directory, line)
        elif program in ("mv", "rm", "install"):
            # As one user, there is no other to give the file to.
            own = line.replace("-o stonechat -g stonechat ", "")
            subprocess.run(shlex.split(own), cwd=data, timeout=SECONDS, check=True)
        elif program == "systemctl":
            assert words == ["start", "stonechat"]
            first_server.start()
            break
        else:
            assert line == "cd /var/lib/stonechat"
        if "db backup" in line:
            # What comes after the copy is not in it.
            stonechat(directory, "stonechat unregister juliet@localhost")
    assert "juliet@localhost" in stonechat(directory, "stonechat registered-users")


STREAM = (
    "<stream:stream to='example.org' version='1.0' xmlns='jabber:client'"
    " xmlns:stream='http://etherx.jabber.org/streams'>"
)


class Stream:
    """As much of a client as the login takes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOCALHOST, port), SECONDS)

    def say(self, text: str, until: str) -> str:
        self.socket.sendall(text.encode())
        answer = ""
        while until not in answer:
            data = self.socket.recv(4096)
            assert data, answer
            answer += data.decode()
        return answer

    def start_tls(self, certificate: Path | None, key: Path | None) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        self.say(STREAM, "</stream:features>")
        self.say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<proceed")
        self.socket = context.wrap_socket(self.socket)


def openssl(directory: Path, line: str) -> None:
    subprocess.run(
        shlex.split(line), cwd=directory, capture_output=True, timeout=SECONDS, check=True
    )


def test_a_certificate_made_as_the_guide_says_logs_in(tmp_path: Path, needs: Callable[..., None]):
    needs("openssl")
    page = blocks("how-to/client-certificates.md")
    certs = tmp_path / "certs"
    certs.mkdir()
    curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    for name, title in (("clients-ca", "Clients"), ("example.org", "example.org")):
        openssl(
            certs,
            f"openssl req -x509 {curve} -keyout {name}.key -out {name}.pem -subj /CN={title}",
        )
    (extensions,) = (text for language, text in page if language == "ini")
    (certs / "juliet.cnf").write_text(extensions.partition("\n\n")[2], encoding="utf-8")
    for language, text in page:
        if language == "console":
            for line in typed(text):
                openssl(certs, line)
    (configuration,) = (text for language, text in _unchanged("how-to/client-certificates.md"))
    port = free_port()
    server = ServerProcess(tmp_path, configuration.replace("port: 5222", f"port: {port}"))
    server.start()
    try:
        stonechat(tmp_path, "stonechat register juliet@example.org --password-stdin", PASSWORD)
        shown = Stream(port)
        shown.start_tls(certs / "juliet.pem", certs / "juliet.key")
        assert "EXTERNAL" in shown.say(STREAM, "</stream:features>")
        auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
        assert "<success" in shown.say(auth, ">")
        without = Stream(port)
        without.start_tls(None, None)
        assert "EXTERNAL" not in without.say(STREAM, "</stream:features>")
    finally:
        server.kill()


def _unchanged(page: str) -> Iterator[tuple[str, str]]:
    """Blocks of configuration, in which indentation matters."""
    for language, text in _BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if language == "yaml":
            yield language, text
