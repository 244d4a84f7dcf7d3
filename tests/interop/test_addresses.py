"""Clients over IPv6, and behind a proxy that says where they come from."""

import socket
import struct
import subprocess
import sys

import pytest
from witnesses import DEADLINE
from witnesses.cast import PASSWORD
from witnesses.node import CAPULET, has_ipv6
from witnesses.own_client import secured
from witnesses.pipes import open_socket

from stonechat.testing import until
from stonechat.testing.process import LOCALHOST, free_port

JULIET = "juliet@capulet.example"

# What only Linux has without further ado: every address of 127.0.0.0/8 is its own.
ELSEWHERE = "127.0.0.77"

V2 = b"\r\n\r\n\0\r\nQUIT\n"


only_linux = pytest.mark.skipif(sys.platform != "linux", reason=f"{ELSEWHERE} is not ours here")
needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="there is no IPv6 on this machine")


def log_in(connection, node):
    """Log in as Juliet over a connection that is open; returns what an administrator sees."""
    client = secured(connection, CAPULET, node.authority.file)
    client.log_in_at_once("PLAIN", f"\0juliet\0{PASSWORD}")
    jid = client.bind("balcony")
    (session,) = node.sessions(jid)
    client.pipe.close()
    return session


# IPv6


@needs_ipv6
def test_slixmpp_logs_in_over_ipv6(cast, node):
    juliet = cast.login(f"{JULIET}/balcony", address="::1", port=node.ipv6)
    (session,) = node.sessions(juliet.jid)
    assert session["address"] == "::1"
    romeo = cast.login("romeo@montague.example/orchard")
    juliet.available()
    romeo.say(JULIET, "Over another road")
    assert juliet.message()["body"] == "Over another road"


# The PROXY protocol, by hand


def v2_inet(source, destination):
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    return V2 + struct.pack("!BBH", 0x21, 0x11, 12) + addresses + struct.pack("!HH", 40000, 5222)


def v2_inet6(source, destination):
    pack = socket.inet_pton
    addresses = pack(socket.AF_INET6, source) + pack(socket.AF_INET6, destination)
    return V2 + struct.pack("!BBH", 0x21, 0x21, 36) + addresses + struct.pack("!HH", 40000, 5222)


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (b"PROXY TCP4 198.51.100.7 203.0.113.1 40000 5222\r\n", "198.51.100.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 5222\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", LOCALHOST),
        (v2_inet("198.51.100.7", "203.0.113.1"), "198.51.100.7"),
        (v2_inet6("2001:db8::7", "2001:db8::1"), "2001:db8::7"),
        (V2 + struct.pack("!BBH", 0x20, 0, 0), LOCALHOST),  # the proxy itself
    ],
    ids=["v1 IPv4", "v1 IPv6", "v1 unknown", "v2 IPv4", "v2 IPv6", "v2 local"],
)
def test_the_address_is_the_one_that_the_proxy_names(cast, node, header, address):
    cast.account(JULIET)
    assert log_in(open_socket(node.proxy, header), node)["address"] == address


def test_a_header_may_come_in_pieces(cast, node):
    cast.account(JULIET)
    connection = open_socket(node.proxy)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in v2_inet("198.51.100.7", "203.0.113.1"):
        connection.sendall(bytes([octet]))
    assert log_in(connection, node)["address"] == "198.51.100.7"


def test_who_sends_no_header_is_not_answered(node):
    with open_socket(node.proxy, b"<?xml version='1.0'?><stream:stream ") as connection:
        assert end_of(connection) == b""


@only_linux
def test_only_the_proxy_may_speak_for_others(node):
    header = b"PROXY TCP4 198.51.100.7 203.0.113.1 40000 5222\r\n"
    with socket.create_connection((LOCALHOST, node.proxy), DEADLINE, (ELSEWHERE, 0)) as liar:
        try:
            liar.sendall(header)
            answer = end_of(liar)
        except ConnectionError:
            answer = b""  # shown out before it could speak
    assert answer == b""


def end_of(connection):
    """All that comes until the other end closes."""
    answer = b""
    try:
        while piece := connection.recv(4096):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


# By haproxy, which has invented it


HAPROXY = """\
defaults
    mode tcp
    timeout connect {deadline}s
    timeout client {deadline}s
    timeout server {deadline}s
listen one
    bind {ipv4}:{ports[0]}
    server stonechat {ipv4}:{server} send-proxy
listen two
    bind {ipv4}:{ports[1]}
    {ipv6}
    server stonechat {ipv4}:{server} send-proxy-v2
"""


@pytest.fixture
def haproxy(needs, node, tmp_path):
    """A running haproxy; its ports for version 1 and 2."""
    needs("haproxy")
    ports = free_port(), free_port()
    file = tmp_path / "haproxy.cfg"
    file.write_text(
        HAPROXY.format(
            ipv4=LOCALHOST,
            ipv6=f"bind [::1]:{ports[1]}" if has_ipv6() else "",
            ports=ports,
            server=node.proxy,
            deadline=int(DEADLINE),
        )
    )
    process = subprocess.Popen(["haproxy", "-db", "-f", str(file)])

    def is_up():
        assert process.poll() is None, "haproxy has ended"
        try:
            socket.create_connection((LOCALHOST, ports[1]), DEADLINE).close()
        except ConnectionRefusedError:
            return False
        return True

    until(is_up, "haproxy")
    yield ports
    process.kill()
    process.wait()


@only_linux
@pytest.mark.parametrize("version", [1, 2])
def test_haproxy_says_where_a_client_comes_from(cast, node, haproxy, version):
    cast.account(JULIET)
    place = LOCALHOST, haproxy[version - 1]
    connection = socket.create_connection(place, DEADLINE, (ELSEWHERE, 0))
    assert log_in(connection, node)["address"] == ELSEWHERE


@needs_ipv6
def test_slixmpp_comes_over_ipv6_to_haproxy_and_over_ipv4_from_there(cast, node, haproxy):
    juliet = cast.login(f"{JULIET}/balcony", address="::1", port=haproxy[1])
    (session,) = node.sessions(juliet.jid)
    assert session["address"] == "::1"
