"""Accounts that are made, changed and removed, over several backends."""

import gevent
import pytest
from account_world import JULIET, FullBackend, PlainBackend, World
from gevent.event import Event

from stonechat.auth import (
    AccountExists,
    AccountNotFound,
    AuthUnavailable,
    BadPassword,
    Unsupported,
)
from stonechat.core import accounts as accounts_module
from stonechat.jid import JID
from stonechat.storage import StorageUncertain


def test_an_account_is_made_by_the_first_backend_that_can():
    first, second, third = PlainBackend(), FullBackend(), FullBackend()
    world = World(first, second, third)
    world.accounts.create("juliet", "j")
    assert second.passwords == {"juliet": "j"}
    assert third.passwords == {}
    assert world.accounts.check_password("juliet", "j")


def test_what_an_earlier_account_left_is_cleared_before_a_new_one_is_there():
    backend = FullBackend()
    world = World(backend)
    world.note = lambda event, account: world.events.append((event, account, *backend.passwords))
    world.accounts.create("juliet", "j")
    assert world.events == [("removed", JULIET), ("created", JULIET, "juliet")]


def test_no_account_is_made_while_a_plugin_keeps_what_an_earlier_one_has_left(caplog):
    backend = FullBackend()
    world = World(backend)
    world.failing = ["offline", "vcard"]
    with pytest.raises(AuthUnavailable, match="cannot be cleared by: offline, vcard"):
        world.accounts.create("juliet", "j")
    assert backend.passwords == {}
    assert world.events == [("removed", JULIET)]
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage() == (
        "juliet@capulet.example is not created. "
        "The data of an earlier account cannot be cleared by: offline, vcard."
    )
    world.failing = []
    world.accounts.create("juliet", "j")
    assert world.events[1:] == [("removed", JULIET), ("created", JULIET)]


def test_an_account_is_gone_before_its_sessions_are_closed_and_its_data_cleared():
    backend = FullBackend(juliet="j")
    world = World(backend)
    world.note = lambda event, account: world.events.append((event, account, *backend.passwords))
    world.accounts.remove("juliet")
    assert world.events == [("removed", JULIET)]


def test_between_the_two_it_can_be_told_that_the_account_is_gone():
    backend = FullBackend(juliet="j")
    world = World(backend)
    world.accounts.remove("juliet", told=lambda: world.note("told", *backend.passwords, JULIET))
    assert world.events == [("told", JULIET), ("removed", JULIET)]


def test_what_goes_wrong_in_telling_it_keeps_no_session_open():
    world = World(FullBackend(juliet="j"))

    def tell():
        raise LookupError("a bug")

    with pytest.raises(LookupError):
        world.accounts.remove("juliet", told=tell)
    assert world.events == [("removed", JULIET)]


def test_a_plugin_that_cannot_forget_keeps_no_account_from_being_removed():
    backend = FullBackend(juliet="j")
    world = World(backend)
    world.failing = ["vcard"]
    world.accounts.remove("juliet")
    assert backend.passwords == {}


@pytest.mark.parametrize("place", [0, 1])
def test_an_account_that_any_backend_has_is_not_made_again_nor_cleared(place):
    backends = [FullBackend(), PlainBackend()]
    backends[place].passwords["juliet"] = "j"
    world = World(*backends)
    with pytest.raises(AccountExists):
        world.accounts.create("juliet", "x")
    assert world.events == []


def test_no_account_is_made_while_a_backend_that_may_have_it_is_away():
    away, backend = PlainBackend(), FullBackend()
    away.fault = AuthUnavailable("down")
    world = World(away, backend)
    with pytest.raises(AuthUnavailable):
        world.accounts.create("juliet", "j")
    assert (backend.passwords, world.events) == ({}, [])


def test_where_no_backend_makes_accounts_this_is_said():
    world = World(PlainBackend())
    with pytest.raises(Unsupported):
        world.accounts.create("juliet", "j")
    assert world.events == []


def test_a_creation_that_fails_is_not_announced():
    backend = FullBackend()

    def create_user(localpart, password):
        raise BadPassword("too short")

    backend.create_user = create_user
    world = World(backend)
    with pytest.raises(BadPassword):
        world.accounts.create("juliet", "j")
    assert ("created", JULIET) not in world.events


def test_of_two_who_make_an_account_the_second_does_not_clear_the_data_of_the_first():
    class SlowBackend(FullBackend):
        def user_exists(self, localpart):
            found = super().user_exists(localpart)
            gevent.sleep(0)  # the other one's turn
            return found

    world = World(SlowBackend())
    makers = [gevent.spawn(world.accounts.create, "juliet", "j") for _ in range(2)]
    gevent.joinall(makers, timeout=5)
    assert [type(maker.exception) for maker in makers] == [type(None), AccountExists]
    assert world.events == [("removed", JULIET), ("created", JULIET)]


def test_a_change_waits_for_another_one_not_for_ever(monkeypatch):
    monkeypatch.setattr(accounts_module, "CHANGE_SECONDS", 0)
    inside, may_go_on = Event(), Event()

    class StuckBackend(FullBackend):
        def create_user(self, localpart, password):
            inside.set()
            may_go_on.wait(5)
            super().create_user(localpart, password)

    accounts = World(StuckBackend()).accounts
    maker = gevent.spawn(accounts.create, "juliet", "j")
    assert inside.wait(5)
    with pytest.raises(AuthUnavailable):
        accounts.create("juliet", "j")
    may_go_on.set()
    maker.get(timeout=5)
    assert accounts.exists("juliet")


def test_a_plugin_may_remove_another_account_when_it_is_told_of_a_removal(monkeypatch):
    # All names share a lock.
    monkeypatch.setattr(accounts_module, "LOCKS", 1)
    monkeypatch.setattr(accounts_module, "CHANGE_SECONDS", 0)
    world = World(FullBackend(juliet="j", romeo="r"), told_of_removal=["romeo"])
    world.accounts.remove("juliet")
    assert world.events == [("removed", JULIET), ("removed", JID.parse("romeo@capulet.example"))]


def test_a_password_is_set_where_the_account_is():
    first, second = FullBackend(romeo="r"), FullBackend(juliet="old")
    world = World(first, second)
    accounts = world.accounts
    accounts.set_password("juliet", "new")
    assert world.events == [("password", JULIET)]
    assert first.passwords == {"romeo": "r"}
    assert accounts.check_password("juliet", "new")
    assert not accounts.check_password("juliet", "old")


def test_of_a_change_that_may_have_been_made_all_is_told_that_one_that_was_made_is():
    class UncertainBackend(FullBackend):
        def set_password(self, localpart, password):
            super().set_password(localpart, password)
            raise StorageUncertain("the database did not answer in time")

    world = World(UncertainBackend(juliet="old"))
    with pytest.raises(StorageUncertain):
        world.accounts.set_password("juliet", "new")
    assert world.events == [("password", JULIET)]


def test_a_password_that_is_refused_is_no_change():
    class StrictBackend(FullBackend):
        def set_password(self, localpart, password):
            raise BadPassword("too easy")

    world = World(StrictBackend(juliet="old"))
    with pytest.raises(BadPassword):
        world.accounts.set_password("juliet", "new")
    assert world.events == []


def test_an_account_is_removed_where_it_is():
    first, second = FullBackend(romeo="r"), FullBackend(juliet="j")
    world = World(first, second)
    world.accounts.remove("juliet")
    assert (list(first.passwords), list(second.passwords)) == (["romeo"], [])
    assert world.events == [("removed", JULIET)]


@pytest.mark.parametrize(
    ("backend", "error"),
    [(FullBackend(), AccountNotFound), (PlainBackend(juliet="j"), Unsupported)],
)
def test_what_is_not_there_or_cannot_be_changed_is_not_changed(backend, error):
    world = World(backend)
    with pytest.raises(error):
        world.accounts.remove("juliet", told=lambda: world.note("told", JULIET))
    with pytest.raises(error):
        world.accounts.set_password("juliet", "x")
    assert world.events == []


def test_a_removal_that_fails_is_not_told_to_be_done():
    class FailingBackend(FullBackend):
        def remove_user(self, localpart):
            raise AuthUnavailable("the connection broke")

    world = World(FailingBackend(juliet="j"))
    with pytest.raises(AuthUnavailable):
        world.accounts.remove("juliet", told=lambda: world.note("told", JULIET))
    assert world.events == []


def test_a_removal_of_uncertain_end_is_looked_at_again():
    class UncertainBackend(FullBackend):
        def remove_user(self, localpart):
            super().remove_user(localpart)
            raise AuthUnavailable("the connection broke")

    accounts = World(UncertainBackend(juliet="j")).accounts
    assert accounts.exists("juliet")
    with pytest.raises(AuthUnavailable):
        accounts.remove("juliet")
    assert not accounts.exists("juliet")
