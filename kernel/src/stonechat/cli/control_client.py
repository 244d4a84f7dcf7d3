"""The caller's end of the control socket. No gevent here: a shell waits for one answer."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from stonechat.cli.exit_codes import INTERNAL, NO_SERVER, REFUSED, Failure
from stonechat.core.control_wire import address_of

CONNECT_SECONDS = 5.0
LARGEST_ANSWER = 256 * 1024 * 1024


class ControlClient:
    """A connection to a running server; Failure with NO_SERVER if there is none."""

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._deadline = time.monotonic() + timeout
        self._socket = self._connect()

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_SECONDS)
        try:
            with address_of(self._path) as address:
                connection.connect(address)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            connection.close()
            raise Failure(
                f"no server is running ({self._path} does not answer)", NO_SERVER, "no-server"
            ) from None
        except OSError as error:
            connection.close()
            raise Failure(f"{self._path}: {error.strerror or error}", REFUSED, "socket") from None
        return connection

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def run(self, command: str, arguments: dict[str, Any]) -> Any:
        """The result of a command; Failure says why there is none."""
        return self._ask({"command": command, "arguments": arguments})

    def describe(self) -> list[dict[str, Any]]:
        """The declarations of all commands that the server has."""
        commands: list[dict[str, Any]] = self._ask({"describe": True})["commands"]
        return commands

    def _ask(self, request: dict[str, Any]) -> Any:
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(self._receive_line())
        except (OSError, ValueError) as error:
            raise Failure(
                f"the server gave no answer: {error or type(error).__name__}", INTERNAL, "internal"
            ) from None
        if "error" in answer:
            kind, text = answer["error"]["kind"], answer["error"]["text"]
            raise Failure(text, REFUSED if kind == "command" else INTERNAL, kind)
        return answer["result"]

    def _receive_line(self) -> bytes:
        pieces = []
        size = 0
        while True:
            self._set_timeout()
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionError("it closed the connection")
            pieces.append(data)
            size += len(data)
            if data.endswith(b"\n"):
                return b"".join(pieces)
            if size > LARGEST_ANSWER:
                raise ValueError("it is too long")

    def wait_for_end(self) -> None:
        """Wait until nobody answers at the socket any more; Failure when it takes too long."""
        while True:
            try:
                self._set_timeout()
                if self._socket.recv(1):
                    continue
                self._socket.close()
                # It may only have become tired of a silent caller.
                self._socket = self._connect()
            except ConnectionError:
                self._socket.close()
                self._socket = self._connect()
            except TimeoutError:
                raise Failure("the server has not stopped yet", INTERNAL, "internal") from None
            except Failure as failure:
                if failure.code == NO_SERVER:
                    return
                raise

    def _set_timeout(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time is up")
        self._socket.settimeout(left)
