"""The Initiating Server: keys for our domains, and what comes of them."""

import pytest
from dialback_cast import (
    CAPULET,
    CHAT,
    KEY,
    MONTAGUE,
    ROOMS,
    TRADITIONAL,
    TYBALT,
    answer,
    condition_of,
    result,
    verify,
)

from stonechat.federation import Pair
from stonechat.jid import JID
from stonechat.namespaces import NS_DIALBACK
from stonechat.plugin import hookimpl
from stonechat.stanza import Element, Message
from stonechat.testing.remote import EXTERNAL, STARTTLS
from stonechat_dialback.elements import FEATURE


def hark(client, to=f"romeo@{MONTAGUE}"):
    client.message(to, "Wherefore art thou?")


def bodies(stream):
    return [each.body for each in stream.received()]


@pytest.fixture
def shown(montague, juliet):
    """A stream of ours on which a key was shown, and that key."""
    hark(juliet)
    stream = montague.accept_secure(FEATURE)
    key = stream.receive_element()
    stream.key = key
    return stream


@pytest.fixture
def admitted(shown):
    """The key was taken, and what waited has come."""
    shown.send(result(type="valid"))
    assert bodies(shown) == ["Wherefore art thou?"]
    return shown


def error(condition="item-not-found", **addresses):
    """The answer to a key that is neither valid nor invalid."""
    refusal = result(type="error", **addresses)
    refusal.children[:] = [
        Element(
            "jabber:client",
            "error",
            {"type": "cancel"},
            Element("urn:ietf:params:xml:ns:xmpp-stanzas", condition),
        )
    ]
    return refusal


def test_a_key_is_shown_and_stanzas_wait_for_its_answer(server, shown, juliet):
    key = shown.key
    assert (key.namespace, key.name) == (NS_DIALBACK, "result")
    assert dict(key.attributes) == {"from": CAPULET, "to": MONTAGUE}
    assert len(key.text) == 64
    hark(juliet)
    assert shown.received() == []
    shown.send(result(type="valid"))
    assert bodies(shown) == ["Wherefore art thou?"] * 2
    (line,) = server.logged("domain authorized")
    assert (line["remote"], line["direction"], line["way"]) == (MONTAGUE, "out", "dialback")


def test_the_key_is_for_the_id_behind_tls(montague, capulet, juliet):
    hark(juliet)
    stream = montague.accept()
    stream.answer(STARTTLS, id="one")
    stream.proceed()
    stream.answer(FEATURE, id="two")
    key = stream.receive_element().text
    asker = montague.connect(capulet)
    asker.send(verify(key, id="one"))
    assert answer(asker) == "invalid"
    asker.send(verify(key, id="two"))
    assert answer(asker) == "valid"


def test_the_elements_have_the_prefix_of_the_header(shown):
    assert "<db:result " in shown.story()


@pytest.mark.parametrize("features", [(FEATURE,), (TRADITIONAL,), ()])
def test_a_server_that_speaks_dialback_in_any_way_is_shown_a_key(montague, juliet, features):
    """By a feature, or by the namespace in its header, as the kit has it always."""
    hark(juliet)
    stream = montague.accept_secure(*features)
    assert stream.receive_element().name == "result"


def test_a_server_that_speaks_no_dialback_is_shown_none(montague, juliet):
    hark(juliet)
    stream = montague.accept()
    stream.answer(STARTTLS)
    stream.proceed()
    stream.send(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' id='s1' version='1.0'"
        " xmlns:stream='http://etherx.jabber.org/streams'><stream:features/>"
    )
    assert stream.received() == []
    assert stream.is_closed
    assert condition_of(juliet) == "remote-server-timeout"


def test_without_an_id_there_is_no_key(montague, juliet):
    hark(juliet)
    stream = montague.accept()
    stream.answer(STARTTLS)
    stream.proceed()
    stream.answer(FEATURE, id="")
    assert stream.received() == []
    assert condition_of(juliet) == "remote-server-timeout"


def test_a_certificate_that_is_not_taken_is_followed_by_a_key(montague, juliet):
    hark(juliet)
    stream = montague.accept_secure(EXTERNAL, FEATURE)
    assert stream.receive_element().name == "auth"
    stream.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>")
    assert stream.receive_element().name == "result"
    stream.send(result(type="valid"))
    assert bodies(stream) == ["Wherefore art thou?"]


def test_in_the_clear_where_the_policy_allows_it(server, montague, juliet):
    server.configure(federation={"trust": "any"})
    hark(juliet)
    stream = montague.accept()
    stream.answer(version="")
    assert stream.receive_element().name == "result"
    stream.send(result(type="valid"))
    assert bodies(stream) == ["Wherefore art thou?"]


def test_in_the_clear_no_key_is_shown_where_tls_is_wanted(montague, juliet):
    hark(juliet)
    stream = montague.accept()
    stream.answer(FEATURE)
    assert stream.received() == []
    assert condition_of(juliet) == "remote-server-timeout"


# What does not come of it


def test_where_it_is_not_believed_senders_hear_of_it(shown, juliet):
    shown.send(result(type="invalid"))
    assert condition_of(juliet) == "internal-server-error"
    assert shown.has_ended
    assert shown.received() == []


def test_where_it_is_not_believed_nothing_more_is_sent_for_any_pair(server, juliet, admitted):
    """The peer will close the stream (2.1.1)."""
    server.remote(CHAT, certificate=False)
    server.kernel.s2s.ways.targets = lambda domain: [admitted_target(server)]
    hark(juliet, to=f"romeo@{CHAT}")
    assert admitted.receive_element().get("to") == CHAT
    admitted.send(result(type="invalid", from_=CHAT))
    assert admitted.has_ended


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("item-not-found", "item-not-found"),
        ("remote-connection-failed", "remote-connection-failed"),
        ("what-is-in-a-name", "undefined-condition"),
    ],
)
def test_an_error_is_a_timeout_for_the_senders(server, shown, juliet, condition, told):
    shown.send(error(condition))
    assert condition_of(juliet) == "remote-server-timeout"
    (line,) = server.logged("domain refused")
    assert told in line["reason"]


def test_an_error_may_be_empty(shown, juliet):
    shown.send(result(type="error"))
    assert condition_of(juliet) == "remote-server-timeout"


def test_a_peer_that_closes_meanwhile_is_as_one_that_refuses(shown, juliet):
    shown.send("</stream:stream>")
    assert condition_of(juliet) == "remote-server-timeout"


def test_a_peer_that_does_not_answer_is_not_waited_for_for_ever(server, shown, juliet):
    server.clock.advance(61)
    assert condition_of(juliet) == "remote-server-timeout"
    assert shown.is_closed


# What does not count


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"from_": TYBALT}, id="of another domain"),
        pytest.param({"from_": CAPULET, "to": MONTAGUE}, id="the other way round"),
        pytest.param({"to": ROOMS}, id="for another domain of ours"),
        pytest.param({"type": "sure"}, id="no answer that there is"),
        pytest.param({"type": ""}, id="an empty type"),
        pytest.param({"type": None}, id="no type: a key"),
    ],
)
def test_an_answer_to_something_else_is_none(server, shown, changes):
    shown.send(result(**{"type": "valid", **changes}))
    assert shown.received() == []
    assert len(server.logged("unsolicited dialback")) == 1
    assert server.logged("domain authorized") == []
    # The right one is waited for.
    shown.send(result(type="valid"))
    assert bodies(shown) == ["Wherefore art thou?"]


def test_an_answer_on_another_stream_is_none(server, montague, capulet, juliet, shown):
    tybalt = server.remote(TYBALT, certificate=False)
    hark(juliet, to=f"nurse@{TYBALT}")
    theirs = tybalt.accept_secure(FEATURE)
    theirs.receive_element()
    theirs.send(result(type="valid"))
    montague.connect(capulet).send(result(type="valid"))
    assert theirs.received() == shown.received() == []
    assert server.logged("domain authorized") == []


def test_an_answer_counts_once(server, juliet, admitted):
    for type_ in ("invalid", "error", "valid"):
        admitted.send(result(type=type_))
    assert not admitted.is_closed
    hark(juliet)
    assert bodies(admitted) == ["Wherefore art thou?"]
    assert len(server.logged("unsolicited dialback")) == 1


def test_what_the_peer_says_of_a_domain_that_was_not_asked_about_is_nothing(
    server, juliet, admitted
):
    """Piggybacking without being asked: it would get what is for the others (2.6.2)."""
    tybalt = server.remote(TYBALT, certificate=False)
    admitted.send(result(type="valid", from_=TYBALT))
    hark(juliet, to=f"nurse@{TYBALT}")
    assert admitted.received() == []
    tybalt.accept()


@pytest.mark.parametrize("changes", [{"from": None}, {"to": None}, {"to": "a@b@c"}])
def test_an_answer_without_addresses_ends_the_stream(shown, changes):
    shown.send(result(type="valid", **changes))
    assert shown.closed_with() == "improper-addressing"


# Streams for both directions (XEP-0288)


class Both:
    """A plugin that agrees with every peer on both directions."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_server_stream_opened(self, stream):
        stream.make_bidirectional()


@pytest.fixture
def both_ways(capulet, juliet, montague):
    capulet.enable("both", plugin_class=Both)
    hark(juliet)
    stream = montague.accept_secure(FEATURE)
    stream.receive_element()
    stream.send(result(type="valid"))
    stream.received()
    return stream


def test_a_peer_may_use_our_stream_to_ask_about_keys(both_ways):
    both_ways.send(verify())
    assert answer(both_ways) == "invalid"


def test_a_peer_that_shows_keys_on_our_stream_is_told_to_open_its_own(server, both_ways):
    server.remote(CHAT, certificate=False)
    both_ways.send(result(from_=CHAT))
    assert answer(both_ways) == "resource-constraint"
    assert not both_ways.is_closed


# Several pairs on one stream


def admitted_target(server):
    (stream,) = server.kernel.s2s._outgoing
    return stream.target


@pytest.fixture
def rooms(capulet):
    return capulet.enable("rooms", plugin_class=Rooms)


class Rooms:
    """A plugin that answers for a domain of its own, and may say something."""

    def __init__(self, host, options):
        self.host = host

    def start(self):
        self.host.register_route(ROOMS, lambda stanza: None)

    def say(self, to=f"romeo@{MONTAGUE}"):
        self.host.route(
            Message(
                Element("jabber:client", "body", None, "Hist!"),
                to=JID.parse(to),
                from_=JID.parse(f"verona@{ROOMS}"),
            )
        )


def test_a_further_domain_of_ours_goes_over_the_same_stream(admitted, rooms):
    rooms.say()
    key = admitted.receive_element()
    assert dict(key.attributes) == {"from": ROOMS, "to": MONTAGUE}
    assert key.text != KEY
    assert admitted.received() == []
    admitted.send(result(type="valid", to=ROOMS))
    assert bodies(admitted) == ["Hist!"]


def test_a_further_domain_of_theirs_at_the_same_place_does_too(server, juliet, admitted):
    server.remote(CHAT, certificate=False)
    server.kernel.s2s.ways.targets = lambda domain: [admitted_target(server)]
    hark(juliet, to=f"romeo@{CHAT}")
    key = admitted.receive_element()
    assert dict(key.attributes) == {"from": CAPULET, "to": CHAT}
    admitted.send(result(type="valid", from_=CHAT))
    assert bodies(admitted) == ["Wherefore art thou?"]


def test_a_further_domain_is_asked_for_once(admitted, rooms):
    rooms.say()
    rooms.say()
    assert len(admitted.received()) == 1
    admitted.send(result(type="valid", to=ROOMS))
    assert bodies(admitted) == ["Hist!"] * 2


def test_an_error_for_one_pair_leaves_the_others_alone(server, montague, juliet, admitted, rooms):
    rooms.say()
    admitted.receive_element()
    admitted.send(error("resource-constraint", to=ROOMS))
    # It comes over a stream of its own (2.5).
    alone = montague.accept_secure(FEATURE)
    assert alone.receive_element().get("from") == ROOMS
    hark(juliet)
    assert bodies(admitted) == ["Wherefore art thou?"]


def test_a_server_that_knows_no_errors_is_asked_for_one_pair_only(montague, juliet, rooms):
    hark(juliet)
    stream = montague.accept_secure(TRADITIONAL)
    stream.receive_element()
    stream.send(result(type="valid"))
    stream.received()
    rooms.say()
    assert stream.received() == []
    assert montague.accept().header.attributes["from"] == ROOMS


def test_keys_that_nobody_answers_are_not_shown_without_end(montague, capulet, shown, monkeypatch):
    monkeypatch.setattr("stonechat_dialback.initiating.MOST_ASKED", 1)
    initiating = capulet.plugin("dialback").initiating
    (stream,) = capulet.server.kernel.s2s._outgoing
    assert initiating.prove(stream, Pair(CAPULET, MONTAGUE))
    assert not initiating.prove(stream, Pair(ROOMS, MONTAGUE))
    assert shown.received() == []


@pytest.mark.parametrize("trust", ["any", "dialback"])
def test_a_key_is_shown_in_the_clear_where_tls_fails_and_nobody_wants_it(server, trust):
    server.configure(federation={"trust": trust})
    montague = server.remote(MONTAGUE, certificate=False)
    juliet = server.host(CAPULET, dialback={}).connect(f"juliet@{CAPULET}/balcony")
    hark(juliet)
    broken = montague.accept()
    broken.answer(STARTTLS, FEATURE)
    assert broken.receive_element().name == "starttls"
    broken.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    broken.drop()
    if trust == "dialback":
        assert condition_of(juliet) == "remote-server-timeout"
        return
    stream = montague.accept()
    stream.answer(STARTTLS, FEATURE)
    assert stream.receive_element().name == "result"
    stream.send(result(type="valid"))
    assert bodies(stream) == ["Wherefore art thou?"]
    assert not stream.is_secure
