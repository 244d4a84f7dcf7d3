"""Bytes in, events out: the XMPP stream without sockets, clock or log."""
