"""The kit's real process: started, spoken to, stopped, killed, started again."""

import pytest

from stonechat.testing.process import ServerProcess, free_port

CONFIGURATION = {"hosts": {"capulet.example": {}}}
HEADER = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    b" to='capulet.example' version='1.0'>"
)


def features_of(process):
    with process.connect() as sock:
        sock.sendall(HEADER)
        answer = b""
        while b"</stream:features>" not in answer:
            received = sock.recv(4096)
            assert received, answer
            answer += received
        return answer


def test_a_server_is_ready_when_the_fixture_returns_and_stops_in_order(stonechat_process):
    process = stonechat_process(CONFIGURATION)
    assert process.is_running
    assert b"from='capulet.example'" in features_of(process)
    assert b"<mechanism>PLAIN</mechanism>" in features_of(process)
    assert process.stop() == 0
    assert not process.is_running
    assert "stopped" in process.log


def test_a_server_that_was_killed_starts_again_on_its_data_and_port(stonechat_process):
    process = stonechat_process(CONFIGURATION)
    port, pid = process.port, process.pid
    registered = process.command(
        "register", "juliet@capulet.example", "--password-stdin", stdin="R0m30\n"
    )
    assert registered.returncode == 0, registered.stderr
    process.kill()
    assert not process.is_running
    process.start()
    assert (process.port, process.pid != pid) == (port, True)
    again = process.command(
        "register", "juliet@capulet.example", "--password-stdin", stdin="R0m30\n"
    )
    assert again.returncode != 0
    process.restart()
    assert b"<stream:features>" in features_of(process)


def test_commands_of_a_group_are_given_the_configuration_too(stonechat_process):
    process = stonechat_process({**CONFIGURATION, "plugins": {"ping": {}}})
    done = process.command("plugin", "list")
    assert done.returncode == 0, done.stderr
    assert "ping" in done.stdout


def test_a_server_that_cannot_start_says_why(tmp_path):
    process = ServerProcess(tmp_path, "hosts: {capulet.example: {}}\nlisten: nonsense\n")
    with pytest.raises(AssertionError) as caught:
        process.start()
    assert "ended with status" in str(caught.value)
    assert "listen" in str(caught.value)
    assert not process.is_running


def test_ports_are_chosen_where_none_is_given_and_stay(tmp_path):
    given = free_port()
    listen = [{"type": "c2s"}, {"type": "c2s", "port": given}]
    process = ServerProcess(tmp_path, {**CONFIGURATION, "listen": listen})
    chosen, second = process.ports
    assert second == given
    assert chosen not in (0, given)
    process.configure({**CONFIGURATION, "listen": [{"type": "c2s"}]})
    assert process.ports == [chosen]


def test_two_servers_may_run_side_by_side(stonechat_process):
    one = stonechat_process(CONFIGURATION)
    other = stonechat_process({"hosts": {"montague.example": {}}})
    assert one.port != other.port
    assert b"from='capulet.example'" in features_of(one)
    assert other.stop() == 0
    assert one.is_running
