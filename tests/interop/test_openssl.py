"""`openssl s_client` against the ports: versions of TLS, certificates by name, ALPN."""

import re
import subprocess

import pytest
from witnesses import DEADLINE
from witnesses.node import CAPULET, MONTAGUE, VERONE

from stonechat.testing.process import LOCALHOST

VERONE_ASCII = VERONE.encode("idna").decode()


@pytest.fixture
def s_client(needs, node):
    """Runs one handshake; returns what `openssl s_client` says about it."""
    needs("openssl")

    def run(*options, port=0):
        done = subprocess.run(
            [
                *("openssl", "s_client", "-connect", f"{LOCALHOST}:{port or node.starttls}"),
                *("-CAfile", str(node.authority.file), *options),
            ],
            # Its end is what makes it go.
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        return done.stdout + done.stderr

    return run


def starttls(domain, server_name=None):
    name = ("-noservername",) if server_name is None else ("-servername", server_name)
    return "-starttls", "xmpp", "-xmpphost", domain, *name


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_of_this_version_is_spoken_after_starttls(s_client, version):
    option = f"-tls{version.replace('.', '_')}"
    said = s_client(*starttls(CAPULET, CAPULET), option, "-verify_hostname", CAPULET)
    assert re.search(rf"^New, TLSv{version}, Cipher is ", said, re.MULTILINE), said
    assert "Verify return code: 0 (ok)" in said
    assert "Verified peername: capulet.example" in said


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_of_this_version_is_spoken_at_once(s_client, node, version):
    option = f"-tls{version.replace('.', '_')}"
    said = s_client("-servername", CAPULET, option, port=node.direct)
    assert re.search(rf"^New, TLSv{version}, Cipher is ", said, re.MULTILINE), said
    assert "Verify return code: 0 (ok)" in said


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
@pytest.mark.parametrize("kind", ["starttls", "direct"])
def test_older_tls_is_refused(s_client, node, monkeypatch, version, kind):
    # Debian's settings would keep the client from trying.
    monkeypatch.setenv("OPENSSL_CONF", "/dev/null")
    options = (version, "-cipher", "ALL:@SECLEVEL=0")
    if kind == "starttls":
        said = s_client(*starttls(CAPULET, CAPULET), *options)
    else:
        said = s_client("-servername", CAPULET, *options, port=node.direct)
    assert "alert protocol version" in said
    assert "Cipher is (NONE)" in said


def test_a_cipher_without_forward_secrecy_is_refused(s_client):
    said = s_client(
        *starttls(CAPULET, CAPULET), "-tls1_2", "-cipher", "AES128-GCM-SHA256:AES128-SHA"
    )
    assert "alert handshake failure" in said


@pytest.mark.parametrize("domain", [CAPULET, MONTAGUE, VERONE_ASCII])
@pytest.mark.parametrize("kind", ["starttls", "direct"])
def test_the_name_in_tls_chooses_the_certificate(s_client, node, domain, kind):
    if kind == "starttls":
        # The stream header says another one: TLS counts.
        said = s_client(*starttls(CAPULET, domain), "-verify_hostname", domain)
    else:
        said = s_client("-servername", domain, "-verify_hostname", domain, port=node.direct)
    assert f"subject=CN = {domain}\n" in said
    assert f"Verified peername: {domain}" in said


@pytest.mark.parametrize("domain", [CAPULET, MONTAGUE])
def test_without_a_name_in_tls_the_stream_header_chooses(s_client, domain):
    said = s_client(*starttls(domain))
    assert f"subject=CN = {domain}\n" in said


def test_a_name_that_is_not_served_gets_some_certificate_to_find_out_by(s_client, node):
    said = s_client("-servername", "mantua.example", port=node.direct)
    assert f"subject=CN = {CAPULET}\n" in said
    said = s_client(*starttls(MONTAGUE, "mantua.example"))
    assert f"subject=CN = {MONTAGUE}\n" in said


def test_direct_tls_agrees_on_xmpp_client(s_client, node):
    said = s_client("-servername", CAPULET, "-alpn", "h2,xmpp-client", port=node.direct)
    assert "ALPN protocol: xmpp-client" in said


@pytest.mark.parametrize("options", [(), ("-alpn", "h2")], ids=["none", "another"])
def test_direct_tls_insists_on_no_protocol(s_client, node, options):
    said = s_client("-servername", CAPULET, *options, port=node.direct)
    assert "No ALPN negotiated" in said
    assert "Verify return code: 0 (ok)" in said


def test_only_a_port_that_is_set_so_asks_for_a_certificate(s_client, node):
    # On TLS 1.2 a server that asks says what kinds it takes.
    asks = "Client Certificate Types"
    assert asks in s_client("-servername", CAPULET, "-tls1_2", port=node.direct)
    assert asks not in s_client(*starttls(CAPULET, CAPULET), "-tls1_2")
