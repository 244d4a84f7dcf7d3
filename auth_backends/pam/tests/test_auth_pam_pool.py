"""Helper processes that do not do what they should, and what they are told."""

import subprocess
import sys

import pytest

from stonechat.auth import AuthUnavailable
from stonechat_auth_pam import wire
from stonechat_auth_pam.pool import HelperPool
from stonechat_auth_pam.wire import Kind, Verdict

QUESTION = wire.request(Kind.CHECK, "juliet", "R0m30")
HELLO = "import os, sys, time; os.write(1, b'stonechat-pam 1\\n'); "
READ = f"os.read(0, {len(QUESTION)}); "


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pool(clock):
    pools = []

    def make(script, seconds=10.0, size=1):
        command = [sys.executable, "-I", "-S", "-c", script]
        pools.append(HelperPool(command, size=size, seconds=seconds, clock=clock))
        return pools[-1]

    yield make
    for pool in pools:
        pool.stop()


def test_an_answer_comes_with_its_reason(pool):
    helper = pool(HELLO + READ + "os.write(1, b'\\0\\0\\4away'); time.sleep(600)")
    assert helper.ask(QUESTION) == (Verdict.NO, "away")


def test_an_answer_may_come_octet_by_octet(pool):
    script = HELLO + READ + "[os.write(1, bytes([b])) for b in b'\\1\\0\\2ok']; time.sleep(600)"
    assert pool(script).ask(QUESTION) == (Verdict.YES, "ok")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("", "is gone"),
        ("print('sudo: a password is required')", "is no helper|is gone"),
        ("import sys; sys.exit('sudo: a password is required')", "sudo: a password is required"),
        (HELLO + "os.close(0); sys.exit('no module')", "no module"),
        (HELLO + READ + "os.write(1, b'\\1')", "is gone"),
        (HELLO + READ + "os.write(1, b'\\7\\0\\0'); time.sleep(600)", "7 is not a valid"),
        (HELLO + READ + "os.write(1, b'\\1\\xff\\xff'); time.sleep(600)", "too long"),
    ],
)
def test_a_helper_that_fails_is_ended_and_its_reason_told(pool, clock, script, reason):
    helpers = pool(script)
    with pytest.raises(AuthUnavailable, match=reason):
        helpers.ask(QUESTION)
    assert helpers.pids == []
    with pytest.raises(AuthUnavailable, match="replaced soon"):
        helpers.ask(QUESTION)
    clock.now += 1
    with pytest.raises(AuthUnavailable, match=reason):
        helpers.ask(QUESTION)


@pytest.mark.parametrize("script", ["import time; time.sleep(600)", HELLO + "time.sleep(600)"])
def test_a_helper_that_hangs_is_ended(pool, script):
    helpers = pool(script, seconds=0.5)
    with pytest.raises(AuthUnavailable, match=r"not answered in 0\.5 s"):
        helpers.ask(QUESTION)
    assert helpers.pids == []


def test_an_answer_too_many_is_not_taken_for_the_next_one(pool):
    # Nothing tells it from the answer to a question that comes at once, so a helper of ours
    # never does; of one that does, the next answer is no worse than a no.
    helpers = pool(HELLO + READ + "os.write(1, b'\\0\\0\\0\\0\\0\\0'); time.sleep(600)")
    assert helpers.ask(QUESTION) == (Verdict.NO, "")
    assert helpers.ask(QUESTION) == (Verdict.NO, "")


def test_what_cannot_be_started_is_told_of(clock):
    helpers = HelperPool(["stonechat-of-nobody"], size=1, seconds=5, clock=clock)
    with pytest.raises(AuthUnavailable, match="stonechat-of-nobody cannot be started"):
        helpers.ask(QUESTION)


# The wire


def reader(octets, at_a_time=1):
    parts = [octets[i : i + at_a_time] for i in range(0, len(octets), at_a_time)]
    return lambda size: parts.pop(0)[:size] if parts else b""


def test_a_request_comes_as_it_was_sent():
    octets = wire.request(Kind.CHECK, "ωmega", "a:b\n😀")
    assert wire.read_request(reader(octets)) == (
        Kind.CHECK,
        "ωmega".encode(),
        "a:b\n😀".encode(),
    )


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("x" * 3072, ""),
        ("juliet", "x" * 8193),
        ("jul\0iet", "x"),
        ("juliet", "x\0"),
        ("\ud800", ""),
    ],
)
def test_what_no_account_can_have_is_not_asked(name, password):
    with pytest.raises(ValueError, match=r"no name|surrogates"):
        wire.request(Kind.CHECK, name, password)


def test_a_request_that_is_cut_short_or_too_long_is_refused():
    with pytest.raises(EOFError):
        wire.read_request(reader(QUESTION[:-1]))
    with pytest.raises(ValueError, match="too long"):
        wire.read_request(reader(wire.REQUEST.pack(1, 65535, 0)))
    with pytest.raises(ValueError, match="not a valid"):
        wire.read_request(reader(wire.REQUEST.pack(9, 0, 0)))


def test_a_helper_does_not_load_the_server():
    loaded = subprocess.run(
        [
            sys.executable,
            "-I",
            "-c",
            "import stonechat_auth_pam.helper, sys; print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"gevent", "stonechat", "pydantic", "sqlalchemy"} & set(loaded)
