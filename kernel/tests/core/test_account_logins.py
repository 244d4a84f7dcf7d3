"""Logging in over several backends: what is offered, who waits, and who is locked out."""

import base64
import hashlib
import hmac
import operator

import pytest
from account_world import (
    AWAY,
    HOME,
    JULIET,
    FullBackend,
    MemoryBackend,
    OnlyCheckBackend,
    PlainBackend,
    ScramBackend,
    World,
    plain,
)

from stonechat.auth import AuthUnavailable
from stonechat.jid import JID
from stonechat.sasl import SaslFailed, SaslSuccess

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
    class Names(MemoryBackend):
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
    world.now += 1
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
    world.now += 1
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
