"""How the `stonechat` command ends. Scripts rely on these numbers: they do not change."""

from __future__ import annotations

OK = 0
REFUSED = 1
"""The configuration is wrong, or the server refused the command: the text says why."""
USAGE = 2
"""The command line itself is wrong."""
NO_SERVER = 3
"""No server is running for this configuration."""
INCOMPLETE = 4
"""Done, but something was left out: the report says what."""
INTERRUPTED = 130
"""Ended by Ctrl-C, as shells have it."""
INTERNAL = 70
"""A fault in Stonechat, or a server that did not stop in order (EX_SOFTWARE)."""

HELP = (
    "Exit status: 0 all is well; 1 wrong configuration or refused; 2 wrong usage;"
    " 3 no server is running; 4 done, but for what the report names; 70 a fault in Stonechat."
)


class Failure(Exception):
    """Ends the command with a text for its user; `kind` is for scripts."""

    def __init__(self, text: str, code: int = REFUSED, kind: str = "command") -> None:
        super().__init__(text)
        self.code = code
        self.kind = kind
