"""Programs that hang, die, talk nonsense or do not end (robustness rule 21, promise R7)."""

import os
import select
import sys
from pathlib import Path

import gevent
import pytest

from stonechat.auth import AuthUnavailable
from stonechat.testing import until
from stonechat_auth_external import Backend, Options
from stonechat_auth_external.pool import MAX_WAITING
from stonechat_auth_external.relay import LINES_PER_MINUTE, LONGEST_LINE, Relay

HERE = Path(__file__).parent
PASSWORD = "R0m30 & Juliet"


class Bystander:
    def __init__(self, host, options):
        self.host = host


class World:
    """A backend over the faulty program, and what that has noted."""

    def __init__(self, server, directory, *arguments, **options):
        self.server = server
        self.directory = directory
        self.notes_file = directory / "notes"
        face = server.host("capulet.example", plugin_classes={"bystander": Bystander})
        options = {
            "command": [sys.executable, str(HERE / "faulty_program.py"), "notes", *arguments],
            "instances": 1,
            **options,
        }
        self.backend = Backend(
            face.plugin("bystander").host,
            Options.model_validate(options, context={"directory": directory}),
        )
        self.backend.start()

    def notes(self, word):
        lines = self.notes_file.read_text().splitlines() if self.notes_file.exists() else []
        return [line.split() for line in lines if word in line.split()]

    def starts(self, number):
        """The pids, once the program was started so often."""
        return until(
            lambda: len(found := [int(n[1]) for n in self.notes("start")]) >= number and found,
            f"start number {number}",
        )

    def check(self, name, password=PASSWORD):
        return self.backend.check_password(name, password)

    def fails(self, name):
        with pytest.raises(AuthUnavailable):
            self.check(name)

    def asked(self, name):
        until(lambda: self.notes(name), f"request for {name}")

    def has_no_child(self):
        until(lambda: not self.backend._pool._workers[0].process, "end of the child")

    def pass_a_second(self):
        """The next child may be started."""
        self.server.clock.advance(1)

    def warnings(self):
        return self.server.logged("the program failed")


@pytest.fixture
def make(server, tmp_path):
    worlds = []

    def make_world(*arguments, **options):
        world = World(server, tmp_path, *arguments, **options)
        worlds.append(world)
        return world

    yield make_world
    for world in worlds:
        world.backend.stop()


@pytest.fixture
def world(make):
    return make()


def is_gone(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def test_answers_yes_and_no(world):
    assert world.check("juliet")
    assert not world.check("juliet", "P4r1s")
    assert len(world.starts(1)) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("die", "status 7"),
        ("killed", "signal 9"),
        ("close", "closed its output"),
        ("half", "status 0"),
        ("too-long", "no answer"),
        ("text", "no answer"),
        ("two", "no answer"),
        ("twice", "no answer"),
        ("flood", "no answer"),
    ],
)
def test_whatever_is_no_answer_fails_the_request_and_replaces_the_child(world, name, reason):
    world.fails(name)
    (warning,) = until(world.warnings, "warning")
    assert reason in warning["reason"]
    world.pass_a_second()
    assert world.check("juliet")
    first, second = world.starts(2)
    assert first != second
    until(lambda: is_gone(first), "end of the first child")


def test_a_child_that_hangs_is_killed_and_replaced(world):
    waiting = gevent.spawn(world.fails, "hang")
    world.asked("hang")
    world.server.clock.advance(4.9)
    assert not waiting.dead
    world.server.clock.advance(0.2)
    waiting.get(timeout=30)
    # It had lived for longer than a second: the next one comes at once.
    assert world.check("juliet")
    assert is_gone(world.starts(2)[0])
    (warning,) = world.warnings()
    assert warning["reason"] == "it did not answer in 5 s"


def test_a_child_is_killed_with_all_that_it_has_started(world):
    waiting = gevent.spawn(world.fails, "hang-in-child")
    until(lambda: world.notes("grandchild"), "grandchild")
    world.server.clock.advance(5.1)
    waiting.get(timeout=30)
    (grandchild,) = world.notes("grandchild")
    until(lambda: is_gone(int(grandchild[1])), "end of the grandchild")


def test_a_second_answer_is_not_the_answer_to_the_next_request(world):
    assert world.check("twice-later")
    until(world.warnings, "warning")
    world.pass_a_second()
    assert not world.check("juliet", "P4r1s")
    assert world.warnings()[0]["reason"] == "it wrote without being asked"


def test_nor_is_it_where_the_next_request_comes_before_anybody_has_read_it(world):
    assert world.check("twice-later")
    (worker,) = world.backend._pool._workers
    # Without giving way: the answer that nobody asked for lies in the pipe.
    assert select.select([worker.process._output], [], [], 30)[0]
    waiting = gevent.spawn(world.check, "juliet", "P4r1s")
    until(world.warnings, "warning")
    world.pass_a_second()
    assert waiting.get(timeout=30) is False


def test_what_is_said_before_any_request_is_no_answer(make):
    world = make("speak-at-once")
    waiting = gevent.spawn(world.fails, "juliet")
    until(world.warnings, "warning")
    assert world.notes("auth") == [] or waiting.dead
    world.server.clock.advance(5.1)
    waiting.get(timeout=30)


def test_an_answer_may_come_octet_by_octet(world):
    assert world.check("bit-by-bit")
    assert world.check("juliet")
    assert len(world.starts(1)) == 1


def test_a_child_that_has_died_meanwhile_is_replaced_before_anybody_asks(world):
    assert world.check("juliet")
    (first,) = world.starts(1)
    world.pass_a_second()
    os.kill(first, 9)
    assert world.starts(2)[1] != first
    assert world.check("juliet")


def test_a_child_that_dies_after_its_answer_has_answered(world):
    assert world.check("answer-and-die")
    world.has_no_child()
    world.pass_a_second()
    assert world.check("juliet")


def test_no_child_is_started_more_than_once_a_second(world):
    for number in range(1, 4):
        world.fails("die")
        assert len(world.starts(number)) == number
        world.server.clock.advance(0.8)
        assert len(world.notes("start")) == number
        world.server.clock.advance(0.3)
        world.starts(number + 1)


def test_a_program_that_keeps_dying_is_told_of_once_a_minute(make):
    world = make("die-at-once")
    for number in range(1, 10):
        world.starts(number)
        world.has_no_child()
        world.pass_a_second()
    (warning,) = world.warnings()
    assert warning["reason"] == "it ended with status 3"
    world.server.clock.advance(60)
    until(lambda: len(world.warnings()) == 2, "second warning")
    assert world.warnings()[1]["times_before"] >= 7


def test_a_program_that_has_gone_missing_is_looked_for_again(make, tmp_path):
    program = tmp_path / "program.py"
    program.write_text((HERE / "faulty_program.py").read_text())
    program.chmod(0o700)
    world = make(command=[str(program), "notes"])
    assert world.check("juliet")
    program.rename(tmp_path / "away.py")
    world.fails("die")
    world.has_no_child()
    world.pass_a_second()
    until(lambda: world.backend._pool._untold, "start that failed")
    waiting = gevent.spawn(world.check, "juliet")
    gevent.sleep(0)
    (tmp_path / "away.py").rename(program)
    world.pass_a_second()
    assert waiting.get(timeout=30)
    world.server.clock.advance(60)
    world.fails("die")
    until(lambda: len(world.warnings()) == 2, "second warning")
    assert world.warnings()[1]["times_before"] == 1


# Several children


def test_requests_are_spread_over_those_that_are_free(make):
    world = make(instances=3)
    world.starts(3)
    until(lambda: len(world.backend._pool._free) == 3, "three free children")
    for _ in range(6):
        assert world.check("juliet")
    pids = [note[0] for note in world.notes("juliet")]
    assert len(set(pids)) == 3
    assert pids[:3] == pids[3:]


def test_while_one_hangs_the_others_answer(make):
    world = make(instances=2)
    world.starts(2)
    waiting = gevent.spawn(world.fails, "hang")
    world.asked("hang")
    for _ in range(3):
        assert world.check("juliet")
    world.server.clock.advance(5.1)
    waiting.get(timeout=30)


def test_who_finds_nobody_free_waits_in_line(world):
    first = gevent.spawn(world.check, "slow-answer")
    world.asked("slow-answer")
    others = [gevent.spawn(world.check, f"guest{number}") for number in range(3)]
    gevent.sleep(0)
    assert world.notes("guest0") == []
    (world.directory / "notes.go").touch()
    assert first.get(timeout=30)
    assert all(other.get(timeout=30) for other in others)
    assert [note[2] for note in world.notes("auth")][1:] == ["guest0", "guest1", "guest2"]


def test_the_line_has_an_end_and_nobody_stands_in_it_for_long(world):
    gevent.spawn(world.fails, "hang")
    world.asked("hang")
    line = [gevent.spawn(world.fails, f"guest{number}") for number in range(MAX_WAITING)]
    gevent.sleep(0)
    with pytest.raises(AuthUnavailable, match="64 requests wait"):
        world.check("one-too-many")
    world.server.clock.advance(4.9)
    assert not any(greenlet.dead for greenlet in line)
    world.server.clock.advance(0.2)
    gevent.joinall(line, timeout=30, raise_error=True)


def test_who_does_not_wait_any_longer_costs_no_child_its_life(world):
    waiting = gevent.spawn(world.check, "slow-answer")
    world.asked("slow-answer")
    waiting.kill()
    (world.directory / "notes.go").touch()
    # The late answer was for the one who has gone.
    assert not world.check("juliet", "P4r1s")
    assert len(world.notes("start")) == 1


def test_who_has_left_the_line_is_not_asked_for(world):
    first = gevent.spawn(world.check, "slow-answer")
    world.asked("slow-answer")
    waiting = gevent.spawn(world.check, "impatient")
    gevent.sleep(0)
    waiting.kill()
    (world.directory / "notes.go").touch()
    assert first.get(timeout=30)
    assert world.check("juliet")
    assert world.notes("impatient") == []


# What children get of us, and when they end


def test_a_child_has_no_descriptors_and_no_variables_of_ours(make, monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    with (tmp_path / "ours").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        world = make("show-surroundings")
        assert world.check("juliet")
    (environment,) = world.notes("environment")
    assert set(environment[1:]) <= {"HOME", "LANG", "LC_CTYPE", "PATH", "TMPDIR", "TZ"}
    # Standard input, output and error, its notes, and the directory that it lists.
    assert world.notes("files") == [["files", "5"]]
    assert world.notes("cwd") == [["cwd", str(tmp_path)]]


def test_children_end_with_the_backend(make):
    world = make(instances=2)
    pids = world.starts(2)
    assert world.check("juliet")
    world.backend.stop()
    assert all(is_gone(pid) for pid in pids)
    world.server.clock.advance(5)
    assert len(world.notes("start")) == 2
    assert world.warnings() == []


def test_a_child_that_does_not_want_to_end_is_killed(make):
    world = make("ignore-term")
    gevent.spawn(world.fails, "hang")
    world.asked("hang")
    (pid,) = world.starts(1)
    world.backend.stop()
    until(lambda: is_gone(pid), "end of the child")


def test_nothing_stays_open(make, server):
    server.host("montague.example")
    before = len(os.listdir("/proc/self/fd"))
    world = make()
    for _ in range(3):
        world.fails("die")
        world.pass_a_second()
        assert world.check("juliet")
    world.backend.stop()
    until(lambda: len(os.listdir("/proc/self/fd")) <= before, "end of all descriptors")


# What it says to standard error


def test_standard_error_goes_to_the_log_line_by_line(world):
    assert not world.check("complain")
    lines = until(
        lambda: len(found := world.server.logged("the program says")) == 2 and found, "lines"
    )
    assert lines[0]["line"] == r"bad \x1b[31mred\x07 line\rwith \u202e more"
    assert lines[1]["line"] == "x" * LONGEST_LINE + "…"
    world.backend.stop()
    until(lambda: len(world.server.logged("the program says")) == 3, "the rest")


def test_who_complains_without_end_fills_no_log(world):
    assert not world.check("complain-without-end")
    assert not world.check("complain-without-end")
    world.backend.stop()
    (more,) = until(lambda: world.server.logged("the program says more"), "last words")
    assert len(world.server.logged("the program says")) == LINES_PER_MINUTE
    assert more["lines"] == 20_000 - LINES_PER_MINUTE


def test_lines_may_come_in_pieces_and_need_not_be_text():
    lines, now = [], [0.0]
    relay = Relay(lambda text, **fields: lines.append(fields), 7, clock=lambda: now[0])
    for octets in (b"wo", b"e\r", b"\n\n\xff", b"\n", b"end"):
        relay.heard(octets)
    relay.ended()
    assert [line["line"] for line in lines] == ["woe", r"\xff", "end"]
    relay.heard(b"x\n" * 100)
    now[0] += 60
    relay.heard(b"later\n")
    assert lines[-2] == {"lines": 100 - LINES_PER_MINUTE, "pid": 7}
    assert lines[-1]["line"] == "later"
