"""A name server for tests of federation: real messages on loopback, and every way to fail."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Literal, NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.rrset
import idna

from stonechat.testing.process import LOCALHOST

Zones = str | Mapping[str, str | Iterable[str]]

How = Literal["well", "silent", "truncated", "short", "NXDOMAIN", "SERVFAIL", "REFUSED"]

_Key = tuple[dns.name.Name, dns.rdatatype.RdataType]

DEFAULT_TTL = 300

# What UDP takes without EDNS (RFC 1035, 4.2.1).
_MAX_DATAGRAM = 512
_READ_SIZE = 65535

# How long a client may keep the others waiting that asks by TCP.
_TCP_SECONDS = 5.0
_END_SECONDS = 30.0


class DnsQuery(NamedTuple):
    """A question that came: its name in lower case and without the final dot."""

    name: str
    kind: str
    transport: str  # udp or tcp


class DnsServer:
    """Answers for all the names that there are, on a port of its own, by UDP and by TCP.

    `zones` has a line for each record, `NAME [TTL] TYPE DATA`, or is a mapping from names to
    records such as `"A 127.0.0.1"` or `"60 SRV 10 5 5269 xmpp.capulet.example"`. Names are
    absolute, with a final dot or without, and may have U-labels in a mapping. Where a name
    has no record of the kind asked for, the nearest SOA record above it goes along.

    It lives in a thread, so that it also answers a server that is another process while a
    test waits for that one.
    """

    queries: list[DnsQuery]
    """The questions that have come, in their order."""

    def __init__(self, zones: Zones = "") -> None:
        self.queries = []
        self._records: dict[_Key, dns.rrset.RRset] = {}
        self._rules: list[tuple[How, str, str]] = []
        self.publish(zones)
        self._tcp, self._udp = _sockets()
        self._unanswered: list[socket.socket] = []
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="dns", daemon=True)
        self._thread.start()

    def __enter__(self) -> DnsServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """Where it listens, as a configuration names it: `127.0.0.1:53530`."""
        host, port = self._udp.getsockname()
        return f"{host}:{port}"

    def publish(self, zones: Zones) -> None:
        """Answer from these records from now on, and from no others."""
        records: dict[_Key, dns.rrset.RRset] = {}
        for name, record in _lines(zones):
            owner = dns.name.from_text(_plain(name))
            ttl, rdata = _read(record)
            key = owner, rdata.rdtype
            if key not in records:
                records[key] = dns.rrset.RRset(owner, rdata.rdclass, rdata.rdtype)
            records[key].add(rdata, ttl)
        self._records = records

    def behave(self, how: How, name: str = "", kind: str = "") -> None:
        """Treat questions for a name and a kind of record, "" for all, like this from now on.

        `silent` answers nothing; `truncated` says by UDP only to come again by TCP; `short`
        leaves it to the client to ask for what a CNAME leads to; `NXDOMAIN`, `SERVFAIL` and
        `REFUSED` are all that is said; `well` is as before. The latest word that fits counts.
        """
        self._rules.append((how, _plain(name), kind))

    def count(self, name: str = "", kind: str = "", transport: str = "") -> int:
        """How many such questions have come."""
        wanted = (_plain(name), kind, transport)
        return sum(
            all(asked == want for asked, want in zip(query, wanted, strict=True) if want)
            for query in tuple(self.queries)
        )

    def close(self) -> None:
        """Stop, and free the port."""
        self._wake.close()
        self._thread.join(_END_SECONDS)
        for sock in (self._udp, self._tcp, self._woken, *self._unanswered):
            sock.close()

    # In the thread

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in (self._udp, self._tcp, self._woken):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        return
                    serve = self._serve_udp if key.fileobj is self._udp else self._serve_tcp
                    # A client that goes away in between is no concern of ours.
                    with suppress(OSError):
                        serve()

    def _serve_udp(self) -> None:
        wire, client = self._udp.recvfrom(_READ_SIZE)
        answer = self._answer(wire, "udp")
        if answer:
            self._udp.sendto(answer, client)

    def _serve_tcp(self) -> None:
        client, _ = self._tcp.accept()
        client.settimeout(_TCP_SECONDS)
        with client.makefile("rb") as stream:
            wire = stream.read(int.from_bytes(stream.read(2), "big"))
        answer = self._answer(wire, "tcp")
        if answer:
            client.sendall(len(answer).to_bytes(2, "big") + answer)
            client.close()
        else:
            self._unanswered.append(client)

    def _answer(self, wire: bytes, transport: str) -> bytes:
        """What to send; nothing to be silent."""
        try:
            query = dns.message.from_wire(wire)
            question = query.question[0]
        except (dns.exception.DNSException, IndexError):
            return b""
        kind = dns.rdatatype.to_text(question.rdtype)
        name = _plain(question.name.to_text())
        self.queries.append(DnsQuery(name, kind, transport))
        how = self._how(name, kind)
        if how == "silent":
            return b""
        response = dns.message.make_response(query, recursion_available=True)
        response.flags |= dns.flags.AA
        if how == "truncated" and transport == "udp":
            response.flags |= dns.flags.TC
        elif how in ("NXDOMAIN", "SERVFAIL", "REFUSED"):
            response.set_rcode(dns.rcode.from_text(how))
        else:
            self._fill(response, question, follow=how != "short")
        if transport == "tcp":
            return response.to_wire()
        try:
            return response.to_wire(max_size=_MAX_DATAGRAM)
        except dns.exception.TooBig:
            response.answer.clear()
            response.authority.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _how(self, name: str, kind: str) -> How:
        for how, its_name, its_kind in reversed(self._rules):
            if its_name in ("", name) and its_kind in ("", kind):
                return how
        return "well"

    def _fill(
        self, response: dns.message.Message, question: dns.rrset.RRset, follow: bool
    ) -> None:
        records = self._records
        name = question.name
        while (found := records.get((name, question.rdtype))) is None:
            alias = records.get((name, dns.rdatatype.CNAME))
            if alias is None or alias in response.answer:
                break
            response.answer.append(alias)
            name = alias[0].target
            if not follow:
                return
        if found is not None:
            response.answer.append(found)
            return
        # A name that others are below of exists, too (RFC 8020).
        if not any(known.is_subdomain(name) for known, _ in records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        zones = [owner for owner, kind in records if kind == dns.rdatatype.SOA]
        above = [zone for zone in zones if name.is_subdomain(zone)]
        if above:
            nearest = max(above, key=len)
            response.authority.append(records[nearest, dns.rdatatype.SOA])


def _sockets() -> tuple[socket.socket, socket.socket]:
    """For TCP and for UDP, on one port."""
    while True:
        tcp = socket.create_server((LOCALHOST, 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
            return tcp, udp
        except OSError:
            # Another has it for UDP.
            tcp.close()
            udp.close()


def _lines(zones: Zones) -> Iterator[tuple[str, str]]:
    """Names, and a record of each."""
    if not isinstance(zones, str):
        for name, records in zones.items():
            for record in [records] if isinstance(records, str) else records:
                yield name, record
        return
    for line in zones.splitlines():
        name, _, record = line.strip().partition(" ")
        if record and not name.startswith(";"):
            yield name, record


def _read(record: str) -> tuple[int, dns.rdata.Rdata]:
    """The TTL of a record and what it says."""
    ttl = DEFAULT_TTL
    kind, data = record.split(maxsplit=1)
    if kind.isdigit():
        ttl = int(kind)
        kind, data = data.split(maxsplit=1)
    if kind == "IN":
        kind, data = data.split(maxsplit=1)
    return ttl, dns.rdata.from_text("IN", kind, data, dns.name.root, relativize=False)


def _plain(name: str) -> str:
    """A name as queries have it; IDNA would refuse the underscores of services."""
    labels = name.lower().removesuffix(".").split(".")
    return ".".join(
        label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels
    )
