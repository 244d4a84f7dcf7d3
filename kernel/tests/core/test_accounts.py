"""The accounts of a host over several backends: who is there, and whose password is right."""

import logging

import gevent
import pytest
from account_world import (
    HOME,
    FullBackend,
    MemoryBackend,
    OnlyCheckBackend,
    PlainBackend,
    ScramBackend,
    World,
)
from gevent.event import Event

from stonechat.auth import AuthUnavailable, BadPassword
from stonechat.core import accounts as accounts_module
from stonechat.core import auth_chain
from stonechat.errors import StorageError

# Whether an account is there


def test_an_account_exists_where_any_backend_has_it():
    accounts = World(PlainBackend(juliet="j"), ScramBackend(romeo="r")).accounts
    assert accounts.exists("juliet")
    assert accounts.exists("romeo")
    assert not accounts.exists("tybalt")


def test_the_backends_are_asked_in_their_order_until_one_says_yes():
    first, second = PlainBackend(juliet="j"), PlainBackend(juliet="j")
    assert World(first, second).accounts.exists("juliet")
    assert (first.calls, second.calls) == (["user_exists"], [])


def test_a_backend_that_is_away_does_not_hide_the_yes_of_another():
    away = PlainBackend()
    away.fault = AuthUnavailable("the directory is down")
    accounts = World(away, PlainBackend(juliet="j")).accounts
    assert accounts.exists("juliet")
    with pytest.raises(AuthUnavailable, match="directory is down"):
        accounts.exists("romeo")


@pytest.mark.parametrize("fault", [StorageError("disk I/O error"), LookupError("a bug")])
def test_whatever_a_backend_breaks_the_others_do_not_feel(fault):
    broken = PlainBackend()
    broken.fault = fault
    accounts = World(broken, PlainBackend(juliet="j")).accounts
    assert accounts.exists("juliet")
    assert accounts.check_password("juliet", "j")
    with pytest.raises(AuthUnavailable):
        accounts.exists("romeo")


def test_a_bug_of_a_backend_is_logged_with_its_name(caplog):
    broken = PlainBackend()
    broken.fault = LookupError("a bug")
    with caplog.at_level(logging.ERROR, "stonechat"), pytest.raises(AuthUnavailable):
        World(broken).accounts.exists("juliet")
    (record,) = caplog.records
    assert record.getMessage() == "the auth backend backend0 of capulet.example failed"
    assert record.exc_info[1] is broken.fault


def test_a_store_that_is_away_is_no_bug(caplog):
    away = PlainBackend()
    away.fault = StorageError("disk I/O error")
    with caplog.at_level(logging.ERROR, "stonechat"), pytest.raises(AuthUnavailable, match="disk"):
        World(away).accounts.exists("juliet")
    assert not caplog.records


def test_an_account_that_was_there_is_not_asked_for_again_within_a_minute():
    backend = PlainBackend(juliet="j")
    world = World(backend)
    assert world.accounts.exists("juliet")
    del backend.passwords["juliet"]
    world.now = 59
    assert world.accounts.exists("juliet")
    world.now = 60
    assert not world.accounts.exists("juliet")
    assert backend.calls == ["user_exists"] * 2


def test_an_account_that_was_not_there_is_asked_for_again():
    backend = PlainBackend()
    accounts = World(backend).accounts
    assert not accounts.exists("juliet")
    backend.passwords["juliet"] = "j"
    assert accounts.exists("juliet")


def test_the_accounts_that_are_remembered_are_the_ones_last_used(monkeypatch):
    monkeypatch.setattr(accounts_module, "MAX_KNOWN", 2)
    backend = PlainBackend(juliet="j", romeo="r", tybalt="t")
    accounts = World(backend).accounts
    for localpart in ("juliet", "romeo", "juliet", "tybalt"):
        assert accounts.exists(localpart)
    backend.passwords.clear()
    assert [accounts.exists(name) for name in ("juliet", "romeo", "tybalt")] == [True, False, True]


def test_an_account_that_was_looked_for_again_counts_as_just_used(monkeypatch):
    monkeypatch.setattr(accounts_module, "MAX_KNOWN", 2)
    backend = PlainBackend(juliet="j", romeo="r", tybalt="t")
    world = World(backend)
    for localpart, now in [("juliet", 0), ("romeo", 50), ("juliet", 60), ("tybalt", 60)]:
        world.now = now
        assert world.accounts.exists(localpart)
    backend.passwords.clear()
    assert world.accounts.exists("juliet")
    assert not world.accounts.exists("romeo")


def test_a_removed_account_is_gone_at_once():
    accounts = World(FullBackend(juliet="j")).accounts
    assert accounts.exists("juliet")
    accounts.remove("juliet")
    assert not accounts.exists("juliet")


def test_an_answer_from_before_a_removal_is_not_remembered_after_it():
    asked, may_answer = Event(), Event()

    class SlowBackend(FullBackend):
        def user_exists(self, localpart):
            found = super().user_exists(localpart)
            if not asked.is_set():
                asked.set()
                may_answer.wait(5)
            return found

    accounts = World(SlowBackend(juliet="j")).accounts
    asking = gevent.spawn(accounts.exists, "juliet")
    assert asked.wait(5)
    accounts.remove("juliet")
    may_answer.set()
    assert asking.get(timeout=5) is True
    assert not accounts.exists("juliet")


# Passwords


@pytest.mark.parametrize("backend", [PlainBackend, OnlyCheckBackend, ScramBackend, FullBackend])
def test_a_password_is_checked_by_whatever_the_backend_can(backend):
    accounts = World(backend(juliet="R0m30")).accounts
    assert accounts.check_password("juliet", "R0m30")
    assert not accounts.check_password("juliet", "r0m30")
    assert not accounts.check_password("romeo", "R0m30")


def test_a_password_is_right_where_any_backend_takes_it():
    accounts = World(OnlyCheckBackend(juliet="a"), ScramBackend(romeo="b")).accounts
    assert accounts.check_password("juliet", "a")
    assert accounts.check_password("romeo", "b")
    assert not accounts.check_password("romeo", "a")


def test_hashing_does_not_block_the_server():
    world = World(ScramBackend(juliet="j"))
    assert world.accounts.check_password("juliet", "j")
    assert world.blocking == ["check_against_scram"]


def test_the_strongest_hash_is_checked_against():
    class Backend(ScramBackend):
        hashes = ("SHA-1", "SHA-512")

        def scram_credentials(self, localpart, hash_name):
            self.calls.append(hash_name)
            return super().scram_credentials(localpart, hash_name)

    backend = Backend(juliet="j")
    assert World(backend).accounts.check_password("juliet", "j")
    assert "SHA-1" not in backend.calls


def test_an_unknown_account_costs_the_work_of_a_wrong_password():
    costs = []
    for localpart in ("juliet", "romeo", "nobody"):
        backends = [ScramBackend(juliet="j"), PlainBackend(), ScramBackend(romeo="r")]
        world = World(*backends)
        assert world.log_in(localpart, "wrong") == "not-authorized"
        costs.append((world.blocking, [backend.calls for backend in backends]))
    assert costs[0][0] == ["check_against_scram"] * 2
    assert costs[0] == costs[1] == costs[2]


def test_no_password_opens_an_account_that_is_not_there(monkeypatch):
    monkeypatch.setattr(auth_chain, "check_against_scram", lambda password, credentials: True)
    accounts = World(ScramBackend(juliet="j")).accounts
    assert accounts.check_password("juliet", "x")
    assert not accounts.check_password("nobody", "x")


def test_the_decoy_of_a_backend_has_as_many_iterations_as_its_accounts(monkeypatch):
    checked = []

    def check(password, credentials):
        checked.append(credentials.iterations)
        return False

    monkeypatch.setattr(auth_chain, "check_against_scram", check)
    backend = ScramBackend()
    backend.scram_iterations = 4097
    accounts = World(PlainBackend(), backend).accounts
    accounts.check_password("nobody", "x")
    assert checked == [4097]
    assert accounts.lookup(HOME, ()).decoy_credentials("nobody", "SHA-256").iterations == 4097


@pytest.mark.parametrize("password", ["", "\0", "\0secret", "a\0b"])
def test_what_can_be_no_password_reaches_no_backend(password):
    class Directory(FullBackend):
        def check_password(self, localpart, password):
            self.called("check_password")
            return True  # an anonymous bind "succeeds"

    directory = Directory(juliet="j")
    accounts = World(directory).accounts
    assert not accounts.check_password("juliet", password)
    with pytest.raises(BadPassword):
        accounts.set_password("juliet", password)
    with pytest.raises(BadPassword):
        accounts.create("romeo", password)
    assert directory.calls == []


def test_a_backend_that_is_away_does_not_hide_a_right_password():
    away = OnlyCheckBackend()
    away.fault = AuthUnavailable("down")
    accounts = World(away, ScramBackend(juliet="j")).accounts
    assert accounts.check_password("juliet", "j")
    for localpart in ("juliet", "romeo"):
        with pytest.raises(AuthUnavailable):
            accounts.check_password(localpart, "x")


# Lists


def test_all_accounts_are_listed_once_page_by_page(monkeypatch):
    monkeypatch.setattr(auth_chain, "PAGE", 2)
    first = FullBackend(juliet="j", nurse="n", capulet="c")
    second = FullBackend(romeo="r", juliet="j", benvolio="b")
    accounts = World(first, PlainBackend(tybalt="t"), second).accounts
    assert list(accounts) == ["benvolio", "capulet", "juliet", "nurse", "romeo"]
    assert first.calls == ["users"] * 3


def test_a_list_goes_on_past_a_backend_that_is_away_and_says_so_at_the_end():
    away = FullBackend()
    away.fault = AuthUnavailable("down")
    names = iter(World(away, FullBackend(juliet="j")).accounts)
    assert next(names) == "juliet"
    with pytest.raises(AuthUnavailable):
        next(names)


def test_a_backend_that_lists_in_circles_is_stopped():
    class Circle(FullBackend):
        def users(self, after="", limit=1000):
            return ["juliet"]

    names = iter(World(Circle()).accounts)
    assert next(names) == "juliet"
    with pytest.raises(AuthUnavailable, match="circles"):
        next(names)


def test_accounts_are_counted_or_else_listed(monkeypatch):
    class ListBackend(MemoryBackend):
        def users(self, after="", limit=1000):
            return sorted(name for name in self.passwords if name > after)[:limit]

    monkeypatch.setattr(auth_chain, "PAGE", 2)
    listed = ListBackend(romeo="r", benvolio="b", mercutio="m")
    counted = FullBackend(juliet="j")
    assert World(counted, PlainBackend(tybalt="t"), listed).accounts.count() == 4
    counted.fault = AuthUnavailable("down")
    with pytest.raises(AuthUnavailable):
        World(counted, listed).accounts.count()
