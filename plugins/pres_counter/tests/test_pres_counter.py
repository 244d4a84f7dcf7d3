"""So many subscription requests pass in an interval, and no more."""

import pytest

from stonechat.jid import JID
from stonechat.stanza import Presence
from stonechat.testing.client import error_of
from stonechat_pres_counter import MAX_ACCOUNTS

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"


def say(client, kind, to):
    client.send(Presence(type=kind, to=JID.parse(str(to))))


def errors(client):
    """The errors that have come, as (condition, type, from)."""
    found = []
    for stanza in client.received():
        if isinstance(stanza, Presence) and stanza.type == "error":
            error = error_of(stanza)
            found.append((error.condition, error.type, stanza.from_.text))
    return found


def refusal(jid):
    return ("policy-violation", "wait", str(jid))


def capulet_with(server, **options):
    return server.host("capulet.example", roster={}, pres_counter=options)


@pytest.fixture
def capulet(server):
    return capulet_with(server, count=3, interval="60 s")


@pytest.fixture
def juliet(capulet):
    return capulet.connect(f"{JULIET}/balcony")


@pytest.fixture
def montague(server, capulet):
    return server.host("montague.example", roster={})


# Out


def test_a_session_sends_so_many_requests_in_an_interval(server, capulet, juliet):
    for number in range(5):
        say(juliet, "subscribe", f"servant{number}@montague.example")
    assert errors(juliet)[-2:] == [
        refusal("servant3@montague.example"),
        refusal("servant4@montague.example"),
    ]
    roster = capulet.kernel.service("roster")
    assert len(roster.contacts("juliet")) == 3
    server.clock.advance(59)
    say(juliet, "subscribe", "servant3@montague.example")
    assert refusal("servant3@montague.example") in errors(juliet)
    server.clock.advance(1)
    say(juliet, "subscribe", "servant3@montague.example")
    assert refusal("servant3@montague.example") not in errors(juliet)
    assert len(roster.contacts("juliet")) == 4


def test_all_that_is_about_subscriptions_counts(juliet):
    for kind in ("subscribe", "unsubscribe", "subscribed", "unsubscribed"):
        say(juliet, kind, "paris@far.example")
    assert refusal("paris@far.example") in errors(juliet)


def test_other_presence_does_not_count(capulet, juliet):
    nurse = capulet.connect("nurse@capulet.example/house")
    for _ in range(10):
        juliet.available()
        say(juliet, "", nurse.jid)
        say(juliet, "unavailable", nurse.jid)
        say(juliet, "probe", nurse.bare)
    assert errors(juliet) == []
    assert len(nurse.received()) == 20


def test_each_session_is_counted_for_itself(capulet, juliet):
    for number in range(4):
        say(juliet, "subscribe", f"servant{number}@montague.example")
    errors(juliet)
    chamber = capulet.connect(f"{JULIET}/chamber")
    say(chamber, "subscribe", "servant3@montague.example")
    assert refusal("servant3@montague.example") not in errors(chamber)


def test_a_flood_is_logged_once_in_an_interval(server, juliet):
    for _ in range(2):
        for number in range(20):
            say(juliet, "subscribe", f"servant{number}@montague.example")
        server.clock.advance(60)
    lines = server.logged("too much presence")
    assert len(lines) == 2
    assert lines[0]["jid"] == f"{JULIET}/balcony"
    assert lines[0]["direction"] == "out"
    assert lines[0]["count"] == 3


def test_all_presence_can_be_counted(server):
    host = capulet_with(server, count=3, only_subscriptions=False)
    juliet = host.connect(f"{JULIET}/balcony")
    nurse = host.connect("nurse@capulet.example/house")
    for _ in range(4):
        say(juliet, "", nurse.jid)
    assert errors(juliet) == [refusal(nurse.jid)]
    # Nobody is kept from saying that they are gone.
    say(juliet, "unavailable", nurse.jid)
    assert [stanza.type for stanza in nurse.received()] == ["", "", "", "unavailable"]
    # What is broadcast goes to nobody in particular.
    juliet.available()
    assert errors(juliet) == []


# In


def test_an_account_gets_so_many_requests_in_an_interval(server, capulet, juliet, montague):
    juliet.available()
    servants = [montague.connect(f"servant{n}@montague.example/hall") for n in range(5)]
    for servant in servants:
        # Errors of requests come to the account, and so to whoever is available.
        servant.available()
        say(servant, "subscribe", JULIET)
    assert [bool(errors(servant)) for servant in servants] == [False, False, False, True, True]
    assert len(capulet.kernel.service("roster").requests("juliet")) == 3
    (line,) = server.logged("too much presence")
    assert (line["jid"], line["direction"]) == (JULIET, "in")
    server.clock.advance(60)
    say(servants[3], "subscribe", JULIET)
    assert errors(servants[3]) == []
    assert len(capulet.kernel.service("roster").requests("juliet")) == 4


def test_one_who_asks_and_withdraws_is_counted_each_time(capulet, juliet, montague):
    romeo = montague.connect(f"{ROMEO}/orchard")
    romeo.available()
    for _ in range(4):
        say(romeo, "subscribe", JULIET)
        say(romeo, "unsubscribe", JULIET)
    assert errors(romeo) == [refusal(JULIET)]


def test_answers_and_withdrawals_are_never_refused(server, capulet, juliet, montague):
    # Or the two sides would not agree any more.
    servants = [montague.connect(f"servant{n}@montague.example/hall") for n in range(5)]
    for servant in servants:
        servant.available()
        say(juliet, "subscribe", servant.bare)
        server.clock.advance(60)
    for servant in servants:
        say(servant, "subscribed", JULIET)
        say(servant, "unsubscribed", JULIET)
    assert [errors(servant) for servant in servants] == [[]] * 5
    roster = capulet.kernel.service("roster")
    assert {item.subscription for item in roster.contacts("juliet")} == {"none"}
    assert not any(item.is_asking for item in roster.contacts("juliet"))


def test_other_accounts_are_not_concerned(capulet, juliet, montague):
    romeo = montague.connect(f"{ROMEO}/orchard")
    romeo.available()
    for _ in range(4):
        say(romeo, "subscribe", JULIET)
    assert errors(romeo) == [refusal(JULIET)]
    say(romeo, "subscribe", "nurse@capulet.example")
    assert errors(romeo) == []


def test_gateways_can_be_let_through(server):
    host = capulet_with(server, count=1, exempt=["montague.example"])
    romeo = server.host("montague.example", roster={}).connect(f"{ROMEO}/orchard")
    romeo.available()
    juliet = host.connect(f"{JULIET}/balcony")
    for _ in range(3):
        say(romeo, "subscribe", JULIET)
        say(juliet, "subscribe", ROMEO)
    assert errors(romeo) == errors(juliet) == []


def test_the_count_of_many_accounts_needs_little_memory(server, capulet, monkeypatch):
    counter = capulet.plugin("pres_counter")
    for number in range(MAX_ACCOUNTS + 10):
        to = JID.make(f"servant{number}", "capulet.example")
        counter.stonechat_presence_to_user(
            Presence(type="subscribe", from_=JID.parse(ROMEO), to=to)
        )
    assert len(counter.requests) == MAX_ACCOUNTS
    assert "servant9" not in counter.requests
    server.clock.advance(60)
    counter.stonechat_presence_to_user(
        Presence(type="subscribe", from_=JID.parse(ROMEO), to=JID.parse(JULIET))
    )
    assert list(counter.requests) == ["juliet"]


def test_a_user_of_ejabberd_finds_the_defaults_they_know(server):
    options = capulet_with(server).plugin("pres_counter").options
    assert (options.count, options.interval) == (5, 60.0)
