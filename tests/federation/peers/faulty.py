"""Servers that are none: they take connections, and then do as they please."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Sequence

from peers.stage import Stage

# What follows once something has come; bytes are sent at once, None ends the connection.
Play = Sequence[bytes | None]

_READ_SIZE = 65536
_SECONDS = 60.0


class FaultyServer(socketserver.ThreadingTCPServer):
    """Listens on an address of its own, and plays the same to everybody who connects.

    Before each part of the play it waits until something has come; the first comes unasked.
    At the end of the play it is silent until the other end is gone.
    """

    daemon_threads = True

    def __init__(self, stage: Stage, domain: str, play: Play = ()) -> None:
        self.play = play
        super().__init__((stage.address(), 0), _Handler)
        self.address, self.port = self.server_address
        stage.serve(domain, self.address, self.port)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(socketserver.BaseRequestHandler):
    server: FaultyServer

    def handle(self) -> None:
        self.request.settimeout(_SECONDS)
        try:
            for number, part in enumerate(self.server.play):
                if number and not self.request.recv(_READ_SIZE):
                    return
                if part is None:
                    return
                self.request.sendall(part)
            while self.request.recv(_READ_SIZE):
                pass
        except OSError:
            # It went away; that is what most of them are for.
            return
