"""What is kept of DNS and for how long, and questions that several ask at a time."""

import gevent
import pytest
from gevent.event import AsyncResult, Event
from open_sockets import open_sockets

from stonechat.net import dns_cache
from stonechat.net.dns_cache import DnsCache
from stonechat.net.dns_client import Answer, Record, Unavailable
from stonechat.net.resolver import NotFound, Resolver, Target

PLAIN = "_xmpp-server._tcp.capulet.example"
HOST = "xmpp.capulet.example"
DEADLINE = 20.0


class Clock:
    seconds = 5000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def resolver(dns_server, clock):
    return Resolver([dns_server.address], timeout=DEADLINE, now=clock)


class NameServers:
    """Stand-ins that answer when they are told to."""

    def __init__(self):
        self.asked = []
        self.killed = []
        self.answers = {}

    def ask(self, name, kind):
        self.asked.append(name)
        answer = self.answers.setdefault(name, AsyncResult())
        try:
            return answer.get()
        except gevent.GreenletExit:
            self.killed.append(name)
            raise

    def answer(self, name, *hosts, ttl=100):
        found = Answer(tuple(map(Record, hosts)), ttl)
        self.answers.setdefault(name, AsyncResult()).set(found)
        return found

    def fail(self, name, error):
        self.answers.setdefault(name, AsyncResult()).set_exception(error)


@pytest.fixture
def servers():
    return NameServers()


@pytest.fixture
def cache(servers, clock):
    return DnsCache(servers.ask, clock)


def one(cache, name, patience=DEADLINE):
    [outcome] = cache.outcomes([(name, "A")], patience)
    return outcome


def settle():
    """Let everybody come as far as they can."""
    for _ in range(3):
        gevent.idle()


# How long


@pytest.mark.parametrize(
    ("record", "seconds"),
    [("120 A 192.0.2.1", 120), ("0 A 192.0.2.1", 10), ("86400 A 192.0.2.1", 3600)],
)
def test_records_are_kept_as_long_as_they_hold_within_bounds(
    dns_server, resolver, clock, record, seconds
):
    dns_server.publish({HOST: record})
    resolver.addresses(HOST, ("ipv4",))
    clock.seconds += seconds - 1
    assert resolver.addresses(HOST, ("ipv4",)) == ["192.0.2.1"]
    assert dns_server.count() == 1
    clock.seconds += 1
    assert resolver.addresses(HOST, ("ipv4",)) == ["192.0.2.1"]
    assert dns_server.count() == 2


@pytest.mark.parametrize(("minimum", "seconds"), [(60, 60), (3, 10), (86400, 300)])
def test_that_there_are_none_is_kept_as_long_as_the_zone_says_within_bounds(
    dns_server, resolver, clock, minimum, seconds
):
    dns_server.publish({"example": f"90000 SOA ns.example hostmaster.example 1 2 3 4 {minimum}"})
    for passes in (0, seconds - 1):
        clock.seconds += passes
        with pytest.raises(NotFound):
            resolver.addresses(HOST, ("ipv4",))
        assert dns_server.count() == 1
    clock.seconds += 1
    with pytest.raises(NotFound):
        resolver.addresses(HOST, ("ipv4",))
    assert dns_server.count() == 2


def test_a_failure_is_kept_for_ten_seconds(dns_server, resolver, clock):
    dns_server.behave("SERVFAIL")
    for passes in (0, 9):
        clock.seconds += passes
        with pytest.raises(Unavailable, match="SERVFAIL"):
            resolver.addresses(HOST, ("ipv4",))
        assert dns_server.count() == 1
    dns_server.behave("well")
    dns_server.publish({HOST: "A 192.0.2.1"})
    clock.seconds += 1
    assert resolver.addresses(HOST, ("ipv4",)) == ["192.0.2.1"]


def test_targets_come_from_what_is_kept(dns_server, resolver):
    dns_server.publish({PLAIN: "SRV 1 1 5269 xmpp.capulet.example"})
    for _ in range(3):
        assert resolver.targets("capulet.example") == [Target(HOST, 5269, tls=False)]
    assert len(dns_server.queries) == 2


def test_the_least_used_goes_where_there_is_no_more_room(cache, servers, monkeypatch):
    monkeypatch.setattr(dns_cache, "MAX_KEPT", 3)
    for name in ("a", "b", "c"):
        servers.answer(name)
        one(cache, name)
    one(cache, "a")
    servers.answer("d")
    one(cache, "d")
    servers.asked.clear()
    for name in ("a", "c", "d"):
        one(cache, name)
    assert servers.asked == []
    one(cache, "b")
    assert servers.asked == ["b"]
    assert len(cache._kept) == 3


# Several at a time


def test_the_same_question_of_several_goes_out_once(dns_server, resolver):
    dns_server.publish({PLAIN: "SRV 1 1 5269 xmpp.capulet.example"})
    asking = [gevent.spawn(resolver.targets, "capulet.example") for _ in range(10)]
    gevent.joinall(asking, timeout=DEADLINE)
    assert [each.value for each in asking] == [[Target(HOST, 5269, tls=False)]] * 10
    assert dns_server.count(PLAIN) == 1


def test_each_of_several_is_told_of_a_failure(cache, servers):
    asking = [gevent.spawn(one, cache, "a") for _ in range(3)]
    settle()
    servers.fail("a", Unavailable("the messenger has the plague"))
    gevent.joinall(asking, timeout=DEADLINE)
    assert [str(each.value) for each in asking] == ["the messenger has the plague"] * 3
    assert servers.asked == ["a"]


def test_errors_that_are_raised_are_never_the_same_object(dns_server, resolver):
    dns_server.behave("REFUSED")
    raised = []
    for _ in range(2):
        with pytest.raises(Unavailable) as error:
            resolver.addresses(HOST)
        raised.append(error.value)
    assert raised[0] is not raised[1]
    assert str(raised[0]) == str(raised[1])


def test_who_goes_away_takes_no_answer_from_the_others(cache, servers):
    leaving, staying = (gevent.spawn(one, cache, "a") for _ in range(2))
    settle()
    leaving.kill()
    settle()
    found = servers.answer("a", "192.0.2.1")
    assert staying.get(timeout=DEADLINE) == found
    assert servers.killed == []


def test_when_the_last_goes_away_the_question_ends(cache, servers):
    asking = gevent.spawn(one, cache, "a")
    settle()
    asking.kill()
    # Who comes now asks anew and does not get what the other one left.
    again = gevent.spawn(one, cache, "a")
    settle()
    assert servers.killed == ["a"]
    found = servers.answer("a", "192.0.2.1")
    assert again.get(timeout=DEADLINE) == found
    assert servers.asked == ["a", "a"]
    assert one(cache, "a") == found
    assert servers.asked == ["a", "a"]


def test_a_question_that_never_began_ends_as_well(cache, servers):
    def leave_at_once():
        with gevent.Timeout(0, False):
            one(cache, "a")

    gevent.spawn(leave_at_once).join(DEADLINE)
    servers.answer("a", "192.0.2.1")
    assert one(cache, "a").records


def test_a_time_out_leaves_no_socket(dns_server, resolver):
    dns_server.behave("silent")
    before = open_sockets()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
        resolver.targets("capulet.example")
    settle()
    assert open_sockets() <= before


def test_there_is_a_bound_on_open_questions(cache, servers, monkeypatch):
    monkeypatch.setattr(dns_cache, "MAX_OPEN", 2)
    asking = [gevent.spawn(one, cache, name) for name in ("a", "b")]
    settle()
    refused = one(cache, "c")
    assert isinstance(refused, Unavailable)
    assert "too many" in str(refused)
    # To wait with others for what is asked already costs nothing.
    asking.append(gevent.spawn(one, cache, "a"))
    settle()
    for name in ("a", "b", "c"):
        servers.answer(name, "192.0.2.1")
    gevent.joinall(asking, timeout=DEADLINE)
    assert all(each.value.records for each in asking)
    assert one(cache, "c").records
    assert servers.asked == ["a", "b", "c"]


def test_a_fault_of_ours_reaches_who_asked_and_nothing_stays_open(cache, servers, monkeypatch):
    told = []
    monkeypatch.setattr(
        gevent.get_hub(), "print_exception", lambda context, kind, error, trace: told.append(error)
    )
    servers.fail("a", ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        one(cache, "a")
    assert len(told) == 1
    assert cache._open == {}


# Questions that belong together


def test_those_beside_records_are_waited_for_with_patience_only(cache, servers):
    found = servers.answer("a", "192.0.2.1")
    outcome, late = cache.outcomes([("a", "A"), ("b", "A")], 0.01)
    assert outcome == found
    assert isinstance(late, Unavailable)
    assert "did not come in time" in str(late)
    # It was nobody's failure, so it is not remembered.
    found = servers.answer("b", "192.0.2.2")
    assert one(cache, "b") == found


def test_without_records_all_of_them_are_waited_for(cache, servers):
    servers.answer("a")
    asking = gevent.spawn(cache.outcomes, [("a", "A"), ("b", "A")], 0.0)
    came = Event()
    gevent.spawn_later(0.05, came.set)
    came.wait(DEADLINE)
    assert not asking.ready()
    servers.answer("b", "192.0.2.2")
    assert [len(outcome.records) for outcome in asking.get(timeout=DEADLINE)] == [0, 1]


def test_the_same_question_twice_is_one(cache, servers):
    found = servers.answer("a", "192.0.2.1")
    assert cache.outcomes([("a", "A"), ("a", "A")], DEADLINE) == [found, found]
    assert cache._open == {}
