"""Asks name servers: one question by UDP, and by TCP where the answer is too long for that.

dnspython reads and writes the messages. Its own resolver is not used: it would block the
hub of a process that is not patched, and it measures its deadlines by the wall clock.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import gevent
import gevent.socket

from stonechat.errors import StonechatError

if TYPE_CHECKING:
    from dns.message import QueryMessage
    from dns.name import Name
    from dns.rrset import RRset

    from stonechat.net.dns_servers import NameServer

Kind = Literal["A", "AAAA", "SRV"]

# What the first try of each server may take; the next may take twice as long, and so on.
FIRST_TRY_SECONDS = 1.0

# Name servers follow a CNAME themselves; one that does not is asked so often for the rest.
MAX_RESTARTS = 8

# Nobody needs more, and what one domain publishes must not fill the cache.
MAX_RECORDS = 32

_MAX_DATAGRAM = 65535


class Unavailable(StonechatError):
    """Nobody could say now: the name servers fail, or do not answer in time."""


class Record(NamedTuple):
    """What a SRV record says, its host "" for "."; of A and AAAA the host is the address."""

    host: str
    port: int = 0
    priority: int = 0
    weight: int = 0


class Answer(NamedTuple):
    """The records that there are, or the word that there are none.

    `ttl` is how many seconds that holds; of no records by the SOA record (RFC 2308, 5).
    """

    records: tuple[Record, ...]
    ttl: int


def ask(servers: Sequence[NameServer], name: str, kind: Kind, seconds: float) -> Answer:
    """The records of `name`, which has A-labels; Unavailable where nobody says.

    One server is asked after the other, the silent ones again and again until the seconds
    are over. Blocks the greenlet.
    """
    import dns.exception  # takes 20 ms, and a server that speaks to no other needs none of it
    import dns.name

    try:
        asked = dns.name.from_text(name)
    except dns.exception.DNSException:
        # No name at all. Of a domain as long as may be: nothing has room before it.
        return Answer((), 0)
    troubles: dict[NameServer, str] = {}
    with gevent.Timeout(seconds, False):
        answer = _ask(servers, asked, kind, troubles)
        if answer is not None:
            return answer
    told = "; ".join(f"{server} {troubles.get(server, 'was not asked')}" for server in servers)
    raise Unavailable(f"the {kind} records of {name} cannot be had: {told}")


class _Refusal(Exception):
    """A server has answered, but not the question; to ask it again makes no sense."""


class _Step(NamedTuple):
    """What one response says."""

    answer: Answer
    rest: Name | None  # what to ask for next, where a CNAME leads to and the response does not


def _ask(
    servers: Sequence[NameServer], name: Name, kind: Kind, troubles: dict[NameServer, str]
) -> Answer | None:
    """The answer; None where the servers have said that they have none to give."""
    ttls = []
    for _ in range(MAX_RESTARTS):
        step = _try(servers, name, kind, troubles)
        if step is None:
            return None
        ttls.append(step.answer.ttl)
        if step.rest is None:
            return Answer(step.answer.records, min(ttls))
        name = step.rest
    for server in servers:
        troubles[server] = "has one CNAME after the other"
    return None


def _try(
    servers: Sequence[NameServer], name: Name, kind: Kind, troubles: dict[NameServer, str]
) -> _Step | None:
    """What the first server says that says something; None if all refuse."""
    left = list(servers)
    seconds = FIRST_TRY_SECONDS
    while left:
        for server in tuple(left):
            troubles[server] = "does not answer"
            try:
                return _read_step(_exchange(server, name, kind, seconds))
            except TimeoutError:
                continue
            except _Refusal as refusal:
                troubles[server] = str(refusal)
                left.remove(server)
            except OSError as error:
                troubles[server] = f"cannot be asked: {_reason(error)}"
                left.remove(server)
        seconds *= 2
    return None


def _read_step(response: QueryMessage) -> _Step:
    import dns.exception
    import dns.rcode
    import dns.rdatatype

    rcode = response.rcode()
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise _Refusal(f"says {dns.rcode.to_text(rcode)}")
    try:
        found = response.resolve_chaining()
    except dns.exception.DNSException as error:
        raise _Refusal(f"says what makes no sense: {error}") from None
    if found.answer is not None:
        return _Step(Answer(_records(found.answer), found.minimum_ttl), None)
    # What a SOA record stands for is the name at the end of the CNAMEs: it has no records.
    is_final = rcode == dns.rcode.NXDOMAIN or any(
        rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority
    )
    rest = None if is_final or not found.cnames else found.canonical_name
    return _Step(Answer((), found.minimum_ttl), rest)


def _exchange(server: NameServer, name: Name, kind: Kind, seconds: float) -> QueryMessage:
    import dns.flags
    import dns.message

    # A new number, and from a new port: who would answer in the server's place has to guess
    # both (RFC 5452).
    query = dns.message.make_query(name, kind)
    response = _by_udp(server, query, seconds)
    if response.flags & dns.flags.TC:
        response = _by_tcp(server, query, seconds)
    return response


def _by_udp(server: NameServer, query: QueryMessage, seconds: float) -> QueryMessage:
    with _socket_to(server, socket.SOCK_DGRAM) as sock, gevent.Timeout(seconds, TimeoutError()):
        # Connected: what other addresses send does not come in.
        sock.connect(server)
        sock.send(query.to_wire())
        while True:
            response = _response(sock.recv(_MAX_DATAGRAM), query)
            if response is not None:
                return response


def _by_tcp(server: NameServer, query: QueryMessage, seconds: float) -> QueryMessage:
    wire = query.to_wire()
    with _socket_to(server, socket.SOCK_STREAM) as sock, gevent.Timeout(seconds, TimeoutError()):
        sock.connect(server)
        sock.sendall(len(wire).to_bytes(2, "big") + wire)
        length = int.from_bytes(_receive(sock, 2), "big")
        response = _response(_receive(sock, length), query)
    if response is None:
        raise _Refusal("says by TCP what is no answer")
    return response


def _socket_to(server: NameServer, type: int) -> Any:
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    return gevent.socket.socket(family, type)


def _receive(sock: Any, length: int) -> bytes:
    received = b""
    while len(received) < length:
        data = sock.recv(length - len(received))
        if not data:
            raise _Refusal("closes the connection before it has answered")
        received += data
    return received


def _response(wire: bytes, query: QueryMessage) -> QueryMessage | None:
    """What answers the query. Of anything else nothing is believed: the answer may follow."""
    import dns.exception
    import dns.message

    message: object
    try:
        message = dns.message.from_wire(wire, raise_on_truncation=True)
    except dns.message.Truncated as error:
        # Some cut in the middle of a record; that it was cut is all we want to know.
        message = error.kwargs["message"]
    except dns.exception.DNSException:
        return None
    if isinstance(message, dns.message.QueryMessage) and query.is_response(message):
        return message
    return None


def _records(rrset: RRset) -> tuple[Record, ...]:
    import dns.rdatatype

    some: list[Any] = list(rrset)[:MAX_RECORDS]
    if rrset.rdtype != dns.rdatatype.SRV:
        return tuple(Record(rdata.address) for rdata in some)
    return tuple(
        Record(_host(rdata.target), rdata.port, rdata.priority, rdata.weight) for rdata in some
    )


def _host(name: Name) -> str:
    text = name.to_text(omit_final_dot=True).lower()
    return "" if text == "." else text


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
