"""The end of a server by command: at once or later, and for good or not."""

import json
import signal
import socket

import pytest

CONFIGURATION = {"hosts": {"capulet.example": {}}, "plugins": {"ping": {}}}
DEADLINE = 30


@pytest.fixture
def systemd(monkeypatch, tmp_path):
    """Where systemd would hear what becomes of a server that is started after this."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(DEADLINE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield ear


@pytest.fixture
def process(stonechat_process):
    return stonechat_process(CONFIGURATION)


def hosts(process) -> list[str]:
    answer = process.command("status", "--json")
    return [host["host"] for host in json.loads(answer.stdout)["hosts"]]


def test_a_restarted_server_is_the_same_process_with_what_the_file_says_now(systemd, process):
    assert systemd.recv(1024) == b"READY=1"
    pid = process.pid
    process.configure({**CONFIGURATION, "hosts": {"montague.example": {}}})
    answer = process.command("restart")
    assert (answer.returncode, answer.stdout) == (0, "the server restarts\n")
    assert systemd.recv(1024).startswith(b"RELOADING=1")
    assert systemd.recv(1024) == b"READY=1"
    assert process.pid == pid
    assert hosts(process) == ["montague.example"]
    assert process.stop() == 0


def test_systemd_hears_of_a_reload_and_not_of_a_stop(systemd, process):
    # It would end a process that says it stops and goes on.
    assert systemd.recv(1024) == b"READY=1"
    process.command("restart")
    assert systemd.recv(1024).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert systemd.recv(1024) == b"READY=1"
    process.stop()
    assert systemd.recv(1024) == b"STOPPING=1"


def test_a_server_that_could_not_start_again_is_not_restarted(process):
    process.configure({**CONFIGURATION, "hosts": {"a b": {}}})
    answer = process.command("restart")
    assert answer.returncode == 1
    assert "hosts" in answer.stderr
    assert hosts(process) == ["capulet.example"]


def test_the_last_word_holds(process):
    assert process.command("restart", "600").stdout == "the server restarts in 600 seconds\n"
    assert process.command("stop", "300").stdout == "the server stops in 300 seconds\n"
    assert process.is_running
    assert process.command("stop").stdout == "the server has stopped\n"
    assert process.wait() == 0


def test_a_signal_ends_a_server_that_was_to_restart(process):
    process.command("restart", "600")
    process.signal(signal.SIGTERM)
    assert process.wait() == 0


def test_a_delay_has_bounds(process):
    for delay in ("-1", "3601"):
        answer = process.command("stop", "--delay", delay)
        assert answer.returncode == 1
        assert "0 to 3600 seconds" in answer.stderr
    assert process.is_running
