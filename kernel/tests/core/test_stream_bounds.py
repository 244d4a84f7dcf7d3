"""Bounds on streams: one session for a resource, so many for an account, deadlines, strangers."""

import pytest

from stonechat.namespaces import NS_BIND, NS_TLS
from stonechat.stanza import Iq
from stonechat.testing import error_of
from stonechat.testing.kit import PASSWORD

BIND = f"<iq type='set' id='b1'><bind xmlns='{NS_BIND}'>%s</bind></iq>"
HERE, THERE = "192.0.2.1", "192.0.2.2"


def bind(stream, resource=""):
    stream.send(BIND % (f"<resource>{resource}</resource>" if resource else ""))
    return stream.receive()


def bound_jid(answer):
    assert isinstance(answer, Iq)
    assert answer.type == "result", answer
    return answer.payload.find_text("jid")


# Conflicts (7.7.2.2)


def connect(host, address):
    return host.connect("juliet@capulet.example/balcony", PASSWORD, address=address)


@pytest.mark.parametrize(
    ("policy", "address", "outcome"),
    [
        ("generate", THERE, "another"),
        ("generate", HERE, "replaced"),
        ("replace", THERE, "replaced"),
        ("replace", HERE, "replaced"),
        ("refuse", THERE, "refused"),
        ("refuse", HERE, "refused"),
    ],
)
def test_a_resource_that_is_taken(server, host, policy, address, outcome):
    server.configure(limits={"resource_conflict": policy})
    older = connect(host, HERE)
    older.available()
    stream = host.open_stream(tls=True, address=address)
    stream.authenticate("juliet", PASSWORD)
    stream.open()
    answer = bind(stream, "balcony")
    if outcome == "refused":
        assert error_of(answer).condition == "conflict"
        assert not older.is_closed
        assert len(host.kernel.sessions("juliet")) == 1
    elif outcome == "replaced":
        assert bound_jid(answer) == "juliet@capulet.example/balcony"
        assert older.closed_with() == "conflict"
        (session,) = host.kernel.sessions("juliet")
        assert session.presence is None
    else:
        assert bound_jid(answer).startswith("juliet@capulet.example/balcony.")
        assert not older.is_closed
        assert len(host.kernel.sessions("juliet")) == 2


def test_who_was_replaced_does_not_take_its_successor_along(server, host):
    server.configure(limits={"resource_conflict": "replace"})
    older = connect(host, HERE)
    newer = connect(host, THERE)
    older.drop()
    newer.message(newer.jid, "Still here")
    assert newer.receive_message().body == "Still here"


def test_an_account_has_so_many_sessions_and_no_more(server, host):
    server.configure(limits={"sessions_per_account": 2})
    clients = [host.connect("juliet@capulet.example", PASSWORD) for _ in range(2)]
    stream = host.open_stream(tls=True)
    stream.authenticate("juliet", PASSWORD)
    stream.open()
    for resource in ("", "balcony"):
        assert error_of(bind(stream, resource)).condition == "resource-constraint"
    clients[0].disconnect()
    assert bound_jid(bind(stream, "balcony"))


def test_a_client_that_comes_again_needs_no_room(server, host):
    server.configure(limits={"sessions_per_account": 1})
    connect(host, HERE)
    connect(host, HERE)
    assert len(host.kernel.sessions("juliet")) == 1


# Deadlines


def test_a_stranger_has_ten_seconds_for_each_step(server, host):
    stream = host.open_stream(tls=True)
    server.clock.advance(9.9)
    assert not stream.is_closed
    stream.send(" ")
    server.clock.advance(9.9)
    assert not stream.is_closed
    server.clock.advance(0.2)
    assert stream.closed_with() == "connection-timeout"


def test_who_connects_and_says_nothing_is_closed(server, host):
    stream = host.open_stream(header=False)
    server.clock.advance(10.1)
    assert stream.closed_with() == "connection-timeout"
    assert stream.header is not None


def test_a_stranger_has_thirty_seconds_in_all(server, host):
    stream = host.open_stream(tls=True)
    for _ in range(5):
        server.clock.advance(5.9)
        stream.send(" ")
    assert not stream.is_closed
    server.clock.advance(0.6)
    assert stream.closed_with() == "connection-timeout"


def test_the_binding_belongs_to_the_login(server, logged_in):
    server.clock.advance(10.1)
    assert logged_in.closed_with() == "connection-timeout"


def test_a_handshake_that_never_ends_is_cut_off_without_a_word(server, host):
    stream = host.open_stream(starttls="required")
    stream.send(f"<starttls xmlns='{NS_TLS}'/>")
    assert stream.receive().name == "proceed"
    server.clock.advance(10.1)
    assert stream.is_closed
    assert stream.received() == []


def test_the_deadlines_are_the_operators_choice(server):
    server.configure(limits={"handshake_timeout": "2 s", "negotiation_timeout": "3 s"})
    host = server.host("capulet.example")
    stream = host.open_stream()
    server.clock.advance(1.9)
    stream.send(" ")
    server.clock.advance(1)
    assert not stream.is_closed
    server.clock.advance(0.2)
    assert stream.closed_with() == "connection-timeout"


def test_a_bound_stream_has_no_deadline(server, host):
    juliet = host.connect("juliet@capulet.example/balcony", PASSWORD)
    server.clock.advance(86400)
    juliet.message(juliet.jid, "Still here")
    assert juliet.receive_message().body == "Still here"


def test_streams_that_are_over_leave_no_timers_behind(server, host):
    waiting = len(server.kernel.timers)
    for end in ("drop", "close"):
        getattr(host.open_stream(), end)()
    host.connect("juliet@capulet.example/balcony", PASSWORD).drop()
    assert len(server.kernel.timers) == waiting


# Strangers


def test_past_the_bound_the_stranger_that_waits_longest_goes(server):
    server.configure(limits={"unauthenticated_per_address": 2})
    host = server.host("capulet.example")
    first, second = (host.open_stream(address=HERE) for _ in range(2))
    elsewhere = host.open_stream(address=THERE)
    host.open_stream(address=HERE)
    assert first.closed_with() == "resource-constraint"
    assert not second.is_closed
    assert not elsewhere.is_closed


def test_who_has_logged_in_is_no_stranger(server):
    server.configure(limits={"unauthenticated_per_address": 1})
    host = server.host("capulet.example")
    juliet = host.connect("juliet@capulet.example/balcony", address=HERE)
    for _ in range(3):
        stream = host.open_stream(address=HERE)
    assert not juliet.is_closed
    assert not stream.is_closed


def test_connections_past_their_bound_are_refused(server):
    server.configure(limits={"connections_per_address": 1})
    host = server.host("capulet.example")
    juliet = host.connect("juliet@capulet.example/balcony", address=HERE)
    assert host.open_stream(address=HERE, header=False).is_closed
    assert not host.open_stream(address=THERE).is_closed
    juliet.disconnect()
    assert not host.open_stream(address=HERE).is_closed


def test_a_flood_of_connections_is_refused_and_leaves_nothing_behind(server):
    server.configure(limits={"connections_per_second_per_address": 10})
    host = server.host("capulet.example")
    timers = len(server.kernel.timers)
    streams = [host.open_stream(address=HERE, header=False) for _ in range(1000)]
    assert sum(not stream.is_closed for stream in streams) == 50
    assert not host.open_stream(address=THERE).is_closed
    server.clock.advance(1)
    later = [host.open_stream(address=HERE, header=False) for _ in range(20)]
    assert sum(not stream.is_closed for stream in later) == 10
    server.clock.advance(60)  # nobody has logged in
    assert server.kernel.books.connection_count == 0
    assert len(server.kernel.timers) <= timers


def test_a_load_balancer_has_no_bound_of_its_own(server):
    server.configure(
        limits={
            "connections_per_address": 1,
            "connections_per_second_per_address": 1,
            "exempt_networks": [f"{HERE}/32"],
        }
    )
    host = server.host("capulet.example")
    for _ in range(60):
        assert not host.open_stream(address=HERE, header=False).is_closed
    assert not host.open_stream(address=THERE).is_closed
    assert host.open_stream(address=THERE, header=False).is_closed
