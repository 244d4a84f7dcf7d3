"""Commands of a server: from their declaration to the words on the command line."""

import io
import json
import threading

import gevent
import pytest

from stonechat.cli.app import run
from stonechat.commands import CommandError, Secret, command
from stonechat.core.command_registry import CommandRegistry
from stonechat.core.control import ControlSocket
from stonechat.core.control_wire import socket_path
from stonechat.core.log import get_logger
from stonechat.jid import JID

DEADLINE = 10


class Kernel:
    """In the place of the server's own commands: repeats what came in."""

    @command("register", "Create an account.")
    def register(self, jid: JID, password: Secret) -> str:
        return f"{jid} with {password.reveal()}"

    @command("kick", "Close sessions.")
    def kick(self, jid: JID, reason: str = "") -> dict:
        return {"jid": jid.text, "reason": reason}

    @command("connected-users", "List sessions.")
    def connected_users(self, host: str = "", limit: int = 10) -> dict:
        return {"host": host, "limit": limit}

    @command("backup", "Copy.")
    def backup(self, path: str) -> str:
        return path

    @command("reload", "Read again.")
    def reload(self, dry_run: bool = False) -> bool:
        return dry_run

    @command("plugin-disable", "Stop a plugin.")
    def disable(self, plugin: str, host: str = "") -> dict:
        raise CommandError(f"{plugin} is required\nby another")

    @command("stop", "Stop.")
    def stop(self) -> str:
        gevent.spawn_later(0.05, self.end)
        return "the server stops"


class Rooms:
    """A plugin's commands, on each of its hosts."""

    def __init__(self, host: str) -> None:
        self.host = host

    @command("destroy-room", "Close a room for good.", example="stonechat destroy-room verona")
    def destroy_room(self, room: str, timeout: int = 5) -> str:
        """Its occupants are told."""
        return f"{room} on {self.host} within {timeout}"


class Node(threading.Thread):
    """The real control socket, in a thread of its own with a hub of its own."""

    def __init__(self, directory) -> None:
        super().__init__(daemon=True)
        self.path = socket_path(directory)
        self.opened = threading.Event()

    def run(self) -> None:
        registry = CommandRegistry()
        kernel = Kernel()
        registry.add_owner(kernel)
        for host in ("capulet.example", "montague.example"):
            registry.add_owner(Rooms(host), host=host, plugin="rooms")
        hub = gevent.get_hub()
        end = gevent.event.Event()
        self._wake = hub.loop.async_()
        self._wake.start(end.set)
        made = ControlSocket(self.path, registry, get_logger())
        kernel.end = made.close
        made.open()
        self.opened.set()
        end.wait()
        made.close()
        hub.destroy()

    def end(self) -> None:
        if self.is_alive():
            self._wake.send()
            self.join(DEADLINE)


@pytest.fixture
def node(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "stonechat.yml").write_text("hosts: {capulet.example: {}}\n")
    monkeypatch.chdir(tmp_path)
    made = Node(tmp_path / "data")
    made.start()
    assert made.opened.wait(DEADLINE)
    yield made
    made.end()


@pytest.fixture
def stonechat(node, capsys):
    """Runs a command line; returns the result, for those that have to succeed."""

    def call(*arguments: str):
        status = run([*arguments, "--json"])
        captured = capsys.readouterr()
        assert status == 0, captured
        return json.loads(captured.out)

    return call


def test_words_fill_the_parameters_in_order(stonechat):
    assert stonechat("kick", "Juliet@capulet.example", "Too loud") == {
        "jid": "juliet@capulet.example",
        "reason": "Too loud",
    }


def test_what_may_be_left_out_can_be_an_option_too(stonechat):
    assert stonechat("connected-users") == {"host": "", "limit": 10}
    assert stonechat("connected-users", "--limit", "3") == {"host": "", "limit": 3}
    assert stonechat("connected-users", "verona", "3") == {"host": "verona", "limit": 3}
    assert stonechat("connected-users", "--host", "verona", "3") == {"host": "verona", "limit": 3}


def test_a_truth_is_a_flag(stonechat):
    assert stonechat("reload") is False
    assert stonechat("reload", "--dry-run") is True


def test_a_path_is_one_from_here(stonechat, node):
    assert stonechat("backup", "copy.db") == str(node.path.parents[1] / "copy.db")


def test_a_secret_comes_from_standard_input(stonechat, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("wherefore é\r\nart".encode())))
    result = stonechat("register", "juliet@capulet.example", "--password-stdin")
    assert result == "juliet@capulet.example with wherefore é"


def test_on_a_terminal_it_is_asked_for_twice(stonechat, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    asked = []

    def getpass(prompt, **_):
        asked.append(prompt)
        return "wherefore"

    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda prompt: getpass(prompt))
    assert stonechat("register", "juliet@capulet.example").endswith(" with wherefore")
    assert len(asked) == 2


def test_a_secret_is_no_word_of_the_command_line(node, capsys):
    assert run(["register", "juliet@capulet.example", "wherefore", "--password-stdin"]) == 2
    assert "Unexpected: wherefore" in capsys.readouterr().err


def test_a_refusal_is_told_line_by_line_with_status_1(node, capsys):
    assert run(["plugin", "disable", "roster"]) == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "roster is required\nby another\n")


def test_a_plugin_s_command_is_there_while_it_runs(stonechat):
    result = stonechat("destroy-room", "verona", "--host", "montague.example", "--timeout", "9")
    assert result == "verona on montague.example within 9"


def test_a_plugin_s_command_wants_its_host(node, capsys):
    assert run(["destroy-room", "verona"]) == 1
    assert "say on which host" in capsys.readouterr().err


def test_help_is_made_of_the_declaration(node, capsys):
    assert run(["destroy-room", "--help"]) == 0
    text = capsys.readouterr().out
    for words in (
        "Close a room for good.",
        "Its occupants are told.",
        "ROOM [TIMEOUT]",
        "--host HOST",
        "Example: stonechat destroy-room verona",
    ):
        assert words in text
    assert run(["--help"]) == 0
    assert "destroy-room" in capsys.readouterr().out


def test_without_the_server_its_plugins_have_no_commands(node, capsys):
    node.end()
    assert run(["destroy-room", "verona"]) == 2
    assert "no server is running" in capsys.readouterr().err
    assert run(["--help"]) == 0
    assert "destroy-room" not in capsys.readouterr().out


def test_stop_waits_until_nobody_answers(node, capsys):
    assert run(["stop"]) == 0
    assert capsys.readouterr().out == "the server has stopped\n"
    assert not node.path.exists()


def test_a_server_that_does_not_answer_in_time_is_a_fault(node, capsys, monkeypatch):
    monkeypatch.setattr(ControlSocket, "_answer", lambda self, line: gevent.sleep(DEADLINE))
    assert run(["reload", "--timeout", "0.05"]) == 70
    assert "the server gave no answer" in capsys.readouterr().err


def test_a_socket_that_may_not_be_opened_is_told(node, capsys, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert run(["reload"]) == 1
    assert "Permission denied" in capsys.readouterr().err


def test_a_fault_of_ours_has_a_status_of_its_own(node, capsys, monkeypatch):
    monkeypatch.setattr("stonechat.cli.remote.show", lambda *_, **__: 1 / 0)
    assert run(["reload"]) == 70
    assert "ZeroDivisionError" in capsys.readouterr().err
