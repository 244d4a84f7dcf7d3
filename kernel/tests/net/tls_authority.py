"""An authority of certificates, for tests of whom they make somebody believe in."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stonechat.net.certificates import CertificatePaths


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Authority:
    """Makes certificates and the PEM files that hold them."""

    def __init__(self, directory: Path, common_name: str = "The Prince of Verona") -> None:
        self.directory = directory
        self.numbers = itertools.count(1)
        self.subject = name(common_name)
        self.key = new_key()
        self.certificate = self.sign(self.subject, self.key, is_authority=True)
        self.path = self.write(serialization_of(self.certificate))

    def sign(
        self,
        subject,
        key,
        names=(),
        *,
        issuer=None,
        is_authority=False,
        usages=None,
        days=(-1, 30),
        algorithm=None,
    ):
        """A certificate by this authority, or by the subject itself with `issuer=key`."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject if issuer is None else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days[0]))
            .not_valid_after(now + timedelta(days[1]))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return builder.sign(issuer or self.key, algorithm or hashes.SHA256())

    def issue(self, host, *, key=None, self_signed=False, names=None, **options):
        """Files of a certificate for `host`."""
        key = key or new_key()
        certificate = self.sign(
            name(host),
            key,
            names or [x509.DNSName(host)],
            issuer=key if self_signed else None,
            **options,
        )
        return self.store(certificate, key)

    def store(self, certificate, key):
        return CertificatePaths(
            self.write(serialization_of(certificate)), self.write(serialization_of(key))
        )

    def write(self, content: bytes) -> Path:
        path = self.directory / f"{next(self.numbers)}.pem"
        path.write_bytes(content)
        return path


def serialization_of(thing):
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
