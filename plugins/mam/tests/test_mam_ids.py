"""Archive ids: in order, never twice, whatever the clock does (robustness promise R10)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat import timestamps
from stonechat_mam import ids
from stonechat_mam.ids import Ids

JULIET = "juliet@capulet.example"
HOUR = 3_600_000_000
NOW = 1_795_000_000_000_000


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=200))
def test_ids_grow_and_bound_their_stamps(steps):
    now = [NOW]
    counter = Ids(lambda: now[0])
    last = 0
    for step in steps:
        now[0] += step
        id_, stamp = counter.next()
        assert id_ > last
        assert ids.first_at(stamp) <= id_ <= ids.last_at(stamp + counter.skew)
        assert abs(stamp - now[0]) < 1000
        last = id_


@given(st.lists(st.integers(0, 10), min_size=1, max_size=100))
def test_the_id_for_a_second_archive_is_of_the_same_moment(steps):
    now = [NOW]
    counter = Ids(lambda: now[0])
    last = 0
    for step in steps:
        now[0] += step
        id_, _ = counter.next()
        beside = counter.beside(id_)
        assert last < id_ < beside
        assert ids.first_at(id_ >> 11) <= id_
        assert beside <= ids.last_at(id_ >> 11)
        last = beside


def test_it_is_not_to_be_had_from_the_first():
    counters = [Ids(lambda: NOW) for _ in range(200)]
    assert len({counter.beside(NOW << 11) for counter in counters}) > 100


def test_ids_of_one_moment_differ_and_do_not_follow_each_other():
    counters = [Ids(lambda: NOW) for _ in range(200)]
    assert len({counter.next()[0] for counter in counters}) > 100


def test_after_a_jump_back_ids_go_on_and_stamps_are_true():
    before = Ids(lambda: NOW)
    last, _ = before.next()
    after = Ids(lambda: NOW - HOUR)
    after.go_on(last, before.skew)
    id_, stamp = after.next()
    assert id_ > last
    assert stamp == NOW - HOUR
    assert HOUR <= after.skew < HOUR + 10


def test_ids_fit_into_a_column_for_the_next_fifty_years():
    id_, _ = Ids(lambda: NOW + 50 * 366 * 24 * HOUR).next()
    assert id_ <= ids.LARGEST
    assert ids.last_at(2**62) == ids.first_at(2**62) == ids.LARGEST


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "+1", "1.0", "1e3", " 1", "01", "x", "²", "1" * 20]
)
def test_what_is_no_id_is_none(text):
    assert ids.read(text) is None


def test_an_id_is_read_as_it_was_written():
    id_, _ = Ids(lambda: NOW).next()
    assert ids.read(str(id_)) == id_
    assert ids.read(str(ids.LARGEST)) == ids.LARGEST
    assert ids.read(str(ids.LARGEST + 1)) is None


def test_the_order_stays_when_the_clock_is_set_back_while_the_server_is_stopped(
    server, capulet, ask
):
    def say(*texts):
        juliet = capulet.connect(f"{JULIET}/balcony")
        for text in texts:
            juliet.message(JULIET, text)
            server.clock.advance(60)
        return juliet

    say("1", "2")
    server.restart()
    server.clock.jump(-3600)
    server.restart()
    juliet = say("3", "4")
    answer = ask(juliet)
    assert answer.bodies == ["1", "2", "3", "4"]
    assert len(set(answer.ids)) == 4
    stamps = [result.stamp for result in answer.results]
    # Each says when it was, by the clock of that time.
    assert stamps[2] < stamps[0] < stamps[1]
    assert stamps[1] - stamps[3] > 3000 * 1_000_000
    # And is found by it.
    for place, stamp in enumerate(stamps):
        at = timestamps.written(stamp)
        assert ask(juliet, start=at, end=at).bodies == [answer.bodies[place]]
    middle = timestamps.written(stamps[0] - 1)
    assert ask(juliet, end=middle).bodies == ["3", "4"]
    assert ask(juliet, start=middle).bodies == ["1", "2"]
    assert ask(juliet, end=middle, rsm={"max": 1, "before": ""}).bodies == ["4"]
    assert ask(juliet, rsm={"after": answer.ids[1]}).bodies == ["3", "4"]


def test_the_order_stays_when_the_clock_is_set_back_while_it_runs(server, capulet, ask):
    juliet = capulet.connect(f"{JULIET}/balcony")
    juliet.message(JULIET, "1")
    server.clock.jump(-3600)
    juliet.message(JULIET, "2")
    server.clock.jump(7200)
    juliet.message(JULIET, "3")
    answer = ask(juliet)
    assert answer.bodies == ["1", "2", "3"]
    assert len(set(answer.ids)) == 3
