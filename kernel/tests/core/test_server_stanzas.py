"""Stanzas from other servers: whose they may be, and what becomes of them."""

import pytest
from server_cast import CAPULET, MONTAGUE, NS_PROOF, PAIR, ROOMS, VERONA, message

from stonechat.jid import JID
from stonechat.namespaces import NS_DELAY, NS_FORWARD, NS_STANZA_ID
from stonechat.stanza import Iq, Message, Presence
from stonechat.testing.server_stream import certificate_of
from stonechat.xml import Element

JULIET = "juliet@capulet.example/balcony"
ROMEO = "romeo@montague.example/orchard"


@pytest.fixture
def juliet(manager, server):
    juliet = server._hosts[CAPULET].connect(JULIET)
    juliet.available()
    juliet.received()
    return juliet


@pytest.fixture
def sent_away(server, monkeypatch):
    """What would go to other servers."""
    sent = []
    monkeypatch.setattr(server.kernel.router._remote_domains, "route", sent.append)
    return sent


def test_a_message_arrives(manager, juliet):
    peer = manager.proven()
    peer.send(message(JULIET, ROMEO))
    received = juliet.receive_message()
    assert (received.from_.text, received.body) == (ROMEO, "Hark!")
    assert manager.stream.stanzas_in == 1


def test_they_stay_in_order_however_they_are_cut(manager, juliet):
    peer = manager.proven()
    octets = b"".join(message(JULIET, ROMEO, str(n)).to_bytes() for n in range(20))
    for at in range(0, len(octets), 7):
        peer.connection.deliver(octets[at : at + 7])
    manager.server.settle()
    assert [received.body for received in juliet.received()] == [str(n) for n in range(20)]


# Addresses


@pytest.mark.parametrize("kind", ["message", "presence", "iq"])
@pytest.mark.parametrize(
    ("to", "from_"),
    [
        ("Juliet@CAPULET.Example/balcony", "ROMEO@Montague.EXAMPLE./orchard"),
        (JULIET, "Romeo@montague.example/orchard"),
        ("juliet@capulet.example./balcony", ROMEO),
    ],
)
def test_addresses_are_prepared_at_the_door(manager, juliet, kind, to, from_):
    """Behind it nobody sees that there is another spelling."""
    peer = manager.proven()
    peer.send(f"<{kind} to='{to}' from='{from_}' type='error' id='1'/>")
    (received,) = juliet.received()
    assert (received.attributes["to"], received.attributes["from"]) == (JULIET, ROMEO)
    assert not peer.has_ended


@pytest.mark.parametrize(
    "addresses",
    [
        f"to='{JULIET}'",
        f"from='{ROMEO}'",
        "",
        f"to='' from='{ROMEO}'",
        f"to='{JULIET}' from=''",
        f"to='juliet@a b' from='{ROMEO}'",
        f"to='{JULIET}' from='romeo@/x'",
        f"to='{JULIET}' from='@'",
    ],
)
@pytest.mark.parametrize("kind", ["message", "presence", "iq"])
def test_a_stanza_has_both_addresses(manager, juliet, kind, addresses):
    peer = manager.proven()
    peer.send(f"<{kind} {addresses}/>")
    assert peer.closed_with() == "improper-addressing"
    assert juliet.received() == []


@pytest.mark.parametrize(
    "sender",
    [
        "romeo@verona.example",
        "verona.example",
        "juliet@capulet.example",
        "romeo@sub.montague.example",
        "romeo@xmontague.example",
        "montague.example@verona.example/montague.example",
    ],
)
@pytest.mark.parametrize("kind", ["message", "presence", "iq"])
def test_nobody_speaks_for_a_domain_that_is_not_proven(manager, juliet, kind, sender):
    peer = manager.proven()
    peer.send(f"<{kind} to='{JULIET}' from='{sender}' id='1' type='error'/>")
    assert peer.closed_with() == "invalid-from"
    assert juliet.received() == []


@pytest.mark.parametrize("to", [ROOMS, "verona.example", "romeo@montague.example"])
def test_nobody_speaks_to_a_domain_that_the_proof_was_not_for(manager, sent_away, server, to):
    came = []
    server.kernel.router.add_route(ROOMS, came.append, "host capulet.example")
    peer = manager.proven()
    peer.send(f"<message to='{to}' from='{ROMEO}'/>")
    assert peer.closed_with() == "host-unknown"
    assert came == sent_away == []
    server.kernel.router.remove_route(ROOMS)


def test_one_domain_is_not_the_others(manager, server):
    server.kernel.router.add_route(ROOMS, lambda stanza: None, "host capulet.example")
    manager.trusts[VERONA] = "dialback"
    peer = manager.proven()
    peer.send(f"<proof xmlns='{NS_PROOF}' from='{VERONA}' to='{ROOMS}'/>")
    peer.send(f"<message to='{ROOMS}' from='romeo@{VERONA}'/>")
    assert not peer.is_closed
    peer.send(f"<message to='{ROOMS}' from='{ROMEO}'/>")
    assert peer.closed_with() == "host-unknown"
    server.kernel.router.remove_route(ROOMS)


@pytest.mark.parametrize("kind", ["message", "presence", "iq"])
def test_nobody_speaks_before_a_proof(manager, juliet, kind):
    for peer in (manager.incoming(), manager.incoming(direct=True)):
        peer.send(f"<{kind} to='{JULIET}' from='{ROMEO}' id='1' type='error'/>")
        assert peer.closed_with() == "not-authorized"
    assert juliet.received() == []


def test_nobody_speaks_between_proof_and_header(manager, juliet):
    peer = manager.incoming(direct=True)
    peer.authenticate()
    peer.send(message(JULIET, ROMEO))
    assert peer.closed_with() == "bad-format"
    assert juliet.received() == []


def test_nothing_is_passed_on_for_a_host_that_is_gone(manager, sent_away, monkeypatch):
    peer = manager.proven()
    monkeypatch.setattr(manager, "host_of", lambda domain: None)
    peer.send(message(JULIET, ROMEO))
    assert peer.closed_with() == "host-gone"
    assert sent_away == []


@pytest.mark.parametrize("bad", ["juliet@capulet.example/\u2028", "a\u00a0b@capulet.example"])
def test_what_a_user_has_misspelt_does_not_end_the_stream(manager, sent_away, bad):
    peer = manager.proven()
    peer.send(f"<message to='{bad}' from='{ROMEO}' id='1'/>")
    assert not peer.is_closed
    (answer,) = sent_away
    assert answer.type == "error"
    assert answer.attributes["to"] == ROMEO
    assert answer.element.find("error").elements[0].name == "jid-malformed"
    assert manager.stream.stanzas_in == 1


@pytest.mark.parametrize("bad", ["montague.example/\u2028", "a\u00a0b@montague.example/x"])
def test_to_whom_nobody_can_answer_nobody_does(manager, server, juliet, sent_away, bad):
    peer = manager.proven()
    peer.send(f"<message to='{JULIET}' from='{bad}'/>")
    assert not peer.is_closed
    assert juliet.received() == sent_away == []
    assert len(server.logged("stanza dropped")) == 1


def test_a_misspelt_address_hides_no_domain(manager, sent_away):
    peer = manager.proven()
    peer.send(f"<message to='{JULIET}/\u2028' from='a\u00a0b@verona.example/montague.example'/>")
    assert peer.closed_with() == "invalid-from"


# What they say


@pytest.mark.parametrize(
    "stanza",
    [
        "<iq from='{}' to='{}' type='get'><x xmlns='urn:example'/></iq>",
        "<iq from='{}' to='{}' type='get' id='1'/>",
        "<iq from='{}' to='{}' type='ask' id='1'><x xmlns='urn:example'/></iq>",
        "<presence from='{}' to='{}' type='ask' id='1'/>",
    ],
)
def test_what_makes_no_sense_is_answered(manager, juliet, sent_away, stanza):
    peer = manager.proven()
    peer.send(stanza.format(ROMEO, JULIET))
    (answer,) = sent_away
    assert answer.type == "error"
    assert answer.to.text == ROMEO
    assert answer.element.find("error").elements[0].name == "bad-request"
    assert juliet.received() == []
    assert not peer.is_closed


def test_an_error_is_not_answered(manager, sent_away):
    peer = manager.proven()
    peer.send(f"<message to='nobody@capulet.example' from='{ROMEO}' type='error'/>")
    peer.send(f"<iq to='nobody@capulet.example' from='{ROMEO}' type='error'/>")
    assert sent_away == []


def test_requests_are_answered_on_their_way_back(manager, sent_away):
    peer = manager.proven()
    peer.send(Iq(Element("urn:example", "x"), type="get", id="1", **addresses()))
    (answer,) = sent_away
    assert (answer.id, answer.type, answer.to.text) == ("1", "error", ROMEO)


def test_presence_arrives(manager, juliet):
    peer = manager.proven()
    peer.send(Presence(**addresses()))
    assert juliet.receive_presence().from_.text == ROMEO


def addresses():
    return {"to": JID.parse(JULIET), "from_": JID.parse(ROMEO)}


def test_marks_of_ours_are_taken_off_and_theirs_are_kept(manager, juliet):
    peer = manager.proven()
    marks = [
        Element(NS_STANZA_ID, "stanza-id", {"by": "juliet@capulet.example", "id": "1"}),
        Element(NS_STANZA_ID, "stanza-id", {"by": CAPULET, "id": "2"}),
        Element(NS_STANZA_ID, "stanza-id", {"by": "@", "id": "3"}),
        Element(NS_STANZA_ID, "stanza-id", {"by": "room@montague.example", "id": "4"}),
        Element(NS_STANZA_ID, "stanza-id", {"by": "verona.example", "id": "5"}),
        Element(NS_DELAY, "delay", {"from": CAPULET, "id": "6"}),
        Element(NS_DELAY, "delay", {"from": MONTAGUE, "id": "7"}),
        Element("urn:xmpp:occupant-id:0", "occupant-id", {"id": "8"}),
    ]
    peer.send(Message(*marks, type="chat", **addresses()))
    assert [e.get("id") for e in juliet.receive_message().element.elements] == list("4578")


def test_a_forwarded_message_is_as_it_was(manager, juliet):
    peer = manager.proven()
    peer.send(
        f"<message to='{JULIET}' from='{ROMEO}' xmlns='jabber:server'><body>1</body>"
        f"<forwarded xmlns='{NS_FORWARD}'><message xmlns='jabber:client'><body>2</body></message>"
        "</forwarded></message>"
    )
    received = juliet.receive_message()
    assert received.body == "1"
    inner = received.find(NS_FORWARD, "forwarded").elements[0]
    assert inner.find_text("body") == "2"
    assert inner.namespace == "jabber:client"


def test_a_forwarded_message_leaves_as_it_was(manager):
    peer = manager.incoming(direct=True)
    peer.send(f"<both xmlns='{NS_PROOF}'/>")
    peer.authenticate()
    peer.open()
    octets = []
    peer.octets_came = octets.append
    inner = Element("jabber:client", "message", None, Element("jabber:client", "body", None, "2"))
    outer = message("romeo@montague.example", "juliet@capulet.example", "1")
    outer.append(Element(NS_FORWARD, "forwarded", None, inner))
    manager.stream.send(outer)
    assert b"".join(octets).endswith(
        b"<body>1</body><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>"
        b"<body>2</body></message></forwarded></message>"
    )


# Who counts


class Keeper:
    takes_stanzas = True

    def __init__(self):
        self.passed = []
        self.fault = None

    def sent(self, stanza):
        if self.fault is not None:
            raise self.fault
        self.passed.append(("sent", stanza.body))

    def receiving(self, stanza):
        self.passed.append(("receiving", stanza.body))

    def received(self, stanza):
        if self.fault is not None:
            raise self.fault
        self.passed.append(("received", stanza.body))

    def unacknowledged(self):
        if self.fault is not None:
            raise self.fault
        return [message(body=body) for how, body in self.passed if how == "sent"]


@pytest.fixture
def both(manager):
    """A stream for both directions, and its keeper."""
    peer = manager.incoming(direct=True)
    peer.send(f"<both xmlns='{NS_PROOF}'/>")
    peer.authenticate()
    peer.open()
    manager.stream.keeper = Keeper()
    return peer


def test_a_keeper_hears_of_all_that_passes(manager, both):
    keeper = manager.stream.keeper
    manager.stream.send(message(body="1"))
    both.send(message(JULIET, ROMEO, "2"))
    both.send(f"<message to='a\u00a0b@capulet.example' from='{ROMEO}'><body>3</body></message>")
    manager.stream.send(message(body="4"))
    assert keeper.passed == [
        ("sent", "1"),
        ("receiving", "2"),
        ("received", "2"),
        # Nobody gets what is malformed, so nobody holds it.
        ("received", "3"),
        ("sent", "4"),
    ]
    both.drop()
    assert [stanza.body for stanza in manager.left] == ["1", "4"]


def test_a_keeper_that_fails_ends_the_stream(server, manager, both):
    server.expect_errors()
    manager.stream.keeper.fault = RuntimeError("too ill")
    both.send(message(JULIET, ROMEO))
    assert both.closed_with() == "internal-server-error"
    assert manager.left == ()


def test_so_it_does_before_a_stanza_is_handled(server, manager, both, juliet):
    server.expect_errors()
    manager.stream.keeper.receiving = lambda stanza: 1 / 0
    both.send(message(JULIET, ROMEO))
    assert both.closed_with() == "internal-server-error"
    assert juliet.received() == []


def test_so_it_does_when_something_is_sent(server, manager, both):
    server.expect_errors()
    manager.stream.keeper.fault = RuntimeError("too ill")
    manager.stream.send(message())
    assert both.closed_with() == "internal-server-error"


def test_a_certificate_for_two_is_no_proof_for_the_other(manager, juliet):
    peer = manager.proven(certificate=certificate_of(MONTAGUE, VERONA))
    assert manager.stream.authorized_pairs == {PAIR}
    peer.send(message(JULIET, "romeo@verona.example"))
    assert peer.closed_with() == "invalid-from"
