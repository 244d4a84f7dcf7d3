"""Base 64 and UTF-8 as SASL in XMPP wants them: exact, or refused."""

from __future__ import annotations

import base64
import binascii

from stonechat.errors import SaslFailure


def decode_base64(text: str) -> bytes:
    """Decode base 64 that is written in the one right way, else raise ValueError.

    RFC 6120, 13.9.1: no other characters, not even white space; padding only at the
    end; and no bits that decoding would drop, for they carry hidden data.
    """
    data = binascii.a2b_base64(text)
    # Python's decoder passes over most of that; what it read must give the same text.
    if encode_base64(data) != text:
        raise ValueError("This base 64 is not in its one right form.")
    return data


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def decode_utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        # Not chained: that error holds the data, and with PLAIN the data is the password.
        raise SaslFailure("malformed-request", "The data is not UTF-8.") from None
