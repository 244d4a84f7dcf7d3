"""The tutorial and the guides, done as they say: their commands are taken from the pages."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stonechat.core.config_reader import read
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


CAST = ("admin", "juliet", "romeo", "nurse", "tybalt")


@pytest.mark.parametrize(
    ("page", "online"),
    [
        ("serve-phones", "juliet"),
        ("keep-strangers-out", "tybalt"),
        ("shared-contacts", "romeo"),
        ("administer-from-a-client", "romeo"),
        ("calls", "juliet"),
        ("message-retention", "juliet"),
    ],
)
def test_the_configurations_and_commands_of_a_guide_work(page: str, online: str, tmp_path: Path):
    """Each configuration takes up what those before it say, and comes into force by a reload."""
    server: ServerProcess | None = None
    document: dict[str, Any] = {"hosts": {"example.org": {}}}
    given = []
    try:
        for language, text in written(f"how-to/{page}.md"):
            if language == "yaml":
                taken_up(document, read(text, page).data)
                if server is None:
                    server = begun(tmp_path, document, page)
                    session = Stream(server.port)
                    session.log_in(online)
                else:
                    server.configure(document)
                    stonechat(tmp_path, "stonechat reload")
            elif language == "console":
                for line in typed(text):
                    if line.startswith("stonechat "):
                        secret = "--password-stdin" if is_about_a_password(line) else ""
                        stonechat(tmp_path, f"{line} {secret}", f"{PASSWORD}\n")
                        given.append(line)
                    elif line.startswith("openssl "):
                        subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
        assert server is not None
        assert server.is_running
        assert given
        shown = stonechat(tmp_path, "stonechat status --json")
        assert json.loads(shown)["state"] == "running"
    finally:
        if server is not None:
            server.kill()


def written(page: str) -> Iterator[tuple[str, str]]:
    """Every block of a page with its language, indented as it stands there."""
    yield from _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


def taken_up(document: dict[str, Any], more: dict[str, Any]) -> None:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(document.get(name), dict):
            taken_up(document[name], value)
        else:
            document[name] = value


def begun(directory: Path, document: dict[str, Any], page: str) -> ServerProcess:
    """A server with the accounts that the page does not make itself."""
    server = ServerProcess(directory, document)
    server.start()
    text = (DOCS / f"how-to/{page}.md").read_text(encoding="utf-8")
    for name in CAST:
        line = f"stonechat register {name}@example.org"
        if f"$ {line}\n" not in text:
            stonechat(directory, f"{line} --password-stdin", PASSWORD)
    return server


def is_about_a_password(line: str) -> bool:
    return line.split()[1] in ("register", "change-password")


def test_everybody_has_the_contacts_that_the_guide_promises(tmp_path: Path):
    (configuration, *_) = (
        text for kind, text in written("how-to/shared-contacts.md") if kind == "yaml"
    )
    document: dict[str, Any] = {"hosts": {"example.org": {}}}
    taken_up(document, read(configuration, "shared-contacts").data)
    server = begun(tmp_path, document, "shared-contacts")
    try:
        everybody, departments, display = (
            [line for line in typed(text) if "shared-group-" in line]
            for kind, text in written("how-to/shared-contacts.md")
            if kind == "console" and re.search("-create|-display", text)
        )
        for line in everybody:
            stonechat(tmp_path, line)
        others = {f"{name}@example.org" for name in CAST} - {"romeo@example.org"}
        assert groups(tmp_path, "romeo") == {jid: ["Verona Ltd."] for jid in others}
        stonechat(tmp_path, "stonechat shared-group-delete everybody")
        for line in departments:
            stonechat(tmp_path, line)
        assert groups(tmp_path, "romeo") == {}
        assert groups(tmp_path, "nurse") == {
            "romeo@example.org": ["Sales"],
            "juliet@example.org": ["Kitchen"],
        }
        for line in display:
            stonechat(tmp_path, line)
        assert groups(tmp_path, "romeo") == {"nurse@example.org": ["Management"]}
    finally:
        server.kill()


def groups(directory: Path, account: str) -> dict[str, list[str]]:
    """The contacts of an account, and the groups that each is in."""
    shown = stonechat(directory, f"stonechat roster-list {account}@example.org --json")
    return {row["jid"]: row["groups"] for row in json.loads(shown)}


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

    def log_in(self, localpart: str) -> None:
        """Without encryption, and with the password that everybody has here."""
        self.say(STREAM, "</stream:features>")
        response = b64encode(f"\0{localpart}\0{PASSWORD}".encode()).decode()
        sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
        self.say(f"<auth xmlns='{sasl}' mechanism='PLAIN'>{response}</auth>", "<success")
        self.say(STREAM, "</stream:features>")
        bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
        self.say(f"<iq type='set' id='balcony'>{bind}</iq>", "</iq>")

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
