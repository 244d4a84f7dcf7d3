"""go-sendxmpp: one message from a script, or a listener."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from pathlib import Path

from stonechat.testing.process import LOCALHOST
from witnesses import DEADLINE


class SendXmpp:
    """The program for one account, with a home of its own."""

    def __init__(self, home: Path, jid: str, password: str, port: int, trusted: Path) -> None:
        self._file = home / f"{jid}.conf"
        self._file.write_text(
            f"username: {jid}\npassword: {password}\njserver: {LOCALHOST}:{port}\n"
        )
        self._file.chmod(0o600)
        # Go looks there for authorities, and nowhere else.
        self._environment = {
            **os.environ,
            "HOME": str(home),
            "SSL_CERT_FILE": str(trusted),
            "SSL_CERT_DIR": str(home),
        }

    def send(self, to: str, text: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Send what is typed on standard input."""
        return subprocess.run(
            ["go-sendxmpp", "-f", str(self._file), *options, to],
            input=text,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def listen(self, *options: str) -> Listener:
        """Print what comes, until somebody ends it."""
        return Listener(
            ["go-sendxmpp", "-f", str(self._file), "--listen", *options], self._environment
        )


class Listener:
    """A go-sendxmpp that listens."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._said = ""

    def wait_for(self, text: str) -> None:
        """Wait until it has printed this."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + DEADLINE
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while text not in self._said:
                # It may go on for ever about something else.
                left = max(deadline - time.monotonic(), 0.0)
                assert left, f"no {text!r} in {self.shown}"
                assert selector.select(left), f"nothing more after {self.shown}"
                piece = os.read(self._process.stdout.fileno(), 65536)
                assert piece, f"it ended after {self.shown}"
                self._said += piece.decode(errors="replace")

    @property
    def shown(self) -> str:
        """The end of what it has said."""
        return repr(self._said[-2000:])

    def kill(self) -> None:
        """End it in the way that leaves no time for a goodbye."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()
