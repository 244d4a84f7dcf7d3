"""The order in which to try what SRV records name (RFC 2782)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Target(NamedTuple):
    """One place where a domain's server may be.

    `host` is a name in its A-label form, in lower case and without the final dot, or an IP
    address without brackets. With `tls` it wants TLS from the first octet on (XEP-0368).
    """

    host: str
    port: int
    tls: bool


class Choice(NamedTuple):
    """A target and what decides when it is its turn."""

    target: Target
    priority: int
    weight: int


def in_order(choices: Iterable[Choice], draw: Callable[[int], int]) -> Iterator[Target]:
    """The lowest priority first, within one drawn by weight; `draw(n)` gives one of 0 to n - 1."""
    by_priority = sorted(choices, key=attrgetter("priority"))
    for _, group in groupby(by_priority, key=attrgetter("priority")):
        left = list(group)
        _shuffle(left, draw)
        # These come first, so that they have a small chance beside those with a weight.
        left.sort(key=lambda choice: choice.weight > 0)
        while left:
            yield left.pop(_drawn(left, draw)).target


def _drawn(choices: list[Choice], draw: Callable[[int], int]) -> int:
    number = draw(sum(choice.weight for choice in choices) + 1)
    for index, choice in enumerate(choices):
        number -= choice.weight
        if number <= 0:
            return index
    raise AssertionError("nobody draws more than there is")


def _shuffle(things: list[T], draw: Callable[[int], int]) -> None:
    for index in range(len(things) - 1):
        other = index + draw(len(things) - index)
        things[index], things[other] = things[other], things[index]
