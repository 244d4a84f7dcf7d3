"""Which mechanisms are offered, in what order, and that each of them can be made."""

import pytest

from stonechat.protocol.sasl import mechanism_maker, mechanisms_offered
from stonechat.protocol.sasl.external import ExternalMechanism
from stonechat.protocol.sasl.plain import PlainMechanism
from stonechat.protocol.sasl.scram import ScramMechanism

BINDINGS = {"tls-exporter": b"x"}
INTERNAL = {"check_password", "scram_credentials", "scram_hashes", "user_exists"}


def offered(capabilities=INTERNAL, hashes=("SHA-1", "SHA-256", "SHA-512"), **circumstances):
    usual = {
        "tls": True,
        "allow_plain_without_tls": False,
        "bindings": BINDINGS,
        "certificate_accounts": False,
    }
    return mechanisms_offered(capabilities, hashes, **(usual | circumstances))


def test_all_mechanisms_are_offered_the_strongest_first():
    assert offered(certificate_accounts=True) == (
        "EXTERNAL",
        "SCRAM-SHA-512-PLUS",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-512",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
        "PLAIN",
    )


def test_without_a_channel_binding_there_is_no_plus():
    assert offered(bindings={}) == ("SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")


def test_without_tls_no_password_is_asked_for_and_nothing_rests_on_a_certificate():
    scram = ("SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1")
    assert offered(tls=False, certificate_accounts=True) == scram
    assert offered(tls=False, allow_plain_without_tls=True) == (*scram, "PLAIN")


def test_only_stored_hashes_are_offered():
    assert offered(hashes=("SHA-256",)) == ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN")


def test_a_backend_that_only_checks_passwords_gets_plain():
    assert offered({"check_password"}) == ("PLAIN",)
    assert offered({"check_password"}, ()) == ("PLAIN",)


def test_credentials_alone_are_enough_for_plain():
    assert "PLAIN" in offered({"scram_credentials", "scram_hashes"})


def test_a_backend_that_can_do_nothing_gets_nothing():
    assert offered(set(), ()) == ()
    assert offered({"scram_credentials"}, ()) == ()


def maker(names):
    return mechanism_maker("capulet.example", None, offered=names, bindings=BINDINGS)


def test_whatever_is_offered_can_be_made():
    names = offered(certificate_accounts=True)
    kinds = {"EXTERNAL": ExternalMechanism, "PLAIN": PlainMechanism}
    for name in names:
        mechanism = maker(names)(name)
        assert type(mechanism) is kinds.get(name, ScramMechanism)
        assert mechanism.name == name


@pytest.mark.parametrize("circumstances", [{}, {"bindings": {}}])
def test_scram_knows_what_was_offered(circumstances):
    names = offered(**circumstances)
    mechanism = maker(names)("SCRAM-SHA-256")
    assert mechanism._advertised == names
