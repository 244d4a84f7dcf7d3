"""What commands print: JSON for scripts, text that stays in line for people."""

import json

import pytest

from stonechat.cli.output import as_text, cell, heading, show, show_error

SESSIONS = [
    {"jid": "juliet@capulet.example/balcony", "secure": True, "priority": None, "idle_seconds": 5},
    {"jid": "romeo@montague.example/orchard", "secure": False, "priority": 10, "idle_seconds": 0},
]


def test_rows_stand_in_columns_that_begin_at_the_same_place():
    assert as_text(SESSIONS).splitlines() == [
        "jid                             secure  priority  idle",
        "juliet@capulet.example/balcony  yes            -   5 s",
        "romeo@montague.example/orchard  no            10   0 s",
    ]


def test_a_column_without_anything_in_it_is_left_out():
    rows = [{"plugin": "ping", "reason": ""}, {"plugin": "disco", "reason": ""}]
    assert as_text(rows).splitlines() == ["plugin", "ping", "disco"]


def test_a_mapping_is_a_line_for_each_name_and_tables_follow():
    result = {"state": "running", "uptime_seconds": 7260, "hosts": SESSIONS[:1], "listeners": []}
    assert as_text(result).splitlines() == [
        "state      running",
        "uptime     2 h 1 min",
        "listeners  -",
        "",
        "hosts",
        "jid                             secure  idle",
        "juliet@capulet.example/balcony  yes      5 s",
    ]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, ""),
        ([], ""),
        (["a", "b"], "a\nb"),
        ("one\ntwo\n", "one\ntwo"),
        (1, "1"),
        (True, "yes"),
    ],
)
def test_simple_results_are_simply_shown(result, text):
    assert as_text(result) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("memory_bytes", 80_000_000, "76.3 MiB"),
        ("memory_bytes", 5, "5 bytes"),
        ("memory_bytes", 5 << 30, "5.0 GiB"),
        ("uptime_seconds", 59, "59 s"),
        ("uptime_seconds", 200_000, "2 d 7 h"),
        ("certificate_days", 90, "90 days"),
        ("seconds", 0.25, "0.25"),
        ("plugins", ["ping", "disco"], "ping, disco"),
        ("quarantined", {"muc": "too ill"}, "muc: too ill"),
        ("quarantined", {}, "-"),
    ],
)
def test_numbers_have_their_units(name, value, text):
    assert cell(name, value) == text
    assert "_" not in heading(name)


def test_json_is_the_result_and_nothing_else(capsys):
    show(SESSIONS, as_json=True)
    assert json.loads(capsys.readouterr().out) == SESSIONS


EVIL = "\x1b[2Jboo\u2028\r\n"


def test_nobody_s_name_moves_the_cursor(capsys):
    show([{"jid": EVIL}], as_json=False)
    show({"reason": EVIL}, as_json=False)
    show(EVIL, as_json=False)
    show_error(EVIL)
    show([{"jid": EVIL, "text": "[bold]not markup[/]"}], as_json=False)
    captured = capsys.readouterr()
    assert "\x1b[2J" not in captured.out + captured.err
    assert "\u2028" not in captured.out + captured.err
    assert "\\x1b[2Jboo" in captured.out
    assert "[bold]not markup[/]" in captured.out
