"""Requests to one HTTP server over connections that are kept: JSON there, JSON back.

On the standard library with gevent's sockets. Of urllib3 and what stands on it, the pools
and gevent's deadlines do not go together well (urllib3 issues 805, 3061 and 3289), and none
of the rest is needed: nothing is followed, unpacked or tried again but here.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from select import POLLIN
from typing import Any
from urllib.parse import SplitResult, urlsplit

import gevent
from gevent import socket, ssl
from gevent.lock import BoundedSemaphore
from gevent.select import poll

MAX_BODY = 1 << 20

# What servers close soon is not used again: nobody knows whether a request arrived that met
# such an end.
IDLE_SECONDS = 4.0


class HttpFault(Exception):
    """The server gave no answer that can be used. The text is for the log."""


class JsonClient:
    """Posts to paths below a URL. Each answer comes within `seconds`, or HttpFault."""

    def __init__(
        self,
        url: str,
        *,
        size: int,
        seconds: float,
        clock: Callable[[], float],
        secret: str = "",
        ca_file: str | None = None,
    ) -> None:
        self._url = urlsplit(url)
        self._seconds = seconds
        self._clock = clock
        self._slots = BoundedSemaphore(size)
        # Free ones, and since when.
        self._idle: deque[tuple[_Connection, float]] = deque()
        self._tls = None
        if self._url.scheme == "https":
            self._tls = ssl.create_default_context(cafile=ca_file)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if secret:
            self._headers["Authorization"] = f"Bearer {secret}"

    def post(self, path: str, question: Mapping[str, Any], *, again: bool) -> dict[str, Any]:
        """Ask. `again` says that it does no harm if the server gets the question twice."""
        timeout = gevent.Timeout.start_new(self._seconds)
        try:
            with self._slots:
                return _read(self._post(path, json.dumps(question).encode(), again))
        except gevent.Timeout as error:
            if error is not timeout:
                raise
            raise HttpFault(f"no answer within {self._seconds:g} s") from None
        except (OSError, HTTPException) as error:
            raise HttpFault(str(error) or type(error).__name__) from error
        finally:
            timeout.close()

    def close(self) -> None:
        """Give the free connections up."""
        while self._idle:
            self._idle.pop()[0].close()

    # Below

    def _post(self, path: str, body: bytes, again: bool) -> bytes:
        kept = self._kept()
        if kept is not None:
            try:
                return self._exchange(kept, path, body)
            except (ConnectionError, BrokenPipeError):
                # Closed just now, as servers may do with one that is idle. Before any of an
                # answer, for what breaks off in the middle is an HTTPException.
                if not again:
                    raise
        return self._exchange(_Connection(self._url, self._tls), path, body)

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection, since = self._idle.pop()
            if self._clock() - since <= IDLE_SECONDS and connection.is_quiet:
                return connection
            connection.close()
        return None

    def _exchange(self, connection: _Connection, path: str, body: bytes) -> bytes:
        is_reusable = False
        try:
            connection.request("POST", f"{self._url.path.rstrip('/')}/{path}", body, self._headers)
            answer = connection.getresponse()
            if answer.status != 200:
                # Redirections, too: what is there may be anybody, and we hold a password.
                raise HttpFault(f"status {answer.status}")
            if answer.getheader("Content-Encoding", "identity") != "identity":
                raise HttpFault("an answer that is packed")
            content = answer.read(MAX_BODY + 1)
            if len(content) > MAX_BODY:
                raise HttpFault(f"an answer of more than {MAX_BODY} octets")
            if answer.length:
                raise HttpFault("half an answer")
            is_reusable = answer.isclosed() and not answer.will_close
            return content
        finally:
            # However it went, a deadline's way included: half an answer must not be taken
            # for a part of the next.
            if is_reusable:
                self._idle.append((connection, self._clock()))
            else:
                connection.close()


class _Connection(HTTPConnection):
    """One connection, whose waits are a greenlet's also where nothing is monkey-patched."""

    def __init__(self, url: SplitResult, tls: Any) -> None:
        super().__init__(url.hostname or "", url.port or (443 if tls else 80))
        self._tls = tls

    def connect(self) -> None:
        self.sock = socket.create_connection((self.host, self.port))
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)
        except BaseException:
            self.close()
            raise

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has come that nobody has asked for, the end above all."""
        if self.sock is None:
            return False
        poller = poll()
        poller.register(self.sock, POLLIN)
        return not poller.poll(0)


def _read(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise HttpFault("an answer that is not JSON") from None
    if not isinstance(answer, dict):
        raise HttpFault("an answer that is no JSON object")
    return answer
