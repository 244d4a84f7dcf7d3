"""What the server tells about itself in numbers, and to whom."""

import time

import gevent
import pytest
from gevent.event import Event

from stonechat.auth import AuthUnavailable
from stonechat.core.access import AccessRule, AccessRules
from stonechat.errors import ConfigError, StanzaError
from stonechat.stanza import Element, Iq
from stonechat.testing.client import error_of

STATS = "http://jabber.org/protocol/stats"
HOST, OTHER = "capulet.example", "montague.example"
NURSE = "nurse@capulet.example"

USERS = [
    "users/online",
    "users/total",
    "users/all-hosts/online",
    "users/all-hosts/total",
    "time/uptime",
]


@pytest.fixture
def host(server):
    server.configure(access={"admin": {"users": [NURSE]}})
    return server.host(HOST, stats={})


@pytest.fixture
def juliet(host):
    return host.connect("juliet@capulet.example/balcony")


@pytest.fixture
def nurse(host):
    return host.connect(f"{NURSE}/house")


def query(*names) -> Element:
    element = Element(STATS, "query")
    for name in names:
        element.add("stat", name=name)
    return element


def listed(client, to=HOST) -> list[str]:
    stats = client.get(query(), to=to).payload.find_all("stat")
    found = [stat.attributes for stat in stats]
    assert all(set(attributes) == {"name"} for attributes in found)
    return [attributes["name"] for attributes in found]


def ask(client, *names, to=HOST) -> dict[str, tuple[str, str]]:
    """By name: value and units, or code and text of the error."""
    answers = {}
    for stat in client.get(query(*names), to=to).payload.find_all("stat"):
        error = stat.find("error")
        if error is None:
            answers[stat.get("name")] = (stat.get("value"), stat.get("units"))
        else:
            assert set(stat.attributes) == {"name"}
            answers[stat.get("name")] = (error.get("code"), error.text)
    return answers


def test_statistics_are_listed_by_name(nurse):
    assert listed(nurse) == [*USERS, "time/cputime"]


def test_users_are_counted_on_the_host_and_on_all(server, host, juliet):
    host.connect("juliet@capulet.example/chamber")
    host.create_account("paris")
    # A host without the plugin counts, too.
    montague = server.host(OTHER)
    montague.connect("romeo@montague.example/orchard")
    assert ask(juliet, *USERS[:4]) == {
        "users/online": ("1", "users"),
        "users/total": ("2", "users"),
        "users/all-hosts/online": ("2", "users"),
        "users/all-hosts/total": ("3", "users"),
    }


def test_the_uptime_is_that_of_the_server(server, juliet):
    server.clock.advance(3600)
    value, units = ask(juliet, "time/uptime")["time/uptime"]
    assert units == "seconds"
    assert 3600 <= int(value) <= 3610


def test_the_processor_time_is_told(nurse):
    value, units = ask(nurse, "time/cputime")["time/cputime"]
    assert units == "seconds"
    # It is told in milliseconds, rounded.
    assert 0 < float(value) <= time.process_time() + 0.001


def test_one_statistic_that_is_not_there_leaves_the_others_as_they_are(juliet):
    assert ask(juliet, "users/sleeping", "users/online", "") == {
        "users/sleeping": ("404", "Not Found"),
        "users/online": ("1", "users"),
        "": ("404", "Not Found"),
    }


def test_they_are_told_in_the_order_in_which_they_were_asked_for(juliet):
    names = ["time/uptime", "users/total", "users/online"]
    stats = juliet.get(query(*names), to=HOST).payload.find_all("stat")
    assert [stat.get("name") for stat in stats] == names


def test_users_are_not_told_everything(juliet):
    assert listed(juliet) == USERS
    assert ask(juliet, "time/cputime", "users/online") == {
        "time/cputime": ("401", "Unauthorized"),
        "users/online": ("1", "users"),
    }


def test_users_of_another_host_are_told_nothing(server, host):
    romeo = server.host(OTHER).connect("romeo@montague.example/orchard")
    for names in ((), ("users/online",), ("users/sleeping",)):
        answer = romeo.request("get", query(*names), to=HOST)
        assert error_of(answer).condition == "not-authorized"
        assert answer.element.find("error").get("code") == "401"


def test_what_users_and_others_are_told_are_options(server):
    options = {"for_users": ["users/online"], "for_everybody": ["time/uptime"]}
    host = server.host(HOST, stats=options)
    juliet = host.connect("juliet@capulet.example/balcony")
    romeo = server.host(OTHER).connect("romeo@montague.example/orchard")
    assert listed(juliet) == ["users/online", "time/uptime"]
    assert listed(romeo) == ["time/uptime"]
    assert ask(romeo, "users/online") == {"users/online": ("401", "Unauthorized")}


def test_a_statistic_that_is_not_there_cannot_be_allowed(server):
    with pytest.raises(ConfigError, match="for_users"):
        server.host(HOST, stats={"for_users": ["users/sleeping"]})


def test_the_rule_for_all_of_them_is_an_option_and_may_be_about_addresses(server):
    host = server.host(HOST, stats={"access": "watchers", "for_users": []})
    rule = AccessRule(users=[NURSE], addresses=["192.0.2.0/24"])
    host.kernel.access = AccessRules({"watchers": rule})
    assert len(listed(host.connect(f"{NURSE}/house", address="192.0.2.7"))) == 6
    abroad = host.connect(f"{NURSE}/ship", address="203.0.113.9")
    assert error_of(abroad.request("get", query(), to=HOST)).condition == "not-authorized"


def test_a_backend_that_does_not_answer_leaves_the_number_out(host, juliet, nurse, monkeypatch):
    def fail():
        raise AuthUnavailable("away")

    monkeypatch.setattr(host.kernel.accounts, "count", fail)
    assert ask(nurse, "users/total", "users/all-hosts/total", "users/online") == {
        "users/total": ("503", "Service Unavailable"),
        "users/all-hosts/total": ("503", "Service Unavailable"),
        "users/online": ("2", "users"),
    }


def test_whoever_asks_again_at_once_costs_nothing(server, host, juliet, monkeypatch):
    counted = []
    count = host.kernel.accounts.count

    def watched():
        counted.append(1)
        return count()

    monkeypatch.setattr(host.kernel.accounts, "count", watched)
    for _ in range(5):
        ask(juliet, "users/total", "users/online")
    assert len(counted) == 1
    host.create_account("paris")
    server.clock.advance(6)
    assert ask(juliet, "users/total") == {"users/total": ("2", "users")}


def test_who_asks_while_users_are_counted_waits_for_that(host, juliet, nurse, monkeypatch):
    counted = []
    begun, done = Event(), Event()

    def count():
        counted.append(1)
        begun.set()
        done.wait(5)
        return 2

    monkeypatch.setattr(host.kernel.accounts, "count", count)
    for client in (juliet, nurse):
        request = Iq(query("users/total"), type="get", id="1", to=host.kernel.jid)
        client.stream.connection.deliver(request.to_bytes())
    begun.wait(5)
    gevent.idle()
    done.set()
    for client in (juliet, nurse):
        assert client.receive_iq().payload.find("stat").get("value") == "2"
    assert len(counted) == 1


def test_statistics_cannot_be_set(juliet):
    with pytest.raises(StanzaError) as caught:
        juliet.set(query("users/online"), to=HOST)
    assert caught.value.condition == "not-allowed"


def test_a_request_has_a_bound(juliet):
    juliet.get(query(*["users/online"] * 100), to=HOST)
    with pytest.raises(StanzaError) as caught:
        juliet.get(query(*["users/online"] * 101), to=HOST)
    assert caught.value.condition == "bad-request"


def test_it_is_advertised(host):
    assert host.plugin("stats").stonechat_disco_features() == [STATS]


def test_the_same_by_command(server, host, juliet):
    stats = server.command("stats")
    assert stats["users/online"] == "1"
    assert set(stats) == {*USERS, "time/cputime"}
    with pytest.raises(StanzaError):
        host.kernel.run_command("stats", {}, juliet.jid)
