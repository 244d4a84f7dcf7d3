"""What holds for addresses of any text at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from precis_i18n import get_profile

from stonechat.errors import JIDError
from stonechat.jid import (
    JID,
    domain_to_ascii,
    prepare_domain,
    prepare_localpart,
    prepare_resource,
)

# Letters and signs of which addresses, and their worst enemies, are made.
SPICE = (
    "aZ09.-_ @/:[]\\'\"&<>%\t\n\0\x7f\xa0\xad\xb7ßςΣσİıée\u0301\u0345\u037e\u0375Å\u1100\u1161"
    "אבג\u05b0\u05f3\u0627ب\u0640\u0660\u0661\u06f0\u06f1\u094d\u0915\u200b\u200c\u200d\u200e\u2028"
    "ⅣⓔΩKＡ．。｡／＠ｶﾞ・漢が♚🍺\ud800\udc00\ue000\uffff\U000e0001\u0378"
)
any_text = st.text() | st.text(st.sampled_from(SPICE), max_size=12)
plain_domains = st.sampled_from(
    ["capulet.example", "bücher.example", "xn--bcher-kva.example", "192.0.2.1", "[2001:db8::1]"]
)
likely_jids = st.builds(
    lambda localpart, domain, resource: f"{localpart}@{domain}/{resource}",
    any_text,
    plain_domains,
    any_text,
)
any_address = any_text | likely_jids

no_deadline = settings(deadline=None)


def parse_or_none(text: str) -> JID | None:
    try:
        return JID.parse(text)
    except JIDError:
        return None


@no_deadline
@given(any_address)
@example("Σ@ΣΣ.example/ΣΣ")
def test_any_text_is_an_address_or_a_jid_error(text: str) -> None:
    jid = parse_or_none(text)
    if jid is None:
        return
    assert JID.parse(jid.text) == jid
    assert JID.make(jid.localpart, jid.domain, jid.resource) == jid
    assert jid.domain
    for part in (jid.localpart, jid.domain, jid.resource):
        assert len(part.encode()) <= 1023
    assert jid.bare.text + (f"/{jid.resource}" if jid.resource else "") == jid.text


@no_deadline
@given(any_text)
@pytest.mark.parametrize("prepare", [prepare_localpart, prepare_domain, prepare_resource])
def test_preparing_twice_is_preparing_once(prepare: Callable[[str], str], text: str) -> None:
    try:
        prepared = prepare(text)
    except JIDError:
        return
    assert prepare(prepared) == prepared


@no_deadline
@given(any_text)
def test_a_domain_survives_its_ascii_form(text: str) -> None:
    try:
        domain = prepare_domain(text)
    except JIDError:
        return
    ascii_domain = domain_to_ascii(domain)
    assert ascii_domain.isascii()
    assert prepare_domain(ascii_domain) == domain


@no_deadline
@given(any_text)
@example("・a・漢・")
@example("\u0660\u0661a\u06f0")
@example("\u0915\u094d・\u200d・漢")
def test_a_resource_is_what_the_profile_makes_of_it(text: str) -> None:
    try:
        expected = get_profile("OpaqueString").enforce(text)
    except UnicodeEncodeError:
        with pytest.raises(JIDError):
            prepare_resource(text)
    else:
        assert prepare_resource(text) == expected


@no_deadline
@given(any_address, any_address)
def test_order_equality_and_hash_agree(one: str, other: str) -> None:
    a, b = parse_or_none(one), parse_or_none(other)
    if a is None or b is None:
        return
    assert (a == b) == (a.text == b.text)
    assert (a < b, a == b, a > b).count(True) == 1
    assert (a <= b, a >= b) == (not a > b, not a < b)
    if a == b:
        assert hash(a) == hash(b)
        assert (a.localpart, a.domain, a.resource) == (b.localpart, b.domain, b.resource)
