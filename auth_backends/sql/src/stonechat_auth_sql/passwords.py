"""Hashes of passwords, as other programs leave them in their databases.

A prefix in braces names the scheme, as Dovecot and LDAP do it, or the hash says it itself:

    $argon2id$…  $2b$…  $6$…  $5$…  $pbkdf2-sha256$…  $P$…  pbkdf2_sha256$…  {SSHA512}…
"""

from __future__ import annotations

import hmac
import re
import warnings
from typing import Any

from stonechat.auth import BadPassword, prepare_password

# Dovecot's names for what can be told without them, or is no hash.
_PREFIX = re.compile(
    r"\{(?:ARGON2I|ARGON2ID|BLF-CRYPT|CRYPT|SHA256-CRYPT|SHA512-CRYPT)\}", re.IGNORECASE
)

# What bcrypt looks at; whoever made the hash cut the rest off, too.
_BCRYPT_OCTETS = 72


class UnknownHash(ValueError):
    """Something in the column is none of the hashes that are known here."""


def check_hash(password: str, stored: str) -> bool:
    """Whether this is the password that was hashed. Takes its time. Raises UnknownHash."""
    stored = _PREFIX.sub("", stored.strip(), count=1)
    scheme = _scheme_of(stored)
    octets = password.encode("utf-8", "surrogatepass")
    if b"\0" in octets:
        return False  # which C libraries take for the end
    if scheme.name == "bcrypt":
        octets = octets[:_BCRYPT_OCTETS]
    try:
        with warnings.catch_warnings():
            # That a hash is of an old kind is nothing that a login could change.
            warnings.simplefilter("ignore")
            return bool(scheme.verify(octets, stored))
    except ValueError:
        raise UnknownHash("A hash is damaged.") from None


def new_hash(password: str, name: str) -> str:
    """A hash to store. Takes its time. Raises BadPassword."""
    prepared = prepare_password(password)
    if name == "bcrypt" and len(prepared.encode()) > _BCRYPT_OCTETS:
        raise BadPassword(f"The password is longer than {_BCRYPT_OCTETS} octets.")
    return str(_maker(name).hash(prepared))


def is_same(kept: str, given: str) -> bool:
    """Whether a password is the one that is kept as it is."""
    try:
        given = prepare_password(given)
    except BadPassword:
        given = ""
    try:
        kept = prepare_password(kept)
    except BadPassword:
        return False
    return hmac.compare_digest(kept.encode(), given.encode())


def _maker(name: str) -> Any:
    # Imported when they are needed: a server should start quickly.
    from passlib import hash as schemes

    return {
        "argon2id": schemes.argon2,
        "bcrypt": schemes.bcrypt,
        "sha512-crypt": schemes.sha512_crypt,
    }[name]


def _scheme_of(stored: str) -> Any:
    from passlib import hash as schemes

    for scheme in (
        schemes.argon2,
        schemes.bcrypt,
        schemes.sha512_crypt,
        schemes.sha256_crypt,
        schemes.pbkdf2_sha256,
        schemes.pbkdf2_sha512,
        schemes.django_pbkdf2_sha256,
        schemes.phpass,
        schemes.ldap_salted_sha512,
        schemes.ldap_salted_sha256,
        schemes.ldap_salted_sha1,
    ):
        if scheme.identify(stored):
            return scheme
    raise UnknownHash("A hash is of a kind that is not known here.")
