"""What an auth backend brings besides answers: mechanisms, hooks, and a word when it is ready."""

from typing import ClassVar

import pytest
from account_world import FullBackend, MemoryBackend, OnlyCheckBackend, PlainBackend, World

from stonechat import hookimpl
from stonechat.auth import AuthBackend, AuthUnavailable
from stonechat.errors import ConfigError, SaslFailure
from stonechat.jid import JID
from stonechat.protocol.sasl import SaslExchange, mechanism_maker
from stonechat.sasl import Mechanism, SaslChallenge, SaslFailed, SaslSuccess, Success

NS_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"


class Kiss(Mechanism):
    """Lets everybody in, as who he says."""

    def step(self, response):
        return Success(self.name_account(response.decode() or "masker"))


class EagerKiss(Kiss):
    may_begin_empty = True


class Kisser(MemoryBackend):
    """A backend without passwords; `names` are those of its mechanisms."""

    names = ("KISS",)
    mechanism = Kiss

    def mechanisms(self):
        self.called("mechanisms")
        return {
            name: lambda lookup, name=name: self.mechanism(name, "capulet.example", lookup)
            for name in self.names
        }


def offered(*backends):
    return World(*backends).accounts.mechanisms(
        tls=True, allow_plain_without_tls=False, bindings={}, certificate_accounts=False
    )


# Mechanisms


def test_mechanisms_of_backends_are_offered_last_and_take_none_away():
    assert offered(Kisser(), PlainBackend()) == ("PLAIN", "KISS")
    assert offered(FullBackend(), Kisser())[-2:] == ("PLAIN", "KISS")
    assert offered(Kisser()) == ("KISS",)


def test_nobody_takes_the_name_of_a_mechanism_of_the_kernel():
    backend = Kisser()
    backend.names = ("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-512-PLUS", "EXTERNAL", "KISS")
    assert offered(backend) == ("KISS",)
    world = World(backend, PlainBackend(juliet="R0m30"))
    assert world.log_in("juliet", "wrong") == "not-authorized"
    assert world.log_in("juliet", "R0m30") == ""


def test_of_two_backends_with_a_mechanism_the_first_one_has_it():
    first, second = Kisser(), Kisser()
    second.mechanism = EagerKiss
    made = World(first, second).accounts.brought_mechanisms()["KISS"](None)
    assert type(made) is Kiss


@pytest.mark.parametrize("fault", [AuthUnavailable("down"), LookupError("a bug")])
def test_while_one_cannot_say_the_mechanisms_of_the_others_are_offered(fault):
    broken = Kisser()
    broken.fault = fault
    assert offered(broken, PlainBackend()) == ("PLAIN",)


def exchange_of(mechanism):
    make = mechanism_maker(
        "capulet.example",
        None,
        offered=("KISS",),
        bindings={},
        brought={"KISS": lambda lookup: mechanism("KISS", "capulet.example", lookup)},
    )
    return SaslExchange(("KISS",), make)


def test_a_client_is_asked_for_the_response_that_it_did_not_send():
    exchange = exchange_of(Kiss)
    assert exchange.begin("KISS", "") == SaslChallenge("")
    assert isinstance(exchange.respond("="), SaslSuccess)


def test_a_mechanism_may_begin_without_a_response():
    event = exchange_of(EagerKiss).begin("KISS", "")
    assert event.account == JID.parse("masker@capulet.example")


def test_a_mechanism_that_is_gone_since_it_was_offered_is_refused():
    make = mechanism_maker("capulet.example", None, offered=("KISS",), bindings={})
    with pytest.raises(SaslFailure, match="not offered any more"):
        make("KISS")
    event = SaslExchange(("KISS",), make).begin("KISS", "=")
    assert isinstance(event, SaslFailed)
    assert event.failure.condition == "invalid-mechanism"


# Who may have an account


def test_an_account_may_exist_where_a_backend_has_it_or_cannot_tell():
    assert World(PlainBackend(juliet="j")).accounts.may_exist("juliet")
    assert not World(PlainBackend(juliet="j")).accounts.may_exist("romeo")
    assert World(PlainBackend(), OnlyCheckBackend()).accounts.may_exist("romeo")
    away = PlainBackend()
    away.fault = AuthUnavailable("away")
    with pytest.raises(AuthUnavailable):
        World(away).accounts.may_exist("romeo")


# At work on a host


class Herald(AuthBackend):
    """Writes down what it is told."""

    told: ClassVar[list] = []  # of all that were made in a test

    def start(self):
        self.told.append(("start", self))

    def ready(self):
        exists = self.host.accounts is self.host._kernel.accounts
        self.told.append(("ready", self) if exists else ("too early", self))

    def user_exists(self, localpart):
        return False

    @hookimpl
    def stonechat_session_bound(self, session):
        self.told.append((session.jid.localpart, self))


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(Herald, "told", [])
    return Herald.told


def test_a_backend_is_told_what_plugins_are_told(server, told):
    server._give("auth", "herald", Herald)
    server.configure(auth=["testing", "herald"])
    server.host("capulet.example").connect("juliet@capulet.example/balcony")
    assert [what for what, _ in told] == ["start", "ready", "juliet"]


def test_with_other_accounts_the_hooks_of_the_old_backends_are_gone(server, told):
    server._give("auth", "herald", Herald)
    server.configure(auth=["testing", "herald"])
    host = server.host("capulet.example")
    kernel = server.kernel
    accounts = kernel.make_accounts(host.kernel, kernel.configuration.hosts["capulet.example"])
    host.connect("juliet@capulet.example/balcony")
    old = told[0][1]
    assert told[-1] == ("juliet", old)
    kernel.stop_accounts(kernel.exchange_accounts(host.kernel, accounts))
    host.connect("juliet@capulet.example/chamber")
    new = kernel.backends_of(accounts)[-1]
    assert new is not old
    assert told[-1] == ("juliet", new)
    assert told.count(("juliet", old)) == 1


def test_a_backend_that_fails_when_it_is_ready_keeps_no_host_from_starting(server):
    class Ill(Herald):
        def ready(self):
            raise LookupError("a bug")

    server.expect_errors()
    server._give("auth", "herald", Ill)
    server.configure(auth=["testing", "herald"])
    assert server.host("capulet.example").connect("juliet@capulet.example")
    assert any("a bug" in error for error in server.errors)


def test_a_backend_with_a_hook_that_does_not_exist_stops_the_start(server):
    class Wrong(Herald):
        @hookimpl
        def stonechat_session_sung(self, session): ...

    server._give("auth", "herald", Wrong)
    server.configure(auth=["testing", "herald"])
    with pytest.raises(ConfigError, match=r"auth herald.*stonechat_session_sung"):
        server.host("capulet.example")
