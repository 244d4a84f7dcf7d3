"""The control socket: the node's commands for whoever may open a file in `data_dir`.

The socket's mode is the permission: what comes through it may do everything.
`stonechat.core.control_wire` says what is spoken.
"""

from __future__ import annotations

import json
import socket as plain_socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent import socket
from gevent.pool import Pool
from gevent.server import StreamServer

from stonechat.commands import CommandError
from stonechat.core.control_wire import MAX_REQUEST, address_of, describe_command
from stonechat.errors import ConfigError
from stonechat.jid import JID

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from stonechat.core.command_registry import CommandRegistry

# Callers at the same time; the next one waits for its turn.
MAX_CALLERS = 64
BACKLOG = 64

# For a request to come in whole, and for an answer to be fetched.
WIRE_SECONDS = 30.0


class BadRequest(Exception):
    """A line that is no request; nothing is read after it."""


class ControlSocket:
    """Answers requests on a Unix socket, each caller in a greenlet."""

    def __init__(self, path: Path, commands: CommandRegistry, log: FilteringBoundLogger) -> None:
        self.path = path
        self._commands = commands
        self._log = log
        self._server: StreamServer | None = None
        self._identity = (0, 0)

    def open(self) -> None:
        """Listen; ConfigError if another server does, or if it cannot be done here."""
        try:
            self._make_way()
            listener = self._bind()
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be listened on: {error.strerror}") from None
        self._server = StreamServer(listener, self._serve, spawn=Pool(MAX_CALLERS))
        self._server.start()

    def _make_way(self) -> None:
        """Remove what a server left that was killed, but nothing else."""
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ConfigError(f"{self.path}: is no socket; move it out of the way")
        with plain_socket.socket(plain_socket.AF_UNIX) as probe, address_of(self.path) as address:
            probe.settimeout(1.0)
            try:
                probe.connect(address)
            except (ConnectionRefusedError, FileNotFoundError):
                self.path.unlink(missing_ok=True)
                return
            except TimeoutError:
                pass  # it listens, and is busy
        raise ConfigError(f"{self.path}: another server is running here")

    def _bind(self) -> socket.socket:
        listener = socket.socket(plain_socket.AF_UNIX, plain_socket.SOCK_STREAM)
        try:
            with address_of(self.path) as address:
                listener.bind(address)
            # Before it listens, nobody can connect.
            self.path.chmod(0o600)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        status = self.path.stat()
        self._identity = (status.st_dev, status.st_ino)
        return listener

    def close(self) -> None:
        """Answer nobody any more, and remove the socket."""
        if self._server is None:
            return
        server, self._server = self._server, None
        try:
            status = self.path.lstat()
            if (status.st_dev, status.st_ino) == self._identity:
                self.path.unlink()
        except FileNotFoundError:
            pass
        server.stop(timeout=0)

    # One caller

    def _serve(self, sock: socket.socket, _address: object) -> None:
        try:
            for line in _lines(sock):
                self._send(sock, self._answer(line))
        except BadRequest as error:
            self._send(sock, _error("request", str(error)))
        except (OSError, gevent.Timeout) as error:
            # The caller has gone, or keeps us waiting.
            self._log.debug("control connection ended", reason=str(error))
        finally:
            sock.close()

    def _send(self, sock: socket.socket, answer: dict[str, Any]) -> None:
        try:
            text = json.dumps(answer, default=_plain)
        except (TypeError, ValueError) as error:
            self._log.error("a command's result is no plain data", exc_info=error)
            text = json.dumps(_error("internal", "The result cannot be shown; see the log."))
        with gevent.Timeout(WIRE_SECONDS):
            sock.sendall(text.encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            raise BadRequest("a request is one line of JSON") from None
        if not isinstance(request, dict):
            raise BadRequest("a request is a JSON object")
        if request.get("describe") is True:
            return {"result": self._describe()}
        name, arguments = request.get("command"), request.get("arguments", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise BadRequest('a request is {"command": name, "arguments": {…}}')
        try:
            return {"result": self._commands.run(name, arguments)}
        except CommandError as error:
            return _error("command", str(error))
        # A deadline that a plugin let out is no Exception.
        except (Exception, gevent.Timeout) as error:  # noqa: BLE001 - the boundary of a command
            self._log.error("a command failed", command=name[:100], exc_info=error)
            return _error("internal", f"{name} failed inside the server; its log says how.")

    def _describe(self) -> dict[str, Any]:
        commands = self._commands.commands()
        return {
            "commands": [
                describe_command(command, self._commands.hosts_of(command.name))
                for command in commands
            ]
        }


def _error(kind: str, text: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "text": text}}


def _plain(value: object) -> str:
    if isinstance(value, JID):
        return value.text
    raise TypeError(f"{type(value).__name__} is no plain data")


def _lines(sock: socket.socket) -> Iterator[bytes]:
    """Complete lines, each within its size and its time, until the caller ends."""
    pending = b""
    while True:
        with gevent.Timeout(WIRE_SECONDS):
            while b"\n" not in pending:
                if len(pending) > MAX_REQUEST:
                    raise BadRequest(f"a request has at most {MAX_REQUEST} octets")
                data = sock.recv(65536)
                if not data:
                    return
                pending += data
        line, _, pending = pending.partition(b"\n")
        yield line
