"""X.509 certificates: read from files, asked for names, described, and made for a first start.

Names come from the subject alternative names as their ASN.1 structure gives them. The
subject is never asked, and no printed form is ever searched (RFC 6120, 13.7.1).
Importing this takes 50 ms: import it where a certificate is at hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from stonechat.errors import ConfigError, JIDError
from stonechat.jid import JID, domain_to_ascii, prepare_domain

ID_ON_XMPP_ADDR = ObjectIdentifier("1.3.6.1.5.5.7.8.5")  # RFC 6120, 13.7.1.4
ID_ON_DNS_SRV = ObjectIdentifier("1.3.6.1.5.5.7.8.7")  # RFC 4985

_IA5_STRING, _UTF8_STRING = 0x16, 0x0C
_LARGEST_FILE = 1 << 20
_LONGEST_COMMON_NAME = 64

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)


class CertificatePaths(NamedTuple):
    """PEM files: our certificate and what leads from it to a root, and its private key."""

    chain: Path
    key: Path


def read_chain(path: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file, our own first; ConfigError if there is none."""
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise ConfigError(f"{path}: holds no certificate in PEM format") from error


def read_key(path: Path) -> PrivateKey:
    """The private key in a PEM file; ConfigError if there is none, or one with a password."""
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except TypeError as error:
        raise ConfigError(f"{path}: the key is encrypted; store it without a password") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: holds no private key in PEM format") from error
    if not isinstance(key, PrivateKey):
        raise ConfigError(f"{path}: a key of this kind cannot sign")
    return key


def read_pair(paths: CertificatePaths) -> tuple[list[x509.Certificate], PrivateKey]:
    """Chain and key; ConfigError unless they belong together."""
    chain, key = read_chain(paths.chain), read_key(paths.key)
    try:
        belongs = chain[0].public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        belongs = False
    if not belongs:
        raise ConfigError(
            f"{paths.key}: the key does not belong to the first certificate in {paths.chain}"
        )
    return chain, key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > _LARGEST_FILE:
        raise ConfigError(f"{path}: is too large to be a certificate or a key")
    return content


class CertificateNames(NamedTuple):
    """Subject alternative names that mean something to XMPP, as they are written."""

    dns: tuple[str, ...] = ()
    srv: tuple[str, ...] = ()
    xmpp: tuple[str, ...] = ()


def certificate_names(certificate: x509.Certificate) -> CertificateNames:
    """The names in a certificate; none at all if any part of them is malformed."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (
        ValueError,
        x509.ExtensionNotFound,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ):
        return CertificateNames()
    others = names.get_values_for_type(x509.OtherName)
    return CertificateNames(
        tuple(names.get_values_for_type(x509.DNSName)),
        tuple(_strings(others, ID_ON_DNS_SRV, _IA5_STRING)),
        tuple(_strings(others, ID_ON_XMPP_ADDR, _UTF8_STRING)),
    )


def accounts_in_certificate(certificate: x509.Certificate) -> tuple[JID, ...]:
    """The accounts that a client's certificate names, for SASL EXTERNAL (XEP-0178).

    Says nothing of whether the certificate is to be trusted.
    """
    accounts: dict[JID, None] = {}
    for name in certificate_names(certificate).xmpp:
        try:
            address = JID.parse(name)
        except JIDError:
            continue
        if address.localpart and address.is_bare:
            accounts[address] = None
    return tuple(accounts)


def covers_domain(certificate: x509.Certificate, domain: str, service: str) -> bool:
    """Whether a server's certificate is for `domain` (RFC 6120, 13.7.2; RFC 9525).

    `service` is the name of the SRV record, "xmpp-server" or "xmpp-client".
    """
    try:
        prepared = prepare_domain(domain)
        wanted = domain_to_ascii(prepared)
    except JIDError:
        return False
    if wanted.startswith("[") or wanted.rpartition(".")[2].isdigit():
        # An address; names of hosts say nothing about it.
        return False
    names = certificate_names(certificate)
    parent = "*." + wanted.partition(".")[2]
    # A wildcard stands for one label, and for no child of a top-level domain.
    accepted = {wanted, parent} if parent.count(".") > 1 else {wanted}
    return (
        any(name.lower().removesuffix(".") in accepted for name in names.dns)
        or any(name.lower() == f"_{service}.{wanted}" for name in names.srv)
        or any(_is_domain(name, prepared) for name in names.xmpp)
    )


def _is_domain(name: str, domain: str) -> bool:
    try:
        address = JID.parse(name)
    except JIDError:
        return False
    return address.is_domain and address.domain == domain


def _strings(names: Iterable[x509.OtherName], kind: ObjectIdentifier, tag: int) -> Iterator[str]:
    """The texts of the other names of one kind, which come as DER."""
    for name in names:
        if name.type_id == kind:
            content = _der_content(name.value, tag)
            try:
                yield content.decode("ascii" if tag == _IA5_STRING else "utf-8")
            except UnicodeDecodeError:
                continue


def _der_content(der: bytes, tag: int) -> bytes:
    """What is inside the tag and the length; empty if the tag is another one or DER is broken."""
    if len(der) < 2 or der[0] != tag:
        return b""
    # From 128 on, the first octet says in how many octets the length stands.
    size = der[1] & 0x7F if der[1] & 0x80 else 0
    length = int.from_bytes(der[2 : 2 + size], "big") if size else der[1]
    content = der[2 + size :]
    return content if len(content) == length else b""


def end_point_binding(certificate: x509.Certificate) -> bytes | None:
    """The data of tls-server-end-point (RFC 5929, section 4); None where it is not defined."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    if algorithm is None:
        # EdDSA signs without a hash of its own.
        return None
    if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
        algorithm = hashes.SHA256()
    return certificate.fingerprint(algorithm)


@dataclass(frozen=True, slots=True)
class CertificateDescription:
    """What an operator wants to know of a certificate. Times are microseconds, UTC."""

    subject: str
    issuer: str
    names: CertificateNames
    not_before: int
    not_after: int
    key: str
    sha256: str

    @property
    def is_self_issued(self) -> bool:
        return self.subject == self.issuer

    def days_left(self, now: int) -> int:
        """Whole days until it expires; negative once it has."""
        return (self.not_after - now) // 86_400_000_000


def describe(certificate: x509.Certificate) -> CertificateDescription:
    """The facts about a certificate that a person can read."""
    return CertificateDescription(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=certificate_names(certificate),
        not_before=_microseconds(certificate.not_valid_before_utc),
        not_after=_microseconds(certificate.not_valid_after_utc),
        key=_describe_key(certificate),
        sha256=certificate.fingerprint(hashes.SHA256()).hex(":"),
    )


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def _describe_key(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "unknown"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey")


def make_self_signed(
    hosts: Iterable[str], days: int = 365
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate for these hosts that nobody vouches for, good for clients and servers."""
    domains = [prepare_domain(host) for host in hosts]
    names = [domain_to_ascii(domain) for domain in domains]
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    for name, domain in zip(names, domains, strict=True):
        for service in ("client", "server"):
            srv = f"_xmpp-{service}.{name}".encode("ascii")
            alternatives.append(x509.OtherName(ID_ON_DNS_SRV, _der(_IA5_STRING, srv)))
        xmpp = domain.encode()
        alternatives.append(x509.OtherName(ID_ON_XMPP_ADDR, _der(_UTF8_STRING, xmpp)))
    title = names[0] if len(names[0]) <= _LONGEST_COMMON_NAME else "Stonechat"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        # Clocks differ: good at once also for a client that is an hour behind.
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_signing_only(), critical=True)
        # To other servers we are a client (XEP-0178).
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    return builder.sign(key, hashes.SHA256()), key


def _signing_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def write_self_signed(
    hosts: Iterable[str], chain_path: Path, key_path: Path, *, days: int = 365
) -> None:
    """Write a self-signed certificate and its key, which only its owner can read.

    ConfigError if either file is there already, for it may be one that somebody needs.
    """
    certificate, key = make_self_signed(hosts, days)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _create(key_path, key_pem, 0o600)
    try:
        _create(chain_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    except ConfigError:
        key_path.unlink()
        raise


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError as error:
        raise ConfigError(f"{path}: is there already and will not be overwritten") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
