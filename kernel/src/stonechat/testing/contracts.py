"""Tests that hold the promises of a contract, for whoever implements it to subclass.

    class TestMyBackend(AuthBackendContract):
        @pytest.fixture
        def backend(self):
            ...

The one fixture gives a fresh implementation, started; pytest does the rest.
"""

from __future__ import annotations

import gevent
import pytest

from stonechat.auth import (
    CAPABILITIES,
    DEFAULT_ITERATIONS,
    MAX_PASSWORD_OCTETS,
    SCRAM_HASHES,
    AccountExists,
    AccountNotFound,
    AuthBackend,
    BadPassword,
    Credentials,
    Unsupported,
    check_against_scram,
    derive_scram,
)

# Arguments that each method takes, for the ones that a backend cannot do.
_ARGUMENTS: dict[str, tuple[object, ...]] = {
    "add_scram": ("juliet", derive_scram("R0m30", "SHA-1", b"salt", 1)),
    "check_password": ("juliet", "R0m30"),
    "count_users": (),
    "create_user": ("juliet", "R0m30"),
    "export_credentials": ("juliet",),
    "import_user": ("juliet", Credentials("R0m30")),
    "missing_hashes": (),
    "remove_user": ("juliet",),
    "scram_credentials": ("juliet", "SHA-256"),
    "scram_hashes": (),
    "set_password": ("juliet", "R0m30"),
    "user_exists": ("juliet",),
    "users": (),
}


class AuthBackendContract:
    """What every auth backend promises (`stonechat.auth.AuthBackend`).

    Supply the fixture `backend`: a backend that is started and has no accounts. One
    that cannot create accounts has the one that `localpart` and `password` name, and
    no other. What a backend cannot do, by its `capabilities`, is not asked of it.
    """

    localpart = "juliet"
    password = "R0m30 & Juliet"
    other_password = "Wherefore art thou?"
    # Names that nobody has. They sort by code points around those above.
    stranger = "rosaline"

    @pytest.fixture
    def backend(self) -> AuthBackend:
        raise NotImplementedError("supply the fixture `backend`")

    @pytest.fixture
    def account(self, backend: AuthBackend) -> str:
        """The localpart of an account that is there."""
        if "create_user" in backend.capabilities:
            backend.create_user(self.localpart, self.password)
        return self.localpart

    def _needs(self, backend: AuthBackend, *capabilities: str) -> None:
        missing = set(capabilities) - backend.capabilities
        if missing:
            pytest.skip(f"this backend has no {', '.join(sorted(missing))}")

    def _opens(self, backend: AuthBackend, localpart: str, password: str) -> bool:
        """Whether a password logs in, by every way there is; they must agree."""
        if not backend.capabilities & {"check_password", "scram_credentials"}:
            pytest.skip("this backend has no passwords")
        answers = set()
        if "check_password" in backend.capabilities:
            answers.add(backend.check_password(localpart, password))
        if "scram_credentials" in backend.capabilities:
            for name in backend.scram_hashes():
                credentials = backend.scram_credentials(localpart, name)
                answers.add(credentials is not None and check_against_scram(password, credentials))
        assert len(answers) == 1, "one way to log in says yes and another says no"
        return answers.pop()

    # What it can do

    def test_names_capabilities_that_exist(self, backend: AuthBackend) -> None:
        assert backend.capabilities <= CAPABILITIES

    def test_can_tell_whether_a_password_is_right(self, backend: AuthBackend) -> None:
        # Or it has mechanisms of its own, in which there may be no password.
        able = backend.capabilities & {"check_password", "scram_credentials"}
        assert able or backend.mechanisms()

    def test_names_its_hashes_if_it_gives_scram_credentials(self, backend: AuthBackend) -> None:
        both = {"scram_credentials", "scram_hashes"}
        assert backend.capabilities & both in (set(), both)

    def test_says_unsupported_for_what_it_cannot_do(self, backend: AuthBackend) -> None:
        for name in CAPABILITIES - backend.capabilities:
            with pytest.raises(Unsupported):
                getattr(backend, name)(*_ARGUMENTS[name])

    # Logging in

    def test_accepts_the_right_password_each_time(
        self, backend: AuthBackend, account: str
    ) -> None:
        assert self._opens(backend, account, self.password)
        assert self._opens(backend, account, self.password)

    @pytest.mark.parametrize(
        "wrong", ["Wherefore", "r0m30 & juliet", "R0m30 & Julie", "R0m30 & Juliet ", "R0m30\0"]
    )
    def test_refuses_a_wrong_password(
        self, backend: AuthBackend, account: str, wrong: str
    ) -> None:
        assert not self._opens(backend, account, wrong)
        assert self._opens(backend, account, self.password)
        assert not self._opens(backend, account, wrong)

    def test_refuses_a_password_that_nobody_could_have_set(
        self, backend: AuthBackend, account: str
    ) -> None:
        assert not self._opens(backend, account, "x" * (MAX_PASSWORD_OCTETS + 1))
        assert not self._opens(backend, account, "\ud800")

    def test_knows_no_password_of_a_stranger(self, backend: AuthBackend, account: str) -> None:
        assert not self._opens(backend, self.stranger, self.password)
        assert not self._opens(backend, self.stranger, self.password)

    def test_does_not_take_one_account_for_another(
        self, backend: AuthBackend, account: str
    ) -> None:
        self._needs(backend, "create_user")
        backend.create_user("romeo", self.other_password)
        assert self._opens(backend, "romeo", self.other_password)
        assert not self._opens(backend, "romeo", self.password)
        assert not self._opens(backend, account, self.other_password)

    @pytest.mark.parametrize(
        "password",
        [
            "with:colon",
            " spaces at both ends ",
            "quote ' and \" and \\",
            "100%_[x]",
            "пароль",
            "😀",
            "x" * 255,
        ],
    )
    def test_any_text_can_be_a_password(self, backend: AuthBackend, password: str) -> None:
        self._needs(backend, "create_user")
        backend.create_user(self.localpart, password)
        assert self._opens(backend, self.localpart, password)
        assert not self._opens(backend, self.localpart, password[1:])

    # SCRAM

    def test_has_credentials_for_every_hash_that_it_names(
        self, backend: AuthBackend, account: str
    ) -> None:
        self._needs(backend, "scram_credentials")
        assert set(backend.scram_hashes()) <= set(SCRAM_HASHES)
        for name in backend.scram_hashes():
            credentials = backend.scram_credentials(account, name)
            assert credentials is not None
            assert credentials.hash_name == name
            assert credentials.iterations >= min(4096, DEFAULT_ITERATIONS)

    def test_gives_the_same_credentials_again(self, backend: AuthBackend, account: str) -> None:
        # A salt that changes tells an account from the decoy that stands for none.
        self._needs(backend, "scram_credentials")
        for name in backend.scram_hashes():
            first = backend.scram_credentials(account, name)
            assert backend.scram_credentials(account, name) == first

    def test_has_no_credentials_of_a_stranger(self, backend: AuthBackend, account: str) -> None:
        self._needs(backend, "scram_credentials")
        for name in SCRAM_HASHES:
            assert backend.scram_credentials(self.stranger, name) is None

    def test_takes_credentials_and_says_which_it_wants(self, backend: AuthBackend) -> None:
        both = {"add_scram", "missing_hashes"}
        assert backend.capabilities & both in (set(), both)

    def test_wants_no_hash_that_every_account_has(
        self, backend: AuthBackend, account: str
    ) -> None:
        self._needs(backend, "missing_hashes")
        assert set(backend.missing_hashes()) <= set(SCRAM_HASHES)
        assert not set(backend.missing_hashes()) & set(backend.scram_hashes())

    def test_credentials_that_are_there_are_not_replaced(
        self, backend: AuthBackend, account: str
    ) -> None:
        self._needs(backend, "add_scram")
        for name in backend.scram_hashes():
            backend.add_scram(account, derive_scram(self.other_password, name, b"", 4096))
        assert self._opens(backend, account, self.password)
        assert not self._opens(backend, account, self.other_password)

    def test_takes_no_credentials_of_a_stranger(self, backend: AuthBackend, account: str) -> None:
        self._needs(backend, "add_scram")
        with pytest.raises(AccountNotFound):
            backend.add_scram(self.stranger, derive_scram(self.password, "SHA-256", b"", 4096))
        assert not self._opens(backend, self.stranger, self.password)

    # Accounts

    def test_knows_which_accounts_exist(self, backend: AuthBackend, account: str) -> None:
        self._needs(backend, "user_exists")
        assert backend.user_exists(account)
        assert not backend.user_exists(self.stranger)

    def test_an_account_is_there_as_soon_as_it_is_created(self, backend: AuthBackend) -> None:
        self._needs(backend, "create_user", "user_exists")
        assert not backend.user_exists(self.localpart)
        assert not self._opens(backend, self.localpart, self.password)
        backend.create_user(self.localpart, self.password)
        assert backend.user_exists(self.localpart)
        assert self._opens(backend, self.localpart, self.password)

    def test_does_not_create_an_account_twice(self, backend: AuthBackend, account: str) -> None:
        self._needs(backend, "create_user")
        with pytest.raises(AccountExists):
            backend.create_user(account, self.other_password)
        assert self._opens(backend, account, self.password)
        assert not self._opens(backend, account, self.other_password)

    def test_of_two_who_create_an_account_at_once_one_gets_it(self, backend: AuthBackend) -> None:
        self._needs(backend, "create_user")
        refused: list[str] = []

        def create(password: str) -> None:
            try:
                backend.create_user(self.localpart, password)
            except AccountExists:
                refused.append(password)

        passwords = [self.password, self.other_password]
        gevent.joinall([gevent.spawn(create, password) for password in passwords], timeout=30)
        assert len(refused) == 1
        (chosen,) = set(passwords) - set(refused)
        assert self._opens(backend, self.localpart, chosen)
        assert not self._opens(backend, self.localpart, refused[0])

    def test_a_new_password_replaces_the_old_one(self, backend: AuthBackend, account: str) -> None:
        self._needs(backend, "set_password")
        assert self._opens(backend, account, self.password)
        backend.set_password(account, self.other_password)
        assert not self._opens(backend, account, self.password)
        assert self._opens(backend, account, self.other_password)

    def test_sets_no_password_of_a_stranger(self, backend: AuthBackend, account: str) -> None:
        self._needs(backend, "set_password")
        with pytest.raises(AccountNotFound):
            backend.set_password(self.stranger, self.password)
        assert not self._opens(backend, self.stranger, self.password)

    @pytest.mark.parametrize("bad", ["bell \x07", "x" * (MAX_PASSWORD_OCTETS + 1), "\ud800"])
    def test_a_password_that_cannot_be_sent_is_not_set(
        self, backend: AuthBackend, account: str, bad: str
    ) -> None:
        # What a foreign store takes is its own affair; over SCRAM a client hashes.
        self._needs(backend, "set_password", "scram_credentials")
        with pytest.raises(BadPassword):
            backend.set_password(account, bad)
        assert self._opens(backend, account, self.password)

    def test_a_removed_account_is_gone(self, backend: AuthBackend, account: str) -> None:
        self._needs(backend, "remove_user")
        assert self._opens(backend, account, self.password)
        backend.remove_user(account)
        assert not self._opens(backend, account, self.password)
        if "user_exists" in backend.capabilities:
            assert not backend.user_exists(account)
        with pytest.raises(AccountNotFound):
            backend.remove_user(account)

    def test_an_account_made_again_has_its_new_password_only(
        self, backend: AuthBackend, account: str
    ) -> None:
        self._needs(backend, "remove_user", "create_user")
        assert self._opens(backend, account, self.password)
        backend.remove_user(account)
        backend.create_user(account, self.other_password)
        assert not self._opens(backend, account, self.password)
        assert self._opens(backend, account, self.other_password)

    # Moving

    def test_what_it_exports_opens_the_account_elsewhere(
        self, backend: AuthBackend, account: str
    ) -> None:
        self._needs(backend, "export_credentials")
        kept = backend.export_credentials(account)
        assert kept.password in ("", self.password)
        assert kept
        for credentials in kept.scram:
            assert check_against_scram(self.password, credentials)
        with pytest.raises(AccountNotFound):
            backend.export_credentials(self.stranger)

    def test_an_account_from_elsewhere_has_its_password(self, backend: AuthBackend) -> None:
        self._needs(backend, "import_user")
        scram = derive_scram(self.password, "SHA-1", b"salt from elsewhere", 5000)
        backend.import_user("juliet", Credentials("", (scram,)))
        assert backend.scram_credentials("juliet", "SHA-1") == scram
        assert backend.scram_hashes() == ("SHA-1",)
        backend.import_user("romeo", Credentials(self.other_password))
        assert self._opens(backend, "romeo", self.other_password)
        assert self._opens(backend, "juliet", self.password)
        assert not self._opens(backend, "juliet", self.other_password)

    def test_an_account_from_elsewhere_takes_nobody_s_place(
        self, backend: AuthBackend, account: str
    ) -> None:
        self._needs(backend, "import_user")
        with pytest.raises(AccountExists):
            backend.import_user(account, Credentials(self.other_password))
        assert self._opens(backend, account, self.password)

    def test_an_account_from_elsewhere_needs_a_password(self, backend: AuthBackend) -> None:
        self._needs(backend, "import_user")
        with pytest.raises(BadPassword):
            backend.import_user("juliet", Credentials())

    # All accounts

    def test_lists_accounts_in_the_order_of_code_points(self, backend: AuthBackend) -> None:
        self._needs(backend, "users", "create_user")
        names = ["a_b", "aab", "benvolio", "éponine", "z", "ωmega", "𠮷"]
        for name in reversed(names):
            backend.create_user(name, self.password)
        assert backend.users() == sorted(names)

    def test_lists_accounts_page_by_page(self, backend: AuthBackend) -> None:
        self._needs(backend, "users", "create_user")
        for name in ("benvolio", "juliet", "mercutio"):
            backend.create_user(name, self.password)
        assert backend.users(limit=2) == ["benvolio", "juliet"]
        assert backend.users("juliet", 2) == ["mercutio"]
        assert backend.users("mercutio", 2) == []

    def test_counts_its_accounts(self, backend: AuthBackend) -> None:
        self._needs(backend, "count_users", "create_user", "remove_user")
        assert backend.count_users() == 0
        backend.create_user("juliet", self.password)
        backend.create_user("romeo", self.password)
        assert backend.count_users() == 2
        backend.remove_user("romeo")
        assert backend.count_users() == 1
