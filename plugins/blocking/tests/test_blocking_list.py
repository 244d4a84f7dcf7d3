"""A user lists, blocks and unblocks, and all clients hear of it (XEP-0191, section 3)."""

import pytest

from stonechat.errors import StanzaError
from stonechat.namespaces import NS_STANZA_ERRORS
from stonechat.stanza import Element
from stonechat.testing.client import error_of

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
TYBALT = "tybalt@capulet.example"


def condition(client, payload, to=None):
    with pytest.raises(StanzaError) as refused:
        client.set(payload, to)
    return refused.value.condition


def test_the_server_says_that_it_can_block_and_take_reports(server):
    host = server.host("capulet.example", blocking={}, disco={})
    juliet = host.connect(f"{JULIET}/balcony")
    info = juliet.get(
        Element("http://jabber.org/protocol/disco#info", "query"), to="capulet.example"
    ).payload
    features = [feature.get("var") for feature in info.find_all("feature")]
    assert "urn:xmpp:blocking" in features
    assert "urn:xmpp:reporting:1" in features


def test_nobody_is_blocked_at_first(juliet, talk):
    assert talk.blocked(juliet) == []


def test_who_is_blocked_is_in_the_list(juliet, talk):
    answer = talk.block(juliet, ROMEO, TYBALT, "Iago@Shakespeare.EXAMPLE/Venice")
    assert answer.type == "result"
    assert answer.payload is None
    assert talk.blocked(juliet) == ["iago@shakespeare.example/Venice", ROMEO, TYBALT]
    talk.block(juliet, ROMEO)
    assert talk.blocked(juliet) == ["iago@shakespeare.example/Venice", ROMEO, TYBALT]


def test_a_request_may_be_sent_to_the_account_itself(juliet, talk):
    juliet.set(talk.command("block", ROMEO), to=JULIET)
    answer = juliet.get(talk.command("blocklist"), to=JULIET).payload
    assert [item.get("jid") for item in answer.elements] == [ROMEO]


def test_who_is_unblocked_is_in_the_list_no_more(juliet, talk):
    talk.block(juliet, ROMEO, TYBALT)
    talk.unblock(juliet, ROMEO, "paris@verona.example")
    assert talk.blocked(juliet) == [TYBALT]
    talk.unblock(juliet)
    assert talk.blocked(juliet) == []


def test_the_list_outlives_the_session_and_the_server(server, capulet, juliet, talk):
    talk.block(juliet, ROMEO, TYBALT)
    talk.unblock(juliet, TYBALT)
    server.restart()
    assert talk.blocked(capulet.connect(f"{JULIET}/chamber")) == [ROMEO]


def test_two_accounts_have_two_lists(capulet, juliet, talk):
    talk.block(juliet, ROMEO)
    assert talk.blocked(capulet.connect("nurse@capulet.example/house")) == []


# Pushes


def test_all_clients_that_asked_for_the_list_hear_of_its_changes(capulet, juliet, talk):
    chamber = capulet.connect(f"{JULIET}/chamber")
    garden = capulet.connect(f"{JULIET}/garden")
    talk.blocked(juliet)
    talk.blocked(chamber)
    talk.block(juliet, ROMEO, TYBALT)
    talk.unblock(chamber, ROMEO)
    talk.unblock(juliet)
    heard = [("block", [ROMEO, TYBALT]), ("unblock", [ROMEO]), ("unblock", [])]
    assert talk.pushes(juliet) == heard
    assert talk.pushes(chamber) == heard
    assert garden.received() == []


def test_a_push_needs_no_change(juliet, talk):
    # "containing the blocked item(s)": whoever asks twice is told twice.
    talk.block(juliet, ROMEO)
    talk.blocked(juliet)
    talk.block(juliet, ROMEO)
    assert talk.pushes(juliet) == [("block", [ROMEO])]


def test_a_push_holds_no_report(juliet, talk):
    talk.blocked(juliet)
    command = talk.command("block", ROMEO)
    command.first().add(
        "report", namespace="urn:xmpp:reporting:1", reason="urn:xmpp:reporting:spam"
    )
    juliet.set(command)
    push = juliet.receive_iq()
    assert push.payload == talk.command("block", ROMEO)


def test_pushes_are_for_the_account_only(capulet, juliet, talk):
    nurse = capulet.connect("nurse@capulet.example/house")
    talk.blocked(nurse)
    talk.block(juliet, ROMEO)
    assert nurse.received() == []


# What is refused


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<block xmlns='urn:xmpp:blocking'/>", "bad-request"),
        ("<block xmlns='urn:xmpp:blocking'><item/></block>", "bad-request"),
        ("<block xmlns='urn:xmpp:blocking'><item jid=''/></block>", "bad-request"),
        ("<block xmlns='urn:xmpp:blocking'><item jid='a@b@c'/></block>", "jid-malformed"),
        ("<block xmlns='urn:xmpp:blocking'><item jid='@b'/></block>", "jid-malformed"),
        (
            "<block xmlns='urn:xmpp:blocking'><item xmlns='urn:other' jid='a@b.example'/></block>",
            "bad-request",
        ),
        ("<unblock xmlns='urn:xmpp:blocking'><item/></unblock>", "bad-request"),
        ("<unblock xmlns='urn:xmpp:blocking'><itme jid='a@b.example'/></unblock>", "bad-request"),
        ("<blocklist xmlns='urn:xmpp:blocking'/>", "bad-request"),
        ("<unlist xmlns='urn:xmpp:blocking'/>", "bad-request"),
    ],
)
def test_a_malformed_command_changes_nothing(juliet, talk, xml, expected):
    talk.block(juliet, ROMEO)
    assert condition(juliet, xml) == expected
    assert talk.blocked(juliet) == [ROMEO]


def test_only_the_list_can_be_asked_for(juliet, talk):
    with pytest.raises(StanzaError) as refused:
        juliet.get(talk.command("block", ROMEO))
    assert refused.value.condition == "bad-request"


def test_one_bad_item_spoils_the_command(juliet, talk):
    assert condition(juliet, talk.command("block", ROMEO, "@")) == "jid-malformed"
    assert talk.blocked(juliet) == []


@pytest.mark.parametrize("name", ["block", "unblock"])
def test_nobody_changes_the_list_of_another(capulet, montague, juliet, romeo, talk, name):
    talk.block(juliet, TYBALT)
    nurse = capulet.connect("nurse@capulet.example/house")
    for stranger in (nurse, romeo):
        assert condition(stranger, talk.command(name, "x.example"), JULIET) == (
            "service-unavailable"
        )
    assert talk.blocked(juliet) == [TYBALT]


def test_nobody_reads_the_list_of_another(capulet, juliet, talk):
    nurse = capulet.connect("nurse@capulet.example/house")
    refused = nurse.request("get", talk.command("blocklist"), to=JULIET)
    absent = nurse.request("get", talk.command("blocklist"), to="nobody@capulet.example")
    assert error_of(refused).condition == error_of(absent).condition == "service-unavailable"


def test_a_list_has_a_limit(server, talk):
    host = server.host("capulet.example", blocking={"max_items": 2})
    juliet = host.connect(f"{JULIET}/balcony")
    talk.block(juliet, ROMEO)
    assert condition(juliet, talk.command("block", TYBALT, "x.example")) == "policy-violation"
    assert condition(juliet, talk.command("block", *"abc")) == "policy-violation"
    assert talk.blocked(juliet) == [ROMEO]
    talk.block(juliet, TYBALT)
    # What is blocked already needs no room.
    talk.block(juliet, TYBALT, ROMEO)
    talk.unblock(juliet, ROMEO)
    talk.block(juliet, "x.example")
    assert talk.blocked(juliet) == [TYBALT, "x.example"]


def test_the_error_of_a_blocked_recipient_is_as_in_the_text(juliet, talk):
    talk.block(juliet, ROMEO)
    juliet.message(ROMEO, "Can you hear me now?", id="call")
    error = juliet.receive_message()
    assert (error.type, error.id, error.from_.text) == ("error", "call", ROMEO)
    assert error.body == "Can you hear me now?"
    conditions = [(child.namespace, child.name) for child in error.element.find("error").elements]
    assert error.element.find("error").get("type") == "cancel"
    assert conditions == [
        (NS_STANZA_ERRORS, "not-acceptable"),
        ("urn:xmpp:blocking:errors", "blocked"),
    ]
