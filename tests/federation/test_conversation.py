"""What users of two servers do with each other, in both directions."""

import pytest
from peers import CAPULET

from stonechat.errors import StanzaError


@pytest.fixture
def juliet(capulet, people):
    return people.client(capulet, f"juliet@{CAPULET}")


@pytest.fixture
def romeo(peer, people):
    return people.client(peer, f"romeo@{peer.domain}")


LINES = [f"line {number}" for number in range(100)]


def converse(one, other):
    for line in LINES:
        one.say(other.bare, line)
    came = [other.message() for _ in LINES]
    assert [message["body"] for message in came] == LINES
    assert {message["from"] for message in came} == {one.jid}


def test_messages_go_both_ways_in_their_order(juliet, romeo):
    for one, other in ((juliet, romeo), (romeo, juliet)):
        # What comes while a stream is being set up may overtake what waits in Prosody 0.12.
        one.say(other.bare, "Holla!")
        other.message("Holla!")
        converse(one, other)


def test_what_waits_for_a_stream_does_not_change_its_order(capulet, peer, juliet, romeo):
    capulet.forget(peer.domain)
    converse(juliet, romeo)


def test_what_is_in_a_message_comes_as_it_was(juliet, romeo):
    # Namespaces of streams are renamed on the way from one kind to the other, those in a
    # payload are not.
    payload = (
        "<body>Ay me! &amp; \u2665 \U0001f339</body>"
        "<note xmlns='urn:example:note'><a xmlns='jabber:client' b='&quot;'/>"
        "<p:c xmlns:p='urn:example:p' p:d='&lt;'/></note>"
    )
    for one, other in ((juliet, romeo), (romeo, juliet)):
        one.send_raw(f"<message to='{other.jid}' type='chat' xml:lang='de'>{payload}</message>")
        message = other.message("Ay me! & \u2665 \U0001f339")
        assert message["lang"] == "de"
        first, second = message.xml.find("{urn:example:note}note")
        assert (first.tag, first.attrib) == ("{jabber:client}a", {"b": '"'})
        assert (second.tag, second.attrib) == ("{urn:example:p}c", {"{urn:example:p}d": "<"})


@pytest.fixture
def friends(juliet, romeo):
    """Juliet and Romeo, each subscribed to the other's presence."""
    pairs = (juliet, romeo), (romeo, juliet)
    for one, other in pairs:
        one.send_presence(to=other.bare, type="subscribe")
        other.presence(one.bare, "subscribe")
        other.send_presence(to=one.bare, type="subscribed")
        one.presence(other.bare, "subscribed")
        one.presence(other.jid)
    yield pairs
    for one, other in pairs:
        one.run(lambda one=one, other=other: one.xmpp.del_roster_item(other.bare))
        one.push(other.bare, "remove")


def test_who_is_subscribed_sees_what_changes(friends):
    for one, other in friends:
        other.send_presence(show="dnd", status="I am sped.")
        assert one.presence(other.jid, "dnd")["status"] == "I am sped."
        other.available()
        assert one.presence(other.jid)["status"] == ""


def test_who_comes_and_goes_is_seen_and_sees_who_is_there(capulet, peer, people, friends):
    servers = peer, capulet
    for server, (one, other) in zip(servers, friends, strict=True):
        guest = people.guest(server, f"{other.bare}/guest")
        one.presence(guest.jid)
        guest.presence(one.jid)
        guest.leave()
        one.presence(guest.jid, "unavailable")


def test_a_subscription_that_is_taken_back_ends(friends):
    for one, other in friends:
        other.send_presence(to=one.bare, type="unsubscribed")
        one.presence(other.bare, "unsubscribed")
        one.presence(other.jid, "unavailable")
        secret = f"Nothing for {one.jid}"
        other.send_presence(status=secret)
        other.say(one.jid, "Afterwards")
        one.message("Afterwards")
        came = [each for each in one.rest() if each.name == "presence"]
        assert secret not in [presence["status"] for presence in came]


def test_queries(juliet, romeo):
    for one, other in ((juliet, romeo), (romeo, juliet)):
        domain = other.xmpp.boundjid.domain
        assert one.call("xep_0199", "ping", domain) is not None
        assert "http://jabber.org/protocol/disco#info" in one.features(domain)
        assert one.features(other.jid)
        version = one.call("xep_0092", "get_version", domain)
        assert version["software_version"]["name"]


def test_errors_come_back(juliet, romeo):
    for one, other in ((juliet, romeo), (romeo, juliet)):
        with pytest.raises(StanzaError) as error:
            one.call("xep_0199", "send_ping", f"{other.bare}/tomb")
        assert error.value.condition == "service-unavailable"
