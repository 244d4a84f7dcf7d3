"""The bounds that no option moves: read from the code, so that the page cannot be wrong."""

from __future__ import annotations

import inspect
from typing import NamedTuple

from stonechat import auth, forms, jid, service
from stonechat import xml as stonechat_xml
from stonechat.core import (
    accounts,
    client_wire,
    control,
    control_wire,
    examiner,
    iq_dispatcher,
    ledger,
    peer_stream,
    requests,
    s2s_doctor,
    s2s_incoming,
    s2s_inquiries,
    s2s_link,
    s2s_links,
    s2s_rests,
    s2s_setup,
    server_outgoing,
    store,
    store_writer,
    throttle,
)
from stonechat.net import connection, listener, poller
from stonechat.protocol import c2s, reader
from stonechat_reference.markdown import Pages, table


class Bound(NamedTuple):
    """One row: what is bounded, by how much, and what happens at the bound."""

    what: str
    value: str
    deed: str


def _seconds(value: float) -> str:
    return f"{value:g} s"


def _kib(value: int) -> str:
    return f"{value // 1024} KiB"


def _mib(value: int) -> str:
    return f"{value // 1024**2} MiB"


def _xml() -> list[Bound]:
    refused = "the stream ends with `policy-violation`"
    return [
        Bound("Depth of elements in a stanza", str(stonechat_xml.MAX_DEPTH), refused),
        Bound("Children of one element", f"{stonechat_xml.MAX_CHILDREN:_}", refused),
        Bound("Attributes of one element", str(stonechat_xml.MAX_ATTRIBUTES), refused),
        Bound("Those of them with a prefix", str(stonechat_xml.MAX_PREFIXED_ATTRIBUTES), refused),
        Bound("Namespaces declared in one tag", str(stonechat_xml.MAX_ATTRIBUTES), refused),
        Bound(
            "Name of an element or attribute, octets", str(stonechat_xml.MAX_NAME_BYTES), refused
        ),
        Bound("Namespace, octets", str(stonechat_xml.MAX_NAMESPACE_BYTES), refused),
        Bound(
            "Children of a stanza that differ in name",
            f"{reader.MAX_STRANGE_CHILDREN}, beside those whose names the server has just seen",
            refused,
        ),
        Bound(
            "Memory that an element takes, whatever is in it",
            "40 octets for each of its own, and 64 KiB",
            "what would take more is refused: many different names of long namespaces",
        ),
        Bound("Elements in one stanza before the login", str(c2s.ELEMENTS_BEFORE_AUTH), refused),
        Bound("Each part of an address, octets", str(jid.MAX_PART_OCTETS), "`jid-malformed`"),
        Bound("Length of a password, octets", str(auth.MAX_PASSWORD_OCTETS), "it is refused"),
    ]


def _logins() -> list[Bound]:
    pauses = ", ".join(f"{pause:g}" for pause in throttle.PAUSES[2:])
    return [
        Bound(
            "Pause before an attempt is answered, from the second failure on, seconds",
            pauses,
            "counted for each pair of account and address (of IPv6: network /64)",
        ),
        Bound(
            "Failures of such a pair",
            f"{throttle.LOCK_AFTER} within {_seconds(throttle.WINDOW_SECONDS)}",
            f"it is locked for {_seconds(throttle.LOCK_SECONDS)}: `temporary-auth-failure`",
        ),
        Bound(
            "Pairs remembered", f"{throttle.MAX_PAIRS:_}", "the least recently used is forgotten"
        ),
        Bound(
            "Accounts known to exist",
            f"{accounts.MAX_KNOWN:_}, for {_seconds(accounts.KNOWN_SECONDS)}",
            "the least recently used is asked for again",
        ),
    ]


def _streams() -> list[Bound]:
    return [
        Bound(
            "Stanzas that wait for a client that does not read",
            str(client_wire.MOST_WAITING),
            "messages go to another session, or where those for nobody go",
        ),
        Bound(
            "Time for a client that does not read, once so many wait, or `unsent_bytes`",
            _seconds(client_wire.STUCK_SECONDS),
            "its connection is dropped; at twice `unsent_bytes` at once",
        ),
        Bound(
            "Time to fetch the last octets of a stream that ends",
            _seconds(connection.LINGER_SECONDS),
            "the socket is closed",
        ),
        Bound(
            "Connections waiting to be accepted on a port",
            f"{listener.BACKLOG:_}",
            "the operating system refuses more",
        ),
        Bound(
            "Handlers that block at the same time",
            f"{poller.MAX_BLOCKED:_}",
            "no client is read until one is through",
        ),
        Bound(
            "Work in one turn of the loop",
            f"{poller.EVENTS_PER_TURN} sockets or {_kib(poller.OCTETS_PER_TURN)}",
            "the rest comes first in the next turn",
        ),
    ]


def _servers() -> list[Bound]:
    constraint = "the next stanza is answered with `resource-constraint`"
    return [
        Bound(
            "Octets that wait for all other servers", _mib(s2s_link.MAX_WAITING_OCTETS), constraint
        ),
        Bound(
            "Pairs of a domain here and one elsewhere, with a stream or on their way to one",
            f"{s2s_links.MAX_LINKS:_}",
            constraint,
        ),
        Bound(
            "Of `federation.connecting`, what streams to one domain may take",
            f"1/{s2s_setup.PARTS_OF_PLACES}",
            "more wait in line",
        ),
        Bound(
            "Servers that plugins ask something at the same time (`host.server_stream`)",
            str(s2s_inquiries.MOST_INQUIRIES),
            "`resource-constraint` for the plugin that asks",
        ),
        Bound(
            "Streams from one domain",
            str(s2s_incoming.MAX_PER_DOMAIN),
            "the oldest ends with `conflict`",
        ),
        Bound(
            "What a peer sends, another server or a component, before it hears of our end",
            f"{_seconds(peer_stream.GOODBYE_SECONDS)};"
            f" {_seconds(peer_stream.PATIENCE)} when the server stops",
            "what comes later is dropped",
        ),
        Bound(
            "Stanzas that a peer sends before its features, over a stream for both directions",
            f"{server_outgoing.MOST_EARLY}, together `limits.stanza_bytes`",
            "the stream ends with `policy-violation`",
        ),
        Bound(
            "Time for what came to be made safe, before the end of a stream with acks",
            _seconds(peer_stream.SETTLE_SECONDS),
            "it is not acknowledged, and comes again",
        ),
        Bound(
            "Rest of a pair after a failure",
            f"{_seconds(s2s_rests.FIRST_REST)}, twice as long each time, at most"
            f" {_seconds(s2s_rests.LONGEST_REST)}; up to half of it less, by chance",
            "stanzas are answered at once",
        ),
        Bound(
            "Pairs that rest",
            f"{s2s_rests.MAX_RESTING:_}",
            "the least recent is forgotten, and tried again",
        ),
        Bound(
            "How often what a lost stream has left is sent again",
            f"{s2s_links.MOST_RETURNS}, unless a stream holds for {_seconds(s2s_links.LONG_LIFE)}",
            "it is answered with `remote-server-timeout`",
        ),
        Bound(
            "Domains that are examined at the same time (`host.examine_server`)",
            str(examiner.MOST_AT_ONCE),
            "`resource-constraint` for who asks",
        ),
        Bound(
            "Time for one step of an examination, and for all of them",
            f"{_seconds(s2s_doctor.STEP_SECONDS)}, {_seconds(s2s_doctor.TOTAL_SECONDS)}",
            "the step has failed, the rest is skipped",
        ),
        Bound(
            "Time for what waits, when the server stops",
            f"{_seconds(peer_stream.PATIENCE)}, and half of `limits.shutdown_timeout`",
            "it is answered with `remote-server-timeout`",
        ),
    ]


def _requests() -> list[Bound]:
    constraint = "the next one is answered with `resource-constraint`"
    return [
        Bound(
            "Requests waiting for a `one_queue` or `parallel` handler",
            f"{iq_dispatcher.QUEUE_LIMIT:_}",
            constraint,
        ),
        Bound(
            "Requests that one `parallel` handler works on",
            str(iq_dispatcher.PARALLEL_LIMIT),
            "more wait in line",
        ),
        Bound(
            "Requests of a host's own that wait for an answer (`host.ask`)",
            f"{requests.MAX_WAITING:_}",
            "`resource-constraint` for the plugin that asks",
        ),
        Bound(
            "Time for a plugin's greenlets to end when it stops",
            _seconds(ledger.STOP_SECONDS),
            "what is left is logged",
        ),
        Bound(
            "Callers of the control socket at the same time",
            str(control.MAX_CALLERS),
            "the next one waits",
        ),
        Bound(
            "Size of one request there",
            _kib(control_wire.MAX_REQUEST),
            "it is refused",
        ),
    ]


def _forms_and_services() -> list[Bound]:
    return [
        Bound("Fields of a form", str(forms.MAX_FIELDS), "`bad-request`"),
        Bound("Values in all its fields", f"{forms.MAX_VALUES:_}", "`bad-request`"),
        Bound(
            "Requests waiting for a `one_queue` or `parallel` handler of a service",
            f"{service.QUEUE_LIMIT:_}",
            "the next one is answered with `resource-constraint`",
        ),
        Bound(
            "Requests that one of its `parallel` handlers works on",
            str(service.PARALLEL_LIMIT),
            "more wait in line",
        ),
        Bound(
            "Items of a service in one answer to service discovery",
            str(service.ITEMS_LIMIT),
            "the rest is on further pages (XEP-0059)",
        ),
    ]


def _store() -> list[Bound]:
    options = inspect.signature(store.Store).parameters
    writes, reads = (options[f"max_{what}_waiting"].default for what in ("writes", "reads"))
    return [
        Bound("Time for one call of the store", _seconds(store.DEADLINE), "`StorageError`"),
        Bound(
            "Writes that wait",
            f"{writes:_}",
            "`StorageFull`: answered with"
            " `resource-constraint`; what may be lost is dropped at half of that",
        ),
        Bound("Reads that wait", f"{reads:_}", "`StorageError`"),
        Bound(
            "Writes that share one commit",
            f"{store_writer.GROUP_JOBS}, or {store_writer.GROUP_SECONDS * 1000:g} ms",
            "a new group begins",
        ),
    ]


GROUPS = {
    "XML, names and passwords": _xml,
    "Logins": _logins,
    "Streams": _streams,
    "Other servers": _servers,
    "Requests, plugins, commands": _requests,
    "Forms and services": _forms_and_services,
    "The store": _store,
}


def pages() -> Pages:
    parts = [f"### {title}\n\n{_table(bounds())}" for title, bounds in GROUPS.items()]
    return {"fixed-limits.md": "\n\n".join(parts) + "\n"}


def _table(bounds: list[Bound]) -> str:
    return table(
        ("What", "Bound", "At the bound"), ((b.what, _spaced(b.value), b.deed) for b in bounds)
    )


def _spaced(value: str) -> str:
    """10_000 as 10 000, with a space that does not break."""
    return value.replace("_", "\N{NO-BREAK SPACE}")
