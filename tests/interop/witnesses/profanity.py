"""profanity, a client for the terminal: tmux types for it, and shows its screen."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from stonechat.testing import until
from stonechat.testing.process import LOCALHOST
from witnesses import DEADLINE

# No picture at the start, nothing that pops up, and no encryption that nobody asked for.
SETTINGS = """\
[ui]
splash=false
time.console=off
time.chat=off
statusbar.hide.name=true
[notifications]
message=off
invite=off
sub=off
[otr]
policy=manual
[omemo]
policy=manual
"""

COLUMNS, LINES = 200, 50


class Profanity:
    """One profanity in a terminal of its own, with its own home."""

    def __init__(self, trusted: Path) -> None:
        # Not pytest's: the path of a socket must not be long.
        self._home = Path(tempfile.mkdtemp(prefix="profanity-"))
        settings = self._home / "config" / "profanity" / "profrc"
        settings.parent.mkdir(parents=True)
        settings.write_text(SETTINGS)
        environment = {
            "HOME": str(self._home),
            "LANG": "C.UTF-8",
            "PATH": os.environ["PATH"],
            # Where its TLS library looks for authorities.
            "SSL_CERT_FILE": str(trusted),
            "TERM": "screen-256color",
            "XDG_CONFIG_HOME": str(self._home / "config"),
            "XDG_DATA_HOME": str(self._home / "data"),
        }
        self._tmux(
            *("new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), "profanity"),
            environment=environment,
        )
        self.see(r"\[offline\]")

    def _tmux(self, *arguments: str, environment: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            ["tmux", "-u", "-f", "/dev/null", "-S", str(self._home / "tmux"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def screen(self) -> str:
        """What is on the screen now."""
        return self._tmux("capture-pane", "-p")

    def type(self, line: str) -> None:
        """Type a line and press Enter."""
        self._tmux("send-keys", "-l", line)
        self._tmux("send-keys", "Enter")

    def see(self, pattern: str) -> re.Match[str]:
        """Wait until this is on the screen."""
        try:
            return until(lambda: re.search(pattern, self.screen), pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen is\n{self.screen}") from None

    def connect(self, jid: str, password: str, port: int, tls: str = "force") -> None:
        """Ask for a login; whether that succeeds is on the screen."""
        self.type(f"/connect {jid} server {LOCALHOST} port {port} tls {tls}")
        self.see("Enter password:")
        self.type(password)

    def log_in(self, jid: str, password: str, port: int, tls: str = "force") -> None:
        self.connect(jid, password, port, tls)
        self.see(f"{re.escape(jid)}\\S* logged in successfully")

    def close(self) -> None:
        subprocess.run(
            ["tmux", "-S", str(self._home / "tmux"), "kill-server"],
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
        shutil.rmtree(self._home, ignore_errors=True)
