"""Peers that end, come again, or hang for a while; and ends of our own."""

import pytest
from peers import CAPULET
from peers.people import refusal

QUEUE = 1000
BEYOND = 100


@pytest.fixture
def juliet(capulet, people):
    return people.client(capulet, f"juliet@{CAPULET}")


def speak(one, other, text):
    one.say(other.jid, text)
    assert other.message(text)["from"] == one.jid


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_when_a_peer_has_come_again_both_speak_as_before(capulet, peer, people, juliet, way):
    romeo = people.client(peer, f"romeo@{peer.domain}")
    speak(juliet, romeo, "Art thou there?")
    speak(romeo, juliet, "I am here.")

    getattr(peer, way)()
    people.forget(peer)
    # Nothing is lost in silence.
    juliet.say(romeo.jid, "Art thou gone so?")
    assert refusal(juliet, romeo).condition == "remote-server-timeout"

    peer.start_again()
    romeo = people.client(peer, f"romeo@{peer.domain}")
    speak(romeo, juliet, "I am fortune's fool.")
    speak(juliet, romeo, "I must hear from thee every day in the hour.")


def test_a_peer_need_not_speak_first_when_it_has_come_again(capulet, peer, people, juliet):
    romeo = people.client(peer, f"romeo@{peer.domain}")
    speak(juliet, romeo, "Hist!")
    peer.kill()
    people.forget(peer)
    peer.start_again()
    romeo = people.client(peer, f"romeo@{peer.domain}")
    capulet.rested(peer.domain)
    speak(juliet, romeo, "Romeo!")


def test_what_waits_has_its_bound_and_keeps_its_order(capulet, peer, people, juliet):
    romeo = people.client(peer, f"romeo@{peer.domain}")
    capulet.forget(peer.domain)
    peer.suspend()
    try:
        lines = [str(number) for number in range(QUEUE + BEYOND)]
        juliet.send_raw(
            "".join(
                f"<message to='{romeo.jid}' type='chat'><body>{line}</body></message>"
                for line in lines
            )
        )
        for _ in range(BEYOND):
            assert refusal(juliet, romeo).condition == "resource-constraint"
        (row,) = [row for row in capulet.ask("s2s-list", domain=peer.domain) if row["waiting"]]
        assert row["waiting"] == QUEUE
        juliet.sync()
    finally:
        peer.resume()
    assert [romeo.message()["body"] for _ in range(QUEUE)] == lines[:QUEUE]
    speak(juliet, romeo, "There is room again.")


def test_a_peer_that_hangs_longer_has_what_waits_answered(impatient, peer, people):
    juliet = people.client(impatient, f"juliet@{impatient.domain}")
    romeo = people.client(peer, f"romeo@{peer.domain}")
    impatient.forget(peer.domain)
    peer.suspend()
    try:
        lines = [f"waits: {number}" for number in range(10)]
        for line in lines:
            juliet.say(romeo.jid, line)
        for _ in lines:
            assert refusal(juliet, romeo).condition == "remote-server-timeout"
    finally:
        peer.resume()
    speak(romeo, juliet, "How oft when men are at the point of death")
    speak(juliet, romeo, "have they been merry!")


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_after_an_end_of_our_own_both_speak_as_before(impatient, peer, people, way):
    romeo = people.client(peer, f"romeo@{peer.domain}")
    juliet = people.client(impatient, f"juliet@{impatient.domain}")
    # What a peer has written to a stream of before is lost, if it did not know of its end yet.
    # When it is spoken to it does.
    speak(juliet, romeo, "Give me my Romeo")
    speak(romeo, juliet, "and when he shall die")
    getattr(impatient, way)()
    people.forget(impatient)
    impatient.start_again()
    juliet = people.client(impatient, f"juliet@{impatient.domain}")
    if peer.name == "stonechat":
        peer.rested(impatient.domain)
    speak(juliet, romeo, "take him and cut him out")
    speak(romeo, juliet, "in little stars")
