"""Strangers in great numbers: they cost no session, and leave nothing behind (rule 16, R20)."""

import itertools
import select
import socket

import pytest

MEGABYTE = 1 << 20
HEADER = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    b" to='capulet.example' version='1.0'>"
)

# Romeo with a password that is not his.
GUESS = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHJvbWVvAHdyb25n</auth>"

# Those who come as themselves, in the order they come.
GREETINGS = itertools.cycle(
    [
        b"",
        HEADER,
        HEADER + GUESS[:-7],
        b"GET / HTTP/1.1\r\nHost: capulet.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"<" * 5000,
    ]
)


def flood(server, count):
    """So many connections from many addresses; the last hundreds of them stay open together."""
    crowd = []
    for number in range(count):
        stranger = socket.socket()
        stranger.bind((f"127.1.{number % 50}.1", 0))
        stranger.connect(("127.0.0.1", server.process.port))
        stranger.send(next(GREETINGS))
        crowd.append(stranger)
        if len(crowd) > 400:
            crowd.pop(0).close()
    for stranger in crowd:
        stranger.close()


def test_a_server_that_nobody_uses_takes_little_memory(stage):
    plugins = {name: {} for name in ("roster", "disco", "ping", "register", "offline")}
    assert stage.server(plugins=plugins).memory <= 80_000_000


def test_thousands_of_connections_cost_no_session_and_leave_nothing(stage, wait_until):
    server = stage.server()
    conversation = stage.conversation(server)
    flood(server, 500)  # what is loaded at first use is loaded now
    wait_until(lambda: server.descriptors < 100, "end of the first of them")
    memory, descriptors = server.memory, server.descriptors
    flood(server, 5000)
    conversation.goes_on()
    wait_until(lambda: server.descriptors <= descriptors, "end of the last of them")
    wait_until(lambda: server.memory < memory + 24 * MEGABYTE, "memory back (R20)")
    conversation.finish()


def half_open(stage, server, count):
    """Clients of many addresses that have said who they want, and no more."""
    crowd = []
    for number in range(count):
        client = stage.connect(server, source=f"127.1.{number % 50}.1")
        client.send(HEADER)
        crowd.append(client)
    return crowd


def test_of_too_many_strangers_the_oldest_go_and_the_others_run_out_of_time(stage):
    server = stage.server(
        limits={"unauthenticated_total": 500, "handshake_timeout": "5 s"},
    )
    crowd = half_open(stage, server, 2000)
    ends = [client.read_to_the_end() for client in crowd]
    conditions = [
        "resource-constraint" if "<resource-constraint" in end else "connection-timeout"
        for end in ends
    ]
    assert conditions == ["resource-constraint"] * 1500 + ["connection-timeout"] * 500
    assert all("<connection-timeout" in end for end in ends[1500:])


def test_of_too_many_strangers_from_one_address_the_oldest_go(stage):
    server = stage.server(limits={"unauthenticated_per_address": 10})
    crowd = [stage.connect(server) for _ in range(30)]
    for client in crowd:
        client.send(HEADER)
    for client in crowd[:20]:
        assert "<resource-constraint" in client.read_to_the_end()
    elsewhere = stage.connect(server, source="127.0.0.2")
    elsewhere.open()
    for client in crowd[20:]:
        client.read_until("</stream:features>")


def test_whoever_has_logged_in_is_no_stranger_any_more(stage):
    server = stage.server(limits={"unauthenticated_total": 10})
    conversation = stage.conversation(server)
    half_open(stage, server, 100)
    conversation.goes_on()
    conversation.finish()


def test_a_thousand_guesses_at_once_keep_nobody_waiting_who_has_logged_in(stage):
    # So that each of them is at work for long.
    server = stage.server(auth_options={"internal": {"iterations": 200_000}})
    conversation = stage.conversation(server)
    crowd = half_open(stage, server, 1500)
    for client in crowd:
        client.read_until("</stream:features>")
    for client in crowd:
        client.send(GUESS)
    conversation.goes_on(1000)
    answered = select.poll()
    for client in crowd:
        answered.register(client.socket, select.POLLIN)
    assert len(answered.poll(0)) < 300
    conversation.finish()


def test_a_stranger_costs_no_more_than_48_kib(stage):
    server = stage.server()
    half_open(stage, server, 100)
    before = server.memory
    crowd = half_open(stage, server, 1000)
    for client in crowd:
        client.read_until("</stream:features>")
        # As much of a stanza as a stranger may send.
        client.send(b"<iq type='get' id='a'><x xmlns='y'>" + b"z" * 9_000)
    probe = stage.connect(server, source="127.0.0.2")
    probe.open()
    assert server.memory - before < 1000 * 48 * 1024


@pytest.fixture
def wait_until(stage):
    return stage.wait_until
