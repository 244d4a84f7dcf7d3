"""Others connect to us, and want our stanzas over the stream that they have opened."""

import pytest
from bidi_cast import (
    BIDI,
    CAPULET,
    CHAT,
    JULIET,
    MONTAGUE,
    PROOF,
    ROMEO,
    VERONA,
    bodies,
    both_ways,
    hark,
    offers_bidi,
)

from stonechat.namespaces import NS_SASL
from stonechat.stanza import Message


def join(remote, host=CAPULET):
    """A stream of the remote's for both directions, proven by its certificate."""
    stream = remote.connect(host)
    stream.send(BIDI)
    assert stream.authenticate().name == "success"
    stream.open()
    return stream


@pytest.mark.parametrize("trust", ["require", "any"])
def test_it_is_offered_behind_tls_until_the_peer_is_proven(trusting, capulet, montague, trust):
    trusting(trust)
    stream = montague.connect(capulet, direct=False, starttls="optional")
    assert not offers_bidi(stream.features)
    assert offers_bidi(stream.start_tls())
    assert stream.authenticate().name == "success"
    assert not offers_bidi(stream.open())


def test_messages_go_both_ways_over_the_one_stream(server, juliet, montague):
    stream = join(montague)
    stream.send(hark())
    assert juliet.receive_message().body == "Hark!"
    juliet.message(ROMEO, "Romeo?")
    message = stream.receive_first(Message)
    assert (message.body, str(message.from_)) == ("Romeo?", JULIET)
    assert both_ways(server) == {("in", MONTAGUE): True, ("out", MONTAGUE): True}


def test_without_it_answers_take_another_stream(server, juliet, montague):
    stream = montague.join(CAPULET)
    stream.send(hark())
    juliet.message(ROMEO, "Romeo?")
    assert montague.admit().receive_first(Message).body == "Romeo?"
    assert stream.received() == []
    assert both_ways(server) == {("in", MONTAGUE): False, ("out", MONTAGUE): False}


def test_what_waited_for_a_stream_leaves_by_the_one_that_the_peer_opens(juliet, montague):
    juliet.message(ROMEO, "one")
    juliet.message(ROMEO, "two")
    ours = montague.accept()
    theirs = join(montague)
    assert bodies(theirs.received()) == ["one", "two"]
    # Nobody needs it any more.
    assert ours.closed_with() == ""


# What proves the peer for one direction proves it for both


def test_nothing_leaves_before_the_peer_is_proven(juliet, montague):
    stream = montague.connect(CAPULET)
    juliet.message(ROMEO, "Romeo?")
    stream.send(BIDI)
    assert stream.received() == []
    assert stream.authenticate().name == "success"
    assert stream.received() == []
    stream.open()
    assert stream.receive_first(Message).body == "Romeo?"


def test_stanzas_of_a_peer_that_is_not_proven_end_the_stream(juliet, montague):
    stream = montague.connect(CAPULET)
    stream.send(BIDI + hark())
    assert stream.closed_with() == "not-authorized"
    assert juliet.received() == []


@pytest.mark.parametrize("fault", ["self-signed certificate", "certificate has expired"])
def test_a_peer_without_a_good_certificate_gets_nothing_where_one_is_wanted(server, juliet, fault):
    tybalt = server.remote(MONTAGUE, certificate_fault=fault)
    juliet.message(ROMEO, "Romeo?")
    stream = tybalt.connect(CAPULET)
    assert stream.closed_with() == "policy-violation"
    assert [item for item in stream.received() if isinstance(item, Message)] == []


def test_a_word_does_not_prove_more_for_one_direction_than_for_the_other(server, trusting, juliet):
    montague = server.remote(MONTAGUE, certificate=False)
    trusting("dialback")
    stream = montague.connect(CAPULET)
    stream.send(BIDI)
    # Since it has connected.
    trusting("require")
    stream.send(PROOF)
    juliet.message(ROMEO, "Romeo?")
    assert stream.received() == []
    assert both_ways(server) == {}


def test_where_a_word_is_enough_it_is_for_both_directions(server, trusting, juliet):
    trusting("dialback")
    stream = server.remote(MONTAGUE, certificate=False).connect(CAPULET)
    stream.send(BIDI)
    stream.send(PROOF)
    juliet.message(ROMEO, "Romeo?")
    assert stream.receive_first(Message).body == "Romeo?"


def test_only_proven_pairs_leave_by_the_stream(server, trusting, juliet, montague):
    trusting("dialback")
    chat = server.remote(CHAT)
    stream = join(montague)
    juliet.message(f"hall@{CHAT}", "Is Romeo there?")
    assert chat.admit().receive_first(Message).body == "Is Romeo there?"
    assert stream.received() == []


def test_each_pair_that_is_proven_later_may_use_both_directions(
    server, trusting, juliet, montague
):
    trusting("dialback")
    server.remote(CHAT)
    stream = join(montague)
    stream.send(PROOF.replace("/>", f" from='{CHAT}'/>"))
    juliet.message(f"hall@{CHAT}", "Is Romeo there?")
    assert stream.receive_first(Message).body == "Is Romeo there?"


def test_a_domain_that_is_not_spoken_to_any_more_loses_both_directions(server, juliet, montague):
    stream = join(montague)
    server.configure(federation={"domains": {MONTAGUE: {"access": "deny"}}})
    server.kernel.s2s.review()
    assert stream.closed_with() == "policy-violation"
    juliet.message(ROMEO, "Romeo?")
    assert juliet.receive_message().type == "error"


def test_a_host_without_it_does_not_know_it(server, montague):
    server.host(VERONA)
    stream = montague.connect(VERONA)
    assert not offers_bidi(stream.features)
    stream.send(BIDI)
    assert stream.closed_with() == "unsupported-stanza-type"


# At the wrong time


def test_in_the_clear_it_ends_the_stream(trusting, capulet, montague):
    trusting("any")
    stream = montague.connect(capulet, direct=False, starttls="optional")
    stream.send(BIDI)
    assert stream.closed_with() == "policy-violation"


def test_before_tls_that_must_be_it_ends_the_stream(capulet, montague):
    stream = montague.connect(capulet, direct=False)
    stream.send(BIDI)
    assert stream.closed_with() == "policy-violation"


def test_after_the_proof_it_is_too_late(server, juliet, montague):
    stream = montague.join(CAPULET)
    stream.send(BIDI)
    assert stream.closed_with() == "policy-violation"
    assert both_ways(server) == {}


def test_between_the_proof_and_the_new_stream_it_is_too_late(capulet, montague):
    stream = montague.connect(capulet)
    assert stream.authenticate().name == "success"
    stream.send(BIDI)
    assert stream.closed_with() != ""


def test_twice_it_ends_the_stream(capulet, montague):
    stream = montague.connect(capulet)
    stream.send(BIDI + BIDI)
    assert stream.closed_with() == "policy-violation"


def test_it_outlives_an_attempt_that_fails(juliet, montague):
    stream = montague.connect(CAPULET)
    stream.send(BIDI)
    assert stream.authenticate(VERONA).qualified_name == f"{NS_SASL} failure"
    assert stream.authenticate().name == "success"
    stream.open()
    juliet.message(ROMEO, "Romeo?")
    assert stream.receive_first(Message).body == "Romeo?"


# The end


def test_what_the_peer_has_not_read_when_the_stream_is_lost_is_sent_over_another(
    server, juliet, montague
):
    stream = join(montague)
    stream.connection.stop_reading()
    lines = [f"line {number}" for number in range(100)]
    for line in lines:
        juliet.message(ROMEO, line)
    # Some of it waits in the connection, the rest behind it.
    stream.send(hark(body="It is my lady!"))
    stream.drop()
    server.clock.advance(10)
    assert bodies(montague.admit().received()) == lines
    assert bodies(juliet.received()) == ["It is my lady!"]


def test_what_the_peer_has_said_before_the_stream_is_lost_has_come(server, juliet, montague):
    stream = join(montague)
    stream.send(hark() + hark(body="It is my lady!"))
    stream.drop()
    assert bodies(juliet.received()) == ["Hark!", "It is my lady!"]
    juliet.message(ROMEO, "Romeo?")
    assert montague.admit().receive_first(Message).body == "Romeo?"
