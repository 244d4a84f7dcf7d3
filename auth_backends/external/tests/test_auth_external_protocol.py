"""Requests as the protocol has them, and options that name a program."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stonechat.options import describe_options
from stonechat_auth_external import Options
from stonechat_auth_external.protocol import Unspeakable, request

HERE = Path(__file__).parent


def test_a_request_has_its_length_in_front():
    assert request("isuser", "juliet", "capulet.example") == b"\0\x1disuser:juliet:capulet.example"


def test_a_password_may_have_colons_and_any_script():
    octets = request("auth", "juliet", "capulet.example", "a:b:пароль")
    assert octets[2:].decode().split(":", 3)[3] == "a:b:пароль"
    assert int.from_bytes(octets[:2], "big") == len(octets) - 2 == 44


@pytest.mark.parametrize(
    "fields",
    [
        ("jul:iet", "capulet.example"),
        ("juliet", "capulet.example:5222"),
        ("", "capulet.example"),
        ("juliet", ""),
        ("jul\niet", "capulet.example"),
        ("juliet\0", "capulet.example"),
        ("juliet", "capulet.example", "R0m30\r"),
        ("juliet", "capulet.example", "R0m30\nauth:tybalt"),
        ("juliet", "capulet.example", "\0R0m30"),
        ("juliet", "capulet.example", "\ud800"),
        ("juliet", "capulet.example", "x" * 0xFFFF),
    ],
)
def test_what_would_not_be_one_request_is_not_sent(fields):
    with pytest.raises(Unspeakable) as caught:
        request("auth", *fields)
    assert "R0m30" not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text(), st.text(), st.text())
def test_whatever_is_sent_is_read_as_what_was_meant(user, host, password):
    try:
        octets = request("setpass", user, host, password)
    except Unspeakable:
        return
    assert int.from_bytes(octets[:2], "big") == len(octets) - 2
    assert octets[2:].decode().split(":", 3) == ["setpass", user, host, password]
    assert not set(octets[2:]) & set(b"\r\n\0")


# Options


def options(command, directory=HERE):
    return Options.model_validate({"command": command}, context={"directory": directory})


def test_a_program_is_a_line_or_a_list_of_words():
    line = options("./faulty_program.py 'with a space' x").command
    assert line.words == ("./faulty_program.py", "with a space", "x")
    assert line == options(["./faulty_program.py", "with a space", "x"]).command
    assert str(line) == "./faulty_program.py 'with a space' x"


def test_a_relative_program_begins_at_the_folder_of_the_configuration():
    assert options("./faulty_program.py").command.program == str(HERE / "faulty_program.py")


def test_a_name_without_a_slash_is_searched_for():
    assert options("sh -c true").command.program.endswith("/sh")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("./nobody.py", "there is no program .*/nobody.py"),
        ("nobody-has-such-a-program", "no program nobody-has-such-a-program in the search path"),
        ("./conftest", "there is no program"),
        ("./test_auth_external_protocol.py", "cannot be executed"),
        ("./", "there is no program"),
        ("'open", "cannot be split into words: No closing quotation"),
        ("", "must be a program"),
        ([], "must be a program"),
        ([""], "must be a program"),
        (["sh", 7], "must be a program"),
        (7, "must be a program"),
        ("sh a\0b", "must be a program"),
    ],
)
def test_a_program_that_cannot_be_run_is_an_error_of_the_configuration(command, message):
    with pytest.raises(ValidationError, match=message):
        options(command)


def test_the_reference_says_what_the_option_is():
    row = next(row for row in describe_options(Options) if row.name == "command")
    assert row.type == "program and its arguments"
    assert row.is_required
