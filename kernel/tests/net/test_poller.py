"""The poller: runners that block, their order and their bounds, and turns that are fair."""

import os
import subprocess
import sys
from pathlib import Path

import gevent
import pytest
from gevent.event import Event

from stonechat.net import poller
from stonechat.net.connection import READ_SIZE, Connection
from stonechat.net.poller import OCTETS_PER_TURN

DEADLINE = 20


def echo(handler, data):
    handler.connection.write(data)


class Gate:
    """An `on_data` that blocks until the gate is opened, and counts who stands before it."""

    def __init__(self):
        self.inside = 0
        self.passed = []
        self.arrived = Event()
        self.opened = Event()

    def __call__(self, handler, data):
        self.inside += 1
        self.arrived.set()
        self.opened.wait()
        self.inside -= 1
        self.passed.append(data)


@pytest.fixture
def complaints(net, monkeypatch):
    """What the hub was told because nobody else took it."""
    told = []
    monkeypatch.setattr(
        net.hub, "print_exception", lambda context, kind, error, traceback: told.append(error)
    )
    return told


# Blocking


def test_a_handler_that_blocks_keeps_no_other_connection_waiting(net):
    gate = Gate()
    _, romeo = net.connect(gate)
    _, juliet = net.connect(echo)
    romeo.sendall(b"I take thee at thy word")
    assert gate.arrived.wait(DEADLINE)
    for _ in range(100):
        juliet.sendall(b"O")
        assert juliet.recv(10) == b"O"
    assert gate.passed == []


def test_what_comes_while_a_handler_blocks_is_handled_after_it_and_in_order(net):
    gate = Gate()
    handler, romeo = net.connect(gate)
    romeo.sendall(b"1")
    assert gate.arrived.wait(DEADLINE)
    for number in range(2, 10):
        romeo.sendall(b"%d" % number)
        net.settle()
    assert handler.received == b""
    gate.opened.set()
    handler.until_received(b"123456789")


def test_a_handler_that_only_yields_keeps_its_order(net):
    def yielding(handler, data):
        for _ in range(5):
            gevent.sleep(0)
        handler.connection.write(data)

    _, romeo = net.connect(yielding)
    sent = b"".join(b"%03d" % number for number in range(200))
    for position in range(0, len(sent), 3):
        romeo.sendall(sent[position : position + 3])
    received = b""
    while len(received) < len(sent):
        received += romeo.recv(4096)
    assert received == sent


def test_a_handler_that_spawns_and_kills_goes_on(net):
    def busy(handler, data):
        sleeper = gevent.spawn(gevent.sleep, 1000)
        gevent.sleep(0)
        sleeper.kill()
        assert sleeper.dead
        handler.connection.write(data)

    _, romeo = net.connect(busy)
    for _ in range(3):
        romeo.sendall(b"O")
        assert romeo.recv(10) == b"O"


def test_a_runner_that_was_blocked_is_used_again(net):
    runners = set()

    def yielding(handler, data):
        runners.add(gevent.getcurrent())
        gevent.sleep(0)
        handler.connection.write(data)

    _, romeo = net.connect(yielding)
    for _ in range(50):
        romeo.sendall(b"O")
        assert romeo.recv(10) == b"O"
    assert len(runners) == 1


def test_many_block_at_once(net):
    gate = Gate()
    crowd = [net.connect(gate) for _ in range(200)]
    for _, client in crowd:
        client.sendall(b"O")
    while gate.inside < 200:
        assert gate.arrived.wait(DEADLINE)
        gate.arrived.clear()
    gate.opened.set()
    for handler, _ in crowd:
        handler.until_received(b"O")


def test_with_too_many_blocked_nobody_is_read_until_one_is_free(net, monkeypatch):
    monkeypatch.setattr(poller, "MAX_BLOCKED", 4)
    gates = [Gate() for _ in range(4)]
    for gate in gates:
        _, client = net.connect(gate)
        client.sendall(b"O")
        assert gate.arrived.wait(DEADLINE)
    late, nurse = net.connect(echo)
    nurse.sendall(b"Madam!")
    net.settle()
    assert late.calls == []
    gates[2].opened.set()
    assert nurse.recv(100) == b"Madam!"
    nurse.sendall(b"Madam!")
    assert nurse.recv(100) == b"Madam!"


def test_after_too_many_were_blocked_all_are_served(net, monkeypatch):
    monkeypatch.setattr(poller, "MAX_BLOCKED", 4)
    gate = Gate()
    crowd = [net.connect(gate) for _ in range(50)]
    for _, client in crowd:
        client.sendall(b"O")
    assert gate.arrived.wait(DEADLINE)
    net.settle()
    assert gate.inside == 4
    gate.opened.set()
    for handler, _ in crowd:
        handler.until_received(b"O")


# Strangers


@pytest.fixture
def crowded(net, monkeypatch):
    """So many strangers block as may, and more of them come; their gate, and all of them."""
    monkeypatch.setattr(poller, "MAX_BLOCKED_FOR_STRANGERS", 4)
    gate = Gate()
    crowd = [net.connect(gate) for _ in range(10)]
    for _, client in crowd:
        client.sendall(b"O")
    net.settle()
    assert gate.inside == 4
    return gate, crowd


def test_strangers_that_block_keep_nobody_waiting_who_is_known(net, crowded):
    handler, juliet = net.connect(echo)
    handler.connection.is_stranger = False
    for _ in range(10):
        juliet.sendall(b"O")
        assert juliet.recv(10) == b"O"
    # Nor is there no room for the known to block.
    gate = Gate()
    handler, nurse = net.connect(gate)
    handler.connection.is_stranger = False
    nurse.sendall(b"O")
    assert gate.arrived.wait(DEADLINE)
    gate.opened.set()
    handler.until_received(b"O")


def test_strangers_that_were_put_off_come_in_when_there_is_room(net, crowded):
    gate, crowd = crowded
    gate.opened.set()
    for handler, client in crowd:
        client.sendall(b"!")
        handler.until_received(b"O!")


def test_strangers_that_were_put_off_and_do_not_block_all_come_in(net, crowded):
    gate, _ = crowded
    late = [net.connect(echo) for _ in range(20)]
    for _, client in late:
        client.sendall(b"O")
    net.settle()
    assert not any(handler.calls for handler, _ in late)
    gate.opened.set()
    for _, client in late:
        assert client.recv(10) == b"O"


def test_a_stranger_that_is_put_off_may_be_ended_at_once(net, crowded):
    gate, crowd = crowded
    waiting = [handler for handler, _ in crowd if handler.connection in net.poller._put_off]
    assert len(waiting) == 6
    for handler in waiting:
        handler.connection.abort("too many")
        handler.until_lost()
    assert not net.poller._put_off
    gate.opened.set()
    for handler, _ in crowd:
        if handler not in waiting:
            handler.until_received(b"O")


# Handlers that fail


def fail(handler, data):
    raise ValueError("a plague")


def fail_late(handler, data):
    gevent.sleep(0)
    raise ValueError("a plague")


@pytest.mark.parametrize("failing", [fail, fail_late])
def test_an_exception_ends_its_own_connection_alone(net, failing):
    handler, romeo = net.connect(failing)
    _, juliet = net.connect(echo)
    romeo.sendall(b"O")
    assert handler.until_lost() == "internal error"
    assert romeo.recv(10) == b""
    assert [str(error) for error in net.errors] == ["a plague"]
    juliet.sendall(b"O")
    assert juliet.recv(10) == b"O"


def test_an_exception_in_connection_lost_is_reported(net):
    handler, romeo = net.connect()
    handler.connection_lost = lambda reason: fail(handler, b"")
    romeo.close()
    while not net.errors:
        net.settle()
    assert [str(error) for error in net.errors] == ["a plague"]


def test_an_exception_while_flushing_leaves_the_others_their_output(net):
    class Broken(Connection):
        def flush(self):
            raise ValueError("a plague")

    others = []

    def to_all(handler, data):
        for other in others:
            other.connection.write(data)

    crowd = [net.connect(to_all) for _ in range(3)]
    broken, _ = net.connect(kind=Broken)
    others += [crowd[0][0], broken, crowd[1][0], crowd[2][0]]
    crowd[0][1].sendall(b"O")
    for _, client in crowd:
        assert client.recv(10) == b"O"
    assert broken.until_lost() == "internal error"


def test_whoever_reports_an_error_may_fail_himself(net, complaints):
    def broken_report(connection, error):
        raise KeyError("pox")

    net.poller._on_error = broken_report
    handler, romeo = net.connect(fail)
    _, juliet = net.connect(echo)
    romeo.sendall(b"O")
    assert handler.until_lost() == "internal error"
    juliet.sendall(b"O")
    assert juliet.recv(10) == b"O"
    assert [type(error) for error in complaints] == [KeyError]


def test_an_error_of_the_poll_itself_leaves_nobody_deaf(net, complaints, monkeypatch):
    source = net.poller._source
    sound = source.poll
    faults = [OSError("a plague")]

    def poll(ready):
        if faults:
            raise faults.pop()
        sound(ready)

    monkeypatch.setattr(source, "poll", poll)
    _, juliet = net.connect(echo)
    juliet.sendall(b"O")
    assert juliet.recv(10) == b"O"
    assert [str(error) for error in complaints] == ["a plague"]


def test_a_killed_handler_ends_its_connection_and_frees_its_place(net, monkeypatch):
    monkeypatch.setattr(poller, "MAX_BLOCKED", 1)
    runners = []

    def wait(handler, data):
        runners.append(gevent.getcurrent())
        Event().wait()

    handler, romeo = net.connect(wait)
    romeo.sendall(b"O")
    while not runners:
        net.settle()
    gevent.kill(runners[0])
    assert handler.until_lost() == "internal error"
    _, juliet = net.connect(echo)
    juliet.sendall(b"O")
    assert juliet.recv(10) == b"O"


def test_a_runner_that_dies_idle_is_replaced(net, complaints):
    runners = []

    def note(handler, data):
        runners.append(gevent.getcurrent())
        handler.connection.write(data)

    _, romeo = net.connect(note)
    romeo.sendall(b"O")
    assert romeo.recv(10) == b"O"
    # As a Timeout does that a plugin forgot to close.
    gevent.kill(runners[0], ValueError("too late"))
    net.settle()
    romeo.sendall(b"O")
    assert romeo.recv(10) == b"O"
    assert runners[0].dead
    assert [str(error) for error in complaints] == ["too late"]


# Connections that end meanwhile


def test_a_connection_lost_while_its_handler_blocks_is_reported_after_it(net):
    gate = Gate()
    handler, romeo = net.connect(gate)
    romeo.sendall(b"O")
    assert gate.arrived.wait(DEADLINE)
    handler.connection.abort("the marriage is off")
    net.settle()
    assert handler.calls == []
    gate.opened.set()
    assert handler.until_lost() == "the marriage is off"
    assert handler.calls == ["data", "lost"]


def test_what_a_peer_sent_before_it_left_is_handled_first(net):
    gate = Gate()
    handler, romeo = net.connect(gate)
    romeo.sendall(b"1")
    assert gate.arrived.wait(DEADLINE)
    romeo.sendall(b"2")
    romeo.close()
    net.settle()
    gate.opened.set()
    handler.until_lost()
    assert handler.received == b"12"
    assert handler.calls == ["data", "data", "lost"]


def test_a_handler_may_end_its_connection_and_then_block(net):
    gate = Gate()

    def abort_and_wait(handler, data):
        handler.connection.abort("banished")
        gate(handler, data)

    handler, romeo = net.connect(abort_and_wait)
    romeo.sendall(b"O")
    assert gate.arrived.wait(DEADLINE)
    net.settle()
    assert handler.calls == []
    gate.opened.set()
    handler.until_lost()
    assert handler.calls == ["data", "lost"]


def test_a_descriptor_that_is_used_again_brings_no_events_of_its_last_connection(net):
    spare, client = net.open()
    successors = []

    def succeed(handler, data):
        """The first to be called ends the other, and a new connection takes its descriptor."""
        if not successors:
            other = second if handler is first else first
            descriptor = other.connection.descriptor
            other.connection.abort("banished")
            os.dup2(spare.descriptor, descriptor)
            sock = type(spare._socket)(fileno=descriptor)
            connection = Connection(sock, "192.0.2.2", net.poller, net.timers, 1 << 20)
            successor = type(handler)(echo)
            successor.connection = connection
            connection.start(successor)
            successors.append(successor)

    first, romeo = net.connect(succeed)
    second, juliet = net.connect(succeed)
    romeo.sendall(b"1")
    juliet.sendall(b"2")
    while not successors:
        net.settle()
    net.settle()
    assert successors[0].calls == []
    client.sendall(b"3")
    assert client.recv(10) == b"3"
    assert len(first.received) + len(second.received) == 1
    assert net.errors == []


def test_the_poller_closes_with_handlers_still_blocked(net, complaints):
    gate = Gate()
    blocked, romeo = net.connect(gate)
    waiting, nurse = net.connect(gate)
    quiet, juliet = net.connect(echo)
    romeo.sendall(b"O")
    nurse.sendall(b"O")
    net.settle()
    # This one is not polled any more.
    nurse.sendall(b"O")
    net.settle()
    net.poller.close()
    assert quiet.until_lost() == "the server has stopped"
    assert juliet.recv(10) == b""
    gate.opened.set()
    for handler in (blocked, waiting):
        handler.until_received(b"O")
        handler.connection.write(b"O")
        handler.connection.abort("over")
        handler.until_lost()
    assert complaints == []
    net.poller.close = lambda: None  # it was


# Turns


def test_a_connection_that_floods_starves_no_other(net):
    order = []

    def flood_more(handler, data):
        order.append("flood")
        # There is more to read at once, always.
        if len(order) < 1000:
            flooder.send(data)

    _, flooder = net.connect(flood_more)
    quiet = [net.connect(lambda handler, data: order.append("quiet")) for _ in range(20)]
    flooder.sendall(b"x" * READ_SIZE)
    while not order:
        gevent.sleep(0)
    for _, client in quiet:
        client.sendall(b"O")
    start = len(order)
    for handler, _ in quiet:
        handler.until_received(b"O")
    served = order[start:]
    last = len(served) - served[::-1].index("quiet")
    # Once in each turn, and no more turns than it takes to serve the others.
    assert served[:last].count("flood") <= 5


def test_a_turn_reads_no_more_than_its_share(net):
    turns = []
    crowd = [net.connect(lambda handler, data: turns.append(net.poller.now)) for _ in range(20)]
    for _, client in crowd:
        client.sendall(b"x" * READ_SIZE)
    for handler, _ in crowd:
        handler.until_received(b"x" * READ_SIZE)
    most = max(turns.count(turn) for turn in turns)
    # The last read of a turn may go beyond its share, but none begins there.
    assert most * READ_SIZE <= OCTETS_PER_TURN + READ_SIZE


def test_between_turns_the_hub_gets_to_all_else(net):
    order = []
    crowd = [net.connect(lambda handler, data: order.append("read")) for _ in range(30)]
    for _, client in crowd:
        client.sendall(b"x" * READ_SIZE)
    watcher = net.hub.loop.check()
    watcher.start(order.append, "hub")
    try:
        for handler, _ in crowd:
            handler.until_received(b"x" * READ_SIZE)
    finally:
        watcher.stop()
        watcher.close()
    reads = "".join("r" if one == "read" else " " for one in order).split()
    assert max(map(len, reads)) <= OCTETS_PER_TURN // READ_SIZE + 1


# Flushing


def test_what_is_written_in_one_turn_leaves_together(net):
    def answer_twice(handler, data):
        handler.connection.write(b"Ay ")
        handler.connection.write(b"me!")

    _, juliet = net.connect(answer_twice)
    juliet.sendall(b"O")
    assert juliet.recv(100) == b"Ay me!"


def test_what_a_timer_writes_leaves_by_itself(net):
    handler, juliet = net.connect()
    net.timers.add(5, handler.connection.write, b"It is the lark")
    net.advance(6)
    assert juliet.recv(100) == b"It is the lark"


def test_what_a_greenlet_writes_leaves_by_itself(net):
    handler, juliet = net.connect()
    gevent.spawn(handler.connection.write, b"It is the nightingale")
    assert juliet.recv(100) == b"It is the nightingale"


def test_what_a_handler_writes_after_it_blocked_leaves_by_itself(net):
    def answer_late(handler, data):
        gevent.sleep(0)
        handler.connection.write(data)

    _, juliet = net.connect(answer_late)
    juliet.sendall(b"It is the lark")
    assert juliet.recv(100) == b"It is the lark"


def test_a_handler_may_wait_for_its_own_output_to_be_fetched(net):
    sent = os.urandom(1 << 20)

    def fill_and_wait(handler, data):
        connection = handler.connection
        connection.write(sent)
        while connection.unsent:
            gevent.sleep(0.001)

    handler, juliet = net.connect(fill_and_wait, unsent_limit=2 << 20, buffers=16384)
    juliet.sendall(b"O")
    received = b""
    while len(received) < len(sent):
        received += juliet.recv(65536)
    assert received == sent
    handler.until_received(b"O")


def test_a_flush_that_fails_while_the_handler_waits_for_it_ends_the_wait(net):
    def fill_and_wait(handler, data):
        connection = handler.connection
        connection.write(b"x" * (1 << 20))
        while connection.unsent:
            gevent.sleep(0.001)

    handler, juliet = net.connect(fill_and_wait, unsent_limit=2 << 20, buffers=16384)
    juliet.sendall(b"O")
    juliet.recv(100)
    juliet.close()
    handler.until_lost()
    assert handler.calls == ["data", "lost"]


# The hub's other loop


@pytest.mark.skipif("GEVENT_LOOP" in os.environ, reason="this is that run")
def test_the_other_loop_of_gevent_serves_as_well():
    pytest.importorskip("gevent.libuv.loop")
    here = Path(__file__).parent
    files = [here / f"test_{name}.py" for name in ("poller", "connection_ends", "listener")]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        env={**os.environ, "GEVENT_LOOP": "libuv"},
        check=True,
        timeout=300,
    )
