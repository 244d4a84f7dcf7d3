"""What others make of what we have to show, and what we do with it."""

import pytest
from peers import CAPULET
from peers.people import refusal


@pytest.fixture
def couple(capulet, peer, people):
    """Juliet of one host of ours and Romeo of one of a peer's, and what tells their ways."""

    def make(our_host="", peer_host=""):
        local = f"{our_host}.{CAPULET}".removeprefix(".")
        remote = f"{peer_host}.{peer.domain}".removeprefix(".")
        capulet.forget_all()
        return people.client(capulet, f"juliet@{local}"), people.client(peer, f"romeo@{remote}")

    return make


def speak(one, other, text):
    one.say(other.jid, text)
    assert other.message(text)["from"] == one.jid


def ways(capulet, juliet, romeo, direction):
    local, remote = (client.xmpp.boundjid.domain for client in (juliet, romeo))
    return capulet.ways(local, remote, direction)


def test_certificates_do_without_dialback_on_both_sides(capulet, couple):
    juliet, romeo = couple("strict", "strict")
    speak(juliet, romeo, "Strictly out")
    assert ways(capulet, juliet, romeo, "out") == {"EXTERNAL"}
    speak(romeo, juliet, "Strictly in")
    assert "EXTERNAL" in ways(capulet, juliet, romeo, "in")


def test_dialback_does_in_the_clear(capulet, couple):
    juliet, romeo = couple("clear", "clear")
    speak(juliet, romeo, "Clearly out")
    assert ways(capulet, juliet, romeo, "out") == {"dialback"}
    speak(romeo, juliet, "Clearly in")
    assert ways(capulet, juliet, romeo, "in") == {"dialback"}


@pytest.mark.parametrize("our_host", ["", "dialback", "any"])
@pytest.mark.parametrize("peer", ["prosody"], indirect=True)
def test_a_peer_that_knows_nothing_but_dialback_is_content_with_it(capulet, couple, our_host):
    juliet, romeo = couple(our_host, "dialback")
    speak(juliet, romeo, "By my word out")
    assert ways(capulet, juliet, romeo, "out") == {"dialback"}
    # It shows a key then; with its certificate nobody has to be asked about that.
    speak(romeo, juliet, "By thy word in")
    assert ways(capulet, juliet, romeo, "in") == {"certificate"}


FAULTY = ("expired", "stranger", "selfsigned")

# Prosody is strict with some domains, which are others than those it is not strict with; the
# others have a host for each.
STRICT = [
    ("prosody", "expired", ""),
    ("prosody", "stranger", ""),
    *(("ejabberd", credential, "strict") for credential in FAULTY),
    *(("mantua", credential, "strict") for credential in FAULTY),
]
LENIENT = [
    ("prosody", "selfsigned", ""),
    *(("ejabberd", credential, "") for credential in FAULTY),
    *(("mantua", credential, "dialback") for credential in FAULTY),
]


@pytest.mark.parametrize(("peer", "credential", "their_host"), STRICT, indirect=["peer"])
def test_where_our_certificate_has_to_be_good_a_faulty_one_is_refused(
    couple, credential, their_host
):
    juliet, romeo = couple(credential, their_host)
    juliet.say(romeo.jid, "Can I go forward when my heart is here?")
    assert refusal(juliet, romeo).condition == "remote-server-timeout"
    romeo.say(juliet.jid, "Wilt thou be gone?")
    assert refusal(romeo, juliet).condition.startswith("remote-server-")


@pytest.mark.parametrize(("peer", "credential", "their_host"), LENIENT, indirect=["peer"])
def test_where_it_does_not_have_to_a_dialback_takes_its_place(
    capulet, couple, credential, their_host
):
    juliet, romeo = couple(credential, their_host)
    speak(juliet, romeo, f"With {credential} out")
    assert ways(capulet, juliet, romeo, "out") == {"dialback"}
    speak(romeo, juliet, f"With {credential} in")
    assert ways(capulet, juliet, romeo, "in") in ({"EXTERNAL"}, {"dialback"})
