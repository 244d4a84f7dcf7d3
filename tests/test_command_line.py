"""The `stonechat` command against a server that really runs: what an operator's script sees."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

# For what has to happen at all; nothing here is measured.
DEADLINE = 30

CONFIGURATION = """\
hosts:
  capulet.example: {}
  montague.example: {}
listen:
  - {type: c2s, port: 0, address: 127.0.0.1, starttls: "off"}
allow_plain_without_tls: true
auth_options: {internal: {iterations: 4096}}
plugins:
  ping: {}
log: {level: info, format: json}
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "stonechat.cli", *arguments]


def run(*arguments: str, stdin: str = "", directory: Path | None = None):
    """One call of `stonechat` from a script: no terminal anywhere."""
    return subprocess.run(
        command(*arguments),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        cwd=directory,
        check=False,
    )


class Node:
    """A server in a directory of its own, as an operator would run it."""

    def __init__(self, directory: Path, text: str = CONFIGURATION) -> None:
        self.directory = directory
        self.file = directory / "stonechat.yml"
        self.file.write_text(text)
        self.log = directory / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command("serve", "--config", str(self.file)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()

    def stonechat(self, *arguments: str, stdin: str = ""):
        return run(*arguments, "--config", str(self.file), stdin=stdin)

    def ask(self, *arguments: str, stdin: str = ""):
        """The result of a command that is carried out."""
        done = self.stonechat(*arguments, "--json", stdin=stdin)
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    @property
    def port(self) -> int:
        return self.ask("status")["listeners"][0]["port"]

    def records(self, event: str) -> list[dict]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Client:
    """A client that logs in with PLAIN and binds a resource."""

    def __init__(self, port: int, localpart: str, domain: str, password: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.header = (
            f"<stream:stream to='{domain}' version='1.0' xmlns='jabber:client'"
            " xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        self.exchange(self.header, "</stream:features>")
        word = b64encode(f"\0{localpart}\0{password}".encode()).decode()
        answer = self.exchange(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + word + "</auth>",
            ">",
        )
        self.is_let_in = answer.startswith("<success")
        if self.is_let_in:
            self.exchange(self.header, "</stream:features>")
            self.exchange(
                "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                "<resource>balcony</resource></bind></iq>",
                "</iq>",
            )

    def exchange(self, data: str, end: str) -> str:
        self.socket.sendall(data.encode())
        answer = ""
        while end not in answer:
            piece = self.socket.recv(65536).decode()
            assert piece, f"the stream ended after {answer!r}"
            answer += piece
        return answer

    def answers(self) -> bool:
        ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
        return "type='result'" in self.exchange(ping, ">").replace('"', "'")

    def rest(self) -> str:
        """Everything until the server closes."""
        answer = b""
        while piece := self.socket.recv(65536):
            answer += piece
        self.socket.close()
        return answer.decode()


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """One server for all tests that leave it as it was."""
    node = Node(tmp_path_factory.mktemp("node"))
    node.ask("register", "juliet@capulet.example", "--password-stdin", stdin="wherefore\n")
    yield node
    node.end()


@pytest.fixture
def fresh_node(tmp_path):
    node = Node(tmp_path)
    yield node
    node.end()


# Starting and looking


def test_says_ready_on_a_line_of_its_own(node):
    assert node.first_line == "ready\n"


def test_status_tells_hosts_plugins_and_listeners(node):
    status = node.ask("status")
    assert status["state"] == "running"
    assert [host["host"] for host in status["hosts"]] == ["capulet.example", "montague.example"]
    assert status["hosts"][0]["plugins"] == ["ping"]
    assert status["hosts"][0]["accounts"] == 1
    assert status["memory_bytes"] > 1_000_000
    assert status["listeners"][0]["port"] > 0


def test_text_for_people_is_plain_where_there_is_no_terminal(node):
    text = node.stonechat("status").stdout
    assert re.search(r"^state +running$", text, re.MULTILINE)
    assert re.search(r"^capulet\.example +\d+ +1 +ping$", text, re.MULTILINE)
    assert "\x1b" not in text


def test_metrics_are_printed_as_they_are(node):
    lines = node.stonechat("metrics").stdout.splitlines()
    assert lines[-1] == "# EOF"
    assert 'stonechat_sessions{host="montague.example"} 0' in lines


def test_the_socket_is_for_its_owner_alone(node):
    path = node.directory / "data" / "stonechat.sock"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_second_server_on_the_same_data_is_refused(node):
    done = node.stonechat("serve")
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"in use by process {node.process.pid}" in done.stderr


# Accounts and sessions


def test_an_account_is_made_used_and_removed(node):
    name = "romeo@montague.example"
    assert node.ask("register", name, "--password-stdin", stdin="neapolitan\n")
    assert node.ask("registered-users", "montague.example") == [name]
    assert Client(node.port, "romeo", "montague.example", "neapolitan").is_let_in
    assert node.ask("change-password", name, "--password-stdin", stdin="veronese\n")
    assert not Client(node.port, "romeo", "montague.example", "neapolitan").is_let_in
    assert Client(node.port, "romeo", "montague.example", "veronese").is_let_in
    assert node.ask("unregister", name)
    assert node.ask("registered-users", "montague.example") == []


def test_a_name_that_is_taken_is_refused(node):
    done = node.stonechat(
        "register", "juliet@capulet.example", "--password-stdin", stdin="again1234\n"
    )
    assert done.returncode == 1
    assert "juliet@capulet.example" in done.stderr
    assert done.stdout == ""


def test_errors_come_in_json_too(node):
    done = node.stonechat("kick", "nurse@capulet.example", "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert error == {"kind": "command", "text": "nurse@capulet.example is not connected"}


def test_who_is_connected_is_listed_and_can_be_kicked(node):
    juliet = Client(node.port, "juliet", "capulet.example", "wherefore")
    (row,) = node.ask("connected-users", "capulet.example")
    assert row["jid"] == "juliet@capulet.example/balcony"
    assert row["address"] == "127.0.0.1"
    assert row["secure"] is False
    assert row["priority"] is None
    assert node.ask("connected-users", "--host", "montague.example") == []
    assert node.ask("kick", "juliet@capulet.example", "Too loud") == 1
    farewell = juliet.rest()
    assert "<policy-violation" in farewell
    assert "Too loud" in farewell
    assert node.ask("connected-users") == []


# Plugins


def test_a_plugin_is_switched_on_and_off_while_the_server_runs(node):
    result = node.ask("plugin", "enable", "version", "capulet.example", '{"show_os": true}')
    assert result["hosts"] == ["capulet.example"]
    assert "configuration file is not changed" in result["note"]
    rows = node.ask("plugin", "list", "capulet.example")
    assert {row["plugin"]: row["state"] for row in rows}["version"] == "running"
    assert node.ask("plugin", "reload", "version", "capulet.example")["hosts"]
    hooks = {row["hook"] for row in node.ask("plugin", "top") if row["plugin"] == "version"}
    assert "iq_handlers" in hooks
    assert node.ask("plugin", "disable", "version")["hosts"] == ["capulet.example"]
    rows = node.ask("plugin", "list", "capulet.example")
    assert {row["plugin"]: row["state"] for row in rows}["version"] == "off"


def test_options_that_are_wrong_are_told_with_their_place(node):
    done = node.stonechat("plugin", "enable", "version", "--options", '{"show_oss": true}')
    assert done.returncode == 1
    assert done.stderr == ('options:1:2: show_oss: is unknown here; did you mean "show_os"?\n')


# Reload


def test_a_good_reload_is_told_and_drops_nobody(fresh_node):
    node = fresh_node
    node.ask("register", "juliet@capulet.example", "--password-stdin", stdin="wherefore\n")
    juliet = Client(node.port, "juliet", "capulet.example", "wherefore")
    node.file.write_text(CONFIGURATION + "limits: {max_hops: 10}\n")
    assert node.ask("reload", "--dry-run") == ["limits: max_hops 20 -> 10"]
    assert node.ask("reload") == ["limits: max_hops 20 -> 10"]
    assert node.ask("reload") == ["nothing has changed"]
    assert juliet.answers()


def test_a_reload_with_a_broken_file_leaves_all_as_it_was(fresh_node):
    node = fresh_node
    node.ask("register", "juliet@capulet.example", "--password-stdin", stdin="wherefore\n")
    before = node.ask("status")
    juliet = Client(node.port, "juliet", "capulet.example", "wherefore")
    node.file.write_text(CONFIGURATION.replace("ping: {}", "ping: {intervall: 5 min}\n  muk: {}"))
    done = node.stonechat("reload")
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith(f"{node.file}:9:10: plugins.ping.intervall: is unknown here")
    assert second.startswith(f"{node.file}:10:3: plugins.muk: ")
    (record,) = node.records("reload refused")
    assert record["problems"].splitlines() == [first, second]
    after = node.ask("status")
    assert after["hosts"][0]["plugins"] == before["hosts"][0]["plugins"]
    assert after["listeners"] == before["listeners"]
    assert juliet.answers()


def test_a_file_that_is_no_yaml_at_all_keeps_the_server_within_reach(fresh_node):
    node = fresh_node
    node.file.write_text("hosts: {capulet.example: {}\nlisten: [")
    assert node.stonechat("reload").returncode == 1
    assert node.ask("status")["state"] == "running"


def test_sighup_reloads_and_systemd_is_told(tmp_path, monkeypatch):
    address = f"stonechat-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0{address}")
        systemd.settimeout(DEADLINE)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{address}")
        node = Node(tmp_path)
        try:
            assert systemd.recv(1024) == b"READY=1"
            node.file.write_text(CONFIGURATION.replace("ping: {}", "ping: {}\n  version: {}"))
            node.process.send_signal(signal.SIGHUP)
            assert systemd.recv(1024).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert systemd.recv(1024) == b"READY=1"
            assert node.ask("status")["hosts"][0]["plugins"] == ["ping", "version"]
        finally:
            node.end()


# Stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_stops_in_order(fresh_node, number):
    node = fresh_node
    node.ask("register", "juliet@capulet.example", "--password-stdin", stdin="wherefore\n")
    juliet = Client(node.port, "juliet", "capulet.example", "wherefore")
    node.process.send_signal(number)
    assert "<system-shutdown" in juliet.rest()
    assert node.process.wait(DEADLINE) == 0
    assert node.process.stdout.read() == ""
    assert not (node.directory / "data" / "stonechat.sock").exists()


def test_stop_returns_when_the_server_has_gone(fresh_node):
    node = fresh_node
    assert node.stonechat("stop").stdout == "the server has stopped\n"
    again = Node(node.directory)
    try:
        assert again.first_line == "ready\n"
    finally:
        again.end()
    assert node.process.wait(DEADLINE) == 0


def test_what_a_killed_server_left_keeps_no_other_from_starting(fresh_node):
    node = fresh_node
    node.process.kill()
    node.process.wait()
    assert (node.directory / "data" / "stonechat.sock").exists()
    assert node.stonechat("status").returncode == 3
    again = Node(node.directory)
    try:
        assert again.ask("status")["state"] == "running"
    finally:
        again.end()


# Exit status


def test_without_a_server_the_status_is_3(tmp_path):
    (tmp_path / "stonechat.yml").write_text(CONFIGURATION)
    done = run("status", directory=tmp_path)
    assert done.returncode == 3
    assert "no server is running" in done.stderr
    assert json.loads(run("stop", "--json", directory=tmp_path).stdout)["error"]["kind"] == (
        "no-server"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("kick",),
        ("kick", "juliet@capulet.example", "reason", "and", "more"),
        ("kick", "@"),
        ("connected-users", "--limit", "many"),
        ("serve", "--port", "5222"),
        ("register", "romeo@montague.example"),  # no terminal to ask on
        ("plugin", "new", "Not A Name"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_has_the_status_2(node, arguments):
    done = run(*arguments, directory=node.directory)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr


def test_an_unknown_command_is_told_with_the_nearest_right_one(node):
    done = node.stonechat("conected-users")
    assert done.returncode == 2
    assert "did you mean 'connected-users'?" in done.stderr


@pytest.mark.parametrize("text", ["hosts: {}\n", "hosts: {capulet.example: {}}\nlissten: []\n"])
def test_serve_refuses_a_wrong_configuration_and_starts_nothing(tmp_path, text):
    (tmp_path / "stonechat.yml").write_text(text)
    done = run("serve", directory=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert all(line.startswith("stonechat.yml:") for line in done.stderr.splitlines())
    assert os.listdir(tmp_path) == ["stonechat.yml"]


def test_a_port_that_is_taken_stops_the_start(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "stonechat.yml").write_text(CONFIGURATION.replace("port: 0", f"port: {port}"))
        done = run("serve", directory=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert not (tmp_path / "data" / "stonechat.sock").exists()


def test_help_lists_local_and_remote_commands_without_a_server(tmp_path):
    done = run("--help", directory=tmp_path)
    assert done.returncode == 0
    for name in ("serve", "init", "check-config", "status", "kick", "plugin", "db"):
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE)
    assert "Exit status" in done.stdout
    done = run("kick", "--help", directory=tmp_path)
    assert "JID [REASON]" in done.stdout


# From nothing to a login


def test_init_makes_what_serve_needs_and_the_administrator_can_log_in(tmp_path):
    done = run("init", "--host", "verona.example", directory=tmp_path)
    assert done.returncode == 0, done.stderr
    password = re.search(r"^Password: +(\S+)$", done.stdout, re.MULTILINE)[1]
    assert run("check-config", directory=tmp_path).returncode == 0
    file = tmp_path / "stonechat.yml"
    text = file.read_text()
    ports = "listen:\n  - {type: c2s, port: 0, address: 127.0.0.1, starttls: optional}\n"
    text = re.sub(r"^listen:\n(  .*\n)+", ports, text, flags=re.MULTILINE)
    node = Node(tmp_path, text + "allow_plain_without_tls: true\n")
    try:
        status = node.ask("status")
        assert status["state"] == "running"
        assert {"roster", "disco", "ping", "register"} <= set(status["hosts"][0]["plugins"])
        assert status["hosts"][0]["certificate_days"] in (364, 365)
        assert Client(node.port, "admin", "verona.example", password).is_let_in
    finally:
        node.end()


def test_init_overwrites_nothing(tmp_path):
    (tmp_path / "stonechat.yml").write_text("mine\n")
    done = run("init", directory=tmp_path)
    assert done.returncode == 1
    assert "will not be overwritten" in done.stderr
    assert (tmp_path / "stonechat.yml").read_text() == "mine\n"
    assert os.listdir(tmp_path) == ["stonechat.yml"]


# The database


def test_the_database_is_checked_and_copied_with_and_without_a_server(fresh_node):
    node = fresh_node
    copies = [node.directory / name for name in ("running.db", "stopped.db")]
    node.ask("register", "juliet@capulet.example", "--password-stdin", stdin="wherefore\n")
    assert node.ask("db", "check") == node.ask("check-store") == "the database is sound"
    assert node.ask("db", "backup", str(copies[0]))["bytes"] == copies[0].stat().st_size
    assert node.stonechat("backup", str(copies[0])).returncode == 1
    assert node.stonechat("db", "upgrade").returncode == 1  # the server has it
    assert node.stonechat("stop").returncode == 0
    assert node.ask("db", "check") == "the database is sound"
    assert node.ask("db", "upgrade") == "the tables are up to date"
    assert node.ask("db", "backup", str(copies[1]))["bytes"] == copies[1].stat().st_size
    assert all(copy.read_bytes()[:15] == b"SQLite format 3" for copy in copies)
    assert copies[0].stat().st_mode & 0o777 == 0o600


def test_work_on_the_database_of_a_stopped_server_may_take_its_time(tmp_path):
    """The watchdog is for those who wait, and nobody does."""
    impatient = "watchdog: {block_warning: 1 ms, block_abort: 1 ms}\n"
    (tmp_path / "stonechat.yml").write_text(CONFIGURATION + impatient)
    done = run("db", "upgrade", directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
