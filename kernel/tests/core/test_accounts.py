"""The accounts of a host over several backends: who is asked, who counts, who waits."""

import base64
import hashlib
import hmac
import logging
import operator

import gevent
import pytest
from gevent.event import Event

from stonechat.auth import (
    AccountExists,
    AccountNotFound,
    AuthBackend,
    AuthUnavailable,
    BadPassword,
    Unsupported,
    derive_scram,
)
from stonechat.core import accounts as accounts_module
from stonechat.core import auth_chain
from stonechat.core.accounts import HostAccounts
from stonechat.core.throttle import LoginThrottle
from stonechat.errors import SaslFailure, StorageError
from stonechat.jid import JID
from stonechat.options import PluginOptions
from stonechat.protocol.sasl import SaslExchange, mechanism_maker
from stonechat.sasl import SaslFailed, SaslSuccess
from stonechat.storage import StorageUncertain

SECRET = b"a secret of the cluster"
HOME = "192.0.2.1"
AWAY = "198.51.100.7"
JULIET = JID.parse("juliet@capulet.example")


class _Backend(AuthBackend):
    """A store in memory; `fault` is what it raises while it is set."""

    def __init__(self, **passwords):
        super().__init__(None, PluginOptions())
        self.passwords = passwords
        self.calls = []
        self.fault = None

    def called(self, deed):
        self.calls.append(deed)
        if self.fault is not None:
            raise self.fault


class PlainBackend(_Backend):
    """Like a directory: it tells whether a password is right, and who is there."""

    def check_password(self, localpart, password):
        self.called("check_password")
        return self.passwords.get(localpart) == password

    def user_exists(self, localpart):
        self.called("user_exists")
        return localpart in self.passwords


class OnlyCheckBackend(_Backend):
    def check_password(self, localpart, password):
        self.called("check_password")
        return self.passwords.get(localpart) == password


class ScramBackend(_Backend):
    """Only SCRAM credentials."""

    hashes = ("SHA-256",)

    def scram_hashes(self):
        if self.fault is not None:
            raise self.fault
        return self.hashes

    def scram_credentials(self, localpart, hash_name):
        self.called("scram_credentials")
        if localpart not in self.passwords or hash_name not in self.hashes:
            return None
        return derive_scram(self.passwords[localpart], hash_name, b"salt", 4096)


class FullBackend(PlainBackend, ScramBackend):
    """All that there is."""

    hashes = ("SHA-1", "SHA-256", "SHA-512")

    def create_user(self, localpart, password):
        self.called("create_user")
        if localpart in self.passwords:
            raise AccountExists(localpart)
        self.passwords[localpart] = password

    def remove_user(self, localpart):
        self.called("remove_user")
        if localpart not in self.passwords:
            raise AccountNotFound(localpart)
        del self.passwords[localpart]

    def set_password(self, localpart, password):
        self.called("set_password")
        self.passwords[localpart] = password

    def users(self, after="", limit=1000):
        self.called("users")
        return sorted(name for name in self.passwords if name > after)[:limit]

    def count_users(self):
        self.called("count_users")
        return len(self.passwords)


class World:
    """Accounts with all that they are given, and what they did with it."""

    def __init__(self, *backends, domain="capulet.example", secret=SECRET, told_of_removal=()):
        self.now = 0.0
        self.events = []
        self.waits = []
        self.blocking = []
        self.also_remove = list(told_of_removal)
        self.throttle = LoginThrottle(self.clock)
        self.accounts = HostAccounts(
            domain,
            [(f"backend{number}", backend) for number, backend in enumerate(backends)],
            secret=secret,
            run_blocking=self.run_blocking,
            on_created=lambda account: self.note("created", account),
            on_removed=self.removed,
            on_password_changed=lambda account: self.note("password", account),
            throttle=self.throttle,
            clock=self.clock,
        )

    def clock(self):
        return self.now

    def note(self, event, account):
        self.events.append((event, account))

    def removed(self, account):
        self.note("removed", account)
        if self.also_remove:
            self.accounts.remove(self.also_remove.pop())

    def run_blocking(self, call, *arguments):
        self.blocking.append(call.__name__)
        return call(*arguments)

    def exchange(self, address=HOME, certificate=()):
        offered = self.accounts.mechanisms(
            tls=True,
            allow_plain_without_tls=False,
            bindings={},
            certificate_accounts=bool(certificate),
        )
        lookup = self.accounts.lookup(address, certificate)
        make = mechanism_maker("capulet.example", lookup, offered=offered, bindings={})
        exchange = SaslExchange(offered, make, failure_limit=100)
        exchange.lookup = lookup
        return exchange

    def conclude(self, exchange, event, address=HOME):
        """What a stream does with the outcome; gives the condition, or "" for a success."""
        is_right = isinstance(event, SaslSuccess)
        try:
            pause = exchange.lookup.judge(is_right=is_right)
        except SaslFailure as failure:
            return failure.condition
        if pause:
            self.waits.append(pause)
            self.now += pause
        if is_right:
            self.accounts.login_succeeded(event.account.localpart, address)
        return "" if is_right else event.failure.condition

    def log_in(self, localpart, password, address=HOME):
        """By PLAIN, as a stream does it; gives the condition, or "" for a success."""
        exchange = self.exchange(address)
        return self.conclude(exchange, plain(exchange, localpart, password), address)


def plain(exchange, localpart, password):
    text = base64.b64encode(f"\0{localpart}\0{password}".encode()).decode()
    return exchange.begin("PLAIN", text)


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


# Changes


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


def test_an_account_is_gone_before_its_sessions_are_closed_and_its_data_cleared():
    backend = FullBackend(juliet="j")
    world = World(backend)
    world.note = lambda event, account: world.events.append((event, account, *backend.passwords))
    world.accounts.remove("juliet")
    assert world.events == [("removed", JULIET)]


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
        world.accounts.remove("juliet")
    with pytest.raises(error):
        world.accounts.set_password("juliet", "x")
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
    class ListBackend(_Backend):
        def users(self, after="", limit=1000):
            return sorted(name for name in self.passwords if name > after)[:limit]

    monkeypatch.setattr(auth_chain, "PAGE", 2)
    listed = ListBackend(romeo="r", benvolio="b", mercutio="m")
    counted = FullBackend(juliet="j")
    assert World(counted, PlainBackend(tybalt="t"), listed).accounts.count() == 4
    counted.fault = AuthUnavailable("down")
    with pytest.raises(AuthUnavailable):
        World(counted, listed).accounts.count()


# What is offered


def offered(*backends, tls=True, **others):
    return World(*backends).accounts.mechanisms(
        tls=tls,
        allow_plain_without_tls=others.get("allow_plain_without_tls", False),
        bindings=others.get("bindings", {}),
        certificate_accounts=others.get("certificate_accounts", False),
    )


def test_scram_is_offered_with_the_hashes_of_all_backends():
    assert offered(FullBackend(), ScramBackend()) == ("SCRAM-SHA-256", "PLAIN")
    assert World(FullBackend(), ScramBackend()).accounts.scram_hashes() == ("SHA-256",)


def test_scram_is_not_offered_where_it_would_lock_the_users_of_a_backend_out():
    assert offered(FullBackend(), PlainBackend()) == ("PLAIN",)


def test_plain_is_offered_where_one_backend_has_only_scram_and_another_only_passwords():
    assert offered(OnlyCheckBackend(), ScramBackend()) == ("PLAIN",)


def test_a_backend_that_cannot_authenticate_takes_no_mechanism_away():
    class Names(_Backend):
        def user_exists(self, localpart):
            return False

    class NoHashes(ScramBackend):
        hashes = ()

    assert offered(Names(), NoHashes(), ScramBackend()) == ("SCRAM-SHA-256", "PLAIN")
    assert World(Names()).accounts.capabilities == frozenset()
    assert offered(Names()) == offered() == ()


def test_credentials_without_a_word_about_hashes_are_not_offered(caplog):
    class Silent(OnlyCheckBackend):
        def scram_credentials(self, localpart, hash_name):
            return None

    assert offered(Silent()) == ("PLAIN",)
    assert World(Silent()).accounts.capabilities == {"check_password"}
    assert not caplog.records


@pytest.mark.parametrize("fault", [AuthUnavailable("down"), LookupError("a bug")])
def test_features_are_made_while_a_backend_is_away(fault):
    backend = FullBackend()
    backend.fault = fault
    assert offered(backend) == ("PLAIN",)


def test_what_the_stream_allows_is_looked_at():
    bindings = {"tls-exporter": b"x"}
    assert offered(ScramBackend(), bindings=bindings, certificate_accounts=True) == (
        "EXTERNAL",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-256",
        "PLAIN",
    )
    assert offered(OnlyCheckBackend(), tls=False) == ()
    assert offered(OnlyCheckBackend(), tls=False, allow_plain_without_tls=True) == ("PLAIN",)


# Logging in


def scram(world, localpart, password, address=HOME):
    """Log in by SCRAM-SHA-256; gives the salt, and the condition, or "" for a success."""
    exchange = world.exchange(address)
    bare = f"n={localpart},r=fyko"
    event = exchange.begin("SCRAM-SHA-256", base64.b64encode(f"n,,{bare}".encode()).decode())
    if isinstance(event, SaslFailed):
        return "", world.conclude(exchange, event, address)
    challenge = base64.b64decode(event.text).decode()
    nonce, salt, iterations = (part[2:] for part in challenge.split(",")[:3])
    salted = hashlib.pbkdf2_hmac(
        "sha256", password.encode(), base64.b64decode(salt), int(iterations)
    )
    final = f"c=biws,r={nonce}"
    key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(
        hashlib.sha256(key).digest(), f"{bare},{challenge},{final}".encode(), "sha256"
    )
    proof = base64.b64encode(bytes(map(operator.xor, key, signature))).decode()
    event = exchange.respond(base64.b64encode(f"{final},p={proof}".encode()).decode())
    return salt, world.conclude(exchange, event, address)


def test_scram_works_with_the_credentials_of_any_backend():
    world = World(ScramBackend(juliet="j"), FullBackend(romeo="r"))
    assert scram(world, "juliet", "j")[1] == ""
    assert scram(world, "romeo", "r")[1] == ""
    assert scram(world, "romeo", "x")[1] == "not-authorized"


def test_an_unknown_account_has_one_salt_for_ever_and_another_one_on_another_host():
    first, again = World(ScramBackend()), World(ScramBackend())
    salt, condition = scram(first, "nobody", "x")
    assert condition == "not-authorized"
    assert scram(again, "nobody", "x")[0] == salt
    assert scram(again, "somebody", "x")[0] != salt
    other = World(ScramBackend(), domain="montague.example").accounts.lookup(HOME, ())
    decoy = other.decoy_credentials("nobody", "SHA-256")
    assert base64.b64encode(decoy.salt).decode() != salt
    other = World(ScramBackend(), secret=b"another").accounts.lookup(HOME, ())
    decoy = other.decoy_credentials("nobody", "SHA-256")
    assert base64.b64encode(decoy.salt).decode() != salt


def test_scram_while_a_backend_is_away_is_a_failure_for_now():
    away = FullBackend()
    world = World(away, FullBackend(juliet="j"))
    lookup = world.accounts.lookup(HOME, ())
    away.fault = AuthUnavailable("down")
    assert lookup.scram_credentials("juliet", "SHA-256") is not None
    with pytest.raises(AuthUnavailable):
        lookup.scram_credentials("romeo", "SHA-256")


@pytest.mark.parametrize("localpart", ["juliet", "nobody"])
@pytest.mark.parametrize("mechanism", ["plain", "scram"])
def test_known_and_unknown_accounts_wait_longer_each_time_and_are_locked(localpart, mechanism):
    backend = ScramBackend(juliet="j")
    world = World(backend)

    def guess():
        if mechanism == "plain":
            return world.log_in(localpart, "wrong")
        return scram(world, localpart, "wrong")[1]

    assert [guess() for _ in range(20)] == ["not-authorized"] * 20
    assert world.waits == [0.5, 1, 2, 4, 8] + [10] * 13
    backend.calls.clear()
    assert guess() == "temporary-auth-failure"
    assert backend.calls == []
    assert len(world.waits) == 18


def test_a_lock_refuses_the_right_password_too_but_not_elsewhere_nor_later():
    world = World(OnlyCheckBackend(juliet="j"))
    for _ in range(20):
        world.log_in("juliet", "wrong")
    assert world.log_in("juliet", "j") == "temporary-auth-failure"
    assert world.log_in("juliet", "j", AWAY) == ""
    world.now += 600
    assert world.log_in("juliet", "j") == ""


def test_a_success_ends_the_pauses():
    world = World(OnlyCheckBackend(juliet="j"))
    for password in ("x", "x", "j", "x", "x"):
        world.log_in("juliet", password)
    assert world.waits == [0.5]


def test_who_is_right_at_last_waits_like_who_is_not():
    world = World(OnlyCheckBackend(juliet="j"))
    for _ in range(4):
        world.log_in("juliet", "wrong")
    assert world.waits == [0.5, 1]
    assert world.log_in("juliet", "j") == ""
    assert world.waits[2:] == [2]


@pytest.mark.parametrize("first", ["right", "wrong"])
def test_of_guesses_made_at_once_twenty_are_answered_and_then_nobody_learns_anything(first):
    world = World(OnlyCheckBackend(juliet="j"))
    exchanges = [world.exchange() for _ in range(100)]
    events = [plain(exchange, "juliet", "wrong") for exchange in exchanges]
    late = world.exchange()
    right = plain(late, "juliet", "j")
    assert isinstance(right, SaslSuccess)
    answers = []
    if first == "right":
        answers.append(world.conclude(late, right))
    answers += map(world.conclude, exchanges, events)
    if first == "wrong":
        answers.append(world.conclude(late, right))
        assert answers.pop() == "temporary-auth-failure"
    else:
        assert answers.pop(0) == ""
    assert answers == ["not-authorized"] * 20 + ["temporary-auth-failure"] * 80


def test_a_crowd_of_one_account_is_let_in_at_once():
    world = World(OnlyCheckBackend(juliet="j"))
    exchanges = [world.exchange() for _ in range(100)]
    events = [plain(exchange, "juliet", "j") for exchange in exchanges]
    assert list(map(world.conclude, exchanges, events)) == [""] * 100
    assert world.waits == []


def test_an_attempt_that_was_right_and_is_refused_after_all_counts_and_waits_once():
    world = World(OnlyCheckBackend(juliet="j"))
    for _ in range(2):
        world.log_in("juliet", "wrong")
    exchange = world.exchange()
    plain(exchange, "juliet", "j")
    assert exchange.lookup.judge(is_right=True) == 0.5
    assert exchange.lookup.judge(is_right=False) == 0
    assert world.throttle.delay("juliet", HOME) == 1
    # What comes on the same stream without a guess is none.
    assert exchange.lookup.judge(is_right=False) == 0
    assert world.throttle.delay("juliet", HOME) == 1


def test_an_attempt_that_comes_to_no_guess_is_not_counted():
    world = World(OnlyCheckBackend(juliet="j"))
    assert [world.log_in("juliet", "") for _ in range(30)] == ["not-authorized"] * 30
    assert len(world.throttle) == 0


def test_a_store_that_is_away_is_not_counted_against_the_user():
    backend = OnlyCheckBackend(juliet="j")
    backend.fault = AuthUnavailable("down")
    world = World(backend)
    assert [world.log_in("juliet", "j") for _ in range(30)] == ["temporary-auth-failure"] * 30
    backend.fault = None
    assert world.log_in("juliet", "j") == ""
    assert world.waits == []


@pytest.mark.parametrize("second", [PlainBackend, OnlyCheckBackend, ScramBackend])
def test_passwords_cannot_be_guessed_without_end_while_another_backend_is_away(second):
    away = PlainBackend()
    away.fault = AuthUnavailable("down")
    world = World(away, second(juliet="j"))
    for _ in range(20):
        assert world.log_in("juliet", "wrong") == "temporary-auth-failure"
    assert world.throttle.is_locked("juliet", HOME)


def test_the_users_of_a_backend_that_is_away_are_not_locked_out():
    away = PlainBackend(romeo="r")
    away.fault = AuthUnavailable("down")
    world = World(away, PlainBackend(juliet="j"))
    for _ in range(30):
        assert world.log_in("romeo", "r") == "temporary-auth-failure"
    away.fault = None
    assert world.log_in("romeo", "r") == ""


def test_a_certificate_opens_only_accounts_of_this_host_that_are_there():
    certificate = (
        JULIET,
        JID.parse("romeo@capulet.example"),
        JID.parse("juliet@montague.example"),
        JID.parse("capulet.example"),
    )
    world = World(FullBackend(**{"juliet": "j", "": "nobody"}))
    lookup = world.accounts.lookup(HOME, certificate)
    assert lookup.certificate_accounts() == (JULIET,)
    assert isinstance(world.exchange(certificate=certificate).begin("EXTERNAL", "="), SaslSuccess)
    world.accounts.remove("juliet")
    event = world.exchange(certificate=certificate).begin("EXTERNAL", "=")
    assert event.failure.condition == "not-authorized"
