"""Examines other domains' servers for plugins: so many at a time, and nothing before its use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.commands import CommandError
from stonechat.errors import JIDError
from stonechat.jid import prepare_domain

if TYPE_CHECKING:
    from stonechat.core.server import Server
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.examination import Finding

# Each may have a connection to every address of every place that a stranger has named.
MOST_AT_ONCE = 4


class Examiner:
    """Of the whole node."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._running = 0

    def examine(self, host: VirtualHost, domain: str) -> list[Finding]:
        """See `stonechat.host.Host.examine_server`."""
        try:
            prepared = prepare_domain(domain)
        except JIDError as error:
            raise CommandError(f"domain: {error}", "jid-malformed") from None
        if self._running >= MOST_AT_ONCE:
            raise CommandError(
                "Other domains are being examined; come back.", "resource-constraint"
            )
        from stonechat.core.s2s_doctor import examine

        self._running += 1
        try:
            return examine(self._server, host, prepared)
        finally:
            self._running -= 1
