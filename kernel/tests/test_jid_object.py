"""A JID as an object: what it says of itself, its order, and what is remembered."""

from __future__ import annotations

import copy
import dataclasses
import random
import subprocess
import sys

import pytest

from stonechat import jid as jid_module
from stonechat.errors import JIDError
from stonechat.jid import JID

# The object


def test_make_prepares_its_parts() -> None:
    jid = JID.make("Juliet", "Capulet.Example.", "Balcony")
    assert jid == JID.parse("juliet@capulet.example/Balcony")
    assert JID.make("", "capulet.example") == JID.parse("capulet.example")


@pytest.mark.parametrize(
    "parts",
    [
        ("juliet@x", "capulet.example", ""),
        ("juliet/x", "capulet.example", ""),
        ("juliet", "capulet.example/x", ""),
        ("juliet", "x@capulet.example", ""),
        ("juliet", "", "balcony"),
        ("juliet", "capulet.example", "\n"),
    ],
)
def test_make_lets_no_part_reach_into_another(parts: tuple[str, str, str]) -> None:
    with pytest.raises(JIDError):
        JID.make(*parts)


def test_bare_is_the_address_without_its_resource_made_once() -> None:
    full = JID.parse("juliet@capulet.example/balcony")
    assert full.bare == JID.parse("juliet@capulet.example")
    assert full.bare is full.bare
    assert full.bare.bare is full.bare
    assert JID.parse("capulet.example/x").bare == JID.parse("capulet.example")


@pytest.mark.parametrize(
    ("text", "bare", "full", "domain"),
    [
        ("juliet@capulet.example", True, False, False),
        ("juliet@capulet.example/balcony", False, True, False),
        ("capulet.example", True, False, True),
        ("capulet.example/x", False, True, False),
    ],
)
def test_a_jid_says_what_it_is(text: str, bare: bool, full: bool, domain: bool) -> None:
    jid = JID.parse(text)
    assert (jid.is_bare, jid.is_full, jid.is_domain) == (bare, full, domain)


def test_with_resource_prepares_and_replaces_the_resource() -> None:
    juliet = JID.parse("juliet@capulet.example/balcony")
    assert juliet.with_resource("cafe\u0301").text == "juliet@capulet.example/café"
    assert juliet.bare.with_resource("balcony") == juliet
    assert juliet.with_resource("") is juliet.bare
    with pytest.raises(JIDError):
        juliet.with_resource("\n")


def test_a_jid_prints_as_its_text() -> None:
    juliet = JID.parse("Juliet@capulet.example/balcony")
    assert str(juliet) == juliet.text == "juliet@capulet.example/balcony"
    assert repr(juliet) == "JID('juliet@capulet.example/balcony')"


def test_a_jid_is_made_by_parse_or_make_only() -> None:
    with pytest.raises(TypeError, match=r"JID[.]parse"):
        JID()


def test_a_jid_cannot_be_changed() -> None:
    juliet = JID.parse("juliet@capulet.example")
    for name in ("localpart", "domain", "resource", "text", "nurse"):
        with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
            setattr(juliet, name, "romeo")
    with pytest.raises(dataclasses.FrozenInstanceError):
        del juliet.text
    assert not hasattr(juliet, "__dict__")
    assert juliet.text == "juliet@capulet.example"


def test_a_copy_is_the_same_address() -> None:
    juliet = JID.parse("juliet@capulet.example/balcony")
    assert copy.deepcopy(juliet) == copy.copy(juliet) == juliet
    assert copy.deepcopy(juliet).bare == juliet.bare


def test_a_jid_equals_no_text_and_sorts_with_none() -> None:
    juliet = JID.parse("juliet@capulet.example")
    assert juliet != "juliet@capulet.example"
    assert "juliet@capulet.example" not in {juliet}
    for compare in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__"):
        assert getattr(juliet, compare)("juliet@capulet.example") is NotImplemented


def test_jids_sort_by_their_text() -> None:
    texts = ["capulet.example", "juliet@capulet.example", "nurse@capulet.example", "é@a.example"]
    jids = [JID.parse(text) for text in texts]
    shuffled = random.Random(7622).sample(jids, len(jids))
    assert sorted(shuffled) == jids
    assert sorted(shuffled, reverse=True) == jids[::-1]
    assert jids[0] <= jids[0]
    assert jids[0] >= jids[0]


# The cache


def test_a_short_text_is_parsed_once_and_a_long_one_each_time() -> None:
    short = "capulet.example/" + "b" * (256 - len("capulet.example/"))
    assert JID.parse(short) is JID.parse(short)
    assert JID.parse(short + "b") is not JID.parse(short + "b")
    assert JID.parse(short + "b") == JID.parse(short + "b")


def test_the_caches_are_bounded() -> None:
    assert jid_module._parse_cached.cache_info().maxsize == 16384
    assert jid_module._prepare_domain_with_care.cache_info().maxsize == 1024


def test_ascii_addresses_need_neither_precis_nor_idna() -> None:
    program = (
        "import sys; from stonechat.jid import JID, domain_to_ascii;"
        "JID.parse('Juliet@Capulet.example./balcony'); domain_to_ascii('capulet.example');"
        "sys.exit(any(name.startswith(('precis_i18n', 'idna')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
