"""Hashes that accounts lack and can be given (XEP-0480), over several backends."""

import pytest

from stonechat.auth import AccountNotFound, AuthBackend, AuthUnavailable, Unsupported, derive_scram
from stonechat.core.accounts import HostAccounts
from stonechat.core.throttle import LoginThrottle
from stonechat.options import PluginOptions

CREDENTIALS = derive_scram("R0m30", "SHA-256", b"salt", 4096)


class OldBackend(AuthBackend):
    """Accounts from before other hashes were wanted; nothing can be added."""

    def __init__(self, *names, hashes=("SHA-1",), iterations=4096):
        super().__init__(None, PluginOptions())
        self.kept = {name: dict.fromkeys(hashes, True) for name in names}
        self.scram_iterations = iterations
        self.fault = None

    def user_exists(self, localpart):
        return localpart in self.kept

    def scram_hashes(self):
        return ("SHA-1",)

    def scram_credentials(self, localpart, hash_name):
        found = hash_name in self.kept.get(localpart, {})
        return derive_scram("R0m30", hash_name, b"salt", 4096) if found else None


class NewBackend(OldBackend):
    wanted = ("SHA-512", "SHA-256")

    def missing_hashes(self):
        if self.fault is not None:
            raise self.fault
        return self.wanted

    def add_scram(self, localpart, credentials):
        self.kept[localpart][credentials.hash_name] = credentials


def accounts(*backends):
    return HostAccounts(
        "capulet.example",
        [(f"backend{number}", backend) for number, backend in enumerate(backends)],
        secret=b"secret",
        run_blocking=lambda call, *arguments: call(*arguments),
        on_created=print,
        on_removed=lambda account: [],
        on_password_changed=print,
        throttle=LoginThrottle(lambda: 0.0),
    )


def test_what_some_accounts_lack_can_be_asked_for_in_the_order_of_strength():
    class Other(NewBackend):
        wanted = ("SHA-256", "SHA-1")

    assert accounts(NewBackend("juliet"), Other("romeo")).upgradable_hashes() == (
        "SHA-512",
        "SHA-256",
        "SHA-1",
    )
    assert accounts(NewBackend("juliet")).upgradable_hashes() == ("SHA-512", "SHA-256")


def test_where_nothing_can_be_added_nothing_is_asked_for():
    assert accounts(OldBackend("juliet")).upgradable_hashes() == ()
    assert accounts(OldBackend("juliet")).missing_hashes("juliet") == {}


def test_an_account_lacks_what_it_has_not_got():
    backend = NewBackend("juliet", iterations=5000)
    backend.kept["romeo"] = {"SHA-1": True, "SHA-512": True}
    found = accounts(OldBackend("tybalt"), backend)
    assert found.missing_hashes("juliet") == {"SHA-512": 5000, "SHA-256": 5000}
    assert found.missing_hashes("romeo") == {"SHA-256": 5000}
    assert found.missing_hashes("tybalt") == {}
    assert found.missing_hashes("rosaline") == {}


def test_credentials_go_where_the_account_is():
    first, second = NewBackend("romeo"), NewBackend("juliet")
    found = accounts(first, second)
    found.add_scram("juliet", CREDENTIALS)
    assert second.kept["juliet"]["SHA-256"] is CREDENTIALS
    assert list(first.kept["romeo"]) == ["SHA-1"]
    assert list(found.missing_hashes("juliet")) == ["SHA-512"]


@pytest.mark.parametrize(
    ("backend", "error"), [(OldBackend("juliet"), Unsupported), (NewBackend(), AccountNotFound)]
)
def test_credentials_that_nobody_can_keep_are_refused(backend, error):
    with pytest.raises(error):
        accounts(backend).add_scram("juliet", CREDENTIALS)


def test_a_backend_that_is_away_asks_for_nothing():
    away, there = NewBackend("romeo"), NewBackend("juliet")
    away.fault = AuthUnavailable("the database is away")
    there.wanted = ("SHA-256",)
    assert accounts(away, there).upgradable_hashes() == ("SHA-256",)
