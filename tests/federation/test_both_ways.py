"""One stream for both directions (XEP-0288), where both servers know how."""

import pytest
from peers import CAPULET

LOCAL = f"bidi.{CAPULET}"


@pytest.fixture
def juliet(capulet, people):
    return people.client(capulet, f"juliet@{LOCAL}")


def speak(one, other, text):
    one.say(other.jid, text)
    assert other.message(text)["from"] == one.jid


def streams(capulet, remote):
    """The direction of each stream with a domain, and whether it is one for both."""
    rows = capulet.ask("s2s-list", domain=remote)
    assert {row["local"] for row in rows} == {LOCAL}
    return sorted((row["direction"], row["both_ways"]) for row in rows if row["state"] == "open")


@pytest.mark.parametrize("peer", ["prosody", "mantua"], indirect=True)
def test_what_we_have_opened_is_answered_over(capulet, peer, people, juliet):
    romeo = people.client(peer, f"romeo@bidi.{peer.domain}")
    capulet.forget_all()
    speak(juliet, romeo, "Speak again, bright angel!")
    speak(romeo, juliet, "Over the same stream.")
    remote = f"bidi.{peer.domain}"
    assert streams(capulet, remote) == [("out", True)]
    assert capulet.ways(LOCAL, remote, "out") == {"EXTERNAL"}
    assert capulet.ways(LOCAL, remote, "in") == set()


@pytest.mark.parametrize("peer", ["prosody", "mantua"], indirect=True)
def test_what_they_have_opened_is_answered_over(capulet, peer, people, juliet):
    romeo = people.client(peer, f"romeo@bidi.{peer.domain}")
    capulet.forget_all()
    speak(romeo, juliet, "Shall I hear more, or shall I speak at this?")
    speak(juliet, romeo, "'Tis but thy name.")
    remote = f"bidi.{peer.domain}"
    assert streams(capulet, remote) == [("in", True), ("out", True)]
    assert capulet.ways(LOCAL, remote, "in") == {"EXTERNAL"}
    assert capulet.ways(LOCAL, remote, "out") == set()


@pytest.mark.parametrize("peer", ["prosody", "ejabberd", "mantua"], indirect=True)
def test_with_those_who_do_not_know_it_there_are_two_streams(capulet, peer, people, juliet):
    romeo = people.client(peer, f"romeo@{peer.domain}")
    capulet.forget_all()
    speak(juliet, romeo, "Two streams out")
    speak(romeo, juliet, "Two streams in")
    assert streams(capulet, peer.domain) == [("in", False), ("out", False)]


def test_what_is_said_before_the_stream_begins_anew_is_not_lost(capulet, prosody, people, juliet):
    # Prosody 0.12 uses the stream from <success/> on, and does not wait for the new header.
    romeo = people.client(prosody, f"romeo@hasty.{prosody.domain}")
    capulet.forget_all()
    juliet.say(romeo.jid, "It is too rash, too unadvised, too sudden.")
    said = juliet.take("a word", lambda stanza: stanza.name == "message")
    assert (said["type"], said["body"]) == ("chat", "Hasty")
    romeo.message("It is too rash, too unadvised, too sudden.")
    speak(romeo, juliet, "Too like the lightning")
    assert streams(capulet, f"hasty.{prosody.domain}") == [("out", True)]
