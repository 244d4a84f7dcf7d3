"""IQ handlers: what answers requests to a host or on behalf of an account.

A handler takes the request and returns the payload of the result, or None
for an empty result, or raises `StanzaError`. The kernel swaps the addresses,
keeps the id, and sends, so every request gets exactly one answer. `IGNORE`
says that the handler sees to the answer itself, later.

A handler is queued as it is marked:

`no_queue` (the default) runs in the greenlet that carried the request; the
    sender's next stanza waits for it.
`@one_queue` runs the requests of all senders one after the other, in order.
`@parallel` runs each request in a greenlet of its own, from a bounded pool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from stonechat.stanza import Element, Iq

if TYPE_CHECKING:
    from stonechat.host import Host

Component = Literal["local", "sm"]
Discipline = Literal["no_queue", "one_queue", "parallel"]


class Ignore:
    """The type of `IGNORE`: the handler answers by itself."""

    def __repr__(self) -> str:
        return "IGNORE"


IGNORE = Ignore()


class IqHandler(Protocol):
    """A function from a request to the payload of its result."""

    def __call__(self, iq: Iq, /) -> Element | Ignore | None: ...


_Function = TypeVar("_Function", bound=Callable[..., Any])


def one_queue(function: _Function) -> _Function:
    """Queue this handler's requests for one worker, first in, first out."""
    function.stonechat_discipline = "one_queue"  # type: ignore[attr-defined]
    return function


def parallel(function: _Function) -> _Function:
    """Run each of this handler's requests in a greenlet of its own."""
    function.stonechat_discipline = "parallel"  # type: ignore[attr-defined]
    return function


def discipline_of(function: Callable[..., Any]) -> Discipline:
    """How a handler is queued."""
    discipline: Discipline = getattr(function, "stonechat_discipline", "no_queue")
    return discipline


def add_iq_handler(
    component: Component,
    host: Host,
    namespace: str,
    function: IqHandler,
    discipline: Discipline | None = None,
) -> None:
    """Answer get and set requests of a namespace while the plugin runs.

    `component` is `"local"` for requests to the host, `"sm"` for those to its
    accounts. Without a discipline the function is queued as it is marked.
    Plugins normally declare their handlers by hook; this is for those that
    come and go. ValueError if the namespace is taken.
    """
    host.add_iq_handler(component, namespace, function, discipline)


def remove_iq_handler(component: Component, host: Host, namespace: str) -> None:
    """Take back what `add_iq_handler` gave; KeyError if there is none."""
    host.remove_iq_handler(component, namespace)
