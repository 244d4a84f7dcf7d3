"""OpenSSL's own client as a witness that shares no code with us."""

import os
import re
import select
import socket
import subprocess
from contextlib import contextmanager

import pytest

from stonechat.net.certificates import read_chain, write_self_signed
from stonechat.net.tls import TlsContexts, TlsError


class Witness:
    """`openssl s_client`, connected to one TlsSocket of ours."""

    def __init__(self, server, sock, process):
        self.server = server
        self.sock = sock
        self.process = process

    def type(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def await_error(self, text):
        """Read what it says to its user, until it says this."""
        seen = b""
        while text.encode() not in seen:
            assert select.select([self.process.stderr], [], [], 20)[0], seen
            read = os.read(self.process.stderr.fileno(), 4096)
            assert read, seen
            seen += read

    def leave(self):
        """What it printed, after we have ended the connection."""
        self.server.shutdown()
        self.sock.close()
        return "".join(self.process.communicate(timeout=30))


@pytest.fixture
def witness(finish):
    @contextmanager
    def connect(contexts, *arguments):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(20)
            host, port = listener.getsockname()
            with subprocess.Popen(
                ["openssl", "s_client", "-connect", f"{host}:{port}", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                try:
                    sock, _ = listener.accept()
                    with sock:
                        sock.setblocking(False)
                        server = contexts.accept(sock.fileno())
                        yield Witness(server, sock, process)
                finally:
                    process.kill()

    return connect


def printed(output, label):
    return re.search(rf"^ *{label}: *(\S*)", output, re.MULTILINE)[1]


def test_openssl_exports_the_same_channel_binding(witness, contexts, finish):
    with witness(
        contexts,
        "-tls1_3",
        "-keymatexport",
        "EXPORTER-Channel-Binding",
        "-keymatexportlen",
        "32",
    ) as client:
        finish(client.sock, client.server.handshake)
        exported = client.server.channel_bindings()["tls-exporter"]
        assert printed(client.leave(), "Keying material") == exported.hex().upper()


def test_openssl_sees_the_certificate_and_the_protocol_of_the_host_it_names(
    witness, contexts, finish, authority
):
    with witness(
        contexts,
        "-servername", "montague.example",
        "-alpn", "xmpp-client",
        "-CAfile", str(authority.path),
        "-verify_hostname", "montague.example",
    ) as client:  # fmt: skip
        finish(client.sock, client.server.handshake)
        assert client.server.server_name == "montague.example"
        output = client.leave()
    assert printed(output, "ALPN protocol") == "xmpp-client"
    assert "Verify return code: 0 (ok)" in output
    assert "Verified peername: montague.example" in output


def test_openssl_may_come_with_a_certificate_that_nobody_signed(witness, pairs, finish, tmp_path):
    contexts = TlsContexts(pairs, "capulet.example", request_client_certificate=True)
    chain, key = tmp_path / "romeo.pem", tmp_path / "romeo.key"
    write_self_signed(["romeo.example"], chain, key)
    with witness(contexts, "-cert", str(chain), "-key", str(key)) as client:
        finish(client.sock, client.server.handshake)
        assert client.server.verify_error == "depth zero self signed cert"
        assert [client.server.peer_certificate] == read_chain(chain)


@pytest.mark.parametrize(
    "cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"]
)
def test_openssl_may_come_with_tls_1_2_and_good_ciphers(witness, contexts, finish, cipher):
    with witness(contexts, "-tls1_2", "-cipher", cipher) as client:
        finish(client.sock, client.server.handshake)
        assert client.server.version == "TLSv1.2"
        assert client.server.cipher == cipher
        client.type("But soft\n")
        assert finish(client.sock, client.server.recv) == b"But soft\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "AES256-GCM-SHA384:@SECLEVEL=0"),
        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
    ],
)
def test_weak_ciphers_and_old_versions_are_refused(witness, contexts, finish, arguments):
    with witness(contexts, *arguments) as client, pytest.raises(TlsError):
        finish(client.sock, client.server.handshake)


def test_tls_1_2_is_refused_where_1_3_is_demanded(witness, pairs, finish):
    contexts = TlsContexts(pairs, "capulet.example", minimum_version="1.3")
    with witness(contexts, "-tls1_2") as client, pytest.raises(TlsError, match="protocol"):
        finish(client.sock, client.server.handshake)
    with witness(contexts) as client:
        finish(client.sock, client.server.handshake)
        assert client.server.version == "TLSv1.3"


def test_key_updates_change_nothing_for_the_reader(witness, contexts, finish):
    with witness(contexts, "-tls1_3") as client:
        finish(client.sock, client.server.handshake)
        client.type("K\n")  # a command of s_client: update the keys, yours too
        client.await_error("KEYUPDATE")
        client.type("Parting is such sweet sorrow\n")
        assert finish(client.sock, client.server.recv) == b"Parting is such sweet sorrow\n"
        assert client.server.send(b"Good night") == 10
        assert "Good night" in client.leave()
