"""The kit's real process: started, spoken to, stopped, killed, started again."""

import json

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
    process.register("juliet@capulet.example")
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


def test_a_command_that_has_to_succeed_fails_the_test_where_it_does_not(stonechat_process):
    process = stonechat_process(CONFIGURATION)
    process.register("juliet@capulet.example", "romeo@capulet.example", password="R0m30")
    assert process.run("registered-users", "capulet.example").split() == [
        "juliet@capulet.example",
        "romeo@capulet.example",
    ]
    with pytest.raises(
        AssertionError, match=r"stonechat register juliet@.*already[\s\S]*: running"
    ):
        process.register("juliet@capulet.example")


def test_records_are_read_and_what_is_none_counts_as_a_fault(stonechat_process):
    process = stonechat_process(CONFIGURATION)
    assert process.records[-1]["event"] == "ready"
    assert process.faults == []
    with process.log_file.open("a") as log:
        log.write('{"level": "warning", "event": "It is the east"}\nTraceback:\n3\n')
    assert [(record["level"], record["event"]) for record in process.faults] == [
        ("warning", "It is the east"),
        ("error", "Traceback:"),
        ("error", "3"),
    ]


def test_what_a_document_leaves_out_is_set_for_tests(tmp_path):
    def written(document):
        process = ServerProcess(tmp_path, document)
        return json.loads(process.config_file.read_text())

    made = written(CONFIGURATION)
    assert made["auth_options"] == {"internal": {"iterations": 4096}}
    assert made["log"] == {"format": "json"}
    assert made["watchdog"] == {"block_warning": "10 s"}
    assert written({**CONFIGURATION, "log": {"level": "debug"}})["log"] == {"level": "debug"}
    # Another backend may be the only one that is installed.
    assert "auth_options" not in written({**CONFIGURATION, "auth": ["ldap"]})
    assert "auth_options" not in written({"hosts": {"capulet.example": {"auth": ["ldap"]}}})


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
