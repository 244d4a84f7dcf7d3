"""Access rules: who is let in, and that doubt keeps people out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stonechat.core.access import AccessRule, AccessRules
from stonechat.jid import JID

JULIET = JID.parse("juliet@capulet.example/balcony")
ROMEO = JID.parse("romeo@montague.example")
TYBALT = JID.parse("tybalt@capulet.example")
CAPULET = JID.parse("capulet.example")
HOME = "192.0.2.7"
ABROAD = "203.0.113.9"


def rule(**given):
    return AccessRule.model_validate(given)


def test_an_account_is_allowed_from_each_of_its_sessions():
    only_juliet = rule(users=["juliet@capulet.example"])
    assert only_juliet.allows(JULIET, HOME)
    assert only_juliet.allows(JULIET.bare, None)
    assert not only_juliet.allows(ROMEO, HOME)
    assert not only_juliet.allows(CAPULET, HOME)


def test_accounts_are_compared_as_prepared():
    assert rule(users=["Juliet@CAPULET.example"]).allows(JULIET, None)


def test_a_domain_allows_its_accounts_and_itself_but_no_subdomain():
    house = rule(hosts=["capulet.example"])
    assert house.allows(JULIET, None)
    assert house.allows(CAPULET, None)
    assert not house.allows(ROMEO, None)
    assert not house.allows(JID.parse("nurse@kitchen.capulet.example"), None)


def test_accounts_and_domains_are_alternatives():
    either = rule(users=["romeo@montague.example"], hosts=["capulet.example"])
    assert either.allows(ROMEO, None)
    assert either.allows(TYBALT, None)
    assert not either.allows(JID.parse("benvolio@montague.example"), None)


def test_addresses_narrow_what_accounts_and_domains_allow():
    at_home = rule(users=["juliet@capulet.example"], addresses=["192.0.2.0/24", "::1"])
    assert at_home.allows(JULIET, HOME)
    assert at_home.allows(JULIET, "::1")
    assert not at_home.allows(JULIET, ABROAD)
    assert not at_home.allows(ROMEO, HOME)


def test_addresses_alone_allow_anybody_who_is_there():
    local = rule(addresses=["192.0.2.0/24"])
    assert local.allows(None, HOME)
    assert local.allows(ROMEO, HOME)
    assert not local.allows(ROMEO, ABROAD)


def test_any_allows_everybody_but_addresses_narrow_it_too():
    assert rule(any=True).allows(None, None)
    narrowed = rule(any=True, addresses=["192.0.2.0/24"])
    assert narrowed.allows(None, HOME)
    assert not narrowed.allows(JULIET, ABROAD)


@pytest.mark.parametrize(
    "deny",
    [
        {"users": ["tybalt@capulet.example"]},
        {"hosts": ["capulet.example"]},
        {"addresses": ["192.0.2.0/24"]},
    ],
)
def test_who_is_denied_is_refused_whatever_else_the_rule_says(deny):
    guarded = rule(any=True, users=["tybalt@capulet.example"], deny=deny)
    assert not guarded.allows(TYBALT, HOME)
    assert guarded.allows(ROMEO, ABROAD)


def test_a_rule_without_content_allows_nobody():
    assert not rule().allows(JULIET, HOME)
    assert not rule(deny={"users": ["tybalt@capulet.example"]}).allows(JULIET, HOME)
    assert not rule(any=False).allows(None, None)


def test_who_is_not_known_does_not_pass_a_rule_about_accounts():
    assert not rule(users=["juliet@capulet.example"]).allows(None, HOME)
    assert not rule(any=True, deny={"users": ["tybalt@capulet.example"]}).allows(None, HOME)
    assert not rule(any=True, deny={"hosts": ["montague.example"]}).allows(None, HOME)


@pytest.mark.parametrize("address", [None, "", "localhost", "192.0.2.7:5222", "/run/socket"])
def test_who_comes_from_nowhere_does_not_pass_a_rule_about_addresses(address):
    assert not rule(addresses=["0.0.0.0/0", "::/0"]).allows(JULIET, address)
    assert not rule(any=True, deny={"addresses": ["203.0.113.0/24"]}).allows(JULIET, address)


def test_ipv4_inside_ipv6_counts_as_ipv4():
    assert rule(addresses=["192.0.2.0/24"]).allows(None, "::ffff:192.0.2.7")
    assert rule(addresses=["::ffff:192.0.2.0/120"]).allows(None, HOME)
    assert not rule(any=True, deny={"addresses": ["192.0.2.7"]}).allows(None, "::ffff:192.0.2.7")


def test_a_link_local_address_may_name_its_interface():
    assert rule(addresses=["fe80::/10"]).allows(None, "fe80::1%eth0")


def test_a_rule_that_nobody_has_written_allows_nobody():
    assert not AccessRules().allows("admin", JULIET, HOME)
    assert not AccessRules({"announce": rule(any=True)}).allows("admin", JULIET, HOME)


def test_a_host_s_rule_takes_the_place_of_the_global_one_of_its_name():
    node = AccessRules(
        {"admin": rule(users=["juliet@capulet.example"]), "announce": rule(any=True)}
    )
    host = node.overridden_by({"admin": rule(users=["romeo@montague.example"])})
    assert host.allows("admin", ROMEO)
    assert not host.allows("admin", JULIET)
    assert host.allows("announce", TYBALT)
    assert node.allows("admin", JULIET)
    assert host != node == node.overridden_by({})
    assert set(host.rules) == {"admin", "announce"}


@pytest.mark.parametrize(
    "given",
    [
        {"users": ["capulet.example"]},
        {"users": ["juliet@capulet.example/balcony"]},
        {"users": "juliet@capulet.example"},
        {"hosts": ["juliet@capulet.example"]},
        {"addresses": ["localhost"]},
        {"groups": ["nurses"]},
        {"any": "everybody"},
    ],
)
def test_a_rule_that_could_be_misread_is_refused(given):
    with pytest.raises(ValidationError):
        rule(**given)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "any": st.booleans(),
            "users": st.just(["juliet@capulet.example"]),
            "hosts": st.just(["capulet.example"]),
            "addresses": st.just(["192.0.2.0/24"]),
        },
    ),
    st.sampled_from([None, JULIET, ROMEO, TYBALT, CAPULET]),
    st.sampled_from([None, HOME, ABROAD, "::ffff:192.0.2.7", "nonsense"]),
    st.sampled_from(["users", "hosts", "addresses"]),
)
def test_denying_more_never_allows_more(given, jid, address, part):
    more = {
        "users": ["romeo@montague.example"],
        "hosts": ["montague.example"],
        "addresses": ["203.0.113.0/24"],
    }
    if rule(**given, deny={part: more[part]}).allows(jid, address):
        assert rule(**given).allows(jid, address)
