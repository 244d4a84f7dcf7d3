"""Whom a host speaks to: the rule that fits best, and what it leaves open."""

import pytest

from stonechat.core.config_model import HostFederation
from stonechat.core.federation_policy import trust_in


def federation(**options):
    return HostFederation(enabled=True, **options)


def test_by_default_everybody_has_to_show_a_certificate():
    assert trust_in(federation(), "montague.example") == "require"


def test_a_host_that_is_not_federated_speaks_to_nobody():
    rules = {"montague.example": {"access": "allow", "trust": "any"}}
    for enabled in (False, None):
        section = HostFederation(enabled=enabled, domains=rules)
        assert trust_in(section, "montague.example") is None


@pytest.mark.parametrize(
    ("remote", "trust"),
    [
        ("montague.example", "any"),
        ("chat.montague.example", "dialback"),
        ("a.chat.montague.example", None),
        ("b.chat.montague.example", None),
        ("x.y.montague.example", "dialback"),
        ("example", "require"),
        ("verona.example", "require"),
        ("notmontague.example", "require"),
    ],
)
def test_the_longest_name_that_fits_counts(remote, trust):
    section = federation(
        domains={
            "montague.example": {"trust": "any"},
            "*.montague.example": {"trust": "dialback"},
            "*.chat.montague.example": {"access": "deny"},
        }
    )
    assert trust_in(section, remote) == trust


def test_where_nobody_is_spoken_to_the_named_ones_are():
    section = federation(
        access="deny",
        trust="dialback",
        domains={
            "montague.example": {"access": "allow"},
            "verona.example": {"trust": "any"},
            "*.example": {"access": "allow", "trust": "require"},
        },
    )
    assert trust_in(section, "montague.example") == "dialback"
    # What a rule leaves open is as for all others.
    assert trust_in(section, "verona.example") is None
    assert trust_in(section, "mantua.example") == "require"
    assert trust_in(section, "mantua.test") is None


def test_domains_are_compared_as_addresses_spell_them():
    section = federation(domains={"MÜNCHEN.example": {"access": "deny"}})
    assert trust_in(section, "münchen.example") is None
