"""Tells systemd how we are (sd_notify), where it started us."""

from __future__ import annotations

import os
import socket
import time


def reloading() -> str:
    """The state of a service that is back soon, until it is `READY=1`."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def notify(state: str) -> None:
    """Send `READY=1` or the like; nothing where no one asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), address)
    except OSError:
        # Whoever asked is gone; the service runs all the same.
        return
