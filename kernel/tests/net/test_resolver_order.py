"""The order of SRV records: priorities never mix, and weights say who is first how often."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.net.srv_order import Choice, Target, in_order


def choices_of(*numbers):
    """Choices with these priorities and weights, each with a port of its own."""
    return [
        Choice(Target("capulet.example", port, tls=False), priority, weight)
        for port, (priority, weight) in enumerate(numbers, 1)
    ]


def ports(choices, *drawn):
    """The ports in their order, where chance is these numbers, one for each draw."""
    numbers = list(drawn)
    limits = []

    def draw(limit):
        limits.append(limit)
        return numbers.pop(0)

    found = [target.port for target in in_order(choices, draw)]
    assert not numbers
    return found, limits


numbers = st.tuples(st.integers(0, 3), st.sampled_from([0, 0, 1, 2, 65535]))


@given(st.lists(numbers, max_size=12), st.randoms(use_true_random=False))
def test_each_target_comes_once_and_priorities_never_mix(drawn, chance):
    choices = choices_of(*drawn)
    found = list(in_order(choices, chance.randrange))
    assert sorted(found) == sorted(choice.target for choice in choices)
    priority = {choice.target: choice.priority for choice in choices}
    priorities = [priority[target] for target in found]
    assert priorities == sorted(priorities)


def test_real_chance_does_as_well():
    choices = choices_of(*[(1, 10)] * 20)
    assert len(set(in_order(choices, secrets.randbelow))) == 20


@pytest.mark.parametrize(
    ("number", "first"), [(0, 1), (10, 1), (11, 2), (30, 2), (31, 3), (60, 3)]
)
def test_the_first_is_drawn_by_weight(number, first):
    # Two draws to shuffle, which leave all as it is; then one for each place.
    found, limits = ports(choices_of((1, 10), (1, 20), (1, 30)), 0, 0, number, 0, 0)
    assert found[0] == first
    assert limits[:3] == [3, 2, 61]


def test_those_without_a_weight_have_a_small_chance():
    choices = choices_of((1, 10), (1, 0))
    assert ports(choices, 0, 0, 0)[0] == [2, 1]
    assert ports(choices, 0, 1, 0)[0] == [1, 2]


def test_where_none_has_a_weight_any_may_be_the_first():
    choices = choices_of((1, 0), (1, 0), (1, 0))
    assert {ports(choices, other, 0, 0, 0, 0)[0][0] for other in range(3)} == {1, 2, 3}
