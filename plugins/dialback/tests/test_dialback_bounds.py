"""What strangers can make us do, and how much of it."""

import pytest
from dialback_cast import CAPULET, MONTAGUE, TYBALT, answer, asked, hark, prove, result, say

from stonechat_dialback import receiving
from stonechat_dialback.elements import FEATURE


@pytest.fixture
def stream(montague, capulet):
    return montague.connect(capulet)


def domain(number):
    return f"d{number}.{MONTAGUE}"


@pytest.fixture
def many(server):
    """Domains that can be found, and whose servers say nothing."""
    return [server.remote(domain(number), certificate=False) for number in range(30)]


def under_way(capulet):
    return len(capulet.plugin("dialback").receiving._under_way)


def test_one_stream_has_so_many_keys_verified_at_a_time(montague, capulet, many, stream):
    for number in range(10):
        stream.send(result(from_=domain(number)))
    assert stream.received() == []
    stream.send(result(from_=domain(10)))
    assert answer(stream) == "resource-constraint"
    assert under_way(capulet) == 10
    # Where one is done, there is room for another.
    say(*asked(many[0]))
    assert answer(stream) == "valid"
    stream.send(result(from_=domain(10)))
    assert stream.received() == []


def test_one_network_has_so_many_keys_verified_at_a_time(server, capulet, many):
    streams = [
        server.remote(TYBALT, certificate=False, address=f"2001:db8::{number}").connect(capulet)
        for number in range(3)
    ]
    for number in range(20):
        streams[number // 10].send(result(from_=domain(number)))
    streams[2].send(result(from_=domain(20)))
    assert answer(streams[2]) == "resource-constraint"
    assert under_way(capulet) == 20
    elsewhere = server.remote(TYBALT, certificate=False, address="2001:db8:1::1").connect(capulet)
    elsewhere.send(result(from_=domain(20)))
    assert elsewhere.received() == []
    assert under_way(capulet) == 21


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "20010db800000000"),
        ("2001:db8:0:0:ffff::1", "20010db800000000"),
        ("2001:db8:0:1::1", "20010db800000001"),
        ("unix:", "unix:"),
    ],
)
def test_an_ipv6_network_counts_as_one_place(address, network):
    assert receiving._network(address) == network


def test_a_host_has_so_many_keys_verified_at_a_time(capulet, many, stream, monkeypatch):
    monkeypatch.setattr(receiving, "MOST_AT_ONCE", 2)
    for number in range(3):
        stream.send(result(from_=domain(number)))
    assert answer(stream) == "resource-constraint"
    assert under_way(capulet) == 2


def test_many_keys_for_one_domain_cost_one_stream_to_its_server(server, montague, capulet):
    streams = [montague.connect(capulet) for _ in range(12)]
    for stream in streams:
        stream.send(result())
    asking = montague.accept_secure(FEATURE)
    questions = [asking.receive_element() for _ in streams]
    assert not montague._opened
    for question in questions:
        say(asking, question)
    assert [answer(stream) for stream in streams] == ["valid"] * 12
    # It ends with the last of them, and not before.
    assert asking.closed_with() == ""


def test_one_stream_carries_so_many_domains(server, montague, many, stream, monkeypatch):
    monkeypatch.setattr(receiving, "MOST_PROVEN", 2)
    prove(stream, montague)
    prove(stream, many[0], from_=domain(0))
    stream.send(result(from_=domain(1)))
    assert answer(stream) == "resource-constraint"
    assert not stream.is_closed


def test_a_stranger_may_fail_so_often(capulet, stream):
    for number in range(10):
        assert not stream.is_closed
        stream.send(result(from_=f"nobody{number}.example"))
        assert answer(stream) == "remote-server-not-found"
    assert stream.closed_with() == "policy-violation"


def test_who_has_proven_something_may_fail_more_often(montague, juliet, stream):
    prove(stream, montague)
    for number in range(12):
        stream.send(result(from_=f"nobody{number}.example"))
        assert answer(stream) == "remote-server-not-found"
    stream.send(hark())
    assert juliet.receive_message().body == "Hark!"


def test_so_may_who_has_shown_a_certificate(server, capulet):
    stream = server.remote(MONTAGUE).join(capulet)
    for number in range(12):
        stream.send(result(from_=f"nobody{number}.example"))
        assert answer(stream) == "remote-server-not-found"
    assert not stream.is_closed


def test_a_plugin_that_stops_leaves_nothing_behind(montague, capulet, stream):
    stream.send(result())
    asking, _ = asked(montague)
    capulet.disable("dialback")
    assert asking.is_closed
    stream.send(result())
    assert stream.closed_with() == "unsupported-stanza-type"


def test_a_server_that_stops_does_not_wait_for_answers(server, montague, stream):
    stream.send(result())
    asking, _ = asked(montague)
    server.restart()
    assert asking.is_closed


def test_two_servers_that_ask_each_other_need_nothing_else_first(montague, juliet, stream):
    """Both show a key, and neither waits for its own to be taken before it answers."""
    juliet.message(f"romeo@{MONTAGUE}", "Wherefore art thou?")
    ours = montague.accept_secure(FEATURE)
    our_key = ours.receive_element()
    stream.send(result())
    asking, question = asked(montague)
    # Before they take our key they ask us about it, on the stream that proves nothing yet.
    stream.send(f"<db:verify from='{MONTAGUE}' to='{CAPULET}' id='s1'>{our_key.text}</db:verify>")
    assert answer(stream) == "valid"
    ours.send(result(type="valid"))
    say(asking, question)
    assert answer(stream) == "valid"
    assert [each.body for each in ours.received()] == ["Wherefore art thou?"]
