"""SCRAM credentials, as ejabberd, Prosody, Dovecot and PostgreSQL write them down."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from stonechat.auth import SCRAM_HASHES, ScramCredentials

# {SCRAM-SHA-256}4096,salt,StoredKey,ServerKey and SCRAM-SHA-256$4096:salt$StoredKey:ServerKey
# (RFC 5803, which PostgreSQL follows, too).
_WORDS = re.compile(
    r"(?:\{SCRAM-(?P<one>SHA-\d+)\}|SCRAM-(?P<other>SHA-\d+)\$)"
    r"(?P<iterations>\d{1,8})[,:](?P<salt>[^,$:]+)[,$](?P<stored>[^,:]+)[,:](?P<server>[^,:]+)"
)


class DamagedCredentials(ValueError):
    """What the database has is no SCRAM credentials."""


def credentials_of(
    row: Mapping[str, Any], hash_name: str, salt_as: str
) -> ScramCredentials | None:
    """The credentials in a row; None if it has a password instead. Raises DamagedCredentials."""
    try:
        if row.get("stored_key") and row.get("salt"):
            return ScramCredentials(
                hash_name,
                _salt(as_text(row["salt"]), salt_as),
                int(row["iterations"]),
                _key(row["stored_key"], hash_name),
                _key(row["server_key"], hash_name),
            )
        words = _WORDS.fullmatch(as_text(row.get("password") or ""))
        if words is None:
            return None
        name = words["one"] or words["other"]
        if name not in SCRAM_HASHES:
            raise ValueError(name)
        return ScramCredentials(
            name,
            _salt(words["salt"], "base64"),
            int(words["iterations"]),
            _key(words["stored"], name),
            _key(words["server"], name),
        )
    except (ValueError, TypeError, KeyError):
        # Not chained: it quotes what there is.
        raise DamagedCredentials("SCRAM credentials in the database are damaged.") from None


def columns_of(credentials: ScramCredentials, salt_as: str) -> dict[str, Any]:
    """What to store, as `credentials_of` reads it."""
    salt = credentials.salt
    if salt_as == "text":
        written = salt.decode("ascii")
    else:
        written = salt.hex() if salt_as == "hex" else _base64(salt)
    stored, server = _base64(credentials.stored_key), _base64(credentials.server_key)
    if salt_as == "text":
        # Prosody, which has such salts, has its keys in hexadecimal.
        stored, server = credentials.stored_key.hex(), credentials.server_key.hex()
    return {
        "salt": written,
        "iterations": credentials.iterations,
        "stored_key": stored,
        "server_key": server,
        "password": words_of(credentials),
    }


def words_of(credentials: ScramCredentials) -> str:
    """All in one text, by RFC 5803."""
    return (
        f"SCRAM-{credentials.hash_name}${credentials.iterations}:{_base64(credentials.salt)}"
        f"${_base64(credentials.stored_key)}:{_base64(credentials.server_key)}"
    )


def as_text(value: object) -> str:
    """A value of a column: text, or the octets of one."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return str(value)


def _key(value: object, hash_name: str) -> bytes:
    size = hashlib.new(SCRAM_HASHES[hash_name]).digest_size
    if isinstance(value, bytes | bytearray | memoryview) and len(value) == size:
        return bytes(value)
    text = as_text(value).strip()
    # Of one key the two ways to write it differ in length.
    return bytes.fromhex(text) if len(text) == 2 * size else _octets(text)


def _salt(text: str, salt_as: str) -> bytes:
    if salt_as == "text":
        return text.encode()
    return bytes.fromhex(text) if salt_as == "hex" else _octets(text)


def _octets(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
