"""The kernel's commands about other servers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from stonechat.commands import CommandError, command
from stonechat.errors import JIDError
from stonechat.jid import prepare_domain

if TYPE_CHECKING:
    from stonechat.core.s2s_link import Link
    from stonechat.core.server import Server
    from stonechat.core.server_stream import ServerStreamBase
    from stonechat.federation import Pair

# What one answer holds unless more is asked for.
LIST_LIMIT = 10_000


class FederationCommands:
    """Commands about streams to and from other servers."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @command(
        "s2s-list",
        "List the streams to and from other servers, and the domains that cannot be reached.",
        example="stonechat s2s-list montague.example",
    )
    def s2s_list(self, domain: str = "", limit: int = LIST_LIMIT) -> list[dict[str, Any]]:
        """With a domain only what concerns it."""
        wanted = _prepared(domain) if domain else ""
        rows = (row for row in self._rows() if wanted in ("", row["remote"]))
        return list(islice(rows, max(limit, 0)))

    @command(
        "s2s-close",
        "Close the streams to and from a domain, and let it be tried again at once.",
        example="stonechat s2s-close montague.example",
    )
    def s2s_close(self, domain: str) -> int:
        """Returns how many were closed; what waits for the domain is answered."""
        closed = self._server.s2s.dismiss(_prepared(domain))
        self._server.log.info("streams closed by command", remote=domain, streams=closed)
        return closed

    def _rows(self) -> Iterator[dict[str, Any]]:
        s2s = self._server.s2s
        for link in list(s2s.links.values()):
            yield _link_row(link)
        for stream in s2s.incoming:
            for pair in stream.authorized_pairs or (stream.pair,):
                yield {"direction": "in", **_shared(pair, stream), "waiting": 0, "reason": ""}
        for pair, seconds, reason in s2s.rests.resting():
            yield {
                "direction": "out",
                **_shared(pair, None),
                "state": f"rests for {seconds:.0f} s",
                "waiting": 0,
                "reason": reason,
            }


def _link_row(link: Link) -> dict[str, Any]:
    return {
        "direction": "out",
        **_shared(link.pair, link.stream),
        "waiting": len(link.queue),
        "reason": "",
    }


def _shared(pair: Pair, stream: ServerStreamBase | None) -> dict[str, Any]:
    if stream is None:
        state = "being set up"
    elif pair not in stream.authorized_pairs:
        state = "has proven nothing"
    else:
        state = "open" if stream.is_open else "closes"
    return {
        "local": pair.local,
        "remote": pair.remote,
        "state": state,
        "address": "" if stream is None else stream.address,
        "secure": stream is not None and stream.is_secure,
        "both_ways": stream is not None and stream.is_bidirectional,
        "sent": 0 if stream is None else stream.stanzas_out,
        "received": 0 if stream is None else stream.stanzas_in,
    }


def _prepared(domain: str) -> str:
    try:
        return prepare_domain(domain)
    except JIDError as error:
        raise CommandError(f"domain: {error}") from None
