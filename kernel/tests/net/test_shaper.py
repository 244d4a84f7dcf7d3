"""The traffic shaper: rates over time, bursts, and clocks that misbehave."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.net.shaper import Shaper


def test_a_burst_passes_without_a_pause():
    shaper = Shaper(1000, burst=4000)
    assert shaper.consume(4000, now=10.0) == 0


def test_what_goes_beyond_the_burst_is_paid_by_a_pause():
    shaper = Shaper(1000, burst=4000)
    assert shaper.consume(4500, now=10.0) == 0.5


def test_the_pause_is_over_when_it_was_said_to_be():
    shaper = Shaper(1000, burst=0)
    pause = shaper.consume(250, now=10.0)
    assert shaper.consume(0, now=10.0 + pause) == 0


def test_silence_saves_up_no_more_than_the_burst():
    shaper = Shaper(1000, burst=2000)
    shaper.consume(2000, now=10.0)
    assert shaper.consume(3000, now=10_000.0) == 1.0


def test_time_that_runs_back_neither_gives_nor_takes():
    shaper = Shaper(1000, burst=1000)
    shaper.consume(1000, now=10.0)
    assert shaper.consume(500, now=4.0) == 0.5
    assert shaper.consume(0, now=10.5) == 0


@given(
    st.integers(1, 1_000_000),
    st.integers(0, 1_000_000),
    st.lists(st.integers(1, 65536), min_size=1, max_size=50),
)
def test_whoever_obeys_the_pauses_keeps_to_the_rate(rate, burst, reads):
    shaper = Shaper(rate, burst)
    now = start = 100.0
    for size in reads:
        now += shaper.consume(size, now)
    assert sum(reads) <= burst + rate * (now - start) * 1.001 + 1


@pytest.mark.parametrize(("rate", "burst"), [(0, 10), (-1, 10), (10, -1)])
def test_a_rate_that_lets_nothing_pass_is_refused(rate, burst):
    with pytest.raises(ValueError, match="rate"):
        Shaper(rate, burst)
