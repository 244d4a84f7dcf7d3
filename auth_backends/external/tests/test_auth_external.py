"""Accounts that a program keeps: the contract of every backend, kept by the sample."""

import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import gevent
import pytest

from stonechat.auth import (
    AccountExists,
    AccountNotFound,
    AuthUnavailable,
    BadPassword,
    Unsupported,
)
from stonechat.testing import AuthBackendContract
from stonechat_auth_external import Backend, Options

EXAMPLES = Path(__file__).parents[1] / "examples"
SAMPLE = [sys.executable, str(EXAMPLES / "accounts.py")]
PASSWORD = "R0m30 & Juliet"

# openssl passwd -6 -salt verona 'R0m30 & Juliet'
HASH = (
    "$6$verona$rIvO6jhlnH9.jaIL2NKilHZx0KvY7XIO1M.YAMisz7wVMk46irNw33gl0zLzTIsDsHWMsXEut"
    "KxcSdelDBEct0"
)


class Host:
    """As much of a host as a backend needs, on the clock of the machine."""

    def __init__(self, name):
        self.name = name
        self.log = Mock()
        self.monotonic = time.monotonic
        self.spawn = gevent.spawn

    def call_later(self, seconds, function, *arguments):
        greenlet = gevent.spawn_later(seconds, function, *arguments)
        return SimpleNamespace(cancel=lambda: greenlet.kill(block=False))


@pytest.fixture
def make(tmp_path):
    backends = []

    def make_backend(command, host="capulet.example", **options):
        options = Options.model_validate(
            {"command": command, **options}, context={"directory": tmp_path}
        )
        backend = Backend(Host(host), options)
        backends.append(backend)
        backend.start()
        return backend

    yield make_backend
    for backend in backends:
        backend.stop()


class TestSampleInPython(AuthBackendContract):
    @pytest.fixture
    def backend(self, make):
        return make([*SAMPLE, "other.db"], instances=1)


class TestSampleInPerl(AuthBackendContract):
    """Which only checks: its accounts come from a file."""

    @pytest.fixture
    def backend(self, make, tmp_path):
        if shutil.which("perl") is None:
            pytest.skip("there is no Perl here")
        (tmp_path / "passwords").write_text(f"tybalt:x\njuliet:{HASH}\n")
        return make([str(EXAMPLES / "htpasswd.pl"), "passwords"], changes=[], instances=1)


@pytest.fixture
def sample(make):
    return make(SAMPLE, instances=1)


def test_hosts_have_accounts_of_their_own(sample, make):
    sample.create_user("juliet", PASSWORD)
    assert not make(SAMPLE, host="montague.example").user_exists("juliet")


def test_an_account_can_be_removed_by_who_knows_its_password(sample):
    sample.create_user("juliet", PASSWORD)
    assert not sample.remove_user_knowing("juliet", "P4r1s")
    assert sample.user_exists("juliet")
    assert sample.remove_user_knowing("juliet", PASSWORD)
    assert not sample.user_exists("juliet")


def test_a_password_with_an_end_of_line_is_wrong_and_cannot_be_set(sample):
    sample.create_user("juliet", PASSWORD)
    assert not sample.check_password("juliet", f"{PASSWORD}\n")
    with pytest.raises(BadPassword):
        sample.set_password("juliet", "R0m30\nJul13t")
    with pytest.raises(BadPassword):
        sample.create_user("romeo", "R0m30\nJul13t")
    assert not sample.user_exists("romeo")


def test_a_name_that_cannot_be_asked_for_is_nobodys(sample):
    assert not sample.user_exists("jul:iet")
    assert not sample.check_password("jul:iet", PASSWORD)


# What the program can and cannot do


def no_sayer(make, tmp_path, knows="juliet", **options):
    """A program that knows one account and changes nothing."""
    file = tmp_path / "no.sh"
    file.write_text(
        "#!/bin/sh\n"
        'while head=$(dd bs=1 count=2 2>/dev/null | od -An -tu1) && [ -n "$head" ]; do\n'
        "  set -- $head; request=$(dd bs=1 count=$(($1 * 256 + $2)) 2>/dev/null)\n"
        "  case $request in\n"
        f"    isuser:{knows}:*) printf '\\000\\002\\000\\001';;\n"
        "    *) printf '\\000\\002\\000\\000';;\n"
        "  esac\n"
        "done\n"
    )
    file.chmod(0o700)
    return make("./no.sh", instances=1, **options)


def test_a_no_is_told_by_its_reason(make, tmp_path):
    backend = no_sayer(make, tmp_path)
    with pytest.raises(Unsupported):
        backend.set_password("juliet", "x")
    with pytest.raises(AccountNotFound):
        backend.set_password("romeo", "x")
    with pytest.raises(AccountExists):
        backend.create_user("juliet", "x")
    with pytest.raises(Unsupported):
        backend.create_user("romeo", "x")
    with pytest.raises(Unsupported):
        backend.remove_user("juliet")
    with pytest.raises(AccountNotFound):
        backend.remove_user("romeo")


def test_what_the_program_cannot_do_can_be_said(make, tmp_path):
    backend = no_sayer(make, tmp_path, changes=["set_password"], user_exists=False)
    assert backend.capabilities == {"check_password", "set_password"}
    for deed in (
        lambda: backend.user_exists("juliet"),
        lambda: backend.create_user("juliet", "x"),
        lambda: backend.remove_user("juliet"),
        lambda: backend.remove_user_knowing("juliet", "x"),
    ):
        with pytest.raises(Unsupported):
            deed()
    # Nobody can be asked for: then it is not said that an account is not there.
    with pytest.raises(Unsupported):
        backend.set_password("romeo", "x")


# The cache


def test_existence_is_remembered_and_a_change_forgets_it(sample):
    assert not sample.user_exists("juliet")
    sample.create_user("juliet", PASSWORD)
    assert sample.user_exists("juliet")
    assert sample.user_exists("juliet")
    assert sample.cache.figures.hits == 1
    sample.remove_user("juliet")
    assert not sample.user_exists("juliet")


def test_a_password_is_asked_for_each_time_unless_it_may_be_remembered(sample, make):
    sample.create_user("juliet", PASSWORD)
    assert sample.check_password("juliet", PASSWORD)
    assert sample.cache.figures == (0, 0, 0)
    caching = make(SAMPLE, cache_password="1 h")
    assert caching.check_password("juliet", PASSWORD)
    sample.set_password("juliet", "P4r1s")
    # Changed past it: that is what the option costs.
    assert caching.check_password("juliet", PASSWORD)
    assert caching.check_password("juliet", "P4r1s")
    caching.set_password("juliet", "new")
    assert not caching.check_password("juliet", "P4r1s")


def test_a_stopped_backend_answers_nobody(make):
    backend = make(SAMPLE)
    backend.stop()
    with pytest.raises(AuthUnavailable):
        backend.user_exists("juliet")
