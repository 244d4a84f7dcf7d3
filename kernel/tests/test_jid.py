"""Addresses: what is one, and how its parts are prepared (RFC 7622)."""

from __future__ import annotations

from collections.abc import Callable

import idna
import pytest
from precis_i18n import get_profile
from precis_i18n.profile import OpaqueString
from precis_i18n.unicode import UnicodeData

from stonechat import jid as jid_module
from stonechat.errors import JIDError
from stonechat.jid import (
    JID,
    domain_to_ascii,
    prepare_domain,
    prepare_localpart,
    prepare_resource,
)


def parsed(text: str) -> tuple[str, str, str]:
    jid = JID.parse(text)
    return jid.localpart, jid.domain, jid.resource


# RFC 7622, 3.5, table 1; in the right column what it is once prepared.
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("juliet@example.com", ("juliet", "example.com", "")),
        ("juliet@example.com/foo", ("juliet", "example.com", "foo")),
        ("juliet@example.com/foo bar", ("juliet", "example.com", "foo bar")),
        ("juliet@example.com/foo@bar", ("juliet", "example.com", "foo@bar")),
        ("foo\\20bar@example.com", ("foo\\20bar", "example.com", "")),
        ("fussball@example.com", ("fussball", "example.com", "")),
        ("fu\u00dfball@example.com", ("fu\u00dfball", "example.com", "")),
        ("\u03c0@example.com", ("\u03c0", "example.com", "")),
        ("\u03a3@example.com/foo", ("\u03c3", "example.com", "foo")),
        ("\u03c3@example.com/foo", ("\u03c3", "example.com", "foo")),
        ("\u03c2@example.com/foo", ("\u03c2", "example.com", "foo")),
        ("king@example.com/\u265a", ("king", "example.com", "\u265a")),
        ("example.com", ("", "example.com", "")),
        ("example.com/foobar", ("", "example.com", "foobar")),
        ("a.example.com/b@example.net", ("", "a.example.com", "b@example.net")),
    ],
)
def test_the_jids_of_the_rfc_are_jids(text: str, parts: tuple[str, str, str]) -> None:
    assert parsed(text) == parts


# RFC 7622, 3.5, table 2, all but its example 18.
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('"juliet"@example.com', "localpart .* has U[+]0022 QUOTATION MARK"),
        ("foo bar@example.com", "localpart .* has U[+]0020 SPACE"),
        ("@example.com/", "localpart is empty"),
        ("henry\u2163@example.com", "localpart .* has U[+]2173 SMALL ROMAN NUMERAL FOUR"),
        ("\u265a@example.com", "localpart .* has U[+]265A BLACK CHESS KING"),
        ("juliet@", "domain is empty"),
        ("/foobar", "domain is empty"),
    ],
)
def test_the_non_jids_of_the_rfc_are_refused_with_a_reason(text: str, complaint: str) -> None:
    with pytest.raises(JIDError, match=complaint):
        JID.parse(text)


def test_a_resource_is_all_that_follows_the_first_slash() -> None:
    assert parsed("juliet@example.com/a/b@c/") == ("juliet", "example.com", "a/b@c/")


def test_a_resource_may_begin_with_a_space() -> None:
    # Example 18 of that table says no, but no rule of the RFC does: OpaqueString allows
    # spaces anywhere (RFC 8265, 4.2), and other servers let such resources through.
    assert parsed("juliet@example.com/ foo") == ("juliet", "example.com", " foo")


def test_the_sharp_s_is_not_a_double_s() -> None:
    assert JID.parse("fu\u00dfball@example.com") != JID.parse("fussball@example.com")


def test_the_capital_sigma_is_the_small_one_and_not_the_final_one() -> None:
    capital, small, final = (JID.parse(f"{s}@example.com") for s in "\u03a3\u03c3\u03c2")
    assert capital == small
    assert small != final


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "domain is empty"),
        ("@", "localpart is empty"),
        ("/", "domain is empty"),
        ("@/", "localpart is empty"),
        ("@capulet.example", "localpart is empty"),
        ("capulet.example/", "resource is empty"),
        ("juliet@capulet.example/", "resource is empty"),
        ("juliet@/balcony", "domain is empty"),
        ("juliet@capulet@montague.example", "domain .* has U[+]0040 COMMERCIAL AT"),
        (" juliet@capulet.example", "localpart .* has U[+]0020 SPACE"),
        ("juliet@capulet.example ", "domain .* has U[+]0020 SPACE"),
        ("juliet@capulet.example\n", "domain .* has U[+]000A"),
        ("juliet@capulet.example/balcony\n", "resource .* has U[+]000A"),
        ("juliet@capulet.example/\x7f", "resource .* has U[+]007F"),
        ("juliet@capulet.example/\ud800", "resource .* has U[+]D800"),
        ("juliet\udc00@capulet.example", "localpart .* has U[+]DC00"),
    ],
)
def test_what_is_not_an_address_is_refused_with_a_reason(text: str, complaint: str) -> None:
    with pytest.raises(JIDError, match=complaint):
        JID.parse(text)


def test_a_complaint_does_not_repeat_a_long_text() -> None:
    with pytest.raises(JIDError) as caught:
        JID.parse("juliet" * 100_000 + "@capulet.example")
    assert len(str(caught.value)) < 200


# Localpart


@pytest.mark.parametrize("character", "\"&'/:<>@")
def test_a_localpart_has_none_of_the_eight_characters(character: str) -> None:
    with pytest.raises(JIDError):
        prepare_localpart(f"ju{character}liet")


@pytest.mark.parametrize("character", "＂＆＇／：＜＞＠")
def test_a_localpart_cannot_smuggle_one_of_the_eight_in_by_its_width(character: str) -> None:
    with pytest.raises(JIDError, match="localpart"):
        JID.parse(f"ju{character}liet@capulet.example")


@pytest.mark.parametrize("code", range(128))
def test_ascii_localparts_are_judged_as_the_profile_and_the_rfc_judge_them(code: int) -> None:
    character = chr(code)
    allowed = "!" <= character <= "~" and character not in "\"&'/:<>@"
    if allowed:
        assert prepare_localpart(character) == character.lower()
        assert get_profile("UsernameCaseMapped").enforce(character) == character.lower()
    else:
        with pytest.raises(JIDError):
            prepare_localpart(character)


@pytest.mark.parametrize(
    ("text", "localpart"),
    [
        ("JULIET", "juliet"),
        ("ＪＵＬＩＥＴ", "juliet"),
        ("ｶﾞ", "ガ"),
        ("E\u0301mile", "émile"),
        ("İ", "i\u0307"),
        ("\u212bngstr\u00f6m", "\u00e5ngstr\u00f6m"),
        ("L·L", "l·l"),
        ("\u05d0\u05d11", "\u05d0\u05d11"),
    ],
)
def test_a_localpart_is_mapped(text: str, localpart: str) -> None:
    assert prepare_localpart(text) == localpart


@pytest.mark.parametrize(
    "text",
    ["a·b", "\u05d0\u05d1a", "a\u05d0\u05d1", "a\u200db", "a\u00adb", "a\u200bb", "ﬀ", "\u0378"],
)
def test_a_localpart_keeps_the_rules_of_context_direction_and_class(text: str) -> None:
    with pytest.raises(JIDError):
        prepare_localpart(text)


# Resource


@pytest.mark.parametrize("code", range(128))
def test_ascii_resources_are_printable_and_unchanged(code: int) -> None:
    character = chr(code)
    if " " <= character <= "~":
        assert prepare_resource(character) == character
        assert get_profile("OpaqueString").enforce(character) == character
    else:
        with pytest.raises(JIDError):
            prepare_resource(character)


@pytest.mark.parametrize(
    ("text", "resource"),
    [
        ("Balcony", "Balcony"),
        ("a/b@c", "a/b@c"),
        ("Ｂ", "Ｂ"),
        ("\u2163", "\u2163"),
        ("orchard\u00a0wall", "orchard wall"),
        ("cafe\u0301", "café"),
        ("a\u05d0\u05d1", "a\u05d0\u05d1"),
        ("🍺", "🍺"),
    ],
)
def test_a_resource_keeps_case_and_width_and_loses_odd_spaces(text: str, resource: str) -> None:
    assert prepare_resource(text) == resource


def test_resources_that_differ_in_case_are_two() -> None:
    balcony = JID.parse("juliet@capulet.example/balcony")
    assert balcony != JID.parse("juliet@capulet.example/Balcony")


# Domain


@pytest.mark.parametrize(
    ("text", "domain", "ascii_domain"),
    [
        ("capulet.example", "capulet.example", "capulet.example"),
        ("Capulet.EXAMPLE", "capulet.example", "capulet.example"),
        ("capulet.example.", "capulet.example", "capulet.example"),
        ("localhost", "localhost", "localhost"),
        ("a", "a", "a"),
        ("4.capulet.example", "4.capulet.example", "4.capulet.example"),
        ("bücher.4you", "bücher.4you", "xn--bcher-kva.4you"),
        ("a--b.example", "a--b.example", "a--b.example"),
        ("ＣＡＰＵＬＥＴ．example", "capulet.example", "capulet.example"),
        ("capulet。example。", "capulet.example", "capulet.example"),
        ("bücher.example", "bücher.example", "xn--bcher-kva.example"),
        ("BU\u0308CHER.example", "bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "bücher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.Example.", "bücher.example", "xn--bcher-kva.example"),
        ("faß.example", "faß.example", "xn--fa-hia.example"),
        ("Ⓔ.example", "e.example", "e.example"),
        ("cap\u00adulet.example", "capulet.example", "capulet.example"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("192.0.2.1.", "192.0.2.1", "192.0.2.1"),
        ("１９２.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("[2001:DB8:0:0:0:0:0:1]", "[2001:db8::1]", "[2001:db8::1]"),
        ("[::FFFF:c000:201]", "[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]"),
        ("a1.\u05d0\u05d1.example", "a1.\u05d0\u05d1.example", "a1.xn--4dbc.example"),
    ],
)
def test_a_domain_has_one_text_and_one_ascii_form(
    text: str, domain: str, ascii_domain: str
) -> None:
    assert prepare_domain(text) == domain
    assert prepare_domain(ascii_domain) == domain
    assert domain_to_ascii(text) == ascii_domain
    assert JID.parse(f"juliet@{text}/balcony") == JID.parse(f"juliet@{domain}/balcony")


@pytest.mark.parametrize(
    "text",
    [
        ".",
        ".example",
        "a..example",
        "capulet.example..",
        "capulet.example.。",
        "-a.example",
        "a-.example",
        "ab--cd.example",
        "a_b.example",
        "a b.example",
        "a%20b.example",
        "capulet.example:5269",
        "juliet@capulet.example",
        "capulet.example/x",
        "℀.example",
        "☃.example",
        "xn--n3h.example",
        "xn--",
        "xn--.example",
        "xn--abc-.example",
        "xn---bbk.example",
        "xn--\u00fc.example",
        "\u0301a.example",
        "\u00ad",
        "a\u200db.example",
        "a·b.example",
        "\u05d0\u05d1a.example",
        "1.\u05d0\u05d1.example",
        "\ud800.example",
        "[]",
        "[::1",
        "::1",
        "[::1].",
        "[::1]x",
        "[::1%eth0]",
        "[v1.x]",
        "[192.0.2.1]",
        "［::1］",
    ],
)
def test_what_is_not_a_domain_is_refused(text: str) -> None:
    with pytest.raises(JIDError, match="domain"):
        prepare_domain(text)


@pytest.mark.parametrize(
    "text",
    ["127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "256.0.0.1", "1.2.3.4.5", "１"],
)
def test_an_ipv4_address_has_no_other_spelling(text: str) -> None:
    with pytest.raises(JIDError, match="not an IPv4 address"):
        prepare_domain(text)


# Limits


def test_a_localpart_and_a_resource_take_1023_octets_and_no_more() -> None:
    longest = f"{'j' * 1023}@capulet.example/{'b' * 1023}"
    assert JID.parse(longest).text == longest
    for too_long in (f"{'j' * 1024}@capulet.example", f"capulet.example/{'b' * 1024}"):
        with pytest.raises(JIDError, match="too long: the limit is 1023 octets"):
            JID.parse(too_long)


@pytest.mark.parametrize("prepare", [prepare_localpart, prepare_resource])
def test_the_limit_counts_the_octets_of_the_prepared_form(prepare: Callable[[str], str]) -> None:
    assert prepare("e\u0301" * 511) == "é" * 511
    # Three characters for every two octets: nothing shrinks more.
    assert prepare("\u03b9\u0308\u0301" * 511) == "\u0390" * 511
    with pytest.raises(JIDError, match="too long"):
        prepare("é" * 512)


def test_a_domain_keeps_the_limits_of_dns_in_its_ascii_form() -> None:
    label = "a" * 63
    longest = ".".join([label, label, label, "a" * 61])
    assert prepare_domain(longest) == longest
    accents = "é" * 57  # an A-label of 63 octets
    assert prepare_domain(f"{accents}.example") == f"{accents}.example"
    for too_long in (
        longest + "a",
        label + "a.example",
        "é" * 58 + ".example",
        "é" * 64 + ".example",
        ".".join([accents] * 4),
        ".".join(["é"] * 127),
        "\u00ad" * 2000 + "a",
    ):
        with pytest.raises(JIDError, match=r"domain .* (too|Too) long"):
            prepare_domain(too_long)


def test_a_hostile_text_is_refused_before_the_costly_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Untouchable(OpaqueString):
        def apply_five_rules(self, value: str) -> str:
            raise AssertionError("mapped")

    profile = Untouchable(UnicodeData(), "OpaqueString")
    monkeypatch.setattr(jid_module, "_profiles", lambda: (profile, profile))
    for prepare in (prepare_localpart, prepare_resource):
        with pytest.raises(JIDError, match="too long"):
            prepare("é" * 2047)


def test_the_work_on_a_text_grows_no_faster_than_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(UnicodeData):
        looked_at = 0

        def hiragana_katakana_han_script(self, cp: int) -> bool:
            self.looked_at += 1
            return super().hiragana_katakana_han_script(cp)

    unicode_data = Counting()
    profile = OpaqueString(unicode_data, "OpaqueString")
    monkeypatch.setattr(jid_module, "_profiles", lambda: (profile, profile))
    dots = "・" * 300 + "漢"
    assert prepare_resource(dots) == dots
    assert 0 < unicode_data.looked_at <= len(dots)


def test_a_domain_that_must_be_too_long_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_to_work(label: str) -> str:
        raise AssertionError("decoded")

    monkeypatch.setattr(idna, "ulabel", refuse_to_work)
    for too_long in ("é" * 64, ".".join(["é" * 60] * 5)):
        with pytest.raises(JIDError, match="too long"):
            prepare_domain(too_long)


def test_a_text_that_does_not_settle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Growing(OpaqueString):
        def additional_mapping_rule(self, value: str) -> str:
            return value + "é"

    profile = Growing(UnicodeData(), "Growing")
    monkeypatch.setattr(jid_module, "_profiles", lambda: (profile, profile))
    with pytest.raises(JIDError, match="no stable form"):
        prepare_resource("é")
