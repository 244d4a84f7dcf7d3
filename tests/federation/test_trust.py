"""What a domain has to show for itself, by the trust that the configuration has in it."""

from itertools import product

import pytest
from peers.node import TRUSTS
from peers.people import refusal
from peers.stage import CREDENTIALS

SUFFICIENT = {
    "require": {"good"},
    "dialback": {"good", "expired", "stranger", "selfsigned"},
    "any": set(CREDENTIALS),
}

REASONS = {
    "expired": "cert has expired",
    "stranger": "the certificate is not for",
    "selfsigned": "self signed cert",
    "clear": "the stream is not encrypted",
}


@pytest.fixture(params=product(TRUSTS, CREDENTIALS), ids="-".join)
def case(request):
    """What we want, and what the peer has."""
    return request.param


@pytest.fixture
def juliet(capulet, people, case):
    return people.client(capulet, f"juliet@{capulet.trusting(case[0])}")


@pytest.fixture
def romeo(peer, people, case):
    return people.client(peer, f"romeo@{peer.host(case[1])}")


def test_we_speak_to_whom_we_trust(capulet, peer, case, juliet, romeo):
    trust, credential = case
    local, remote = capulet.trusting(trust), peer.host(credential)
    capulet.forget_all()
    juliet.say(romeo.jid, f"To {remote}")
    if credential in SUFFICIENT[trust]:
        assert romeo.message(f"To {remote}")["from"] == juliet.jid
        way = "dialback" if credential == "clear" else "EXTERNAL"
        assert capulet.ways(local, remote, "out") == {way}
    else:
        assert refusal(juliet, romeo).condition == "remote-server-timeout"
        assert capulet.ways(local, remote, "out") == set()
        assert REASONS[credential] in capulet.reason(local, remote)


def test_we_listen_to_whom_we_trust(capulet, peer, case, juliet, romeo):
    trust, credential = case
    local, remote = capulet.trusting(trust), peer.host(credential)
    romeo.say(juliet.jid, f"From {remote}")
    if credential in SUFFICIENT[trust]:
        assert juliet.message(f"From {remote}")["from"] == romeo.jid
        way = "EXTERNAL" if credential == "good" else "dialback"
        assert way in capulet.ways(local, remote, "in")
    else:
        assert refusal(romeo, juliet).condition in (
            "remote-server-timeout",
            "remote-server-not-found",
        )
        assert capulet.ways(local, remote, "in") == set()


@pytest.mark.parametrize(
    ("credential", "condition"),
    [
        ("stranger", ""),
        ("expired", "remote-server-timeout"),
        ("selfsigned", "not-allowed"),
    ],
)
def test_single_domains_may_be_treated_otherwise(capulet, peer, people, credential, condition):
    local, remote = f"choosy.{capulet.domain}", peer.host(credential)
    juliet = people.client(capulet, f"juliet@{local}")
    romeo = people.client(peer, f"romeo@{remote}")
    juliet.say(romeo.jid, "What man art thou?")
    romeo.say(juliet.jid, "I know not how to tell thee who I am.")
    if condition:
        assert refusal(juliet, romeo).condition == condition
        assert refusal(romeo, juliet).condition.startswith("remote-server-")
    else:
        assert romeo.message("What man art thou?")["from"] == juliet.jid
        assert juliet.message("I know not how to tell thee who I am.")["from"] == romeo.jid
