"""Streams that a plugin takes: handed over, bounded, and taken back (`stonechat.streams`)."""

import gevent
import pytest

from stonechat.core import component_stream
from stonechat.core.component_port import ComponentPort
from stonechat.core.component_stream import end_all
from stonechat.core.config_model import ComponentListener
from stonechat.core.peer_stream import GOODBYE_SECONDS, STUCK_SECONDS
from stonechat.errors import StreamError
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT
from stonechat.stanza import Element, Message
from stonechat.testing import until
from stonechat.testing.transport import MemoryConnection, Peer

PLAYS = "plays.shakespeare.example"
HEADER = (
    "<stream:stream xmlns='jabber:component:accept' to='plays.shakespeare.example'"
    " xmlns:stream='http://etherx.jabber.org/streams'>"
)


class Taker:
    """Takes streams, and does with them what a test tells it to."""

    def __init__(self, host, options):
        self.host = host
        self.streams = []
        self.came = []
        self.ends = []
        self.fault = None

    def start(self):
        self.host.accept_streams("Plays.Shakespeare.example", self.opened)

    def opened(self, stream):
        self.streams.append(stream)
        if self.fault is not None:
            raise self.fault
        return self

    def received(self, element):
        if isinstance(element, Element) and element.name == "fault":
            raise self.fault
        self.came.append(element)

    def ended(self, reason):
        self.ends.append(reason)


class Other(Taker):
    def start(self):
        pass


class Connection(MemoryConnection):
    def flush(self):
        """What is written leaves at once."""


class Component(Peer):
    """The other end of a connection."""

    def __init__(self, server, address="198.51.100.7"):
        kernel = server.kernel
        limits = kernel.configuration.limits
        listener = ComponentListener(
            type="component",
            port=0,
            negotiation_timeout=limits.negotiation_timeout,
            idle_timeout=limits.idle_timeout,
        )
        self.server = server
        self.octets = b""
        self.is_over = False
        self.connection = Connection(
            kernel, server.clock, address, kernel._connection_failed, tls=False
        )
        self.connection.peer = self
        ComponentPort(listener, kernel).begin(self.connection.as_connection())

    def octets_came(self, data):
        self.octets += data

    def end_came(self):
        self.is_over = True

    def send(self, text):
        self.connection.deliver(text.encode())
        self.server.settle()
        return self.octets.decode()


@pytest.fixture
def host(server):
    return server.host("capulet.example", plugin_classes={"taker": Taker, "other": Other})


@pytest.fixture
def taker(host):
    return host.plugin("taker")


@pytest.fixture
def component(server, taker):
    component = Component(server)
    yield component
    component.connection.hang_up()
    server.settle()


def condition(text):
    return text.partition("<stream:error><")[2].partition(" ")[0]


def test_a_stream_is_handed_to_whoever_takes_it(component, taker):
    assert PLAYS in component.send(HEADER)
    (stream,) = taker.streams
    assert (stream.domain, stream.address) == (PLAYS, "198.51.100.7")
    assert f"id='{stream.id}'" in component.octets.decode()
    component.send("<handshake>x</handshake><message><body>Hark!</body></message>")
    assert [type(element) for element in taker.came] == [Element, Message]
    stream.send_element(Element(NS_CLIENT, "handshake"))
    stream.send(Message(to=JID.parse(PLAYS)))
    assert component.octets.endswith(b"<handshake/><message to='plays.shakespeare.example'/>")


def test_no_id_is_there_twice(server, taker):
    components = [Component(server) for _ in range(3)]
    for each in components:
        each.send(HEADER)
        each.connection.hang_up()
    server.settle()
    assert len({stream.id for stream in taker.streams}) == 3


def test_whoever_takes_it_may_refuse(component, taker):
    taker.fault = StreamError("conflict")
    assert condition(component.send(HEADER)) == "conflict"
    assert not taker.streams[0].is_open


def test_a_fault_of_the_plugin_ends_the_stream(server, component, taker):
    component.send(HEADER)
    server.expect_errors()
    taker.fault = RuntimeError("too ill")
    text = component.send("<fault/><message/>")
    assert condition(text) == "internal-server-error"
    assert taker.came == []


def test_the_end_is_told_once(server, component, taker):
    component.send(HEADER)
    component.send("</stream:stream>")
    component.connection.hang_up()
    server.settle()
    assert len(taker.ends) == 1
    assert not taker.streams[0].is_open
    taker.streams[0].send(Message(to=JID.parse(PLAYS)))
    assert component.octets.endswith(b"</stream:stream>")


def test_nothing_is_heard_of_a_stranger_whose_stream_was_closed(component, taker):
    component.send(HEADER)
    taker.streams[0].close(StreamError("not-authorized"))
    component.send("<message/>")
    assert taker.came == []


def test_addresses_are_prepared_before_a_plugin_sees_them(component, taker):
    component.send(HEADER)
    component.send("<message from='Hamlet@PLAYS.example/X' to='Juliet@Capulet.EXAMPLE.' id='1'/>")
    component.send("<message from='Hamlet@PLAYS.example/X' to='a@b@c'/>")
    component.send("<message from='a@b@c' to='Juliet@Capulet.EXAMPLE.'/><message/>")
    own, juliet = "hamlet@plays.example/X", "juliet@capulet.example"
    assert [each.attributes for each in taker.came] == [
        {"from": own, "to": juliet, "id": "1"},
        # What is none stays as it is, for the plugin to say so.
        {"from": own, "to": "a@b@c"},
        {"from": "a@b@c", "to": "Juliet@Capulet.EXAMPLE."},
        {},
    ]
    assert Message.from_bytes(taker.came[0].to_bytes()).attributes == taker.came[0].attributes


@pytest.fixture
def stream(component, taker):
    component.send(HEADER)
    taker.streams[0].admit()
    return taker.streams[0]


def test_what_is_on_its_way_when_we_end_a_stream_still_arrives(server, component, taker, stream):
    stream.close(StreamError("conflict"))
    octets = component.octets
    assert condition(octets.decode()) == "conflict"
    assert not stream.is_open
    component.send("<message/><message/>")
    assert len(taker.came) == 2
    stream.send(Message(to=JID.parse(PLAYS)))
    stream.send_element(Element(NS_CLIENT, "late"))
    stream.close()
    assert taker.ends == []
    component.send("</stream:stream><message/>")
    component.connection.hang_up()
    server.settle()
    assert len(taker.came) == 2
    assert len(taker.ends) == 1
    assert component.octets == octets


def test_a_component_that_never_ends_it_keeps_no_plugin_from_stopping(
    server, host, component, taker, stream, monkeypatch
):
    monkeypatch.setattr(component_stream, "PATIENCE", 0.01)
    server.kernel.is_stopping = True
    end_all(host.kernel.stream_acceptances.values())
    server.kernel.is_stopping = False
    assert not stream.is_taking
    component.send("<message/>")
    assert taker.came == []


def test_a_component_that_never_ends_it_is_left(server, component, taker, stream):
    stream.close()
    server.clock.advance(GOODBYE_SECONDS + 1)
    component.send("<message/>")
    assert taker.came == []


def test_a_fault_ends_it_at_once(component, taker, stream):
    stream.close()
    component.send("<message/><?pi?><message/>")
    assert len(taker.came) == 1
    assert component.octets.endswith(b"</stream:stream>")
    assert component.octets.count(b"</stream:stream>") == 1


@pytest.mark.parametrize("way", ["disable", "stop"])
def test_whose_plugin_stops_is_heard_out_before(server, host, component, taker, stream, way):
    if way == "stop":
        stopping = gevent.spawn(server.kernel.stop)
    else:
        stopping = gevent.spawn(host.disable, "taker")
    until(lambda: not stream.is_open, "the end of the stream")
    wanted = "system-shutdown" if way == "stop" else "reset"
    assert condition(component.octets.decode()) == wanted
    component.connection.deliver(b"<message/></stream:stream>")
    stopping.join()
    assert len(taker.came) == 1


def test_a_stranger_has_a_deadline(server, component, taker):
    component.send(HEADER)
    server.clock.advance(29)
    assert taker.streams[0].is_open
    server.clock.advance(2)
    assert condition(component.octets.decode()) == "connection-timeout"


def test_one_that_is_admitted_has_none(server, component, taker):
    component.send(HEADER)
    taker.streams[0].admit()
    server.clock.advance(60)
    assert taker.streams[0].is_open


def test_the_oldest_stranger_makes_room(server):
    server.configure(limits={"unauthenticated_per_address": 2})
    taker = server.host("capulet.example", plugin_classes={"taker": Taker}).plugin("taker")
    components = [Component(server) for _ in range(2)]
    for each in components:
        each.send(HEADER)
    taker.streams[0].admit()
    components += [Component(server) for _ in range(2)]
    for each in components[2:]:
        each.send(HEADER)
    conditions = [condition(each.octets.decode()) for each in components]
    assert conditions == ["", "resource-constraint", "", ""]
    for each in components:
        each.connection.hang_up()
    server.settle()


def test_a_peer_that_does_not_read_is_given_up(server, component, taker):
    component.send(HEADER)
    stream = taker.streams[0]
    stream.admit()
    component.connection.stop_reading()
    body = Element(NS_CLIENT, "body", None, "o" * 100_000)
    sent = 0
    while stream.takes_stanzas:
        stream.send(Message(body, to=JID.parse(PLAYS)))
        sent += 100_000
    assert 1_000_000 < sent < 1_300_000
    assert stream.is_open
    server.clock.advance(STUCK_SECONDS + 1)
    server.settle()
    assert not stream.is_open
    assert len(taker.ends) == 1


def test_one_that_reads_again_in_time_is_not(server, component, taker):
    component.send(HEADER)
    stream = taker.streams[0]
    stream.admit()
    component.connection.stop_reading()
    body = Element(NS_CLIENT, "body", None, "o" * 1_100_000)
    stream.send(Message(body, to=JID.parse(PLAYS)))
    assert not stream.takes_stanzas
    component.connection.go_on_reading()
    server.settle()
    assert stream.takes_stanzas
    server.clock.advance(STUCK_SECONDS + 1)
    assert stream.is_open


def test_streams_end_with_their_plugin(server, host, component, taker):
    component.send(HEADER)
    host.disable("taker")
    assert condition(component.octets.decode()) == "reset"
    late = Component(server)
    assert condition(late.send(HEADER)) == "host-unknown"


def test_a_domain_has_one_taker(host, taker):
    with pytest.raises(ValueError, match="taken by taker already"):
        host.plugin("other").host.accept_streams(PLAYS, taker.opened)


def test_a_plugin_that_has_stopped_takes_nothing(host, taker):
    host.disable("taker")
    with pytest.raises(RuntimeError, match="has stopped"):
        taker.host.accept_streams(PLAYS, taker.opened)
