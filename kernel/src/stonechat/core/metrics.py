"""Metrics in the text form of OpenMetrics 1.0.

Labels are names from the configuration and from code; what a stranger sends never
becomes one, or he could fill the memory of whoever collects them.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from stonechat import __version__
from stonechat.core.chains import calls_made, seconds_spent
from stonechat.core.figures import expiries, open_descriptors, resident_bytes

if TYPE_CHECKING:
    from stonechat.core.server import Server

# What the specification has after the name of a sample, by the type of its family.
_SUFFIXES = {"counter": "_total", "info": "_info"}


class Family(NamedTuple):
    """Samples of one name; each with its labels."""

    name: str
    type: str
    sentence: str
    samples: Iterable[tuple[dict[str, str], float]]


def render(server: Server) -> str:
    """All metrics of a node."""
    lines: list[str] = []
    for family in _families(server):
        lines.append(f"# TYPE {family.name} {family.type}")
        lines.append(f"# HELP {family.name} {family.sentence}")
        name = family.name + _SUFFIXES.get(family.type, "")
        lines.extend(
            f"{name}{_labels(labels)} {_number(value)}" for labels, value in family.samples
        )
    lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _families(server: Server) -> Iterator[Family]:
    yield from _node(server)
    yield from _hosts(server)
    yield from _auth(server)
    yield from _federation(server)
    yield from _plugins(server)
    yield from _store(server)
    yield from _process()


def _node(server: Server) -> Iterator[Family]:
    yield Family(
        "stonechat_build",
        "info",
        "The version of the server.",
        [({"version": __version__}, 1)],
    )
    yield _one(
        "stonechat_start_time_seconds",
        "gauge",
        "When the server was ready, in seconds since the epoch.",
        server.started_at / 1_000_000,
    )
    yield _one(
        "stonechat_connections",
        "gauge",
        "Connections of clients, logged in or not.",
        server.books.connection_count,
    )
    yield _one(
        "stonechat_unauthenticated_connections",
        "gauge",
        "Connections of clients that have not logged in.",
        server.books.stranger_count,
    )
    yield Family(
        "stonechat_connections_accepted",
        "counter",
        "Connections that a listener took.",
        [
            (
                {
                    "type": port.options.type,
                    "address": port.options.address,
                    "port": str(port.port),
                },
                port.accepted,
            )
            for port in server.ports
        ],
    )
    watchdog = server.watchdog
    yield _one(
        "stonechat_blocks",
        "counter",
        "Times that something kept the server from all else for longer than allowed.",
        watchdog.blocks if watchdog is not None else 0,
    )


def _hosts(server: Server) -> Iterator[Family]:
    hosts = list(server.hosts.values())
    yield Family(
        "stonechat_sessions",
        "gauge",
        "Clients that have bound a resource.",
        [({"host": host.name}, len(host.session_manager)) for host in hosts],
    )
    yield Family(
        "stonechat_component_streams",
        "gauge",
        "Streams of external components that are admitted.",
        [
            ({"host": host.name, "domain": domain}, sum(s.is_admitted for s in taken.streams))
            for host in hosts
            for domain, taken in host.stream_acceptances.items()
        ],
    )
    yield Family(
        "stonechat_logins",
        "counter",
        "Logins that succeeded.",
        [({"host": host.name}, host.logins) for host in hosts],
    )
    yield Family(
        "stonechat_login_failures",
        "counter",
        "Logins that were refused.",
        [({"host": host.name}, host.login_failures) for host in hosts],
    )
    yield Family(
        "stonechat_certificate_expiry_seconds",
        "gauge",
        "When the certificate expires that is in use, in seconds since the epoch.",
        [
            ({"host": host}, moment / 1_000_000)
            for host, moment in expiries(server.contexts).items()
        ],
    )
    yield _one(
        "stonechat_certificate_faults",
        "gauge",
        "What is wrong with new certificate files; those before them stay in use.",
        len(server.certificate_watch.faults),
    )


def _auth(server: Server) -> Iterator[Family]:
    backends = [
        ({"host": host.name, "backend": figures.name}, figures)
        for host in list(server.hosts.values())
        for figures in host.accounts.backend_figures()
    ]
    yield Family(
        "stonechat_auth_up",
        "gauge",
        "0 for an auth backend that failed too often and is asked once a second.",
        [(labels, int(not figures.calls.is_open)) for labels, figures in backends],
    )
    yield Family(
        "stonechat_auth_waiting",
        "gauge",
        "Calls that wait for an auth backend.",
        [(labels, figures.calls.waiting) for labels, figures in backends],
    )
    for name, sentence in (
        ("calls", "Calls of an auth backend."),
        ("failures", "Calls that an auth backend did not answer, or too late."),
        ("refused", "Calls not made, because too many waited or the backend was away."),
    ):
        yield Family(
            f"stonechat_auth_{name}",
            "counter",
            sentence,
            [(labels, getattr(figures.calls, name)) for labels, figures in backends],
        )
    caches = [(labels, figures.cache) for labels, figures in backends if figures.cache is not None]
    for name, kind, sentence in (
        ("hits", "counter", "Questions that an auth backend answered from its cache."),
        ("misses", "counter", "Questions that an auth backend had no answer to in its cache."),
        ("entries", "gauge", "Answers in the cache of an auth backend."),
    ):
        yield Family(
            f"stonechat_auth_cache_{name}",
            kind,
            sentence,
            [(labels, getattr(cache, name)) for labels, cache in caches],
        )


def _federation(server: Server) -> Iterator[Family]:
    figures = server.s2s.figures
    yield Family(
        "stonechat_server_streams",
        "gauge",
        "Streams to and from other servers that carry stanzas.",
        [({"direction": "out"}, figures.outgoing), ({"direction": "in"}, figures.incoming)],
    )
    for name, kind, sentence, value in (
        (
            "connecting",
            "gauge",
            "Streams to other servers that are being set up.",
            figures.connecting,
        ),
        ("waiting_stanzas", "gauge", "Stanzas that wait for such a stream.", figures.waiting),
        (
            "refused_stanzas",
            "counter",
            "Stanzas to other servers that could not leave, and were answered or dropped.",
            figures.refused,
        ),
    ):
        yield _one(f"stonechat_server_{name}", kind, sentence, value)


def _plugins(server: Server) -> Iterator[Family]:
    hosts = list(server.hosts.values())
    running = [
        ({"host": host.name, "plugin": name}, state)
        for host in hosts
        for names, state in ((host.plugins.running, 1), (host.plugins.quarantined, 0))
        for name in names
    ]
    yield Family(
        "stonechat_plugin_running",
        "gauge",
        "1 for a plugin at work, 0 for one that could not start or was suspended.",
        running,
    )
    calls = [
        ({"host": host.name, "plugin": call.plugin, "hook": call.hook}, call)
        for host in hosts
        for call in host.hooks.calls()
    ]
    yield Family(
        "stonechat_plugin_calls",
        "counter",
        "Calls of a plugin's hooks; those of filters are estimated from samples.",
        [(labels, calls_made(call)) for labels, call in calls],
    )
    yield Family(
        "stonechat_plugin_errors",
        "counter",
        "Exceptions that a plugin's hooks raised.",
        [(labels, call.errors) for labels, call in calls],
    )
    yield Family(
        "stonechat_plugin_seconds",
        "counter",
        "Time spent in a plugin's hooks, waiting included; estimated from samples.",
        [(labels, seconds_spent(call)) for labels, call in calls],
    )


def _store(server: Server) -> Iterator[Family]:
    figures = server.store.figures
    for name, kind, sentence, value in (
        ("commits", "counter", "Transactions committed.", figures.commits),
        ("writes", "counter", "Pieces of work that wrote, done or failed.", figures.writes),
        ("failed_writes", "counter", "Writes that failed.", figures.failed_writes),
        (
            "dropped_writes",
            "counter",
            "Writes that may be lost, and were, because too much was waiting.",
            figures.dropped_writes,
        ),
        ("waiting_writes", "gauge", "Writes that wait for their turn.", figures.writes_waiting),
        ("waiting_reads", "gauge", "Reads that wait for their turn.", figures.reads_waiting),
    ):
        yield _one(f"stonechat_store_{name}", kind, sentence, value)


def _process() -> Iterator[Family]:
    yield _one(
        "process_cpu_seconds",
        "counter",
        "Processor time that the process has used.",
        time.process_time(),
    )
    yield _one(
        "process_resident_memory_bytes",
        "gauge",
        "Memory of the process.",
        resident_bytes(),
    )
    descriptors = open_descriptors()
    if descriptors is not None:
        yield _one("process_open_fds", "gauge", "Open files and sockets.", descriptors)
    generations = [
        ({"generation": str(number)}, generation)
        for number, generation in enumerate(gc.get_stats())
    ]
    yield Family(
        "python_gc_collections",
        "counter",
        "Runs of the garbage collector.",
        [(labels, generation["collections"]) for labels, generation in generations],
    )
    yield Family(
        "python_gc_objects_collected",
        "counter",
        "Objects that the garbage collector freed.",
        [(labels, generation["collected"]) for labels, generation in generations],
    )


def _one(name: str, kind: str, sentence: str, value: float) -> Family:
    return Family(name, kind, sentence, [({}, value)])


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(text)}"' for name, text in labels.items()) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6f}"
