"""The secret that the server makes for itself: once, as a whole, and for itself alone."""

import logging
import os
import stat
import sys

import pytest

from stonechat.core import secrets_file
from stonechat.core.secrets_file import load_or_create_secret
from stonechat.errors import ConfigError

SECRET = bytes(range(32))

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "decoy.secret"


def write(path, secret=SECRET, mode=0o600):
    path.write_bytes(secret)
    path.chmod(mode)


def test_a_secret_is_made_once_and_found_again(path):
    first = load_or_create_secret(path)
    assert len(first) == 32
    assert load_or_create_secret(path) == first
    assert path.read_bytes() == first


def test_no_two_secrets_are_the_same(tmp_path):
    assert load_or_create_secret(tmp_path / "a") != load_or_create_secret(tmp_path / "b")


def test_a_secret_can_be_of_another_size(path):
    assert len(load_or_create_secret(path, 64)) == 64


@posix_only
def test_only_the_server_may_read_what_it_made(path):
    load_or_create_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_else_is_left_in_the_directory(path):
    load_or_create_secret(path)
    assert os.listdir(path.parent) == [path.name]


def test_the_directory_is_made_where_it_is_missing(tmp_path):
    path = tmp_path / "capulet.example" / "decoy.secret"
    assert load_or_create_secret(path) == path.read_bytes()


def test_of_two_processes_the_second_takes_the_secret_of_the_first(path, monkeypatch):
    create = secrets_file._create

    def create_too_late(path, secret):
        write(path)
        create(path, secret)

    monkeypatch.setattr(secrets_file, "_create", create_too_late)
    assert load_or_create_secret(path) == SECRET
    assert os.listdir(path.parent) == [path.name]


def test_a_file_system_without_links_will_do(path, monkeypatch):
    def link(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", link)
    secret = load_or_create_secret(path)
    assert load_or_create_secret(path) == secret
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_leaves_no_half_a_secret(path, monkeypatch):
    def fsync(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ConfigError, match="No space left"):
        load_or_create_secret(path)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("secret", [b"", SECRET[:-1], SECRET + b"\n"])
def test_a_secret_of_another_size_is_refused_and_left_as_it_is(path, secret):
    write(path, secret)
    with pytest.raises(ConfigError, match="not 32 octets long"):
        load_or_create_secret(path)
    assert path.read_bytes() == secret


@posix_only
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_secret_that_others_may_have_written_is_refused(path, mode):
    write(path, mode=mode)
    with pytest.raises(ConfigError, match=f"mode {mode:o}"):
        load_or_create_secret(path)


@posix_only
def test_a_secret_that_everybody_may_read_is_used_with_a_warning(path, caplog):
    write(path, mode=0o644)
    with caplog.at_level(logging.WARNING, "stonechat"):
        assert load_or_create_secret(path) == SECRET
    (record,) = caplog.records
    assert "everybody may read" in record.getMessage()
    assert str(path) in record.getMessage()


@posix_only
def test_a_secret_that_its_group_may_read_is_used_without_a_word(path, caplog):
    write(path, mode=0o640)
    assert load_or_create_secret(path) == SECRET
    assert not caplog.records


def test_a_directory_in_its_place_is_refused(path):
    path.mkdir()
    with pytest.raises(ConfigError):
        load_or_create_secret(path)


@posix_only
def test_a_pipe_in_its_place_is_refused_and_not_waited_for(path):
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="regular file"):
        load_or_create_secret(path)


@posix_only
def test_a_link_to_nowhere_is_an_error_of_the_configuration(path):
    path.symlink_to(path.parent / "nowhere")
    with pytest.raises(ConfigError, match="cannot be read or made"):
        load_or_create_secret(path)
