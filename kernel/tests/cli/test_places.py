"""Where the command finds the configuration and, through it, the server."""

import pytest

from stonechat.cli import places
from stonechat.cli.exit_codes import REFUSED, Failure
from stonechat.cli.places import find_configuration, find_data_dir, find_socket


@pytest.fixture(autouse=True)
def verona(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STONECHAT_CONFIG", raising=False)
    monkeypatch.setattr(places, "USUAL", (places.USUAL[0], tmp_path / "etc" / "stonechat.yml"))
    return tmp_path


def test_the_file_that_is_named_comes_first_then_the_environment_then_the_usual_ones(
    verona, monkeypatch
):
    (verona / "etc").mkdir()
    (verona / "etc" / "stonechat.yml").touch()
    assert find_configuration(None) == verona / "etc" / "stonechat.yml"
    (verona / "stonechat.yml").touch()
    assert str(find_configuration(None)) == "stonechat.yml"
    monkeypatch.setenv("STONECHAT_CONFIG", "elsewhere.yml")
    assert str(find_configuration(None)) == "elsewhere.yml"
    assert str(find_configuration("named.yml")) == "named.yml"


def test_without_any_file_the_ways_to_one_are_told():
    with pytest.raises(Failure, match="stonechat init") as caught:
        find_configuration(None)
    assert caught.value.code == REFUSED


@pytest.mark.parametrize(
    ("text", "data_dir"),
    [
        ("hosts: {capulet.example: {}}\n", "data"),
        ("data_dir: var\nhosts: {}\n", "var"),
        ('{"hosts": {}, "data_dir": "var"}\n', "var"),
        ("data_dir: 7\nhosts: {}\n", "data"),
        # Broken ones: whoever edits the file must still reach the server.
        ("data_dir: var  # here\nhosts: [\n", "var"),
        ("data_dir: 'var'\nhosts: {a: b: c}\n", "var"),
        ("hosts: [\n", "data"),
        ("", "data"),
        ("\0\xff", "data"),
    ],
)
def test_the_data_directory_is_found_even_in_a_broken_file(verona, text, data_dir):
    file = verona / "stonechat.yml"
    file.write_bytes(text.encode("latin-1"))
    assert find_data_dir(file) == verona / data_dir
    assert find_socket(str(file)) == verona / data_dir / "stonechat.sock"


def test_a_path_starts_from_the_directory_of_the_file(verona):
    (verona / "conf").mkdir()
    (verona / "conf" / "stonechat.yml").write_text("data_dir: ../var\n")
    found = find_data_dir(verona / "conf" / "stonechat.yml")
    assert found.resolve() == verona / "var"


def test_a_file_that_cannot_be_read_is_told(verona):
    with pytest.raises(Failure, match="cannot be read"):
        find_socket(str(verona / "missing.yml"))
