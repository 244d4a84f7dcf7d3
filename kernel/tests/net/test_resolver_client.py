"""One question to name servers: who is asked when, and what counts as an answer."""

import socket
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import gevent
import gevent.socket
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st
from open_sockets import open_sockets

from stonechat.net import dns_client
from stonechat.net.dns_client import Record, Unavailable, ask
from stonechat.net.dns_servers import NameServer, name_server
from stonechat.testing.dns import DnsServer

NAME = "_xmpp-server._tcp.capulet.example"
SRV = {NAME: "SRV 10 20 5269 xmpp.capulet.example"}
RECORD = Record("xmpp.capulet.example", 5269, 10, 20)

DEADLINE = 20.0


@pytest.fixture
def server(dns_server):
    dns_server.publish(SRV)
    return name_server(dns_server.address)


@pytest.fixture
def other():
    """Another name server."""
    with DnsServer() as other:
        yield other


@pytest.fixture
def nobody():
    """The address of a name server that is not there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return NameServer(*sock.getsockname())


@pytest.fixture
def puppet():
    """Starts name servers in greenlets, each of which answers as it is told."""
    greenlets = []

    def start(answer):
        sock = gevent.socket.socket(gevent.socket.AF_INET, gevent.socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))

        def serve():
            with sock:
                while True:
                    wire, client = sock.recvfrom(65535)
                    for reply in answer(dns.message.from_wire(wire)):
                        sock.sendto(reply, client)

        greenlets.append(gevent.spawn(serve))
        return NameServer(*sock.getsockname())

    yield start
    gevent.killall(greenlets)


def answer_to(query, port=5269):
    response = dns.message.make_response(query)
    data = f"10 20 {port} xmpp.capulet.example."
    response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "SRV", data))
    return response


def test_an_answer_has_its_records_and_how_long_they_hold(dns_server, server):
    dns_server.publish({NAME: ["77 SRV 1 2 3 A.Example", "77 SRV 0 0 0 ."]})
    answer = ask([server], NAME, "SRV", DEADLINE)
    assert sorted(answer.records) == [Record("", 0, 0, 0), Record("a.example", 3, 1, 2)]
    assert answer.ttl == 77


def test_an_alias_holds_no_longer_than_its_parts(dns_server, server):
    dns_server.publish({NAME: "100 CNAME b.example", "b.example": "200 SRV 1 2 3 a.example"})
    assert ask([server], NAME, "SRV", DEADLINE).ttl == 100
    dns_server.behave("short")
    assert ask([server], NAME, "SRV", DEADLINE).ttl == 100


def test_that_there_is_none_holds_as_long_as_the_zone_says(dns_server, server):
    soa = "SOA ns.capulet.example hostmaster.capulet.example 1 2 3 4 {}"
    dns_server.publish(
        {
            "example": "9000 " + soa.format(8000),
            "capulet.example": "9000 " + soa.format(55),
            "montague.example": "44 " + soa.format(9000),
        }
    )
    for name, ttl in (("capulet", 55), ("montague", 44), ("verona", 8000)):
        answer = ask([server], f"_xmpp-server._tcp.{name}.example", "SRV", DEADLINE)
        assert answer == ((), ttl)


def test_what_cannot_be_a_name_has_no_records(dns_server, server):
    for name in ("a" * 64 + ".example", "a..example", ".".join(["a" * 60] * 5), "a\\300.example"):
        assert ask([server], name, "A", DEADLINE) == ((), 0)
    assert dns_server.queries == []


# By TCP


def test_what_is_cut_short_is_asked_again_by_tcp(dns_server, server):
    dns_server.behave("truncated")
    assert ask([server], NAME, "SRV", DEADLINE).records == (RECORD,)
    assert (dns_server.count(transport="udp"), dns_server.count(transport="tcp")) == (1, 1)


def test_what_is_too_long_for_udp_comes_by_tcp(dns_server, server):
    dns_server.publish({NAME: [f"SRV 1 1 {port} xmpp.capulet.example" for port in range(1, 31)]})
    assert len(ask([server], NAME, "SRV", DEADLINE).records) == 30
    assert dns_server.count(transport="tcp") == 1


def test_what_is_cut_within_a_record_is_asked_again_by_tcp(dns_server, server, puppet, other):
    def cut(query):
        response = answer_to(query)
        response.flags |= dns.flags.TC
        yield response.to_wire()[:-5]

    # Nobody is there for TCP, so the next server has its turn.
    other.publish(SRV)
    servers = [puppet(cut), name_server(other.address)]
    assert ask(servers, NAME, "SRV", DEADLINE).records == (RECORD,)
    assert other.count() == 1


def test_one_that_closes_instead_of_answering_by_tcp_has_not_answered(other):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        udp = gevent.socket.socket(gevent.socket.AF_INET, gevent.socket.SOCK_DGRAM)
        udp.bind(listener.getsockname())

        def by_udp():
            wire, client = udp.recvfrom(65535)
            response = answer_to(dns.message.from_wire(wire))
            response.flags |= dns.flags.TC
            udp.sendto(response.to_wire(), client)

        def by_tcp():
            listener.accept()[0].close()

        threading.Thread(target=by_tcp, daemon=True).start()
        greenlet = gevent.spawn(by_udp)
        server = NameServer(*listener.getsockname())
        with udp, pytest.raises(Unavailable, match=r"closes the connection|reset by peer"):
            ask([server], NAME, "SRV", DEADLINE)
        greenlet.get()


def test_nobody_can_fill_the_memory_with_records(dns_server, server):
    dns_server.publish({NAME: [f"SRV 1 1 {port} a.example" for port in range(1, 1001)]})
    assert len(ask([server], NAME, "SRV", DEADLINE).records) == dns_client.MAX_RECORDS


# One server after the other


@pytest.mark.parametrize("how", ["SERVFAIL", "REFUSED"])
def test_where_one_refuses_the_next_is_asked(dns_server, server, other, how):
    dns_server.behave(how)
    other.publish(SRV)
    answer = ask([server, name_server(other.address)], NAME, "SRV", DEADLINE)
    assert answer.records == (RECORD,)


def test_that_there_is_none_is_an_answer(dns_server, server, other):
    dns_server.behave("NXDOMAIN")
    other.publish(SRV)
    assert ask([server, name_server(other.address)], NAME, "SRV", DEADLINE).records == ()
    assert other.count() == 0


def test_where_one_is_not_there_the_next_is_asked(server, nobody):
    assert ask([nobody, server], NAME, "SRV", DEADLINE).records == (RECORD,)


def test_where_one_is_silent_the_next_is_asked(dns_server, server, other, monkeypatch):
    monkeypatch.setattr(dns_client, "FIRST_TRY_SECONDS", 0.05)
    dns_server.behave("silent")
    other.publish(SRV)
    answer = ask([server, name_server(other.address)], NAME, "SRV", DEADLINE)
    assert answer.records == (RECORD,)
    assert dns_server.count() == 1


def test_one_that_was_silent_is_asked_again(puppet, monkeypatch):
    monkeypatch.setattr(dns_client, "FIRST_TRY_SECONDS", 0.05)
    seen = []

    def the_third_time(query):
        seen.append(query.id)
        return [answer_to(query).to_wire()] if len(seen) == 3 else []

    assert ask([puppet(the_third_time)], NAME, "SRV", DEADLINE).records == (RECORD,)
    assert len(seen) == 3


def test_the_error_tells_of_each_server(dns_server, server, other, nobody, monkeypatch):
    monkeypatch.setattr(dns_client, "FIRST_TRY_SECONDS", DEADLINE)
    dns_server.behave("REFUSED")
    other.behave("silent")
    with pytest.raises(Unavailable) as raised:
        ask([server, name_server(other.address), nobody], NAME, "SRV", 1.0)
    assert str(raised.value) == (
        f"the SRV records of {NAME} cannot be had: {dns_server.address} says REFUSED;"
        f" {other.address} does not answer; {nobody} was not asked"
    )
    with pytest.raises(Unavailable, match=f"{nobody} cannot be asked: Connection refused"):
        ask([nobody], NAME, "SRV", DEADLINE)


def test_nobody_else_waits_meanwhile(dns_server, server):
    dns_server.behave("silent")
    answered = Event()
    asking = gevent.spawn(ask, [server], NAME, "SRV", 0.3)
    gevent.spawn(answered.set)
    assert answered.wait(DEADLINE)
    assert not asking.ready()
    with pytest.raises(Unavailable):
        asking.get()


def test_who_is_killed_leaves_no_socket(dns_server, server):
    dns_server.behave("silent")
    before = open_sockets()
    asking = gevent.spawn(ask, [server], NAME, "SRV", DEADLINE)
    gevent.idle()
    assert open_sockets() > before
    asking.kill()
    assert open_sockets() <= before


# What is believed


def forged(query, **changes):
    response = answer_to(query, port=666)
    for name, value in changes.items():
        setattr(response, name, value)
    return response.to_wire()


def of_another_name(query):
    other = dns.message.make_query("_xmpp-server._tcp.montague.example", "SRV", id=query.id)
    return answer_to(other, port=666).to_wire()


@pytest.mark.parametrize(
    "forge",
    [
        lambda query: forged(query, id=query.id ^ 1),
        lambda query: forged(query, flags=0),
        lambda query: query.to_wire(),
        of_another_name,
        lambda query: b"",
        lambda query: b"wherefore",
        lambda query: answer_to(query).to_wire() + b"more",
        lambda query: answer_to(query).to_wire()[:-3],
    ],
    ids=["number", "flags", "question", "name", "empty", "rubbish", "more", "less"],
)
def test_what_is_no_answer_is_passed_over(puppet, forge):
    server = puppet(lambda query: [forge(query), answer_to(query).to_wire()])
    assert ask([server], NAME, "SRV", DEADLINE).records == (RECORD,)


def test_what_another_address_says_is_not_heard(puppet):
    stranger = gevent.socket.socket(gevent.socket.AF_INET, gevent.socket.SOCK_DGRAM)
    stranger.bind(("127.0.0.1", 0))
    clients = []

    def answer(query):
        stranger.sendto(forged(query), clients.pop())
        yield answer_to(query).to_wire()

    sock = gevent.socket.socket(gevent.socket.AF_INET, gevent.socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def serve():
        wire, client = sock.recvfrom(65535)
        clients.append(client)
        for reply in answer(dns.message.from_wire(wire)):
            sock.sendto(reply, client)

    with sock, stranger:
        greenlet = gevent.spawn(serve)
        found = ask([NameServer(*sock.getsockname())], NAME, "SRV", DEADLINE)
        greenlet.get()
    assert found.records == (RECORD,)


def test_records_of_a_name_that_does_not_exist_make_no_sense(puppet):
    def both(query):
        response = answer_to(query)
        response.set_rcode(dns.rcode.NXDOMAIN)
        yield response.to_wire()

    with pytest.raises(Unavailable, match="says what makes no sense"):
        ask([puppet(both)], NAME, "SRV", DEADLINE)


def test_every_question_has_a_number_of_its_own(puppet):
    numbers = []

    def answer(query):
        numbers.append(query.id)
        yield answer_to(query).to_wire()

    server = puppet(answer)
    for _ in range(20):
        ask([server], NAME, "SRV", DEADLINE)
    assert len(set(numbers)) > 15


QUERY = dns.message.make_query(NAME, "SRV", id=7)
GOOD = answer_to(QUERY).to_wire()


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6))
def test_whatever_a_name_server_sends_is_an_answer_or_it_is_not(changes):
    wire = bytearray(GOOD)
    for place, octet in changes:
        wire[place] = octet
    response = dns_client._response(bytes(wire), QUERY)
    if response is not None:
        try:
            dns_client._read_step(response)
        except dns_client._Refusal:
            pass


@given(st.binary(max_size=100))
def test_rubbish_is_no_answer(wire):
    dns_client._response(wire, QUERY)
    response = dns_client._response(GOOD[:12] + wire, QUERY)
    if response is not None:
        dns_client._read_step(response)
