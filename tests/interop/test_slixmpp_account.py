"""slixmpp makes an account in-band, changes its password, and gives it up (XEP-0077)."""

import pytest
from witnesses.cast import PASSWORD

from stonechat.testing import LoginFailed

JULIET = "juliet@capulet.example"
NURSE = "nurse@capulet.example"


def test_registers_over_tls_and_logs_in_at_once(cast):
    juliet = cast.stranger(f"{JULIET}/balcony", registers=True)
    juliet.connect()
    cast.removes(JULIET)
    assert juliet.jid == f"{JULIET}/balcony"
    assert juliet.mechanism == "SCRAM-SHA-512"
    assert cast.node.ask("registered-users", host="capulet.example") == [JULIET]


def test_registers_over_direct_tls(cast):
    juliet = cast.stranger(f"{JULIET}/balcony", registers=True, direct_tls=True)
    juliet.connect()
    cast.removes(JULIET)
    juliet.sync()


def test_a_name_that_is_taken_cannot_be_registered(cast):
    cast.account(JULIET)
    impostor = cast.stranger(f"{JULIET}/alley", "another password", registers=True)
    with pytest.raises(LoginFailed, match="not registered") as refusal:
        impostor.connect()
    assert impostor.error_of(refusal.value.args[1].iq).condition == "conflict"


def test_a_changed_password_logs_in_and_the_old_one_does_not(cast):
    juliet = cast.login(f"{JULIET}/balcony")
    juliet.call("xep_0077", "change_password", "parting is such sweet sorrow")
    juliet.sync()  # the session goes on
    for mechanism in ("SCRAM-SHA-1", "SCRAM-SHA-512", "PLAIN"):
        again = cast.stranger(
            f"{JULIET}/chamber", "parting is such sweet sorrow", mechanism=mechanism
        )
        again.connect()
        again.leave()
    with pytest.raises(LoginFailed):
        cast.stranger(f"{JULIET}/chamber", PASSWORD, mechanism="SCRAM-SHA-256").connect()


def test_an_account_that_is_given_up_is_gone_with_all_its_sessions(cast):
    cast.befriend(JULIET, NURSE)
    nurse = cast.login(f"{NURSE}/house")
    nurse.get_roster()
    nurse.available()
    juliet, elsewhere = cast.login(f"{JULIET}/balcony"), cast.login(f"{JULIET}/chamber")
    elsewhere.available()
    nurse.presence(elsewhere.jid)
    juliet.call("xep_0077", "cancel_registration")
    cast.has_removed(JULIET)
    for session in (juliet, elsewhere):
        _, error = session.wait_event("stream_error")
        assert error["condition"] == "not-authorized"
    # Those who knew her hear of it.
    nurse.presence(JULIET, "unsubscribed")
    nurse.presence(JULIET, "unsubscribe")
    nurse.push(JULIET, "none")
    # Whoever takes the name finds nothing of hers.
    other = cast.stranger(f"{JULIET}/street", "quite another", registers=True)
    other.connect()
    cast.removes(JULIET)
    assert other.get_roster() == {}
    with pytest.raises(LoginFailed):
        cast.stranger(f"{JULIET}/balcony", mechanism="PLAIN").connect()
