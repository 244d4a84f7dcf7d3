"""A backend that hangs or is down harms nobody who does not need it (promises R5, R6, R7)."""

import gevent
import pytest
from account_world import FullBackend, PlainBackend, ScramBackend, World
from gevent.event import Event

from stonechat.answer_cache import AnswerCache
from stonechat.auth import AccountExists, AuthUnavailable, Unsupported
from stonechat.core.metrics import render


class HangingBackend(FullBackend):
    """Hangs until `gate` is set; `deadline` is short, for nobody here waits for long."""

    deadline = 0.05

    def __init__(self, **passwords):
        super().__init__(**passwords)
        self.gate = Event()

    def called(self, deed):
        super().called(deed)
        self.gate.wait(10)


def test_a_call_has_a_deadline():
    backend = HangingBackend(juliet="j")
    accounts = World(backend).accounts
    with pytest.raises(AuthUnavailable, match=r"did not answer in 0\.05 s"):
        accounts.check_password("juliet", "j")


@pytest.mark.parametrize("deed", ["create", "set_password", "remove"])
def test_a_change_has_a_deadline(deed):
    backend = HangingBackend(juliet="j")
    backend.called = lambda name: (
        "user" in name and "exists" not in name and HangingBackend.called(backend, name)
    )
    backend.set_password = lambda *arguments: backend.gate.wait(10)
    accounts = World(backend).accounts
    arguments = {"create": ("romeo", "r"), "set_password": ("juliet", "x"), "remove": ("juliet",)}
    with pytest.raises(AuthUnavailable, match="did not answer"):
        getattr(accounts, deed)(*arguments[deed])


def test_a_deadline_of_the_caller_is_the_callers():
    accounts = World(PlainBackend()).accounts
    backend = accounts._chain._backends[0].instance
    backend.check_password = lambda *arguments: gevent.sleep(10)
    with gevent.Timeout(0.01, False) as timeout:
        accounts.check_password("juliet", "j")
    assert not timeout.pending
    assert accounts.backend_figures()[0].calls.failures == 0


def test_a_backend_that_fails_is_left_alone_and_the_others_go_on():
    away, well = PlainBackend(juliet="j"), PlainBackend(romeo="r")
    away.fault = AuthUnavailable("down")
    accounts = World(away, well).accounts
    for _ in range(20):
        assert accounts.check_password("romeo", "r")
    assert away.calls.count("check_password") == 5
    first, second = accounts.backend_figures()
    assert first.calls == (5, 5, 15, 0, True)
    assert second.calls == (20, 0, 0, 0, False)
    with pytest.raises(AuthUnavailable, match="did not answer lately"):
        accounts.check_password("juliet", "j")


def test_only_so_many_wait_in_a_backend_that_hangs():
    backend = HangingBackend(juliet="j")
    backend.deadline, backend.max_waiting = 10, 3
    accounts = World(backend).accounts
    waiting = [gevent.spawn(accounts.check_password, "juliet", "j") for _ in range(3)]
    gevent.sleep(0)
    with pytest.raises(AuthUnavailable, match="3 calls wait"):
        accounts.check_password("juliet", "j")
    backend.gate.set()
    gevent.joinall(waiting, timeout=10)
    assert [greenlet.value for greenlet in waiting] == [True] * 3


def test_hashes_are_named_from_memory_while_nothing_else_is_asked():
    backend = ScramBackend(juliet="j")
    accounts = World(backend).accounts
    backend.fault = AuthUnavailable("down")
    for _ in range(5):
        with pytest.raises(AuthUnavailable):
            accounts.exists("juliet")
        backend.fault = None
        # As for each stream that begins: this says nothing about the store.
        assert accounts.scram_hashes() == ("SHA-256",)
        backend.fault = AuthUnavailable("down")
    assert accounts.backend_figures()[0].calls.is_open
    backend.fault = None
    assert accounts.scram_hashes() == ("SHA-256",)


def test_what_is_remembered_of_a_backend_that_is_away_still_counts():
    away = PlainBackend(juliet="j")
    away.cache = AnswerCache(lambda: 0.0, existence=60, absence=60, password=60)
    away.cache.remember_password("juliet", "j")
    away.cache.remember_existence("juliet", True)
    away.cache.remember_existence("rosaline", False)
    away.fault = AuthUnavailable("down")
    accounts = World(away, PlainBackend(romeo="r")).accounts
    for _ in range(6):
        # Also while it is not even asked.
        assert accounts.check_password("juliet", "j")
        assert accounts.exists("juliet")
        assert not accounts.exists("rosaline")
    assert accounts.backend_figures()[0].calls.is_open
    with pytest.raises(AuthUnavailable):
        accounts.check_password("juliet", "wrong")
    with pytest.raises(AuthUnavailable):
        accounts.exists("mercutio")


def test_what_an_account_store_refuses_is_an_answer_of_a_store_that_is_well():
    class Strict(FullBackend):
        def create_user(self, localpart, password):
            raise AccountExists(localpart)

    accounts = World(Strict()).accounts
    for _ in range(6):
        with pytest.raises(AccountExists):
            accounts.create("juliet", "j")
    assert accounts.backend_figures()[0].calls.failures == 0


def test_a_backend_that_says_unsupported_where_it_claimed_it_could_is_broken(caplog):
    class Liar(PlainBackend):
        def check_password(self, localpart, password):
            raise Unsupported("not really")

    with pytest.raises(AuthUnavailable):
        World(Liar()).accounts.check_password("juliet", "j")
    assert "failed" in caplog.text


def test_a_bug_in_a_change_is_logged_and_told_as_what_may_have_been_done(caplog):
    class Broken(FullBackend):
        def set_password(self, localpart, password):
            raise RuntimeError("a bug")

    world = World(Broken(juliet="j"))
    with pytest.raises(AuthUnavailable):
        world.accounts.set_password("juliet", "x")
    assert "a bug" in caplog.text
    assert [event for event, _ in world.events] == ["password"]


def test_metrics_tell_how_backends_do(server):
    host = server.host("capulet.example")
    host.create_account("juliet", "R0m30")
    backend = host.kernel.accounts._chain._backends[0].instance
    backend.cache = AnswerCache(server.clock.monotonic, existence=60, absence=0, password=0)
    backend.cache.remember_existence("juliet", True)
    text = render(server.kernel)
    labels = '{host="capulet.example",backend="testing"}'
    for line in (
        f"stonechat_auth_up{labels} 1",
        f"stonechat_auth_waiting{labels} 0",
        f"stonechat_auth_failures_total{labels} 0",
        f"stonechat_auth_refused_total{labels} 0",
        f"stonechat_auth_cache_entries{labels} 1",
        f"stonechat_auth_cache_hits_total{labels} 0",
    ):
        assert line in text.splitlines()
    assert f"stonechat_auth_calls_total{labels} 0" not in text
