"""The kernel's own commands: the node, its configuration, its sessions, its store.

Accounts are in `admin_accounts`, plugins in `admin_plugins`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stonechat import __version__
from stonechat.auth import AccountExists, AccountNotFound, BadPassword, Unsupported
from stonechat.commands import CommandError, command
from stonechat.core.config_model import ClientListener, ServerListener
from stonechat.errors import ConfigError, StonechatError, StorageError, StreamError
from stonechat.jid import JID
from stonechat.options import ListenerOptions

if TYPE_CHECKING:
    from stonechat.core.client_session import ClientSession
    from stonechat.core.server import Server
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.host import Timer

# What one answer holds unless more is asked for.
LIST_LIMIT = 10_000

# Of a stop or a restart: so long an administrator may be held to what they said.
LONGEST_DELAY = 3600

# Others have their turn after so many.
_IN_A_ROW = 500


@contextmanager
def refusals() -> Iterator[None]:
    """What the server refuses on purpose is told to the caller; all else is a fault of ours."""
    try:
        yield
    except CommandError:
        raise
    except ConfigError as error:
        raise CommandError("\n".join(map(str, error.problems))) from error
    except StonechatError as error:
        condition = next((c for kind, c in _CONDITIONS if isinstance(error, kind)), "")
        raise CommandError(str(error), condition) from error


# What a stanza error would say (RFC 6120, 8.3.3).
_CONDITIONS: tuple[tuple[type[StonechatError], str], ...] = (
    (AccountExists, "conflict"),
    (AccountNotFound, "item-not-found"),
    (BadPassword, "not-acceptable"),
    (Unsupported, "not-allowed"),
    (StorageError, "internal-server-error"),
)


def find_host(server: Server, name: str) -> VirtualHost:
    """The host of a command; without a name the only one there is."""
    if not name:
        if len(server.hosts) == 1:
            return next(iter(server.hosts.values()))
        raise CommandError(f"say on which host: {', '.join(server.hosts)}")
    try:
        domain = JID.parse(name).domain
    except StonechatError as error:
        raise CommandError(f"host: {error}") from None
    host = server.hosts.get(domain)
    if host is None:
        raise CommandError(
            f"{domain} is not served here; these are: {', '.join(server.hosts)}", "item-not-found"
        )
    return host


def chosen_hosts(server: Server, name: str) -> list[VirtualHost]:
    """The named host, or all."""
    return [find_host(server, name)] if name else list(server.hosts.values())


def _encryption(options: ListenerOptions) -> dict[str, str]:
    """How a listener is encrypted; components' are not."""
    if not isinstance(options, ClientListener | ServerListener):
        return {"tls": "", "starttls": "off"}
    is_direct = options.tls != "off"
    return {
        "tls": options.tls if is_direct else "",
        "starttls": "" if is_direct else options.starttls,
    }


def _in(delay: int) -> str:
    return f" in {delay} seconds" if delay else ""


class NodeCommands:
    """Commands about the node as a whole."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._waiting: Timer | None = None

    @command("status", "Show how the server is: hosts, plugins, listeners, memory, store.")
    def status(self) -> dict[str, Any]:
        from stonechat.core.figures import expiries, resident_bytes

        server = self._server
        days = {
            host: (moment - server.now()) // 86_400_000_000
            for host, moment in expiries(server.contexts).items()
        }
        hosts = [self._host_status(host, days) for host in list(server.hosts.values())]
        figures = server.store.figures
        watchdog = server.watchdog
        return {
            "state": "degraded" if any(host["quarantined"] for host in hosts) else "running",
            "version": __version__,
            "python": sys.version.partition(" ")[0],
            "configuration": server.configuration.file,
            "uptime_seconds": (server.now() - server.started_at) // 1_000_000,
            "memory_bytes": resident_bytes(),
            "cpu_seconds": round(time.process_time(), 3),
            "connections": server.books.connection_count,
            "blocks": watchdog.blocks if watchdog is not None else 0,
            "federation": server.s2s.figures._asdict(),
            "certificate_faults": list(server.certificate_watch.faults),
            "hosts": hosts,
            "listeners": [
                {
                    "type": port.options.type,
                    "address": port.options.address,
                    "port": port.port,
                    **_encryption(port.options),
                }
                for port in server.ports
            ],
            "store": {
                "commits": figures.commits,
                "writes": figures.writes,
                "failed_writes": figures.failed_writes,
                "dropped_writes": figures.dropped_writes,
                "waiting": figures.writes_waiting + figures.reads_waiting,
            },
        }

    def _host_status(self, host: VirtualHost, days: dict[str, int]) -> dict[str, Any]:
        try:
            accounts: int | None = host.accounts.count()
        except StonechatError:
            # A directory that does not count, or that is away.
            accounts = None
        return {
            "host": host.name,
            "sessions": len(host.session_manager),
            "accounts": accounts,
            "certificate_days": days.get(host.name),
            "plugins": list(host.plugins.running),
            "quarantined": dict(host.plugins.quarantined),
        }

    @command("metrics", "Show all metrics, in the text form of OpenMetrics.")
    def metrics(self) -> str:
        from stonechat.core.metrics import render

        return render(self._server)

    @command("stop", "Stop the server; sessions are told, and everything is written.")
    def stop(self, delay: int = 0) -> str:
        """After `delay` seconds, an hour at most; the last word about it holds."""
        self._end(delay, restart=False)
        return "the server stops" + _in(delay)

    @command("restart", "Stop the server, and start it again in the same process.")
    def restart(self, delay: int = 0) -> str:
        """It reads its configuration anew, and whatever code is installed by then.

        Refused where the configuration would not let it start. The delay is as of `stop`.
        """
        from stonechat.core.reload import preview

        with refusals():
            preview(self._server)
        self._end(delay, restart=True)
        return "the server restarts" + _in(delay)

    def _end(self, delay: int, *, restart: bool) -> None:
        if not 0 <= delay <= LONGEST_DELAY:
            raise CommandError(f"delay: 0 to {LONGEST_DELAY} seconds", "not-acceptable")
        if self._waiting is not None:
            self._waiting.cancel()
        self._server.log.info("the end was asked for", restart=restart, delay=delay)
        self._server.is_restarting = restart
        # Never here: the answer has to be out before.
        self._waiting = self._server.timers.add(delay, self._stop)

    def _stop(self) -> None:
        import gevent

        gevent.spawn(self._server.stop)

    @command(
        "reload",
        "Read the configuration again and apply what has changed, whole or not at all.",
        example="stonechat reload --dry-run",
    )
    def reload(self, dry_run: bool = False) -> list[str]:
        """Sessions stay, except those of hosts that are removed.

        With dry_run it only says what would change.
        """
        from stonechat.core.reload import preview, reload

        with refusals():
            return preview(self._server) if dry_run else reload(self._server)


class SessionCommands:
    """Commands about those who are connected."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @command(
        "connected-users",
        "List the sessions of a host, or of all.",
        example="stonechat connected-users capulet.example",
    )
    def connected_users(self, host: str = "", limit: int = LIST_LIMIT) -> list[dict[str, Any]]:
        return list(islice(self._sessions(host), max(limit, 0)))

    def _sessions(self, name: str) -> Iterator[dict[str, Any]]:
        import gevent

        for host in chosen_hosts(self._server, name):
            for number, session in enumerate(host.session_manager, 1):
                yield _session(session)
                if number % _IN_A_ROW == 0:
                    gevent.sleep(0)

    @command(
        "kick",
        "Close the sessions of an account, or the one of a full JID.",
        example='stonechat kick juliet@capulet.example "Too loud"',
    )
    def kick(self, jid: JID, reason: str = "") -> int:
        """Returns how many were closed; the reason is shown to the user."""
        host = find_host(self._server, jid.domain)
        sessions = host.session_manager.sessions(jid.localpart)
        if jid.resource:
            sessions = tuple(session for session in sessions if session.jid == jid)
        if not sessions:
            raise CommandError(f"{jid} is not connected", "item-not-found")
        # RFC 6120, 4.9.3.14: "the entity has violated some local service policy".
        error = StreamError("policy-violation", reason or "An administrator closed the session.")
        for session in sessions:
            session.close(error)
        host.log.info("kicked", jid=jid.text, sessions=len(sessions), reason=reason)
        return len(sessions)


def _session(session: ClientSession) -> dict[str, Any]:
    return {
        "jid": session.jid.text,
        "address": session.address,
        "secure": session.is_secure,
        "connected": session.is_connected,
        "priority": session.priority if session.presence is not None else None,
        "idle_seconds": int(session.idle_seconds),
        "connected_since": _iso(session.connected_at),
    }


def _iso(moment: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment // 1_000_000))


class StoreCommands:
    """Commands about the database."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @command(
        "backup",
        "Write a copy of the database to a new file, while the server goes on.",
        example="stonechat backup /var/backups/stonechat.db",
    )
    def backup(self, path: str) -> dict[str, Any]:
        """The copy is one file, which can be put in the place of the database.

        It holds no certificates, no configuration and no files of plugins.
        """
        target = Path(path)
        if not target.is_absolute():
            raise CommandError(f"{path} is no absolute path")
        begun = time.monotonic()
        with refusals():
            self._server.store.backup(target)
        size = target.stat().st_size
        self._server.log.info("backup written", path=path, octets=size)
        return {"path": path, "bytes": size, "seconds": round(time.monotonic() - begun, 1)}

    @command("check-store", "Read the whole database, and say whether it is damaged.")
    def check_store(self) -> str:
        with refusals():
            faults = self._server.store.check()
        if faults:
            raise CommandError("\n".join(["the database is damaged:", *faults]))
        return "the database is sound"
