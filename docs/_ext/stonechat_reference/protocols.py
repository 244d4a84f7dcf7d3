"""The table of protocols: the kernel's by hand, those of the plugins out of their READMEs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from stonechat_reference.distributions import Distribution, all_distributions
from stonechat_reference.markdown import Pages, escaped, one_line, table


class Row(NamedTuple):
    """A specification, where it is implemented, and what of it."""

    name: str
    where: str
    what: str


KERNEL = (
    Row(
        "RFC 6120",
        "",
        "Streams, STARTTLS, SASL, resource binding, stanzas: as a server to clients, and to"
        " [other servers](../how-to/federate.md).",
    ),
    Row(
        "RFC 6121",
        "",
        "Section 8, the delivery of stanzas, complete; the rest is"
        " [roster](../plugins/roster.md).",
    ),
    Row("RFC 7622", "", "Addresses: prepared once, at the door, and compared prepared."),
    Row(
        "RFC 7590, RFC 9325",
        "",
        "TLS 1.2 and 1.3 with forward secrecy; no compression, no renegotiation, no resumption.",
    ),
    Row("RFC 4616", "", "SASL PLAIN, under TLS unless `allow_plain_without_tls` says otherwise."),
    Row(
        "RFC 5802, RFC 7677",
        "",
        "SASL SCRAM-SHA-1, SCRAM-SHA-256, and SCRAM-SHA-512, each with and without `-PLUS`.",
    ),
    Row(
        "RFC 9266, RFC 5929",
        "",
        "Channel bindings `tls-exporter` (TLS 1.3), `tls-unique` (TLS 1.2) and"
        " `tls-server-end-point`.",
    ),
    Row("XEP-0440", "", "The types of channel binding are advertised, beside the mechanisms."),
    Row("XEP-0474", "", "In SCRAM, by either SASL profile: the server's side."),
    Row(
        "XEP-0178",
        "",
        "SASL EXTERNAL between servers, in both directions; with client certificates [when asked"
        " for](../how-to/client-certificates.md).",
    ),
    Row(
        "XEP-0004, XEP-0059, XEP-0082",
        "",
        "Data forms, pages of long results, dates: what plugins read and write them with.",
    ),
    Row(
        "XEP-0368",
        "",
        "Direct TLS, on a listener with `tls: direct`, and to servers whose SRV records name it;"
        " ALPN `xmpp-client` and `xmpp-server`.",
    ),
    Row(
        "XEP-0203, XEP-0359",
        "",
        "Marks `delay` and `stanza-id` that claim to be this server's are"
        " taken off what clients send, and so is every `occupant-id` (XEP-0421).",
    ),
    Row("PROXY protocol 1 and 2", "", "On a listener with `proxy_protocol: true`."),
    Row("OpenMetrics 1.0", "", "The output of `stonechat metrics`."),
)

_NUMBER = re.compile(r"\b(?:XEP-\d{4}|RFC \d{4})\b")
# "XEP-0160, Best Practices for Handling Offline Messages: types ..." and the like. A colon
# or a comma within brackets is part of the title.
_BULLET = re.compile(
    r"(?P<numbers>XEP-\d{4}(?: and XEP-\d{4})*)"
    r"(?:, (?P<title>[A-Z](?:\([^)]*\)|[^:,(])*))?[,:] *(?P<what>.+)"
)
# With its further lines, which hang, and without the paragraph behind the list.
_ITEM = re.compile(r"^- (.*(?:\n(?: .*)?)*)", re.MULTILINE)


def pages() -> Pages:
    rows = [*KERNEL, *(row for each in all_distributions() for row in _rows(each))]
    rows.sort(key=_key)
    return {
        "protocols.md": table(
            ("Protocol", "Where", "What of it"),
            ((row.name, row.where or "kernel", row.what) for row in rows),
        )
        + "\n"
    }


def _key(row: Row) -> tuple[bool, str]:
    return not row.name.startswith("RFC"), row.name


def _rows(distribution: Distribution) -> Iterator[Row]:
    where = f"[{distribution.name}](../plugins/{distribution.page}.md)"
    seen: set[str] = set()
    for bullet in _bullets(distribution.section("What")):
        found = _BULLET.match(bullet)
        if found is None:
            continue
        name = found["numbers"].replace(" and ", ", ")
        seen.update(_NUMBER.findall(name))
        title = f"{found['title']}: " if found["title"] else ""
        yield Row(name, where, escaped(f"{title}{found['what']}"))
    # What the README names elsewhere, or only the first line of the code.
    for name in sorted({*_NUMBER.findall(distribution.first_line)} - seen):
        yield Row(name, where, escaped(distribution.first_line.replace(f" ({name})", "")))


def _bullets(text: str) -> list[str]:
    return [one_line(item) for item in _ITEM.findall(text)]


def mentioned(distribution: Distribution) -> set[str]:
    """The XEPs that a README says are supported: those at the beginning of its bullets."""
    return {
        name
        for bullet in _bullets(distribution.section("What"))
        if (found := _BULLET.match(bullet))
        for name in _NUMBER.findall(found["numbers"])
    }
