"""YAML as plain data with places, and what is said of a file that is no YAML."""

import warnings

import pytest

from stonechat.core.config_reader import read
from stonechat.errors import ConfigError, Position


def data(text):
    document = read(text, "f.yaml")
    document.faults.raise_if_any()
    return document.data


def problems(text) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        data(text)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("-12", -12), ("+1_000", 1000), ("0777", 777), ("0o17", 15), ("0x1F", 31),
        ("1.5", 1.5), ("1e3", 1000.0), ("-.inf", float("-inf")), ("true", True), ("False", False),
        ("no", "no"), ("off", "off"), ("~", None), ("", None), ("''", ""), ("'12'", "12"),
        ("2026-11-22", "2026-11-22"), ("22:15", "22:15"), ("!!str 12", "12"),
        ("[1, [a]]", [1, ["a"]]), ("{a: {b: c}}", {"a": {"b": "c"}}), ("ä", "ä"),
    ],
)  # fmt: skip
def test_values_are_plain_data(text, value):
    assert data(f"k: {text}") == {"k": value}


def test_keys_are_text_as_written():
    assert data("{1: a, 0x1: b, true: c, 2026-01-01: d}") == {
        "1": "a",
        "0x1": "b",
        "true": "c",
        "2026-01-01": "d",
    }


def test_places_are_those_of_keys_and_words():
    places = read("a:\n  b: c\n  d:\n    - e\n    - {f: g}\n", "f.yaml").faults.places
    assert places.key(("a", "b")) == Position("f.yaml", 2, 3)
    assert places.value(("a", "b")) == Position("f.yaml", 2, 6)
    assert places.value(("a", "d")) == Position("f.yaml", 3, 3)
    assert places.value(("a", "d", 0)) == Position("f.yaml", 4, 7)
    assert places.value(("a", "d", 1, "f")) == Position("f.yaml", 5, 11)
    assert places.key(("a", "d", 1, "x", "y")) == Position("f.yaml", 5, 7)
    assert places.key(("z",)) == Position("f.yaml", 1, 1)


def test_every_key_that_is_given_twice_is_told():
    assert problems("a: 1\nb: {c: 1, c: 2}\na: 3\n") == [
        "f.yaml:2:11: b.c: is given twice, first in line 2",
        "f.yaml:3:1: a: is given twice, first in line 1",
    ]


def test_a_mapping_can_take_keys_from_others_but_its_own_count():
    assert data("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*b, *a], z: 3}") == {
        "a": {"x": 1, "y": 1},
        "b": {"y": 2, "z": 2},
        "c": {"z": 3, "y": 2, "x": 1},
    }


@pytest.mark.parametrize("text", ["<<: 5", "<<: [1]", "<<: x", "&a a: 1\n<<: *a", "<<:"])
def test_only_mappings_can_be_merged(text):
    [problem] = problems(text)
    assert problem.endswith("<< needs another mapping")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x [*x]", "1:4: a[0]: an alias must not stand inside of what it stands for"),
        ("a: &x {b: *x}", "1:8: a.b: an alias must not stand inside of what it stands for"),
        ("a: &x {<<: *x}", "1:4: a: << needs another mapping"),
        ("{? [1] : 2}", "1:4: a key must be a word"),
        ("? {}\n: 2", "1:3: a key must be a word"),
        (": 2", "1:1: a key must be a word"),
        ("a: !!int x", "1:4: a: is not a number that can be read"),
        ("a: " + "9" * 5000, "1:4: a: is not a number that can be read"),
        ("a: !!float x", "1:4: a: is not a number that can be read"),
        ("a: !!bool x", "1:4: a: must be true or false"),
        ("a: !!binary aaaa", "1:4: a: a tag has no meaning here"),
        ("a: !!python/object:os.system x", "1:4: a: a tag has no meaning here"),
    ],
)
def test_what_has_no_meaning_is_told_with_its_place(text, problem):
    [found] = problems(text)
    assert found == f"f.yaml:{problem}"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [", "1:5"),
        ("a: 'x\n", "2:1"),
        ("a: b: c", "1:5"),
        ("a:\n\tb: 1", "2:1"),
        ("a: @HOST@", "1:4"),
        ("a: *x", "1:4"),
        ("a: 1\n---\nb: 1", "2:1"),
        ("a: \x01", "1:4"),
        ("a: 1\r\nb: 1\rc: \x01", "3:4"),
        ("a:\n  b: \ud800", "2:6"),
        ("%YAML 3.0\n---\na: 1", "1:1"),
        ("%YAML 1.99\n---\na: 1", "1:1"),
        ('a: "\\UFFFFFFFF"', "1:1"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(text, place):
    [problem] = problems(text)
    assert problem.startswith(f"f.yaml:{place}: not YAML: ")
    assert "\n" not in problem


def test_what_is_not_utf_8_is_told_with_its_place():
    with pytest.raises(ConfigError, match=r"f.yaml:2:5: the file is not UTF-8"):
        read("ä: 1\nbü: ".encode() + b"\xff", "f.yaml")
    with pytest.raises(ConfigError, match=r"f.yaml:1:1: the file is not UTF-8"):
        read("a: 1".encode("utf-16"), "f.yaml")


def test_a_byte_order_mark_is_passed_over():
    assert read(b"\xef\xbb\xbfa: 1", "f.yaml").data == {"a": 1}


def test_an_anchor_that_is_used_again_is_no_reason_to_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data("a: &x 1\nb: &x 2\nc: *x") == {"a": 1, "b": 2, "c": 2}


@pytest.mark.parametrize("text", ["[" * 2000, "a: " + "{a: " * 2000])
def test_a_file_that_is_nested_too_deep_is_refused(text):
    assert problems(text) == ["f.yaml:1:1: the file is nested too deep"]


@pytest.mark.parametrize("sign", ["[{}]", "{{<<: [{}]}}"])
def test_a_file_that_grows_without_end_is_refused(sign):
    lines = ["a0: &a0 {}"]
    for level in range(1, 30):
        aliases = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {sign.format(aliases)}")
    [problem] = problems("\n".join(lines))
    assert problem.endswith("the file has too many values")
