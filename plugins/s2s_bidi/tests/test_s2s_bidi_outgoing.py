"""We connect to others, and let them send us theirs over the stream that we have opened."""

import pytest
from bidi_cast import (
    BIDI,
    CAPULET,
    CHAT,
    FEATURE,
    JULIET,
    MONTAGUE,
    NS_PROOF,
    PROOF,
    ROMEO,
    VERONA,
    bodies,
    both_ways,
    hark,
    is_bidi,
)

from stonechat.core.server_outgoing import MOST_EARLY
from stonechat.namespaces import NS_SASL
from stonechat.net.resolver import Target
from stonechat.protocol.s2s import header
from stonechat.stanza import Message
from stonechat.testing.remote import EXTERNAL
from stonechat.testing.server_stream import certificate_of


@pytest.fixture
def ours(juliet, montague):
    """Our stream, for both directions, which Montague is to let in yet; "Romeo?" waits."""
    juliet.message(ROMEO, "Romeo?")
    stream = montague.accept_secure(EXTERNAL, FEATURE)
    assert is_bidi(stream.receive_element())
    return stream


def let_in(stream):
    stream.accept()
    stream.answer()
    return stream


def test_it_is_asked_for_before_the_proof(ours):
    assert ours.receive_element().qualified_name == f"{NS_SASL} auth"


def test_messages_go_both_ways_over_the_one_stream(server, juliet, ours):
    let_in(ours)
    assert ours.receive_first(Message).body == "Romeo?"
    ours.send(hark())
    message = juliet.receive_message()
    assert (message.body, str(message.from_)) == ("Hark!", ROMEO)
    assert both_ways(server) == {("out", MONTAGUE): True}


def test_it_is_not_asked_for_where_it_is_not_offered(juliet, montague):
    juliet.message(ROMEO, "Romeo?")
    stream = montague.accept_secure(EXTERNAL, f"<bidi xmlns='{NS_PROOF}'/>")
    assert stream.receive_element().qualified_name == f"{NS_SASL} auth"


def test_it_is_not_asked_for_before_tls(server, trusting, juliet):
    trusting("any")
    stream = accepted_in_the_clear(server, juliet)
    stream.answer(FEATURE)
    assert stream.receive_element().qualified_name == f"{NS_PROOF} proof"
    stream.send(PROOF + hark())
    assert stream.closed_with() == "not-authorized"
    assert juliet.received() == []


def accepted_in_the_clear(server, juliet):
    montague = server.remote(MONTAGUE, certificate=False)
    juliet.message(ROMEO, "Romeo?")
    return montague.accept()


def test_what_is_offered_after_the_proof_is_too_late(juliet, montague):
    juliet.message(ROMEO, "Romeo?")
    stream = montague.accept_secure(EXTERNAL)
    stream.accept()
    stream.answer(FEATURE)
    assert bodies(stream.received()) == ["Romeo?"]


# What the peer has to show for itself


def test_a_peer_without_a_good_certificate_is_not_even_asked_where_one_is_wanted(server, juliet):
    montague = server.remote(MONTAGUE, certificate_fault="self-signed certificate")
    juliet.message(ROMEO, "Romeo?")
    stream = montague.accept_secure(EXTERNAL, FEATURE)
    assert stream.closed_with() == ""
    assert stream.received() == []


@pytest.mark.parametrize("trust", ["dialback", "any"])
def test_a_peer_without_a_good_certificate_proves_itself_on_a_stream_of_its_own(
    server, trusting, juliet, trust
):
    """That we have found it by DNS is enough to speak to it, but it is no proof of its own."""
    trusting(trust)
    montague = server.remote(MONTAGUE, certificate_fault="self-signed certificate")
    juliet.message(ROMEO, "Romeo?")
    stream = let_in(montague.accept_secure(EXTERNAL, FEATURE))
    assert stream.receive_first(Message).body == "Romeo?"
    stream.send(hark())
    assert stream.closed_with() == "not-authorized"
    assert juliet.received() == []


def test_a_good_certificate_is_enough_where_less_is_wanted(trusting, juliet, montague):
    trusting("dialback")
    juliet.message(ROMEO, "Romeo?")
    stream = montague.accept_secure(FEATURE)
    assert is_bidi(stream.receive_element())
    stream.send(PROOF + hark())
    assert juliet.receive_message().body == "Hark!"


@pytest.fixture
def at_one_place(server, monkeypatch, trusting, juliet):
    """Montague's server has another domain, too; returns our stream, and asks for the other."""

    def begin(*names):
        trusting("dialback")
        montague = server.remote(MONTAGUE, certificate=certificate_of(*names))
        place = [Target(MONTAGUE, 5269, tls=False)]
        monkeypatch.setattr(server.kernel.s2s.ways, "targets", lambda domain: place)
        juliet.message(ROMEO, "Romeo?")
        stream = montague.accept_secure(EXTERNAL, FEATURE)
        assert is_bidi(stream.receive_element())
        let_in(stream)
        assert stream.receive_first(Message).body == "Romeo?"
        juliet.message(f"hall@{CHAT}", "Is Romeo there?")
        return montague, stream

    return begin


def test_a_further_domain_that_the_certificate_is_for_shares_the_stream(juliet, at_one_place):
    _, stream = at_one_place(MONTAGUE, CHAT)
    assert stream.receive_element().get("to") == CHAT
    stream.send(PROOF.replace("/>", f" from='{CHAT}'/>"))
    assert stream.receive_first(Message).body == "Is Romeo there?"
    stream.send(hark(from_=f"hall@{CHAT}"))
    assert juliet.receive_message().body == "Hark!"


def test_a_further_domain_of_which_it_says_nothing_gets_another_stream(juliet, at_one_place):
    """Else that we are let in there would prove that the Montagues speak for it."""
    montague, stream = at_one_place(MONTAGUE)
    other = let_in(montague.accept_secure(EXTERNAL, FEATURE))
    assert bodies(other.received()) == ["Is Romeo there?"]
    assert stream.received() == []
    stream.send(hark(from_=f"hall@{CHAT}"))
    assert stream.closed_with() == "invalid-from"
    assert juliet.received() == []


# What the peer may say, and when


def test_stanzas_before_we_are_let_in_end_the_stream(juliet, ours):
    ours.send(hark())
    assert ours.closed_with() == "not-authorized"
    # And what was to leave by it comes back.
    assert [message.type for message in juliet.received()] == ["error"]


SUCCESS = f"<success xmlns='{NS_SASL}'/>"


def test_stanzas_may_come_before_the_peer_begins_the_stream_anew(juliet, ours):
    """Prosody says success, and speaks from then on."""
    ours.send(SUCCESS + hark())
    ours.send(hark(body="It is my lady!"))
    # Whose they are is not sure before the features have come.
    assert juliet.received() == []
    ours.answer()
    assert bodies(juliet.received()) == ["Hark!", "It is my lady!"]
    assert ours.receive_first(Message).body == "Romeo?"
    ours.send(hark(body="O, it is my love!"))
    assert juliet.receive_message().body == "O, it is my love!"


def test_or_between_its_header_and_its_features(juliet, ours):
    ours.send(SUCCESS)
    ours.send(header(from_=MONTAGUE, to=CAPULET, id="s3") + hark().encode())
    assert juliet.received() == []
    ours.send("<stream:features/>")
    assert juliet.receive_message().body == "Hark!"
    assert ours.receive_first(Message).body == "Romeo?"


@pytest.mark.parametrize(
    ("addresses", "condition"),
    [({"from_": f"nurse@{VERONA}"}, "invalid-from"), ({"to": f"nurse@{VERONA}"}, "host-unknown")],
)
def test_what_comes_early_is_looked_at_as_all_else_is(juliet, ours, addresses, condition):
    ours.send(SUCCESS + hark() + hark(**addresses) + hark())
    ours.answer()
    assert ours.closed_with() == condition
    assert bodies(juliet.received()) == ["Hark!", "Romeo?"]


@pytest.mark.parametrize("lines", [MOST_EARLY + 1, 3])
def test_what_comes_early_has_a_bound(server, juliet, ours, lines):
    server.configure(limits={"stanza_bytes": "30 kB"})
    body = "o" * (10 if lines > 3 else 10_000)
    ours.send(SUCCESS)
    for _ in range(lines - 1):
        ours.send(hark(body=body))
    assert not ours.has_ended
    ours.send(hark(body=body))
    assert ours.closed_with() == "policy-violation"
    # What was to leave by it comes back.
    assert bodies(juliet.received()) == ["Romeo?"]


def test_who_says_more_than_its_stanzas_early_is_not_heard(juliet, ours):
    ours.send(SUCCESS + BIDI)
    assert ours.closed_with() == "policy-violation"


def test_what_came_early_is_dropped_if_the_peer_does_not_go_on(server, juliet, ours):
    ours.send(SUCCESS + hark())
    ours.drop()
    assert bodies(juliet.received()) == ["Romeo?"]
    [record] = server.logged("stanzas dropped")
    assert (record["remote"], record["stanzas"]) == (MONTAGUE, 1)


@pytest.mark.parametrize(
    ("addresses", "condition"),
    [
        ({"from_": f"nurse@{VERONA}"}, "invalid-from"),
        ({"from_": f"hall@{CHAT}"}, "invalid-from"),
        ({"from_": JULIET}, "invalid-from"),
        ({"to": f"nurse@{VERONA}"}, "host-unknown"),
    ],
)
def test_stanzas_of_a_pair_that_is_not_proven_end_the_stream(juliet, ours, addresses, condition):
    let_in(ours)
    ours.send(hark(**addresses))
    assert ours.closed_with() == condition
    assert juliet.received() == []


def test_the_peer_of_a_stream_of_ours_does_not_ask_for_it(ours):
    ours.send(BIDI)
    assert ours.closed_with() == "unsupported-stanza-type"


# The end


def test_both_may_open_one_at_the_same_time(juliet, montague, ours):
    """The peer may use ours before we know that it is open: it is not closed for the other."""
    theirs = montague.connect(CAPULET)
    theirs.send(BIDI)
    assert theirs.authenticate().name == "success"
    theirs.open()
    assert theirs.receive_first(Message).body == "Romeo?"
    ours.accept()
    ours.answer()
    ours.send(hark())
    assert juliet.receive_message().body == "Hark!"


def test_what_the_peer_has_not_read_when_the_stream_is_lost_is_sent_over_another(
    server, juliet, montague, ours
):
    let_in(ours)
    assert ours.receive_first(Message).body == "Romeo?"
    server.clock.advance(10)
    ours.connection.stop_reading()
    lines = [f"line {number}" for number in range(100)]
    for line in lines:
        juliet.message(ROMEO, line)
    ours.drop()
    server.clock.advance(10)
    again = montague.accept_secure(EXTERNAL, FEATURE)
    assert is_bidi(again.receive_element())
    let_in(again)
    assert bodies(again.received()) == lines
    again.send(hark())
    assert juliet.receive_message().body == "Hark!"


def test_what_the_peer_says_behind_our_end_still_comes(server, juliet, ours):
    let_in(ours)
    server.command("s2s-close", domain=MONTAGUE)
    assert ours.has_ended
    ours.send(hark() + "</stream:stream>")
    assert juliet.receive_message().body == "Hark!"
    assert ours.closed_with() == ""
