"""Gates: messages that must not overtake others wait (`Host.message_gate`)."""

import gevent
import pytest
from gevent.event import Event

from stonechat.errors import StanzaError
from stonechat.testing import error_of


class Porter:
    def __init__(self, host, options):
        self.free = Event()
        self.free.set()
        self.seen = []
        self.error = None
        self.gate = host.message_gate(self.wait)

    def wait(self, message):
        self.seen.append(message.body)
        if self.error is not None:
            raise self.error
        self.free.wait(5)


@pytest.fixture
def capulet(server):
    return server.host("capulet.example", plugin_classes={"porter": Porter}, porter={})


@pytest.fixture
def porter(capulet):
    return capulet.plugin("porter")


@pytest.fixture
def juliet(capulet):
    client = capulet.connect("juliet@capulet.example/balcony")
    client.available()
    return client


@pytest.fixture
def romeo(capulet):
    return capulet.connect("romeo@capulet.example/orchard")


def test_an_open_gate_is_nobody_s_business(porter, juliet, romeo):
    romeo.message(juliet.jid, "1")
    assert juliet.receive_message().body == "1"
    porter.gate.close()
    porter.gate.open()
    romeo.message(juliet.jid, "2")
    assert juliet.receive_message().body == "2"
    assert porter.seen == []


def test_messages_wait_at_a_closed_one(porter, juliet, romeo):
    porter.gate.close()
    porter.gate.close()
    porter.free.clear()
    romeo.stream.connection.deliver(
        f"<message to='{juliet.jid}'><body>1</body></message>".encode()
    )
    gevent.idle()
    assert porter.seen == ["1"]
    assert juliet.received() == []
    porter.free.set()
    assert juliet.receive_message().body == "1"
    porter.gate.open()
    romeo.message(juliet.jid, "2")
    assert juliet.receive_message().body == "2"
    assert porter.seen == ["1"]


def test_whoever_keeps_it_may_refuse_a_message(porter, juliet, romeo):
    porter.gate.close()
    porter.error = StanzaError("resource-constraint", type="wait")
    romeo.message(juliet.jid, "1")
    assert error_of(romeo.receive_message()).condition == "resource-constraint"
    assert juliet.received() == []


def test_a_fault_lets_nothing_pass(server, porter, juliet, romeo):
    server.expect_errors()
    porter.gate.close()
    porter.error = RuntimeError("asleep")
    romeo.message(juliet.jid, "1")
    assert error_of(romeo.receive_message()).condition == "internal-server-error"
    assert juliet.received() == []


def test_it_is_gone_with_its_plugin(capulet, porter, juliet, romeo):
    porter.gate.close()
    capulet.disable("porter")
    romeo.message(juliet.jid, "1")
    assert juliet.receive_message().body == "1"
    assert porter.seen == []
