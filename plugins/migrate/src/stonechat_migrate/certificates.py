"""Finds out which of some files have the certificate of a host, and which its key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

_LARGEST = 1024 * 1024


def find_certificates(
    directory: Path, patterns: Iterable[str], hosts: Iterable[str]
) -> dict[str, tuple[Path, Path]]:
    """For each host that has any, the file of its chain and that of its key.

    A pattern is a path, in which `*` stands for any text; relative ones begin in `directory`.
    """
    chains: list[tuple[Path, x509.Certificate]] = []
    keys: dict[bytes, Path] = {}
    for path in _files(directory, patterns):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        try:
            chains.append((path, x509.load_pem_x509_certificates(data)[0]))
        except (ValueError, IndexError):
            pass  # it may hold a key alone
        try:
            key = load_pem_private_key(data, None)
        except (ValueError, TypeError):
            continue
        public = key.public_key()
        keys[public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)] = path
    found = {}
    for host in hosts:
        for path, certificate in chains:
            public_bytes = certificate.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
            if public_bytes in keys and _is_for(certificate, host):
                found[host] = (path, keys[public_bytes])
                break
    return found


def _files(directory: Path, patterns: Iterable[str]) -> Iterator[Path]:
    for pattern in patterns:
        place = Path(pattern) if Path(pattern).is_absolute() else directory / pattern
        root = Path(place.anchor)
        for path in sorted(root.glob(str(place.relative_to(root)))):
            if path.is_file() and path.stat().st_size <= _LARGEST:
                yield path


def _is_for(certificate: x509.Certificate, host: str) -> bool:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    try:
        wanted = host.encode("idna").decode().lower()
    except UnicodeError:
        return False
    for name in names.get_values_for_type(x509.DNSName):
        if name.lower() == wanted:
            return True
        if name.startswith("*.") and wanted.partition(".")[2] == name[2:].lower():
            return True
    return False
