"""A real LDAP server for tests: OpenLDAP's slapd on loopback, with TLS and an authority."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stonechat.testing.process import LOCALHOST, free_port
from stonechat.testing.waiting import until

PROGRAM = "/usr/sbin/slapd"
SCHEMAS = Path("/etc/ldap/schema")

# A machine that is busy with other things.
START_SECONDS = 20.0

# Of loopback too, and not among the names of the certificate.
OTHER_ADDRESS = "127.0.0.2"

_CONFIGURATION = """\
include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
include {schemas}/nis.schema
# What Active Directory calls an account; its own schema would hide `memberOf`.
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName'
    EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
    SYNTAX '1.3.6.1.4.1.1466.115.121.1.15' SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName'
    EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
    SYNTAX '1.3.6.1.4.1.1466.115.121.1.15' SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP inetOrgPerson STRUCTURAL
    MAY ( sAMAccountName $ userPrincipalName ) )
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile {directory}/slapd.pid
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
database mdb
maxsize 67108864
dbnosync
suffix "{base}"
rootdn "{admin}"
rootpw {password}
directory {directory}/db
index objectClass,uid,member,memberUid,mail eq
overlay memberof
limits dn.exact="cn=listed,{base}" size=unlimited
access to attrs=userPassword by anonymous auth by self write by * none
access to * by * read
"""


PASSWORD = "R0m30 & Juliet"

_BASE = "dc=capulet,dc=example"

VERONA = f"""\
dn: ou=people,{_BASE}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{_BASE}
objectClass: organizationalUnit
ou: groups

dn: uid=Juliet,ou=people,{_BASE}
objectClass: inetOrgPerson
uid: Juliet
cn: Juliet Capulet
sn: Capulet
givenName: Juliet
displayName: Juliet of the House of Capulet
mail: juliet@mail.capulet.example
departmentNumber: Capulets
telephoneNumber: +39 45 1597
l: Verona
o: House of Capulet
userPassword: {PASSWORD}

dn: uid=nurse,ou=people,{_BASE}
objectClass: inetOrgPerson
uid: nurse
cn: Angelica
sn: Nurse
mail: nurse@mail.capulet.example
departmentNumber: Capulets
departmentNumber: Messengers
userPassword: {PASSWORD}

dn: uid=romeo,ou=people,{_BASE}
objectClass: inetOrgPerson
uid: romeo
cn: Romeo Montague
sn: Montague
givenName: Romeo
mail: romeo@mail.capulet.example
departmentNumber: Messengers
userPassword: {PASSWORD}

dn: cn=chat,ou=groups,{_BASE}
objectClass: groupOfNames
cn: chat
description: Who may talk
member: uid=Juliet,ou=people,{_BASE}
member: uid=nurse,ou=people,{_BASE}

dn: cn=lovers,ou=groups,{_BASE}
objectClass: posixGroup
cn: lovers
gidNumber: 1597
memberUid: juliet
memberUid: romeo
"""
"""People of `dc=capulet,dc=example`, who all have `PASSWORD`, and two groups of them."""


class Slapd:
    """One slapd, with an empty tree `base` of its own in `directory`.

    It listens on `url` (plain and STARTTLS) and `tls_url`. Its certificate is for `localhost`
    and 127.0.0.1, from the authority in `ca_file`; `other_url` and `other_tls_url` lead to it
    by an address that is not in the certificate. Anybody may read all but passwords.
    """

    base = _BASE
    admin = f"cn=admin,{base}"
    password = "Capulet of Verona"
    """Of `admin`, who may do everything."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.ca_file = directory / "ca.pem"
        self.password_file = directory / "admin-password"
        self.password_file.write_text(f"{self.password}\n")
        self._ports = [free_port() for _ in range(4)]
        self._process: subprocess.Popen[bytes] | None = None
        _make_certificates(directory, self.ca_file)
        (directory / "slapd.conf").write_text(
            _CONFIGURATION.format(
                schemas=SCHEMAS,
                directory=directory,
                base=self.base,
                admin=self.admin,
                password=f'"{self.password}"',
                ca=self.ca_file,
                certificate=directory / "server.pem",
                key=directory / "server.key",
            )
        )
        self.clear()

    # Where it is

    @property
    def port(self) -> int:
        return self._ports[0]

    @property
    def url(self) -> str:
        return f"ldap://localhost:{self._ports[0]}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://localhost:{self._ports[1]}"

    @property
    def address_url(self) -> str:
        """As `tls_url`, named by its address."""
        return f"ldaps://{LOCALHOST}:{self._ports[1]}"

    @property
    def other_url(self) -> str:
        return f"ldap://{OTHER_ADDRESS}:{self._ports[2]}"

    @property
    def other_tls_url(self) -> str:
        return f"ldaps://{OTHER_ADDRESS}:{self._ports[3]}"

    # Coming and going

    def start(self) -> None:
        """Start it, with the data that it had; returns when it answers."""
        assert self._process is None, "slapd runs already"
        plain, tls, other, other_tls = self._ports
        urls = (
            f"ldap://{LOCALHOST}:{plain}/ ldaps://{LOCALHOST}:{tls}/"
            f" ldap://{OTHER_ADDRESS}:{other}/ ldaps://{OTHER_ADDRESS}:{other_tls}/"
        )
        with (self.directory / "slapd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-f", "slapd.conf", "-h", urls, "-d", "0"],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                story = (self.directory / "slapd.log").read_text()
                raise AssertionError(f"slapd does not start: {story}")

    def stop(self) -> None:
        """End it in order; its data stay."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it whatever it does, if it runs at all."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: it takes connections, and never answers."""
        self._signal(signal.SIGSTOP)
        until(self._has_stopped, "end of slapd's work")

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        return self._process is not None

    # What it holds

    def add(self, ldif: str) -> None:
        """Add entries."""
        self._tool("ldapadd", ldif)

    def modify(self, ldif: str) -> None:
        """Change or delete entries."""
        self._tool("ldapmodify", ldif)

    def clear(self) -> None:
        """Begin again with an empty tree; it must not run."""
        assert self._process is None, "slapd runs"
        database = self.directory / "db"
        shutil.rmtree(database, ignore_errors=True)
        database.mkdir()
        top = f"dn: {self.base}\nobjectClass: domain\ndc: capulet\n"
        self._run([PROGRAM, "-T", "add", "-q", "-f", "slapd.conf"], top)

    def load(self, ldif: str) -> None:
        """Add many entries at once; it must not run."""
        assert self._process is None, "slapd runs"
        self._run([PROGRAM, "-T", "add", "-q", "-f", "slapd.conf"], ldif)

    def _tool(self, name: str, ldif: str) -> None:
        url = f"ldap://{LOCALHOST}:{self.port}"
        login = ["-x", "-H", url, "-D", self.admin, "-w", self.password]
        self._run([name, *login], ldif)

    def _run(self, command: list[str], text: str) -> None:
        done = subprocess.run(
            command,
            cwd=self.directory,
            input=text,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"

    def _answers(self) -> bool:
        try:
            socket.create_connection((LOCALHOST, self._ports[0]), 1).close()
            socket.create_connection((OTHER_ADDRESS, self._ports[3]), 1).close()
        except OSError:
            time.sleep(0.01)
            return False
        return True

    def _has_stopped(self) -> bool:
        """Whether all threads know of it: the signal is for one, which tells the others."""
        assert self._process is not None, "slapd does not run"
        states = [
            stat.read_text().rpartition(")")[2].split()[0]
            for stat in Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        ]
        return all(state == "T" for state in states)

    def _signal(self, number: int) -> None:
        assert self._process is not None, "slapd does not run"
        os.kill(self._process.pid, number)

    def _end(self, number: int) -> None:
        assert self._process is not None, "slapd does not run"
        # Which do nothing where it has ended already.
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)
        self._process.wait(START_SECONDS)
        self._process = None


def is_installed() -> bool:
    """Whether this machine has slapd, and what goes with it."""
    return Path(PROGRAM).exists() and SCHEMAS.exists() and shutil.which("ldapadd") is not None


@contextmanager
def running(directory: Path, ldif: str = "") -> Iterator[Slapd]:
    """A slapd with these entries that is gone at the end."""
    slapd = Slapd(directory)
    if ldif:
        slapd.load(ldif)
    slapd.start()
    try:
        yield slapd
    finally:
        slapd.kill()


def _make_certificates(directory: Path, ca_file: Path) -> None:
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Friar Laurence")])
    ca = (
        _certificate(issuer, issuer, authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False
        )
        .sign(authority, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "slapd")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address(LOCALHOST))]
    own = (
        _certificate(subject, issuer, server.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
            critical=False,
        )
        .sign(authority, hashes.SHA256())
    )
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (directory / "server.pem").write_bytes(own.public_bytes(serialization.Encoding.PEM))
    (directory / "server.key").write_bytes(
        server.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
    )
