"""What makes a class a plugin.

A plugin is a class, found by an entry point of the group `stonechat.plugins`,
of which every virtual host that enables it gets one instance:

    class Plugin:
        Options = Options                 # a PluginOptions; may be left out
        requires = ("roster",)            # plugins that must be enabled before
        schema = Schema(...)              # its tables, if it has any

        def __init__(self, host: Host, options: Options): ...
        def start(self) -> None: ...      # may be left out
        def ready(self) -> None: ...      # may be left out; the host's other plugins run, too
        def stop(self) -> None: ...       # may be left out; it has five seconds

Its methods marked with `@hookimpl` are its hooks, those with `@command` its
commands. What it acquires through `host` is taken back when it stops.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, TypeVar

from pluggy import HookimplMarker

from stonechat.hookspecs import HANDLED, Handled, Imported, SharedContacts, SharedGroup

__all__ = [
    "ENTRY_POINTS",
    "HANDLED",
    "Handled",
    "Imported",
    "SharedContacts",
    "SharedGroup",
    "Stage",
    "concerns",
    "concerns_of",
    "hookimpl",
    "stage",
    "stage_of",
]

ENTRY_POINTS = "stonechat.plugins"
"""The entry point group of plugins."""

hookimpl = HookimplMarker("stonechat")

_Function = TypeVar("_Function", bound=Callable[..., Any])


def concerns(*payloads: str) -> Callable[[_Function], _Function]:
    """Call this filter only for stanzas with one of these children.

    Payloads are qualified names, `"urn:xmpp:ping ping"`. The name
    `"type:subscribe"` stands for all stanzas with that type instead.
    """
    if not payloads:
        raise ValueError("concerns() wants at least one payload")

    def mark(function: _Function) -> _Function:
        function.stonechat_concerns = frozenset(payloads)  # type: ignore[attr-defined]
        return function

    return mark


def concerns_of(function: Callable[..., Any]) -> frozenset[str] | None:
    """The payloads that a filter concerns itself with; None for all."""
    return getattr(function, "stonechat_concerns", None)


class Stage(IntEnum):
    """Where in a hook's order an implementation belongs, whatever is configured."""

    GUARD = 0
    """Whether the stanza may pass at all: blocking, privacy lists, flood guards.

    Where the plugin is configured as required and fails too often, what these filters would
    have seen is refused until it is at work again.
    """
    CHANGE = 1
    """What the stanza says is changed."""
    HANDLE = 2
    """Whoever answers it or takes it over; the stage of all that name none."""
    RECORD = 3
    """Archives and logs: what they keep is what is delivered."""
    COPY = 4
    """Copies to others: carbons, the service log."""


def stage(number: Stage) -> Callable[[_Function], _Function]:
    """Give a hook implementation its place; `Stage.HANDLE` where nothing is said."""

    def mark(function: _Function) -> _Function:
        function.stonechat_stage = number  # type: ignore[attr-defined]
        return function

    return mark


def stage_of(function: Callable[..., Any]) -> Stage:
    """The stage of a hook implementation."""
    place: Stage = getattr(function, "stonechat_stage", Stage.HANDLE)
    return place
