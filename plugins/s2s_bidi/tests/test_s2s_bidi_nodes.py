"""Two servers that are processes, with certificates of one authority, and one connection."""

import datetime

import pytest
from bidi_cast import CAPULET, MONTAGUE
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stonechat.testing.process import LOCALHOST

JULIET, ROMEO = f"juliet@{CAPULET}", f"romeo@{MONTAGUE}"


class Authority:
    """The Prince of Verona, by whom both houses are known."""

    def __init__(self, directory):
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The Prince")])
        self.file = self.write("authority.pem", self.sign(self.subject, self.key, None))

    def issue(self, domain):
        """Files of a certificate and its key, as a configuration names them."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, domain)])
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return {
            "chain": self.write(f"{domain}.pem", self.sign(subject, key, domain)),
            "key": self.write(f"{domain}.key", private),
        }

    def sign(self, subject, key, domain):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=90))
            .add_extension(x509.BasicConstraints(domain is None, None), critical=True)
        )
        if domain is not None:
            names = x509.SubjectAlternativeName([x509.DNSName(domain)])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, name, content):
        path = self.directory / name
        path.write_bytes(content)
        return str(path)


class Verona:
    """Both servers; each wants the certificate of the other."""

    def __init__(self, start, directory, dns_server, *bidirectional):
        self.authority = Authority(directory)
        self.dns_server = dns_server
        self.bidirectional = bidirectional
        self.capulet = self.make(start, CAPULET, JULIET)
        self.montague = self.make(start, MONTAGUE, ROMEO)
        ports = {CAPULET: self.capulet.ports[1], MONTAGUE: self.montague.ports[1]}
        dns_server.publish(
            {f"_xmpp-server._tcp.{name}": f"SRV 0 5 {port} here" for name, port in ports.items()}
            | {"here": f"A {LOCALHOST}"}
        )

    def make(self, start, domain, account):
        process = start(
            {
                "hosts": {domain: {"certificate": self.authority.issue(domain)}},
                "listen": [{"type": "c2s", "starttls": "off"}, {"type": "s2s"}],
                "allow_plain_without_tls": True,
                "dns": {"servers": [self.dns_server.address]},
                "federation": {"ca_file": self.authority.file, "timeout": "15 s"},
                "plugins": {"ping": {}}
                | ({"s2s_bidi": {}} if domain in self.bidirectional else {}),
            }
        )
        process.register(account)
        return process

    def connections(self):
        """The directions in which each server has been authorized, or has authorized the other."""
        return [
            [
                record["direction"]
                for record in process.records
                if record["event"] == "domain authorized"
            ]
            for process in (self.capulet, self.montague)
        ]


@pytest.fixture
def verona(stonechat_process, tmp_path, dns_server):
    return lambda *names: Verona(stonechat_process, tmp_path, dns_server, *names)


def converse(slixmpp, verona):
    """Juliet begins, and each has said and heard a few lines."""
    juliet = slixmpp.available(verona.capulet, f"{JULIET}/balcony", "xep_0199")
    romeo = slixmpp.available(verona.montague, f"{ROMEO}/orchard", "xep_0199")
    for one, other in ((juliet, romeo), (romeo, juliet), (juliet, romeo)):
        for line in ("one", "two", "three"):
            one.say(other.jid, line)
        assert [other.message()["body"] for _ in range(3)] == ["one", "two", "three"]
    for one, domain in ((juliet, MONTAGUE), (romeo, CAPULET)):
        assert one.call("xep_0199", "send_ping", domain)["type"] == "result"
    assert verona.capulet.faults == verona.montague.faults == []


def test_messages_go_both_ways_over_one_connection(verona, slixmpp, dns_server):
    both = verona(CAPULET, MONTAGUE)
    converse(slixmpp, both)
    assert both.connections() == [["out"], ["in"]]
    # Nobody has even looked for a way back.
    assert not any(query.name.endswith(f"_tcp.{CAPULET}") for query in dns_server.queries)


@pytest.mark.parametrize("only", [CAPULET, MONTAGUE])
def test_where_only_one_of_them_knows_it_there_are_two(verona, slixmpp, only):
    one = verona(only)
    converse(slixmpp, one)
    assert one.connections() == [["out", "in"], ["in", "out"]]
