"""Servers that speak to each other on loopback: Prosody, ejabberd, and nodes of ours."""

from __future__ import annotations

CAPULET = "capulet.example"
LAURENCE = "laurence.example"
MANTUA = "mantua.example"
MONTAGUE = "montague.example"
PADUA = "padua.example"
VERONA = "verona.example"

# Everything here happens, or never does: on a machine that is busy with others, too.
DEADLINE = 30.0

# Where a server of others' is, if DNS says nothing else.
DEFAULT_PORT = 5269
