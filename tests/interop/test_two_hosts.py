"""Two virtual hosts in one server: each has its own accounts and plugins, and they meet."""

import pytest

from stonechat.errors import StanzaError
from stonechat.testing import LoginFailed

CAPULET, MONTAGUE = "capulet.example", "montague.example"


def services(person, domain):
    answer = person.call("xep_0030", "get_items", jid=domain)
    return {item[0] for item in answer["disco_items"]["items"]}


def test_the_same_name_on_both_is_two_accounts(cast):
    one = cast.login(f"peter@{CAPULET}/hall", "password of one")
    other = cast.login(f"peter@{MONTAGUE}/hall", "password of the other")
    one.available()
    other.available()
    one.say(other.bare, "Are you my namesake?")
    assert other.message()["from"] == one.jid
    for domain, wrong in ((CAPULET, "password of the other"), (MONTAGUE, "password of one")):
        with pytest.raises(LoginFailed):
            cast.stranger(f"peter@{domain}/tomb", wrong, mechanism="SCRAM-SHA-256").connect()


def test_an_account_of_one_cannot_log_in_to_the_other(cast):
    cast.account(f"sampson@{CAPULET}")
    with pytest.raises(LoginFailed):
        cast.stranger(f"sampson@{MONTAGUE}/street", mechanism="PLAIN").connect()


def test_a_domain_that_is_not_served_is_told_so(cast):
    with pytest.raises(LoginFailed, match="host-unknown"):
        cast.stranger("romeo@mantua.example/exile").connect()


def test_each_offers_its_own_plugins(cast):
    juliet = cast.login(f"juliet@{CAPULET}/balcony")
    assert "jabber:iq:version" in juliet.features(CAPULET)
    assert "jabber:iq:version" not in juliet.features(MONTAGUE)
    assert services(juliet, CAPULET) == set()
    assert services(juliet, MONTAGUE) == {"echo.montague.example"}
    juliet.call("xep_0092", "get_version", CAPULET)
    with pytest.raises(StanzaError) as refusal:
        juliet.call("xep_0092", "get_version", MONTAGUE)
    assert refusal.value.condition == "service-unavailable"


def test_a_service_of_one_serves_users_of_both(cast):
    for jid in (f"juliet@{CAPULET}/balcony", f"romeo@{MONTAGUE}/orchard"):
        person = cast.login(jid)
        person.say("anybody@echo.montague.example", f"Hello from {jid} 🗻")
        answer = person.message()
        assert answer["body"] == f"Hello from {jid} 🗻"
        assert answer["from"] == "anybody@echo.montague.example"


def test_users_of_both_meet(cast):
    cast.befriend(f"juliet@{CAPULET}", f"romeo@{MONTAGUE}")
    juliet = cast.login(f"juliet@{CAPULET}/balcony")
    romeo = cast.login(f"romeo@{MONTAGUE}/orchard")
    juliet.available()
    romeo.available()
    juliet.presence(romeo.jid)
    romeo.presence(juliet.jid)
    romeo.say(juliet.bare, "My name, dear saint, is hateful to myself")
    juliet.say(juliet.message()["from"].full, "My ears have not yet drunk a hundred words")
    assert romeo.message()["from"] == juliet.jid
    # What one client asks another.
    romeo.call("xep_0199", "ping", juliet.jid)
    juliet.leave()
    romeo.presence(juliet.jid, "unavailable")
    romeo.say(juliet.bare, "So thrive my soul")
    romeo.sync()
    again = cast.login(f"juliet@{CAPULET}/balcony")
    again.available()
    assert again.message()["delay"]["from"] == CAPULET


def test_an_administrator_sees_them_apart(cast):
    cast.login(f"juliet@{CAPULET}/balcony")
    cast.login(f"romeo@{MONTAGUE}/orchard")
    for domain, jid in (
        (CAPULET, "juliet@capulet.example/balcony"),
        (MONTAGUE, "romeo@montague.example/orchard"),
    ):
        assert [row["jid"] for row in cast.node.ask("connected-users", host=domain)] == [jid]
    hosts = {host["host"]: host for host in cast.node.ask("status")["hosts"]}
    assert "echo" in hosts[MONTAGUE]["plugins"]
    assert "version" not in hosts[MONTAGUE]["plugins"]
    assert "echo" not in hosts[CAPULET]["plugins"]
