"""slixmpp logs in: over TLS of both kinds, by every mechanism, and not with a wrong password."""

import ssl

import pytest
from witnesses.node import CAPULET
from witnesses.people import LoginFailed

JULIET = "juliet@capulet.example"


def test_logs_in_by_the_strongest_mechanism_that_slixmpp_has(cast):
    juliet = cast.login(f"{JULIET}/balcony")
    assert juliet.jid == f"{JULIET}/balcony"
    assert juliet.mechanism == "SCRAM-SHA-512"
    assert juliet.tls_version == "TLSv1.3"


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
@pytest.mark.parametrize("direct_tls", [False, True], ids=["starttls", "direct"])
def test_logs_in_by_every_mechanism(cast, mechanism, direct_tls):
    juliet = cast.login(f"{JULIET}/balcony", mechanism=mechanism, direct_tls=direct_tls)
    assert juliet.mechanism == mechanism
    (session,) = cast.node.sessions(JULIET)
    assert session["secure"] is True


def test_logs_in_over_tls_1_2(cast):
    juliet = cast.login(f"{JULIET}/balcony", tls_version=ssl.TLSVersion.TLSv1_2)
    assert juliet.tls_version == "TLSv1.2"
    print(juliet.mechanism)
