"""The `stonechat` command: the server itself, and what talks to it from a shell."""
