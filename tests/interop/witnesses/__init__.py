"""Clients that talk to a real server: those that others wrote, and a small one of our own."""

# How long anything may take that has to happen at all; nothing here is measured.
DEADLINE = 30.0
