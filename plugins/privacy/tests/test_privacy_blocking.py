"""Privacy lists and the blocking command are one (XEP-0191, section 5)."""

import pytest

from stonechat.errors import StanzaError, StorageError
from stonechat.jid import JID
from stonechat.stanza import Element, Iq
from stonechat.testing.client import error_of

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
TYBALT = "tybalt@capulet.example"
NS_BLOCKING = "urn:xmpp:blocking"


@pytest.fixture
def capulet(server):
    return server.host("capulet.example", roster={}, privacy={}, blocking={})


def command(name, *jids):
    element = Element(NS_BLOCKING, name)
    for jid in jids:
        element.add("item", jid=jid)
    return element


def blocked(client):
    return [item.get("jid") for item in client.get(command("blocklist")).payload.elements]


def pushes(client):
    """What has come of both kinds, as (name, addresses)."""
    found = []
    for stanza in client.received():
        if isinstance(stanza, Iq) and stanza.type == "set":
            payload = stanza.payload
            if payload.namespace == NS_BLOCKING:
                found.append((payload.name, [item.get("jid") for item in payload.elements]))
            else:
                found.append((payload.first().get("name"), None))
    return found


def test_a_block_list_is_a_default_list(juliet, talk):
    juliet.set(command("block", ROMEO, TYBALT))
    assert talk.names(juliet) == ([], ["blocked"], ["blocked"])
    assert talk.items(juliet, "blocked") == [
        (1, "deny", "jid", ROMEO),
        (2, "deny", "jid", TYBALT),
    ]
    assert blocked(juliet) == [ROMEO, TYBALT]
    juliet.set(command("unblock", ROMEO))
    assert talk.items(juliet, "blocked") == [(2, "deny", "jid", TYBALT)]
    juliet.set(command("unblock"))
    assert talk.names(juliet) == ([], [], [])


def test_blocked_addresses_come_first_in_the_default_list(juliet, talk):
    talk.edit(juliet, "public", (0, "allow", "jid", "montague.example"), (9, "deny", "", "", "iq"))
    talk.default(juliet, "public")
    juliet.set(command("block", ROMEO))
    assert talk.items(juliet, "public") == [
        (1, "deny", "jid", ROMEO),
        (2, "allow", "jid", "montague.example"),
        (3, "deny", "", "", "iq"),
    ]
    juliet.set(command("unblock"))
    assert [item[1:] for item in talk.items(juliet, "public")] == [
        ("allow", "jid", "montague.example"),
        ("deny", "", "", "iq"),
    ]


def test_what_a_client_does_to_the_default_list_shows_in_the_block_list(juliet, talk):
    talk.edit(juliet, "public", (1, "deny", "jid", ROMEO), (2, "deny", "jid", TYBALT, "message"))
    assert blocked(juliet) == []
    talk.default(juliet, "public")
    assert blocked(juliet) == [ROMEO]
    talk.edit(juliet, "other", (1, "deny", "jid", TYBALT))
    talk.default(juliet, "other")
    assert blocked(juliet) == [TYBALT]
    talk.default(juliet)
    assert blocked(juliet) == []


def test_clients_of_either_kind_hear_of_a_block(juliet, chamber, talk):
    blocked(chamber)
    juliet.set(command("block", ROMEO))
    assert pushes(juliet) == [("blocked", None)]
    assert pushes(chamber) == [("blocked", None), ("block", [ROMEO])]
    juliet.set(command("unblock"))
    assert pushes(chamber) == [("blocked", None), ("unblock", [])]


def test_clients_of_either_kind_hear_of_an_edit(juliet, chamber, talk):
    juliet.set(command("block", ROMEO))
    blocked(chamber)
    pushes(chamber)
    talk.edit(juliet, "blocked", (1, "deny", "jid", TYBALT))
    assert pushes(chamber) == [
        ("blocked", None),
        ("block", [TYBALT]),
        ("unblock", [ROMEO]),
    ]
    # What blocks nobody is not theirs.
    talk.edit(juliet, "blocked", (1, "deny", "jid", TYBALT), (2, "allow", "jid", ROMEO, "iq"))
    assert pushes(chamber) == [("blocked", None)]


def test_stanzas_of_the_blocked_are_refused_as_by_the_command(capulet, juliet, romeo, talk):
    juliet.available()
    juliet.set(command("block", ROMEO))
    romeo.message(JULIET, "?")
    assert error_of(romeo.receive_message()).condition == "service-unavailable"
    juliet.received()
    juliet.message(ROMEO, "Can you hear me now?")
    error = error_of(juliet.receive_message())
    assert error.condition == "not-acceptable"
    assert error.application == Element("urn:xmpp:blocking:errors", "blocked")
    assert capulet.kernel.service("blocking").is_blocked("juliet", JID.parse(ROMEO))


def test_an_active_list_goes_before_the_block_list(juliet, romeo, talk):
    # "the user may receive communications from JIDs that are blocked in the default list"
    juliet.available()
    juliet.set(command("block", ROMEO))
    talk.edit(juliet, "open", (1, "allow", "", ""))
    talk.activate(juliet, "open")
    talk.bodies(juliet)
    romeo.message(JULIET, "But soft!")
    assert talk.bodies(juliet) == ["But soft!"]


def test_presence_follows_a_block(juliet, romeo, talk):
    for client in (juliet, romeo):
        client.available()
    talk.befriend(juliet, romeo)
    juliet.set(command("block", ROMEO))
    assert talk.presences(romeo) == [("unavailable", f"{JULIET}/balcony")]
    assert talk.presences(juliet) == [("unavailable", ROMEO)]
    juliet.set(command("unblock", ROMEO))
    assert talk.presences(romeo) == [("", f"{JULIET}/balcony")]
    assert talk.presences(juliet) == [("", f"{ROMEO}/orchard")]


def test_the_limits_of_the_lists_are_those_of_the_block_list(server, talk):
    host = server.host("capulet.example", privacy={"max_lists": 1, "max_items": 1}, blocking={})
    juliet = host.connect(f"{JULIET}/balcony")
    talk.edit(juliet, "other", (1, "deny", "jid", TYBALT))
    with pytest.raises(StanzaError) as refused:
        juliet.set(command("block", ROMEO))
    assert refused.value.condition == "policy-violation"
    talk.default(juliet, "other")
    with pytest.raises(StanzaError) as refused:
        juliet.set(command("block", ROMEO))
    assert refused.value.condition == "policy-violation"
    juliet.set(command("block", TYBALT))
    assert blocked(juliet) == [TYBALT]


def test_a_block_survives_the_end_of_the_privacy_lists(capulet, juliet, romeo, talk):
    juliet.set(command("block", ROMEO, TYBALT))
    talk.edit(juliet, "blocked", (1, "deny", "jid", ROMEO))
    capulet.disable("privacy")
    assert blocked(juliet) == [ROMEO]
    romeo.message(JULIET, "?")
    assert error_of(romeo.receive_message()).condition == "service-unavailable"
    juliet.set(command("block", TYBALT))
    juliet.set(command("unblock", ROMEO))
    capulet.enable("privacy")
    # What was blocked meanwhile joins what the lists have kept.
    assert blocked(juliet) == [ROMEO, TYBALT]


def test_a_block_from_before_the_privacy_lists_holds_in_them(server, talk):
    host = server.host("capulet.example", roster={}, blocking={})
    juliet = host.connect(f"{JULIET}/balcony")
    tybalt = host.connect(f"{TYBALT}/square")
    juliet.set(command("block", TYBALT))
    host.enable("privacy")
    assert talk.names(juliet) == ([], ["blocked"], ["blocked"])
    tybalt.message(JULIET, "?")
    assert error_of(tybalt.receive_message()).condition == "service-unavailable"
    juliet.set(command("unblock", TYBALT))
    assert blocked(juliet) == []
    host.disable("privacy")
    assert blocked(juliet) == []


def test_the_command_may_come_while_lists_are_in_use(server, talk):
    host = server.host("capulet.example", roster={}, blocking={})
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.set(command("block", ROMEO))
    host.disable("blocking")
    host.enable("privacy")
    assert talk.names(juliet) == ([], [], [])
    host.enable("blocking")
    assert blocked(juliet) == [ROMEO]


def test_both_are_written_or_neither_is(capulet, juliet, talk, monkeypatch):
    juliet.set(command("block", ROMEO))
    juliet.received()

    def fail(*_):
        raise StorageError("the second of two writes")

    with monkeypatch.context() as away:
        away.setattr(capulet.plugin("blocking").service, "write", fail)
        with pytest.raises(StanzaError) as refused:
            juliet.set(command("block", TYBALT))
    assert (refused.value.condition, refused.value.type) == ("internal-server-error", "wait")
    assert juliet.received() == []
    assert blocked(juliet) == [ROMEO]
    capulet.disable("privacy")
    assert blocked(juliet) == [ROMEO]


def test_a_removed_account_leaves_neither(capulet, juliet, talk):
    juliet.set(command("block", ROMEO))
    capulet.kernel.accounts.remove("juliet")
    juliet = capulet.connect(f"{JULIET}/balcony")
    assert blocked(juliet) == []
    assert talk.names(juliet) == ([], [], [])
