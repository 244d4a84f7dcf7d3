"""The control socket: requests and answers in lines, for the owner of the data directory."""

import json
import os
import socket as plain_socket

import gevent
import pytest
from gevent import socket

from stonechat.commands import CommandError, Secret, Text, command, commands_of
from stonechat.core import control
from stonechat.core.command_registry import CommandRegistry
from stonechat.core.control import ControlSocket
from stonechat.core.control_wire import (
    MAX_REQUEST,
    address_of,
    describe_command,
    read_description,
    socket_path,
)
from stonechat.core.log import get_logger
from stonechat.errors import ConfigError
from stonechat.jid import JID

DEADLINE = 5


class Verona:
    """Somebody with commands."""

    def __init__(self) -> None:
        self.gate = gevent.event.Event()

    @command("greet", "Greet an account.", example="stonechat greet juliet@capulet.example")
    def greet(self, jid: JID, word: str = "Hail", loud: bool = False) -> str:
        """Loud is in capitals."""
        text = f"{word}, {jid}"
        return text.upper() if loud else text

    @command("refuse", "Refuse whatever is asked.")
    def refuse(self) -> None:
        raise CommandError("not today\nnor tomorrow")

    @command("stumble", "Fail in a way that nobody foresaw.")
    def stumble(self, password: Secret) -> None:
        raise RuntimeError("a private detail")

    @command("linger", "Let out a deadline.")
    def linger(self) -> None:
        raise gevent.Timeout(0.1)

    @command("wait", "Wait at the gate.")
    def wait(self) -> str:
        self.gate.wait(DEADLINE)
        return "open"

    @command("show", "Show an address, or what is no plain data.")
    def show(self, plain: bool = True) -> object:
        return {"jid": JID.parse("juliet@capulet.example")} if plain else object()


class Caller:
    """Somebody at the other end."""

    def __init__(self, path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        with address_of(path) as address:
            self.socket.connect(address)
        self.pending = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self):
        """The next answer; None once the server has closed."""
        while b"\n" not in self.pending:
            data = self.socket.recv(65536)
            if not data:
                assert not self.pending
                return None
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return json.loads(line)

    def ask(self, **request):
        self.send(json.dumps(request).encode() + b"\n")
        return self.receive()


@pytest.fixture
def verona():
    return Verona()


@pytest.fixture
def opened(tmp_path, verona):
    registry = CommandRegistry()
    registry.add_owner(verona)
    made = ControlSocket(socket_path(tmp_path), registry, get_logger())
    made.open()
    yield made
    made.close()


@pytest.fixture
def caller(opened):
    made = Caller(opened.path)
    yield made
    made.socket.close()


def test_a_command_is_carried_out_with_typed_arguments(caller):
    arguments = {"jid": "Juliet@capulet.example", "loud": "yes"}
    assert caller.ask(command="greet", arguments=arguments) == {
        "result": "HAIL, JULIET@CAPULET.EXAMPLE"
    }


def test_requests_of_one_caller_are_answered_in_turn(caller):
    caller.send(b'{"command": "greet", "arguments": {"jid": "a@x"}}\n{"command": "refuse"}\n')
    assert caller.receive() == {"result": "Hail, a@x"}
    assert caller.receive()["error"]["kind"] == "command"


def test_a_request_may_come_in_pieces(caller):
    for byte in b'{"command": "greet", "arguments": {"jid": "a@x"}}\n':
        caller.send(bytes([byte]))
        gevent.sleep(0)
    assert caller.receive() == {"result": "Hail, a@x"}


def test_a_caller_who_waits_keeps_no_other_from_being_answered(opened, caller, verona):
    caller.send(b'{"command": "wait"}\n')
    other = Caller(opened.path)
    assert "result" in other.ask(command="greet", arguments={"jid": "a@x"})
    verona.gate.set()
    assert caller.receive() == {"result": "open"}
    other.socket.close()


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"command": "refuse"}, "not today\nnor tomorrow"),
        ({"command": "dance"}, "there is no command 'dance'"),
        ({"command": "greet"}, "greet needs 'jid'"),
        ({"command": "greet", "arguments": {"jid": "@"}}, "jid: "),
        ({"command": "greet", "arguments": {"jid": "a@x", "age": 14}}, "no parameter 'age'"),
        ({"command": "greet", "arguments": {"jid": ["a@x"]}}, "jid: "),
    ],
)
def test_what_the_caller_can_mend_is_told(caller, request_, text):
    error = caller.ask(**request_)["error"]
    assert error["kind"] == "command"
    assert text in error["text"]
    assert "result" in caller.ask(command="greet", arguments={"jid": "a@x"})


@pytest.mark.parametrize("name", ["stumble", "linger"])
def test_the_detail_of_a_fault_of_ours_is_not_told(caller, name):
    arguments = {"password": "wherefore"} if name == "stumble" else {}
    error = caller.ask(command=name, arguments=arguments)["error"]
    assert error["kind"] == "internal"
    assert "private" not in error["text"]
    assert "result" in caller.ask(command="greet", arguments={"jid": "a@x"})


class Recorder:
    """A log that remembers."""

    def __init__(self, records) -> None:
        self.records = records

    def error(self, event, **fields) -> None:
        self.records.append((event, fields))

    debug = error


def test_a_fault_of_ours_is_logged_without_the_secret_in_it(tmp_path, verona):
    records = []
    registry = CommandRegistry()
    registry.add_owner(verona)
    made = ControlSocket(socket_path(tmp_path), registry, Recorder(records))
    made.open()
    caller = Caller(made.path)
    caller.ask(command="stumble", arguments={"password": "wherefore"})
    made.close()
    ((event, fields),) = records
    assert event == "a command failed"
    assert isinstance(fields["exc_info"], RuntimeError)
    assert "wherefore" not in repr(fields)


def test_results_are_plain_data(caller):
    assert caller.ask(command="show") == {"result": {"jid": "juliet@capulet.example"}}
    assert caller.ask(command="show", arguments={"plain": False})["error"]["kind"] == "internal"


@pytest.mark.parametrize(
    "line",
    [
        b"greet juliet",
        b"[]",
        b"7",
        b'{"command": 7}',
        b'{"command": "greet", "arguments": []}',
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b"",
    ],
    ids=lambda line: repr(line[:20]),
)
def test_a_line_that_is_no_request_ends_the_connection(caller, line):
    caller.send(line + b"\n")
    assert caller.receive()["error"]["kind"] == "request"
    assert caller.receive() is None


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["unfinished", "finished"])
def test_a_request_that_is_too_large_ends_the_connection(caller, end):
    def pour() -> None:
        try:
            caller.send(b'{"command": "' + b"x" * (MAX_REQUEST + 70_000) + end)
        except OSError:
            return  # it listens no longer

    gevent.spawn(pour)
    assert caller.receive()["error"]["kind"] == "request"


def test_a_caller_who_says_nothing_is_left(opened, monkeypatch):
    monkeypatch.setattr(control, "WIRE_SECONDS", 0.05)
    silent = Caller(opened.path)
    silent.send(b'{"command": ')
    assert silent.receive() is None


def test_everything_that_can_be_asked_is_described(caller):
    described = {data["name"]: data for data in caller.ask(describe=True)["result"]["commands"]}
    assert set(described) == {"greet", "refuse", "stumble", "linger", "wait", "show"}
    greet = described["greet"]
    assert greet["hosts"] == []
    assert greet["help"] == "Loud is in capitals."
    assert greet["parameters"][0] == {
        "name": "jid",
        "type": "JID",
        "default": None,
        "required": True,
    }
    assert describe_command(read_description(greet), []) == greet
    assert described["stumble"]["parameters"][0]["type"] == "Secret"


def test_every_type_of_parameter_is_described_and_read_again():
    class Herald:
        @command("cry", "Cry it out.")
        def cry(self, words: Text, where: JID, key: Secret, times: int = 1, now: bool = True): ...

    ((declared, _),) = commands_of(Herald())
    again = read_description(describe_command(declared, []))
    assert [parameter.type for parameter in again.parameters] == [Text, JID, Secret, int, bool]


# The file


def test_only_the_owner_may_open_it(opened):
    assert opened.path.stat().st_mode & 0o777 == 0o600


def test_it_is_removed_at_the_end_and_its_callers_are_let_go(opened, caller):
    assert "result" in caller.ask(command="greet", arguments={"jid": "a@x"})
    opened.close()
    assert not opened.path.exists()
    assert caller.receive() is None


def test_what_a_dead_server_left_is_replaced(tmp_path):
    path = socket_path(tmp_path)
    with plain_socket.socket(plain_socket.AF_UNIX) as left, address_of(path) as address:
        left.bind(address)
    made = ControlSocket(path, CommandRegistry(), get_logger())
    made.open()
    Caller(path)
    made.close()


def test_a_server_that_is_alive_is_not_pushed_aside(opened):
    second = ControlSocket(opened.path, CommandRegistry(), get_logger())
    with pytest.raises(ConfigError, match="another server is running"):
        second.open()
    second.close()
    assert "result" in Caller(opened.path).ask(command="greet", arguments={"jid": "a@x"})


def test_another_file_of_that_name_is_not_removed(tmp_path):
    path = socket_path(tmp_path)
    path.write_text("a diary")
    with pytest.raises(ConfigError, match="is no socket"):
        ControlSocket(path, CommandRegistry(), get_logger()).open()
    assert path.read_text() == "a diary"


def test_a_socket_that_is_not_ours_any_more_stays(opened):
    os.unlink(opened.path)
    with plain_socket.socket(plain_socket.AF_UNIX) as other, address_of(opened.path) as address:
        other.bind(address)
    opened.close()
    assert opened.path.exists()


def test_a_directory_may_lie_deeper_than_an_address_can_say(tmp_path, verona):
    deep = tmp_path / ("a" * 100) / ("b" * 100)
    deep.mkdir(parents=True)
    registry = CommandRegistry()
    registry.add_owner(verona)
    made = ControlSocket(socket_path(deep), registry, get_logger())
    made.open()
    assert "result" in Caller(made.path).ask(command="greet", arguments={"jid": "a@x"})
    made.close()
    assert os.listdir(deep) == []


def test_a_directory_that_is_not_there_is_told(tmp_path):
    made = ControlSocket(tmp_path / "nowhere" / "stonechat.sock", CommandRegistry(), get_logger())
    with pytest.raises(ConfigError, match="cannot be listened on"):
        made.open()
