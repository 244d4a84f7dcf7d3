"""Users write privacy lists, choose among them, and take them away (XEP-0016, 2.3 to 2.8)."""

import pytest

from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.stanza import Element
from stonechat.testing.client import error_of

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
TYBALT = "tybalt@capulet.example"
DENY_ROMEO = (1, "deny", "jid", ROMEO)
NS = "xmlns='jabber:iq:privacy'"


def condition(call, *arguments):
    with pytest.raises(StanzaError) as refused:
        call(*arguments)
    return refused.value.condition


def test_the_server_says_that_it_has_privacy_lists(server):
    host = server.host("capulet.example", privacy={}, disco={})
    juliet = host.connect(f"{JULIET}/balcony")
    info = juliet.get(
        Element("http://jabber.org/protocol/disco#info", "query"), to="capulet.example"
    ).payload
    assert "jabber:iq:privacy" in [feature.get("var") for feature in info.find_all("feature")]


# Retrieving


def test_there_are_no_lists_at_first(juliet, talk):
    assert talk.names(juliet) == ([], [], [])


def test_names_come_with_the_active_and_the_default_list_first(juliet, talk):
    for name in ("special", "public", "private"):
        talk.edit(juliet, name, DENY_ROMEO)
    talk.activate(juliet, "private")
    talk.default(juliet, "public")
    names = [
        (child.name, child.get("name")) for child in juliet.get(talk.query()).payload.elements
    ]
    assert names[:2] == [("active", "private"), ("default", "public")]
    assert sorted(names[2:]) == [("list", "private"), ("list", "public"), ("list", "special")]


def test_a_list_comes_as_it_was_written_in_its_order(juliet, talk):
    talk.edit(
        juliet,
        "all kinds",
        (42, "allow", "subscription", "both", "message", "iq"),
        (7, "deny", "jid", "Tybalt@CAPULET.example/Square", "presence-in", "presence-out"),
        (4294967295, "deny", "", ""),
        (0, "allow", "jid", "x.example", "message", "iq", "presence-in", "presence-out"),
    )
    assert talk.items(juliet, "all kinds") == [
        (0, "allow", "jid", "x.example", "message", "iq", "presence-in", "presence-out"),
        (7, "deny", "jid", f"{TYBALT}/Square", "presence-in", "presence-out"),
        (42, "allow", "subscription", "both", "message", "iq"),
        (4294967295, "deny", "", ""),
    ]


def test_a_list_that_is_not_there_cannot_be_had(juliet, talk):
    assert condition(talk.items, juliet, "The Empty Set") == "item-not-found"


@pytest.mark.parametrize(
    "inside",
    [
        "<list name='a'/><list name='b'/>",
        "<list/>",
        "<active/>",
        "<default name='a'/>",
        "<list xmlns='urn:other' name='a'/>",
        "<item/>",
    ],
)
def test_one_list_can_be_asked_for_and_nothing_else(juliet, talk, inside):
    talk.edit(juliet, "a", DENY_ROMEO)
    answer = juliet.request("get", f"<query {NS}>{inside}</query>")
    assert error_of(answer).condition == "bad-request"


# Editing


def test_an_edit_replaces_the_whole_list(juliet, talk):
    talk.edit(juliet, "public", DENY_ROMEO, (2, "allow", "", ""))
    talk.edit(juliet, "public", (5, "deny", "jid", TYBALT))
    assert talk.items(juliet, "public") == [(5, "deny", "jid", TYBALT)]
    assert talk.names(juliet) == ([], [], ["public"])


def test_all_connected_resources_hear_which_list_was_edited(capulet, juliet, chamber, talk):
    nurse = capulet.connect("nurse@capulet.example/house")
    talk.edit(juliet, "public", DENY_ROMEO)
    talk.edit(chamber, "private", DENY_ROMEO)
    talk.default(juliet, "private")
    talk.remove(juliet, "public")
    assert talk.pushes(juliet) == talk.pushes(chamber) == ["public", "private", "public"]
    assert nurse.received() == []


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("<item action='deny'/>", "bad-request"),
        ("<item action='deny' order=''/>", "bad-request"),
        ("<item action='deny' order='-1'/>", "bad-request"),
        ("<item action='deny' order='4294967296'/>", "bad-request"),
        ("<item action='deny' order='1.5'/>", "bad-request"),
        ("<item action='deny' order='١'/>", "bad-request"),
        ("<item order='1'/>", "bad-request"),
        ("<item action='maybe' order='1'/>", "bad-request"),
        ("<item action='deny' order='1' type='colour' value='red'/>", "bad-request"),
        ("<item action='deny' order='1' type='jid'/>", "bad-request"),
        ("<item action='deny' order='1' type='jid' value='@'/>", "jid-malformed"),
        ("<item action='deny' order='1' type='subscription' value='most'/>", "bad-request"),
        ("<item action='deny' order='1' type='subscription'/>", "bad-request"),
        ("<item action='deny' order='1' type='group' value='Enemies'/>", "item-not-found"),
        ("<item action='deny' order='1'><presence/></item>", "bad-request"),
        ("<item action='deny' order='1'><iq xmlns='urn:other'/></item>", "bad-request"),
        ("<item action='deny' order='1'/><item action='allow' order='01'/>", "bad-request"),
        ("<item xmlns='urn:other' action='deny' order='1'/>", "bad-request"),
        ("<rule action='deny' order='1'/>", "bad-request"),
    ],
)
def test_a_list_with_a_wrong_item_changes_nothing(juliet, talk, item, expected):
    talk.edit(juliet, "public", DENY_ROMEO)
    juliet.received()
    answer = juliet.request("set", f"<query {NS}><list name='public'>{item}</list></query>")
    assert error_of(answer).condition == expected
    assert talk.items(juliet, "public") == [DENY_ROMEO]
    assert juliet.received() == []


def test_a_group_of_the_roster_may_be_named(capulet, juliet, talk):
    roster = capulet.kernel.service("roster")
    roster.set("juliet", JID.parse(ROMEO), groups=("Montagues",))
    talk.edit(juliet, "public", (1, "deny", "group", "Montagues"))
    assert talk.items(juliet, "public") == [(1, "deny", "group", "Montagues")]


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<list name='a'/><list name='b'/>",
        "<active name='a'/><default name='a'/>",
        "<list><item action='deny' order='1'/></list>",
        "<list name=''/>",
        "<lists name='a'/>",
        "<active xmlns='urn:other'/>",
    ],
)
def test_one_change_is_made_at_a_time(juliet, talk, inside):
    talk.edit(juliet, "a", DENY_ROMEO)
    talk.edit(juliet, "b", DENY_ROMEO)
    answer = juliet.request("set", f"<query {NS}>{inside}</query>")
    assert error_of(answer).condition == "bad-request"
    assert talk.names(juliet) == ([], [], ["a", "b"])


@pytest.mark.parametrize("type_", ["get", "set"])
def test_a_request_is_a_query(juliet, type_):
    answer = juliet.request(type_, f"<list {NS} name='a'/>")
    assert error_of(answer).condition == "bad-request"


def test_lists_have_limits(server, talk):
    host = server.host("capulet.example", privacy={"max_lists": 2, "max_items": 2})
    juliet = host.connect(f"{JULIET}/balcony")
    three = [(n, "deny", "jid", f"{n}.example") for n in range(3)]
    assert condition(talk.edit, juliet, "a", *three) == "policy-violation"
    talk.edit(juliet, "a", *three[:2])
    talk.edit(juliet, "b", *three[:2])
    assert condition(talk.edit, juliet, "c", three[0]) == "policy-violation"
    talk.edit(juliet, "b", three[2])
    talk.remove(juliet, "a")
    talk.edit(juliet, "c", three[0])
    assert condition(talk.edit, juliet, "x" * 257, three[0]) == "policy-violation"
    assert talk.names(juliet) == ([], [], ["b", "c"])


# Active lists


def test_an_active_list_is_the_sessions_own(juliet, chamber, talk):
    talk.edit(juliet, "public", DENY_ROMEO)
    talk.edit(juliet, "private", DENY_ROMEO)
    talk.activate(juliet, "public")
    talk.activate(chamber, "private")
    assert talk.names(juliet)[0] == ["public"]
    assert talk.names(chamber)[0] == ["private"]
    talk.activate(juliet)
    assert talk.names(juliet)[0] == []
    assert talk.names(chamber)[0] == ["private"]


def test_an_active_list_ends_with_the_session(capulet, juliet, talk):
    talk.apply(juliet, DENY_ROMEO)
    juliet.disconnect()
    assert talk.names(capulet.connect(f"{JULIET}/balcony")) == ([], [], ["test"])


def test_a_list_that_is_not_there_cannot_be_active_or_default(juliet, talk):
    talk.apply(juliet, DENY_ROMEO)
    for choose in (talk.activate, talk.default):
        assert condition(choose, juliet, "The Empty Set") == "item-not-found"
    assert talk.names(juliet) == (["test"], [], ["test"])


# The default list


def test_the_default_list_outlives_the_session_and_the_server(server, capulet, juliet, talk):
    talk.edit(juliet, "public", DENY_ROMEO, (2, "allow", "", "", "message", "presence-out"))
    talk.default(juliet, "public")
    server.restart()
    juliet = capulet.connect(f"{JULIET}/balcony")
    assert talk.names(juliet) == ([], ["public"], ["public"])
    assert talk.items(juliet, "public") == [
        DENY_ROMEO,
        (2, "allow", "", "", "message", "presence-out"),
    ]


def test_a_default_list_that_another_resource_uses_stays(juliet, chamber, talk):
    talk.edit(juliet, "public", DENY_ROMEO)
    talk.edit(juliet, "private", DENY_ROMEO)
    talk.default(juliet, "public")
    assert condition(talk.default, juliet, "private") == "conflict"
    assert condition(talk.default, juliet) == "conflict"
    assert condition(talk.remove, juliet, "public") == "conflict"
    # To choose it once more is no change.
    talk.default(juliet, "public")
    assert talk.names(chamber) == ([], ["public"], ["private", "public"])
    # It is in use no longer.
    talk.activate(chamber, "private")
    talk.default(juliet)
    assert talk.names(chamber) == (["private"], [], ["private", "public"])


def test_a_default_list_may_be_set_where_there_was_none(juliet, chamber, talk):
    talk.edit(juliet, "public", DENY_ROMEO)
    talk.default(juliet, "public")
    assert talk.names(chamber)[1] == ["public"]


def test_a_default_list_that_only_its_owner_uses_may_change(juliet, talk):
    talk.edit(juliet, "public", DENY_ROMEO)
    talk.edit(juliet, "private", DENY_ROMEO)
    talk.default(juliet, "public")
    talk.default(juliet, "private")
    assert talk.names(juliet)[1] == ["private"]
    talk.default(juliet)
    assert talk.names(juliet)[1] == []


# Removing


def test_a_list_is_removed(juliet, talk):
    talk.edit(juliet, "public", DENY_ROMEO)
    talk.remove(juliet, "public")
    assert talk.names(juliet) == ([], [], [])
    assert condition(talk.remove, juliet, "public") == "item-not-found"


def test_a_list_that_another_resource_uses_cannot_be_removed(juliet, chamber, talk):
    talk.edit(juliet, "public", DENY_ROMEO)
    talk.activate(chamber, "public")
    assert condition(talk.remove, juliet, "public") == "conflict"
    talk.activate(chamber)
    talk.remove(juliet, "public")


def test_who_removes_a_list_of_their_own_uses_none(juliet, talk):
    talk.edit(juliet, "public", DENY_ROMEO)
    talk.activate(juliet, "public")
    talk.default(juliet, "public")
    talk.remove(juliet, "public")
    assert talk.names(juliet) == ([], [], [])
    # Not even when another list gets its name.
    talk.edit(juliet, "public", DENY_ROMEO)
    assert talk.names(juliet) == ([], [], ["public"])


# Strangers


@pytest.mark.parametrize("type_", ["get", "set"])
def test_nobody_reads_or_changes_the_lists_of_another(capulet, montague, juliet, talk, type_):
    talk.edit(juliet, "public", DENY_ROMEO)
    query = talk.query("list", name="public")
    for stranger in (
        capulet.connect("nurse@capulet.example/house"),
        montague.connect("romeo@montague.example/orchard"),
    ):
        for to in (JULIET, "nobody@capulet.example"):
            answer = stranger.request(type_, query, to=to)
            assert error_of(answer).condition == "service-unavailable"
    assert talk.names(juliet) == ([], [], ["public"])


def test_a_request_may_be_sent_to_the_account_itself(juliet, talk):
    juliet.set(talk.query("list", DENY_ROMEO, name="public"), to=JULIET)
    assert talk.names(juliet) == ([], [], ["public"])
