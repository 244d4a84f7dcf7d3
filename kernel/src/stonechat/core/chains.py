"""Hooks at work: the implementations that pluggy found, in their order, compiled to tuples.

Per stanza no pluggy call and no keyword dictionary is made, and a filter that
`concerns` itself with other payloads costs nothing. Every implementation runs
inside a fault boundary: what one plugin breaks, no other feels.

The guards of a plugin that has gone can be left closed: then whatever its filters at
`Stage.GUARD` would have seen is refused in their place, but for answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from gevent import Timeout
from pluggy import HookImpl, PluginManager, PluginValidationError

from stonechat import hookspecs
from stonechat.errors import JIDError, StanzaError
from stonechat.hookspecs import HANDLED
from stonechat.plugin import Stage, concerns_of, stage_of
from stonechat.stanza import Iq, Stanza

# One call in this many is timed; the sum is scaled up when it is shown.
SAMPLE_EVERY = 64

# What may come out of a plugin. A deadline that it let out is no Exception.
FAULTS = (Exception, Timeout, SystemExit)

# Where an implementation stands: its stage, how it leans within it, its plugin's name.
Place = tuple[int, int, str]


class Call:
    """One plugin's implementation of one hook, and what it has cost."""

    __slots__ = (
        "calls",
        "concerns",
        "errors",
        "function",
        "hook",
        "parameters",
        "place",
        "plugin",
        "seconds",
    )

    def __init__(
        self, hook: str, plugin: str, function: Callable[..., Any], parameters: Any, place: Place
    ) -> None:
        self.hook = hook
        self.plugin = plugin
        self.function = function
        self.parameters: tuple[str, ...] = tuple(parameters)
        self.place = place
        self.concerns = concerns_of(function)
        self.calls = 0
        self.errors = 0
        self.seconds = 0.0  # of the sampled calls


def calls_made(call: Call) -> int:
    """How often a hook was called: of a filter's calls only the timed ones are counted."""
    return call.calls * SAMPLE_EVERY if hookspecs.KINDS[call.hook] == "filters" else call.calls


def seconds_spent(call: Call) -> float:
    """How long a hook has taken in all, as far as the samples tell."""
    return call.seconds * SAMPLE_EVERY


OnError = Callable[[Call, BaseException, "Stanza | None"], None]


class FilterChain:
    """The implementations of a filter hook for one kind of stanza.

    `run` returns True when a plugin took the stanza over, raises StanzaError
    when one refuses it, or JIDError where it looked at an address that is none.
    """

    __slots__ = ("_by_payload", "_calls", "_on_error", "_plain", "_tick", "_typed")

    def __init__(self, calls: Iterable[Call], on_error: OnError) -> None:
        self._calls = tuple(calls)
        self._on_error = on_error
        self._tick = SAMPLE_EVERY
        self._plain = tuple(call for call in self._calls if call.concerns is None)
        payloads = {name for call in self._calls for name in call.concerns or ()}
        self._by_payload = {name: self._chosen({name}) for name in payloads}
        self._typed = any(name.startswith("type:") for name in payloads)

    def __bool__(self) -> bool:
        return bool(self._calls)

    def _chosen(self, payloads: set[str]) -> tuple[Call, ...]:
        return tuple(
            call for call in self._calls if call.concerns is None or call.concerns & payloads
        )

    def _calls_for(self, stanza: Stanza) -> tuple[Call, ...]:
        by_payload = self._by_payload
        if not by_payload:
            return self._plain
        names = [name for name in stanza.children if name in by_payload]
        if self._typed:
            type_ = f"type:{stanza.type}"
            if type_ in by_payload:
                names.append(type_)
        if not names:
            return self._plain
        if len(names) == 1:
            return by_payload[names[0]]
        return self._chosen(set(names))

    def run(self, stanza: Stanza, *arguments: Any) -> bool:
        """Call the implementations in order with `(*arguments, stanza)`."""
        if not self._calls:
            return False
        self._tick -= 1
        if not self._tick:
            self._tick = SAMPLE_EVERY
            return self._run_timed(stanza, arguments)
        for call in self._calls_for(stanza):
            try:
                if call.function(*arguments, stanza) is HANDLED:
                    return True
            except (StanzaError, JIDError):
                # An address in the stanza that is none is its sender's fault.
                raise
            except FAULTS as error:
                self._failed(call, error, stanza)
        return False

    def _run_timed(self, stanza: Stanza, arguments: tuple[Any, ...]) -> bool:
        for call in self._calls_for(stanza):
            call.calls += 1
            begun = time.perf_counter()
            try:
                if call.function(*arguments, stanza) is HANDLED:
                    return True
            except (StanzaError, JIDError):
                # An address in the stanza that is none is its sender's fault.
                raise
            except FAULTS as error:
                self._failed(call, error, stanza)
            finally:
                call.seconds += time.perf_counter() - begun
        return False

    def _failed(self, call: Call, error: BaseException, stanza: Stanza) -> None:
        """A filter fails closed: nobody can say what it would have refused."""
        call.errors += 1
        self._on_error(call, error, stanza)
        raise StanzaError("internal-server-error") from error


class NoticeChain:
    """The implementations of a notice that comes with every message; called by position."""

    __slots__ = ("_calls", "_on_error", "_tick")

    def __init__(self, calls: Iterable[Call], on_error: OnError) -> None:
        self._calls = tuple(calls)
        self._on_error = on_error
        self._tick = SAMPLE_EVERY

    def __bool__(self) -> bool:
        return bool(self._calls)

    def run(self, stanza: Stanza, *arguments: Any) -> None:
        """Tell all; nobody's failure keeps the others from hearing it."""
        self._tick -= 1
        timed = not self._tick
        if timed:
            self._tick = SAMPLE_EVERY
        for call in self._calls:
            begun = time.perf_counter() if timed else 0.0
            try:
                call.function(stanza, *arguments)
            except FAULTS as error:
                call.errors += 1
                self._on_error(call, error, stanza)
            if timed:
                call.calls += SAMPLE_EVERY
                call.seconds += time.perf_counter() - begun


class Hooks:
    """All hooks of one host: the filter chains, and the rest by name.

    `compile()` must follow every change of the plugins.
    """

    def __init__(self, on_error: OnError) -> None:
        self.manager = PluginManager("stonechat")
        self.manager.add_hookspecs(hookspecs)
        self._on_error = on_error
        self._calls: dict[str, tuple[Call, ...]] = {}
        self._closed: dict[str, tuple[Call, ...]] = {}  # by the plugin that has gone
        self.version = 0
        """Another one whenever plugins come or go: what was collected before is stale."""
        self.compile()

    def add(self, name: str, plugin: object) -> None:
        """Register a plugin's hooks; PluginValidationError for one that does not exist."""
        try:
            self.manager.register(plugin, name)
            self.manager.check_pending()
            self._refuse_wrappers(plugin)
        except BaseException:
            # pluggy keeps what it took before the one that is wrong.
            if self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            raise
        self.compile()

    def _refuse_wrappers(self, plugin: object) -> None:
        for caller in self.manager.get_hookcallers(plugin) or ():
            for found in caller.get_hookimpls():
                if found.plugin is plugin and (found.wrapper or found.hookwrapper):
                    raise PluginValidationError(
                        plugin, f"{caller.name}: wrappers of hooks are not called here"
                    )

    def remove(self, plugin: object, *, guarded: bool = False) -> None:
        """Forget a plugin's hooks; `guarded` leaves its guards closed until `open_guards`."""
        if guarded:
            name = self.manager.get_name(plugin) or ""
            guards = [
                call
                for calls in self._calls.values()
                for call in calls
                if call.plugin == name and _is_guard(call)
            ]
            if guards:
                self._closed[name] = tuple(map(_closed, guards))
        self.manager.unregister(plugin)
        self.compile()

    def is_closed(self, name: str) -> bool:
        """Whether the guards of a plugin that has gone are closed."""
        return name in self._closed

    def open_guards(self, name: str) -> None:
        """Let pass what the closed guards of a plugin refuse."""
        if self._closed.pop(name, None) is not None:
            self.compile()

    def compile(self) -> None:
        """Make the chains from what is registered."""
        old = {(call.hook, call.plugin): call for calls in self._calls.values() for call in calls}
        self._calls = {}
        self.version += 1
        for hook in hookspecs.KINDS:
            implementations = getattr(self.manager.hook, hook).get_hookimpls()
            calls = []
            for implementation in implementations:
                call = Call(
                    hook,
                    implementation.plugin_name,
                    implementation.function,
                    implementation.argnames,
                    _place(implementation),
                )
                before = old.get((hook, call.plugin))
                if before is not None:
                    call.calls, call.errors = before.calls, before.errors
                    call.seconds = before.seconds
                calls.append(call)
            self._calls[hook] = tuple(sorted(calls, key=_by_place))
        chain = self._chain
        self.message_from_user = chain("stonechat_message_from_user")
        self.presence_from_user = chain("stonechat_presence_from_user")
        self.iq_from_user = chain("stonechat_iq_from_user")
        self.message_to_user = chain("stonechat_message_to_user")
        self.presence_to_user = chain("stonechat_presence_to_user")
        self.iq_to_user = chain("stonechat_iq_to_user")
        self.iq_to_server = chain("stonechat_iq_to_server")
        delivered = self._calls["stonechat_message_delivered"]
        self.message_delivered = NoticeChain(
            (_in_order(call, ("message", "sessions")) for call in delivered), self._on_error
        )

    def _chain(self, hook: str) -> FilterChain:
        calls = [_positional(call) for call in self._calls[hook]]
        if self._closed:
            closed = (call for calls in self._closed.values() for call in calls)
            calls += [call for call in closed if call.hook == hook]
            calls.sort(key=_by_place)
        return FilterChain(calls, self._on_error)

    def has(self, hook: str) -> bool:
        """Whether any plugin implements a hook."""
        return bool(self._calls[hook])

    def calls(self) -> list[Call]:
        """Every implementation, for showing what it costs."""
        return [call for calls in self._calls.values() for call in calls]

    def answers(self, hook: str, plugin: str) -> list[Any]:
        """What one plugin answers to a collecting hook; its exception comes through."""
        return [call.function() for call in self._calls[hook] if call.plugin == plugin]

    def collect(self, hook: str, arguments: dict[str, Any]) -> list[tuple[str, Any]]:
        """(plugin, answer) of each implementation that did not fail."""
        answers = []
        for call in self._calls[hook]:
            try:
                answers.append((call.plugin, self._invoke(call, arguments)))
            except FAULTS as error:
                self._failed(call, error, arguments)
        return answers

    def first(self, hook: str, arguments: dict[str, Any]) -> Any:
        """The first answer that is not None."""
        for call in self._calls[hook]:
            try:
                answer = self._invoke(call, arguments)
            except StanzaError:
                raise
            except FAULTS as error:
                self._failed(call, error, arguments)
                continue
            if answer is not None:
                return answer
        return None

    def notify(self, hook: str, arguments: dict[str, Any]) -> list[str]:
        """Tell all; nobody's failure keeps the others from hearing it. Returns who failed."""
        failed = []
        for call in self._calls[hook]:
            try:
                self._invoke(call, arguments)
            except FAULTS as error:
                self._failed(call, error, arguments)
                failed.append(call.plugin)
        return failed

    def _invoke(self, call: Call, arguments: dict[str, Any]) -> Any:
        call.calls += 1
        begun = time.perf_counter()
        try:
            return call.function(*[arguments[name] for name in call.parameters])
        finally:
            # On the scale of the sampled ones.
            call.seconds += (time.perf_counter() - begun) / SAMPLE_EVERY

    def _failed(self, call: Call, error: BaseException, arguments: dict[str, Any]) -> None:
        call.errors += 1
        stanza = next((a for a in arguments.values() if isinstance(a, Stanza)), None)
        self._on_error(call, error, stanza)


def _place(implementation: HookImpl) -> Place:
    """Where an implementation stands; the order of the configuration plays no part."""
    leaning = implementation.trylast - implementation.tryfirst
    return stage_of(implementation.function), leaning, implementation.plugin_name


_by_place = attrgetter("place")


def _is_guard(call: Call) -> bool:
    return hookspecs.KINDS[call.hook] == "filters" and call.place[0] == Stage.GUARD


def _closed(guard: Call) -> Call:
    """What stands in the place of a guard that has gone, and keeps nothing else of it."""
    call = Call(guard.hook, guard.plugin, _refuse, (), guard.place)
    call.concerns = guard.concerns
    return call


def _refuse(*arguments: Any) -> None:
    stanza = arguments[-1]
    if stanza.type == "error" or (isinstance(stanza, Iq) and not stanza.is_request):
        # An answer; without those nobody would learn of what is refused.
        return
    raise StanzaError(
        "internal-server-error", "This cannot be checked now; try again later.", type="wait"
    )


_FILTER_PARAMETERS = {
    "from": ("session", "stanza"),
    "to": ("stanza",),
}


def _positional(call: Call) -> Call:
    """A filter is called by position."""
    direction = "from" if call.hook.endswith("_from_user") else "to"
    kind = call.hook.split("_")[1]
    return _in_order(
        call, tuple(kind if p == "stanza" else p for p in _FILTER_PARAMETERS[direction])
    )


def _in_order(call: Call, wanted: tuple[str, ...]) -> Call:
    """A call whose function takes these by position; one that leaves some out is adapted."""
    if call.parameters != wanted:
        indices = [wanted.index(name) for name in call.parameters]
        function = call.function
        call.function = lambda *given: function(*[given[index] for index in indices])
        call.parameters = wanted
    return call
