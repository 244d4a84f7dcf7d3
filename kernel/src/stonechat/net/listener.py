"""Listening sockets: on IPv4 and IPv6, accepted without blocking the hub."""

from __future__ import annotations

import _socket
import errno
import socket
import sys
from collections.abc import Callable
from typing import Any

from stonechat.errors import ConfigError

BACKLOG = 1024
ACCEPTS_PER_TURN = 64

# Out of descriptors or memory, most likely: waiting is all that helps.
PAUSE_SECONDS = 0.5

# A system that knows IPv6 but has it switched off, for its interfaces or altogether.
_NO_IPV6 = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def bind(address: str, port: int) -> _socket.socket:
    """A listening socket; `::` takes IPv4 as well. ConfigError says why it cannot be."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if address == "::" and not socket.has_ipv6:
        family, address = socket.AF_INET, "0.0.0.0"  # noqa: S104 - what the operator asked for
    # The bare socket, for the hub has one watcher for all: gevent's own would
    # bring several for each.
    sock = None
    try:
        sock = _socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != "::")
        sock.bind((address, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        if sock is not None:
            sock.close()
        if address == "::" and error.errno in _NO_IPV6:
            return bind("0.0.0.0", port)  # noqa: S104
        where = f"[{address}]" if ":" in address else address
        raise ConfigError(f"cannot listen on {where}:{port}: {error.strerror}") from None
    return sock


class Acceptor:
    """Takes connections off a listening socket and hands them on, in the hub's greenlet.

    `accepted(socket, address)` must not block. `on_error` hears of trouble
    that the operator should know of.
    """

    def __init__(
        self,
        hub: Any,
        sock: _socket.socket,
        accepted: Callable[[_socket.socket, str], None],
        on_error: Callable[[OSError], None],
    ) -> None:
        self._hub = hub
        self._socket = sock
        self._family = sock.family
        self._accepted = accepted
        self._on_error = on_error
        self._watcher = hub.loop.io(sock.fileno(), 1)
        self._pause: Any = None

    def start(self) -> None:
        """Begin to accept."""
        self._watcher.start(self._accept)

    @property
    def port(self) -> int:
        """The port that is listened on, which the system chose where 0 was asked for."""
        port: int = self._socket.getsockname()[1]
        return port

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                descriptor, address = self._socket._accept()  # type: ignore[attr-defined]
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._watcher.stop()
                self._pause = self._hub.loop.timer(PAUSE_SECONDS)
                self._pause.start(self._go_on)
                self._on_error(error)
                return
            sock = _socket.socket(self._family, socket.SOCK_STREAM, fileno=descriptor)
            host: str = address[0]
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._accepted(sock, host.removeprefix("::ffff:") if "." in host else host)
            except Exception:  # noqa: BLE001 - or the hub would stop our watcher for good
                sock.close()
                self._hub.handle_error(self, *sys.exc_info())

    def _go_on(self) -> None:
        self._pause.close()
        self._pause = None
        self._watcher.start(self._accept)

    def close(self) -> None:
        """Stop listening; connections that were accepted live on."""
        if self._pause is not None:
            self._pause.stop()
            self._pause.close()
        self._watcher.stop()
        self._watcher.close()
        self._socket.close()
