"""The keys that tokens are signed with, from one file that may change while we run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWTError
from jwt.algorithms import get_default_algorithms

MAX_FILE = 1 << 20
MAX_KEYS = 50

# RFC 7518, 3.2: a key as long as the hash at least.
_LEAST_OCTETS = {"HS256": 32, "HS384": 48, "HS512": 64}
_SYMMETRIC = frozenset(_LEAST_OCTETS)
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

# The members of a JWK that are nobody's but the signer's.
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi"})


class BadKeys(ValueError):
    """The file has no key that can be used, or one that should not be there."""


@dataclass(frozen=True)
class Key:
    """A key, and the algorithms that it may be used with: those of its kind, and no others."""

    algorithms: tuple[str, ...]
    material: Any = field(repr=False)
    id: str = ""


def load(path: Path, algorithms: Sequence[str]) -> tuple[Key, ...]:
    """The keys of a file that go with the algorithms; OSError, BadKeys."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise BadKeys("The file is too large to be a key.")
    if content.lstrip().startswith(b"{"):
        found = _keys_of_jwks(content, algorithms)
    elif _SYMMETRIC.issuperset(algorithms):
        secret = content.rstrip(b"\r\n")
        if secret.startswith(b"-----BEGIN"):
            # What everybody knows would be the secret.
            raise BadKeys("This is no secret for HS256 and its like, but a key of another kind.")
        found = [Key(_fitting(secret, algorithms), secret)]
    else:
        public = _public_key(content)
        found = [Key(_fitting(public, algorithms), public)]
    found = [key for key in found if key.algorithms]
    if not found:
        raise BadKeys(f"There is no key for {', '.join(algorithms)}, or none that is long enough.")
    return tuple(found)


def _public_key(content: bytes) -> Any:
    if b"PRIVATE KEY-----" in content:
        raise BadKeys("This is a private key, which only the signer should have.")
    try:
        if b"-----BEGIN CERTIFICATE-----" in content:
            return x509.load_pem_x509_certificate(content).public_key()
        return load_pem_public_key(content)
    except ValueError as error:
        raise BadKeys("This is neither a public key in PEM nor a JWK set.") from error


def _keys_of_jwks(content: bytes, algorithms: Sequence[str]) -> list[Key]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadKeys("This is not JSON.") from error
    given = document.get("keys", [document])
    if not isinstance(given, list) or len(given) > MAX_KEYS:
        raise BadKeys(f"A JWK set has a list of at most {MAX_KEYS} keys.")
    return [key for one in given if (key := _key_of_jwk(one, algorithms)) is not None]


def _key_of_jwk(jwk: object, algorithms: Sequence[str]) -> Key | None:
    """RFC 7517: a key that we do not understand, or that is for something else, is ignored."""
    if not isinstance(jwk, Mapping) or jwk.get("use", "sig") != "sig":
        return None
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    if jwk.get("kty") != "oct" and not _PRIVATE.isdisjoint(jwk):
        raise BadKeys("There is a private key, which only the signer should have.")
    wanted = [name for name in algorithms if jwk.get("alg", name) == name]
    known = get_default_algorithms()
    for name in wanted:
        try:
            # It looks at the key type, and refuses that of another algorithm.
            material = known[name].from_jwk(dict(jwk))
        except (PyJWTError, ValueError, TypeError, KeyError):
            continue
        return Key(_fitting(material, wanted), material, str(jwk.get("kid", "")))
    return None


def _fitting(material: Any, algorithms: Sequence[str]) -> tuple[str, ...]:
    """The algorithms that a key may be used with, of those that are wanted."""
    able: Sequence[str] = ()
    if isinstance(material, bytes):
        able = [name for name, least in _LEAST_OCTETS.items() if len(material) >= least]
    elif isinstance(material, RSAPublicKey):
        able = _RSA if material.key_size >= 2048 else ()
    elif isinstance(material, EllipticCurvePublicKey):
        able = (_CURVES.get(material.curve.name, ""),)
    elif isinstance(material, Ed25519PublicKey | Ed448PublicKey):
        able = ("EdDSA",)
    return tuple(name for name in algorithms if name in able)


class KeyFile:
    """The keys of a file, read again when it looks another one."""

    def __init__(self, path: Path, algorithms: Sequence[str]) -> None:
        self._path = path
        self._algorithms = tuple(algorithms)
        self._seen: tuple[int, ...] = ()
        self.keys: tuple[Key, ...] = ()

    def refresh(self) -> bool:
        """Look at the file; True where its keys are new. OSError or BadKeys, once for each change.

        After an error the keys stay what they were: whoever writes the file may not be done.
        """
        seen = self._look()
        if seen == self._seen:
            return False
        self._seen = seen
        self.keys = load(self._path, self._algorithms)
        return True

    def _look(self) -> tuple[int, ...]:
        try:
            status = os.stat(self._path)
        except OSError:
            if self._seen == (0,):
                return self._seen
            self._seen = (0,)
            raise
        return status.st_mtime_ns, status.st_size, status.st_ino
