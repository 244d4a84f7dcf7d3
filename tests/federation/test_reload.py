"""`stonechat reload` while other servers are connected: a stricter policy, and back again."""

import pytest
from peers import LAURENCE, MONTAGUE
from peers.people import refusal, refused, told

# What is wanted from now on, of whom who has shown less, and what the sender hears.
STRICTER = {
    "a-good-certificate": ({"trust": "require"}, "selfsigned", "remote-server-timeout"),
    "a-certificate-in-date": ({"trust": "require"}, "expired", "remote-server-timeout"),
    "encryption": ({"trust": "dialback"}, "clear", "remote-server-timeout"),
    "nothing": ({"access": "deny"}, "good", "not-allowed"),
    "nobody": ({"enabled": False}, "good", "remote-server-not-found"),
}


@pytest.fixture
def juliet(fickle, people):
    fickle.reload(trust="any")
    return people.client(fickle, f"juliet@{LAURENCE}")


def converse(one, other, text):
    for speaker, listener in ((one, other), (other, one)):
        speaker.say(listener.jid, text)
        assert listener.message(text)["from"] == speaker.jid


def streams(fickle, domain):
    rows = fickle.ask("s2s-list", domain=domain)
    return sorted(row["direction"] for row in rows if row["state"] == "open")


# Ours, where it has no certificate, still encrypts what it sends: that is enough.
CASES = [
    pytest.param(peer, *case, id=f"{peer}-{name}")
    for peer in ("prosody", "ejabberd", "mantua")
    for name, case in STRICTER.items()
    if (peer, name) != ("mantua", "encryption")
]


@pytest.mark.parametrize(("peer", "policy", "credential", "condition"), CASES, indirect=["peer"])
def test_streams_that_show_too_little_end_and_no_new_ones_begin(
    fickle, peer, people, juliet, policy, credential, condition
):
    domain = peer.host(credential)
    romeo = people.client(peer, f"romeo@{domain}")
    told(juliet, romeo)
    told(romeo, juliet)
    assert streams(fickle, domain) == ["in", "out"]

    fickle.reload(**policy)
    juliet.say(romeo.jid, "Now")
    assert refusal(juliet, romeo).condition == condition
    assert streams(fickle, domain) == []
    assert refused(romeo, juliet).condition.startswith("remote-server-")
    assert streams(fickle, domain) == []

    fickle.reload(trust="any")
    if peer.name == "stonechat":
        # It would rest.
        peer.forget(LAURENCE)
    told(romeo, juliet)
    told(juliet, romeo)
    for client in (juliet, romeo):
        client.rest()
    assert fickle.new_faults() == []


def test_streams_that_show_enough_stay(fickle, prosody, ejabberd, people, juliet):
    romeos = [people.client(each, f"romeo@{each.domain}") for each in (prosody, ejabberd)]
    for romeo in romeos:
        converse(juliet, romeo, "Before")
    fickle.forget_all()
    for romeo in romeos:
        converse(juliet, romeo, "With new streams")
    begun = [fickle.ways(LAURENCE, each.domain, "out") for each in (prosody, ejabberd)]
    assert begun == [{"EXTERNAL"}] * 2

    fickle.skip_log()
    fickle.reload(trust="require", domains={f"*.{MONTAGUE}": {"access": "deny"}})
    for romeo in romeos:
        converse(juliet, romeo, "Afterwards")
    for each in (prosody, ejabberd):
        assert streams(fickle, each.domain) == ["in", "out"]
        assert fickle.ways(LAURENCE, each.domain, "out") == set()
        assert fickle.ways(LAURENCE, each.domain, "in") == set()
