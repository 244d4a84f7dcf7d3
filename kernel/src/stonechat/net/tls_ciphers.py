"""What a spelling of ciphers stands for, and which of them are good (RFC 9325, 4.2)."""

from __future__ import annotations

from OpenSSL import SSL

_FORWARD_SECRECY = ("TLS_", "ECDHE-", "DHE-")
_AUTHENTICATED = ("GCM", "CHACHA20", "CCM")


def ciphers_named(spelling: str) -> list[str]:
    """The names of ciphers that a text in OpenSSL's way stands for; none if it is wrong."""
    context = SSL.Context(SSL.TLS_METHOD)
    try:
        context.set_cipher_list(spelling.encode("ascii", "replace"))
    except SSL.Error:
        return []
    return SSL.Connection(context).get_cipher_list()


def is_strong(name: str) -> bool:
    """Whether a cipher has forward secrecy and authenticated encryption."""
    return name.startswith(_FORWARD_SECRECY) and any(mode in name for mode in _AUTHENTICATED)
