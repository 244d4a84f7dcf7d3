"""Names in certificates, trust in nothing but their structure, and what we make ourselves."""

import stat
import subprocess
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from stonechat.errors import ConfigError
from stonechat.jid import JID
from stonechat.net import certificates
from stonechat.net.certificates import (
    ID_ON_DNS_SRV,
    ID_ON_XMPP_ADDR,
    CertificatePaths,
    accounts_in_certificate,
    certificate_names,
    covers_domain,
    describe,
    end_point_binding,
    make_self_signed,
    read_chain,
    read_key,
    read_pair,
    write_self_signed,
)

KEY = ec.generate_private_key(ec.SECP256R1())


def utf8(text, tag=0x0C):
    content = text if isinstance(text, bytes) else text.encode()
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    return bytes([tag, 0x82]) + len(content).to_bytes(2, "big") + content


def xmpp_addr(text):
    return x509.OtherName(ID_ON_XMPP_ADDR, utf8(text))


def srv_name(text):
    return x509.OtherName(ID_ON_DNS_SRV, utf8(text, tag=0x16))


def subject(*attributes):
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in attributes])


@pytest.fixture
def certify(authority):
    def certify(*names, of=((NameOID.COMMON_NAME, "Juliet"),)):
        return authority.sign(subject(*of), KEY, names)

    return certify


@pytest.fixture
def with_names(authority):
    """A certificate whose alternative names are these octets, whether they are any or not."""

    def with_names(der):
        return (
            x509.CertificateBuilder()
            .subject_name(authority.subject)
            .issuer_name(authority.subject)
            .public_key(KEY.public_key())
            .serial_number(1)
            .not_valid_before(authority.certificate.not_valid_before_utc)
            .not_valid_after(authority.certificate.not_valid_after_utc)
            .add_extension(
                x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, der), critical=False
            )
            .sign(KEY, hashes.SHA256())
        )

    return with_names


# Accounts


def test_an_account_is_read_from_its_xmpp_address(certify):
    certificate = certify(xmpp_addr("juliet@capulet.example"))
    assert accounts_in_certificate(certificate) == (JID.parse("juliet@capulet.example"),)


def test_accounts_are_prepared_and_each_is_named_once(certify):
    certificate = certify(
        xmpp_addr("Juliet@Capulet.Example"),
        xmpp_addr("juliet@capulet.example"),
        xmpp_addr("nurse@BÜCHER.example"),
    )
    assert [str(account) for account in accounts_in_certificate(certificate)] == [
        "juliet@capulet.example",
        "nurse@bücher.example",
    ]


def test_a_common_name_is_never_an_account(certify):
    certificate = certify(of=[(NameOID.COMMON_NAME, "juliet@capulet.example")])
    assert accounts_in_certificate(certificate) == ()


def test_what_a_subject_prints_is_never_searched_for_names(certify):
    # Printed, this shows alternative names that the structure does not have.
    certificate = certify(
        of=[
            (
                NameOID.ORGANIZATIONAL_UNIT_NAME,
                "x, CN=juliet@capulet.example, XmppAddr=juliet@capulet.example",
            ),
            (NameOID.COMMON_NAME, "1.3.6.1.5.5.7.8.5;UTF8:juliet@capulet.example"),
        ]
    )
    assert accounts_in_certificate(certificate) == ()
    assert not covers_domain(certificate, "capulet.example", "xmpp-server")


def test_a_comma_in_an_address_does_not_make_two_of_it(certify):
    certificate = certify(xmpp_addr("tybalt,juliet@capulet.example"))
    assert [account.localpart for account in accounts_in_certificate(certificate)] == [
        "tybalt,juliet"
    ]


@pytest.mark.parametrize(
    "address",
    [
        "juliet@capulet.example\0.montague.example",
        "juliet\0@capulet.example",
        "juliet@capulet.example\n",
        "capulet.example",
        "juliet@capulet.example/balcony",
        "juliet@",
        "@capulet.example",
        "",
        b"\xff@capulet.example",
    ],
)
def test_what_is_no_account_is_left_out(certify, address):
    certificate = certify(xmpp_addr(address), xmpp_addr("nurse@capulet.example"))
    assert [str(account) for account in accounts_in_certificate(certificate)] == [
        "nurse@capulet.example"
    ]


@pytest.mark.parametrize(
    "der",
    [
        utf8("juliet@capulet.example", tag=0x16),
        utf8("juliet@capulet.example", tag=0x13),
        utf8("juliet@capulet.example")[:-1],
        utf8("juliet@capulet.example") + b"x",
        b"\x0c\x84\0\0\0",
        b"\x0c\x80juliet@capulet.example\0\0",
        b"\x0c\0",
        b"\x0c\x82\0\1a",
    ],
)
def test_an_address_of_another_type_or_in_broken_der_is_none(with_names, der):
    other_name = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x05" + utf8(der, tag=0xA0)
    certificate = with_names(utf8(utf8(other_name, tag=0xA0), tag=0x30))
    assert accounts_in_certificate(certificate) == ()


def test_the_same_der_unbroken_is_an_address(with_names):
    der = utf8("juliet@capulet.example")
    other_name = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x05" + utf8(der, tag=0xA0)
    certificate = with_names(utf8(utf8(other_name, tag=0xA0), tag=0x30))
    assert str(*accounts_in_certificate(certificate)) == "juliet@capulet.example"


@pytest.mark.parametrize(
    "der", [b"", b"\x0c", b"\x0c\5Romeo!", b"\x0c\6Romeo", b"\x0c\x81\5Rome", b"\x16\5Romeo"]
)
def test_only_one_whole_string_is_a_string(der):
    assert certificates._der_content(der, 0x0C) == b""
    assert certificates._der_content(b"\x0c\5Romeo", 0x0C) == b"Romeo"
    assert certificates._der_content(b"\x0c\x81\5Romeo", 0x0C) == b"Romeo"


def test_a_long_address_is_read_too(certify):
    address = "j" * 300 + "@capulet.example"
    assert str(*accounts_in_certificate(certify(xmpp_addr(address)))) == address


def test_a_certificate_without_alternative_names_has_none(certify):
    assert certificate_names(certify()) == ((), (), ())
    assert accounts_in_certificate(certify()) == ()


def test_alternative_names_of_a_kind_nobody_reads_leave_none(with_names):
    assert certificate_names(with_names(b"\x30\x04\xa3\x02\x30\x00")) == ((), (), ())


def test_malformed_alternative_names_leave_none(with_names):
    assert certificate_names(with_names(b"\x30\x7fjuliet")) == ((), (), ())


# Domains


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        (x509.DNSName("capulet.example"), "capulet.example"),
        (x509.DNSName("Capulet.EXAMPLE"), "capulet.example"),
        (x509.DNSName("capulet.example"), "Capulet.Example"),
        (x509.DNSName("*.capulet.example"), "conference.capulet.example"),
        (x509.DNSName("xn--bcher-kva.example"), "bücher.example"),
        (x509.DNSName("xn--bcher-kva.example"), "xn--bcher-kva.example"),
        (srv_name("_xmpp-server.capulet.example"), "capulet.example"),
        (srv_name("_xmpp-server.xn--bcher-kva.example"), "bücher.example"),
        (xmpp_addr("capulet.example"), "capulet.example"),
        (xmpp_addr("Bücher.example"), "bücher.example"),
    ],
)
def test_a_certificate_covers_the_domains_it_names(certify, name, domain):
    assert covers_domain(certify(name), domain, "xmpp-server")


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        (x509.DNSName("montague.example"), "capulet.example"),
        (x509.DNSName("capulet.example"), "conference.capulet.example"),
        (x509.DNSName("*.capulet.example"), "capulet.example"),
        (x509.DNSName("*.capulet.example"), "a.b.capulet.example"),
        (x509.DNSName("*.example"), "capulet.example"),
        (x509.DNSName("*"), "example"),
        (x509.DNSName("c*.capulet.example"), "conference.capulet.example"),
        (x509.DNSName("conference.*.example"), "conference.capulet.example"),
        (x509.DNSName("capulet.example\0.montague.example"), "capulet.example"),
        (x509.DNSName("127.0.0.1"), "127.0.0.1"),
        (x509.DNSName("[::1]"), "[::1]"),
        (x509.DNSName(""), ""),
        (x509.DNSName("capulet.example"), "juliet@capulet.example"),
        (srv_name("_xmpp-client.capulet.example"), "capulet.example"),
        (srv_name("_xmpp-server.*.example"), "capulet.example"),
        (srv_name("capulet.example"), "capulet.example"),
        (xmpp_addr("juliet@capulet.example"), "capulet.example"),
        (xmpp_addr("capulet.example/balcony"), "capulet.example"),
        (xmpp_addr("*.capulet.example"), "conference.capulet.example"),
        (x509.UniformResourceIdentifier("xmpp:capulet.example"), "capulet.example"),
        (x509.RFC822Name("juliet@capulet.example"), "capulet.example"),
    ],
)
def test_a_certificate_covers_no_other_domain(certify, name, domain):
    assert not covers_domain(certify(name), domain, "xmpp-server")


def test_a_common_name_covers_no_domain(certify):
    certificate = certify(of=[(NameOID.COMMON_NAME, "capulet.example")])
    assert not covers_domain(certificate, "capulet.example", "xmpp-server")


@given(st.text(max_size=30))
def test_any_text_may_be_asked_for(text):
    assert not covers_domain(ANYTHING, text, "xmpp-server")


ANYTHING = make_self_signed(["a.very.particular.name.example"])[0]


# Channel binding


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [(hashes.SHA256(), hashes.SHA256()), (hashes.SHA384(), hashes.SHA384())],
)
def test_the_end_point_is_hashed_as_the_certificate_was_signed(authority, algorithm, expected):
    certificate = authority.sign(authority.subject, KEY, algorithm=algorithm)
    digest = hashes.Hash(expected)
    digest.update(certificate.public_bytes(serialization.Encoding.DER))
    assert end_point_binding(certificate) == digest.finalize()


@pytest.mark.parametrize("weak", ["sha1", "md5"])
def test_a_weak_hash_is_replaced_by_sha_256(weak, tmp_path):
    path = tmp_path / "weak.pem"
    run_openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", f"-{weak}", "-subj", "/CN=old",
        "-keyout", str(tmp_path / "key"), "-out", str(path), "-days", "3",
    )  # fmt: skip
    [certificate] = read_chain(path)
    assert certificate.signature_hash_algorithm.name == weak
    assert end_point_binding(certificate) == certificate.fingerprint(hashes.SHA256())


def test_a_certificate_signed_without_a_hash_has_no_end_point_binding(authority):
    key = ed25519.Ed25519PrivateKey.generate()
    now = authority.certificate.not_valid_before_utc
    certificate = (
        x509.CertificateBuilder()
        .subject_name(authority.subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(authority.certificate.not_valid_after_utc)
        .sign(key, None)
    )
    assert end_point_binding(certificate) is None


# Files


def run_openssl(*arguments):
    return subprocess.run(
        ["openssl", *arguments], check=True, capture_output=True, text=True, timeout=60
    ).stdout


def test_a_chain_is_read_in_its_order(authority):
    pair = authority.issue("capulet.example")
    path = authority.write(pair.chain.read_bytes() + authority.path.read_bytes())
    leaf, root = read_chain(path)
    assert covers_domain(leaf, "capulet.example", "xmpp-server")
    assert root == authority.certificate


def test_a_key_is_found_behind_other_things_in_its_file(tmp_path):
    path = tmp_path / "key.pem"
    run_openssl("ecparam", "-name", "prime256v1", "-genkey", "-out", str(path))
    assert "EC PARAMETERS" in path.read_text()
    assert isinstance(read_key(path), ec.EllipticCurvePrivateKey)


@pytest.mark.parametrize("read", [read_chain, read_key])
@pytest.mark.parametrize(
    "content", [b"", b"these violent delights", bytes(1000), b"\n" * (2 << 20)]
)
def test_a_file_that_holds_something_else_is_named(read, content, authority):
    path = authority.write(content)
    with pytest.raises(ConfigError, match=str(path)):
        read(path)


@pytest.mark.parametrize("read", [read_chain, read_key])
def test_a_file_that_cannot_be_read_is_named_with_the_reason(read, tmp_path):
    with pytest.raises(ConfigError, match=f"{tmp_path / 'absent'}: .*No such file"):
        read(tmp_path / "absent")
    with pytest.raises(ConfigError, match="directory"):
        read(tmp_path)


def test_an_encrypted_key_is_refused_and_asks_for_no_password(authority):
    encrypted = KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"honey"),
    )
    with pytest.raises(ConfigError, match="encrypted"):
        read_key(authority.write(encrypted))


def test_a_key_that_cannot_sign_is_refused(authority):
    from cryptography.hazmat.primitives.asymmetric import x25519

    pem = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(ConfigError, match="cannot sign"):
        read_key(authority.write(pem))


def test_a_key_of_another_certificate_is_refused(authority):
    juliet, romeo = authority.issue("capulet.example"), authority.issue("montague.example")
    with pytest.raises(ConfigError, match="does not belong") as caught:
        read_pair(CertificatePaths(juliet.chain, romeo.key))
    assert str(romeo.key) in str(caught.value)
    assert str(juliet.chain) in str(caught.value)


# Self-signed certificates


@pytest.fixture
def written(tmp_path):
    paths = CertificatePaths(tmp_path / "tls" / "chain.pem", tmp_path / "tls" / "key.pem")
    write_self_signed(["capulet.example", "bücher.example"], *paths, days=90)
    return paths


def test_a_self_signed_certificate_covers_its_hosts_in_every_way(written):
    [certificate], _ = read_pair(written)
    names = certificate_names(certificate)
    assert names.dns == ("capulet.example", "xn--bcher-kva.example")
    assert names.srv == (
        "_xmpp-client.capulet.example",
        "_xmpp-server.capulet.example",
        "_xmpp-client.xn--bcher-kva.example",
        "_xmpp-server.xn--bcher-kva.example",
    )
    assert names.xmpp == ("capulet.example", "bücher.example")


def test_its_key_can_be_read_by_its_owner_only(written):
    assert stat.S_IMODE(written.key.stat().st_mode) == 0o600


def test_openssl_finds_nothing_wrong_with_it(written):
    chain = str(written.chain)
    assert "OK" in run_openssl("verify", "-x509_strict", "-CAfile", chain, chain)
    text = run_openssl("x509", "-in", chain, "-noout", "-text")
    assert "XmppAddr" in text
    assert "SRVName" in text
    assert "prime256v1" in text


def test_a_host_too_long_for_a_common_name_is_named_in_full_all_the_same():
    host = f"{'a' * 60}.{'b' * 60}.example"
    certificate, _ = make_self_signed([host])
    assert certificate_names(certificate).dns == (host,)


def test_what_is_there_is_not_overwritten(written):
    before = [path.read_bytes() for path in written]
    with pytest.raises(ConfigError, match=str(written.key)):
        write_self_signed(["capulet.example"], *written)
    assert [path.read_bytes() for path in written] == before


def test_a_failure_leaves_no_key_behind(tmp_path):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text("precious")
    with pytest.raises(ConfigError, match=str(chain)):
        write_self_signed(["capulet.example"], chain, key)
    assert not key.exists()
    assert chain.read_text() == "precious"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"chain\.pem|file"):
        write_self_signed(["a.example"], tmp_path / "chain.pem", tmp_path / "file" / "key.pem")


# For operators


def test_a_description_says_until_when_and_for_whom(written):
    [certificate] = read_chain(written.chain)
    description = describe(certificate)
    now = time.time_ns() // 1000
    assert description.subject == "CN=capulet.example"
    assert description.is_self_issued
    assert description.names.dns[0] == "capulet.example"
    assert description.key == "EC secp256r1"
    assert description.not_before < now
    assert description.days_left(now) == 89
    assert description.days_left(description.not_after) == 0
    assert description.days_left(description.not_after + 1) == -1
    fingerprint = run_openssl(
        "x509", "-in", str(written.chain), "-noout", "-fingerprint", "-sha256"
    )
    assert description.sha256 in fingerprint.strip().lower()


def test_a_description_names_other_kinds_of_keys(authority):
    for key, text in [
        (rsa.generate_private_key(65537, 2048), "RSA 2048"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
    ]:
        certificate = authority.sign(authority.subject, key)
        assert describe(certificate).key == text
        assert describe(certificate).issuer == "CN=The Prince of Verona"
