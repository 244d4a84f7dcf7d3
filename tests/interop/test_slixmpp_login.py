"""slixmpp logs in: over TLS of both kinds, by every mechanism, and not with a wrong password."""

import ssl

import pytest
from witnesses.authority import Authority

from stonechat.testing import LoginFailed

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


def test_on_tls_1_2_the_login_is_bound_to_its_channel(cast):
    juliet = cast.login(f"{JULIET}/balcony", tls_version=ssl.TLSVersion.TLSv1_2)
    assert juliet.tls_version == "TLSv1.2"
    # All that Python's own TLS can bind to is tls-unique.
    assert juliet.mechanism == "SCRAM-SHA-512-PLUS"


# Each of these has an account of its own: after a wrong password the next login has to wait.


@pytest.mark.parametrize(
    ("mechanism", "name"),
    [("SCRAM-SHA-1", "gregory"), ("SCRAM-SHA-512", "sampson"), ("PLAIN", "abram")],
)
def test_a_wrong_password_is_refused(cast, mechanism, name):
    account = cast.account(f"{name}@capulet.example")
    stranger = cast.stranger(f"{account}/street", "a rose by any other", mechanism=mechanism)
    with pytest.raises(LoginFailed, match="failed_all_auth"):
        stranger.connect()
    assert cast.node.sessions(account) == []


def test_whoever_tries_one_mechanism_after_the_other_is_shown_out(cast):
    account = cast.account("balthasar@capulet.example")
    with pytest.raises(LoginFailed, match="policy-violation"):
        cast.stranger(f"{account}/street", "a rose by any other").connect()


def test_a_client_that_trusts_another_authority_goes_away(cast, tmp_path):
    cast.account(JULIET)
    other = Authority(tmp_path, "Mantua Test Authority")
    with pytest.raises(LoginFailed, match="CERTIFICATE_VERIFY_FAILED"):
        cast.stranger(f"{JULIET}/balcony", trusted=other.file).connect()


def test_without_a_resource_the_server_makes_one(cast):
    one, other = cast.login(JULIET), cast.login(JULIET)
    assert one.bare == other.bare == JULIET
    assert one.jid != other.jid


def test_who_comes_again_with_the_same_resource_takes_the_place_of_the_old_session(cast):
    old = cast.login(f"{JULIET}/balcony")
    new = cast.login(f"{JULIET}/balcony")
    assert new.jid == old.jid
    _, error = old.wait_event("stream_error")
    assert error["condition"] == "conflict"
    new.sync()
    assert len(cast.node.sessions(JULIET)) == 1


@pytest.mark.parametrize("localpart", ["юлия", "jülïet", "朱麗葉"])
def test_names_may_be_written_in_any_script(cast, localpart):
    someone = cast.login(f"{localpart}@capulet.example/балкон")
    assert someone.jid == f"{localpart}@capulet.example/балкон"


def test_a_domain_may_be_written_in_any_script(cast):
    # On the wire of TLS it is xn--vrone-bsa.example, in XMPP it is as people write it.
    prince = cast.login("escalus@vérone.example/palais")
    assert prince.jid == "escalus@vérone.example/palais"
