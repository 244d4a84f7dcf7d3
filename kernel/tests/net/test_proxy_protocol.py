"""The PROXY protocol, however it is cut, and what only looks like it."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.net.proxy_protocol import ProxyError, ProxyHeader, ProxyParser

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
STREAM = b"<?xml version='1.0'?><stream:stream to='capulet.example'>"


def v2(body=b"", *, command=1, family=0x11, version=2):
    return SIGNATURE + struct.pack("!BBH", version << 4 | command, family, len(body)) + body


def tcp4(source="192.0.2.1", destination="198.51.100.7", ports=(50123, 5222)):
    return socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!HH", *ports)


def tcp6(source="2001:db8::1", destination="2001:db8::2", ports=(50123, 5222)):
    ends = (socket.inet_pton(socket.AF_INET6, end) for end in (source, destination))
    return b"".join(ends) + struct.pack("!HH", *ports)


def field(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def parse(data):
    return ProxyParser().feed(data)


HEADERS = {
    b"PROXY TCP4 192.0.2.1 198.51.100.7 50123 5222\r\n": (
        ("192.0.2.1", 50123),
        ("198.51.100.7", 5222),
    ),
    b"PROXY TCP6 2001:db8::1 2001:DB8:0::2 0 65535\r\n": (
        ("2001:db8::1", 0),
        ("2001:db8::2", 65535),
    ),
    b"PROXY UNKNOWN\r\n": (None, None),
    b"PROXY UNKNOWN ffff::1 whatever 1 2\r\n": (None, None),
    v2(tcp4()): (("192.0.2.1", 50123), ("198.51.100.7", 5222)),
    v2(tcp4(), family=0x12): (("192.0.2.1", 50123), ("198.51.100.7", 5222)),
    v2(tcp6(), family=0x21): (("2001:db8::1", 50123), ("2001:db8::2", 5222)),
    v2(tcp6(), family=0x22): (("2001:db8::1", 50123), ("2001:db8::2", 5222)),
    v2(b"/run/proxy".ljust(108, b"\0") + b"\xff".ljust(108, b"\0"), family=0x31): (
        ("/run/proxy", 0),
        ("\udcff", 0),
    ),
    v2(tcp4() + field(1, b"xmpp-client") + field(2, b"capulet.example")): (
        ("192.0.2.1", 50123),
        ("198.51.100.7", 5222),
    ),
    v2(family=0): (None, None),
    v2(b"remarks of some kind", family=0): (None, None),
    v2(command=0, family=0): (None, None),
    v2(tcp4(), command=0): (None, None),
    v2(b"\1", command=0): (None, None),
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_tells_both_ends_and_leaves_the_rest(header):
    assert parse(header + STREAM) == ProxyHeader(*HEADERS[header], STREAM)


@given(st.sampled_from(list(HEADERS)), st.binary(max_size=50), st.data())
def test_a_header_may_be_cut_anywhere(header, rest, data):
    whole = header + rest
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=8)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    parser = ProxyParser()
    seen = b""
    for piece in pieces:
        result = parser.feed(piece)
        seen += piece
        if result is not None:
            assert len(seen) >= len(header)
            assert result == ProxyHeader(*HEADERS[header], seen[len(header) :])
            return
        assert len(seen) < len(header)
    pytest.fail("the header was whole")


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_may_come_one_octet_at_a_time(header):
    parser = ProxyParser()
    results = [parser.feed(bytes([octet])) for octet in header]
    assert results[:-1] == [None] * (len(header) - 1)
    assert results[-1] == ProxyHeader(*HEADERS[header], b"")


@pytest.mark.parametrize(
    "data",
    [
        STREAM,
        b"\x16\x03\x01",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 50123\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 50123 5222 \r\n",
        b"PROXY TCP4  192.0.2.1 198.51.100.7 50123 5222\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 50123 65536\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 50123 05222\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 50123 +522\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 50123 \r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.7 50123 5222\r\n",
        b"PROXY TCP4 192.0.2.01 198.51.100.7 50123 5222\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 50123 5222\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.7 50123 5222\r\n",
        b"PROXY TCP4 192.0.2.1\0 198.51.100.7 50123 5222\r\n",
        b"PROXY TCP4 \xd9\xa1.0.2.1 198.51.100.7 50123 5222\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.7 50123 5222\r\n",
        b"PROXY \r\n",
        b"PROXY UNKNOWN " + b"x" * 100,
        v2(tcp4(), version=1),
        v2(tcp4(), command=2),
        v2(tcp4(), family=0x41),
        v2(tcp4(), family=0x13),
        v2(tcp4()[:-1]),
        v2(tcp6()[:-1], family=0x21),
        v2(b"x" * 215, family=0x31),
        v2(tcp4() + b"\1\0"),
        v2(tcp4() + b"\1\0\5four"),
        v2(tcp4() + b"x" * 5000),
    ],
)
def test_what_is_no_header_is_refused(data):
    with pytest.raises(ProxyError):
        parse(data)


def test_a_long_header_is_refused_before_it_has_come():
    with pytest.raises(ProxyError):
        parse(SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 0xFFFF))


def test_a_line_is_refused_when_it_is_too_long_and_not_before():
    parser = ProxyParser()
    assert parser.feed(b"PROXY UNKNOWN ".ljust(106, b"x")) is None
    with pytest.raises(ProxyError):
        parser.feed(b"x")


def crc32c(data):
    """By the polynomial, bit by bit and from the other end, so not as the parser does it."""
    bits = [int(bit) for octet in data for bit in f"{octet:08b}"[::-1]]
    register = [1] * 32
    for bit in bits:
        out = register.pop(0) ^ bit
        register.append(0)
        if out:
            taps = f"{0x1EDC6F41:032b}"
            register = [a ^ int(b) for a, b in zip(register, taps, strict=True)]
    return int("".join(str(1 - bit) for bit in register[::-1]), 2)


def test_the_reference_checksum_is_that_of_rfc_3720():
    assert crc32c(b"123456789") == 0xE3069283


def test_a_right_checksum_is_accepted():
    blank = v2(tcp4() + field(1, b"h2") + field(3, bytes(4)) + field(4, b"pad"))
    checksum = crc32c(blank).to_bytes(4, "big")
    header = v2(tcp4() + field(1, b"h2") + field(3, checksum) + field(4, b"pad"))
    assert parse(header).source == ("192.0.2.1", 50123)


@pytest.mark.parametrize("value", [bytes(4), b"\1\2\3\4", b"\1\2\3", b""])
def test_a_wrong_checksum_is_refused(value):
    with pytest.raises(ProxyError, match="checksum"):
        parse(v2(tcp4() + field(3, value)))


@given(st.binary(max_size=300))
def test_anything_is_a_header_an_error_or_too_short(data):
    for start in (b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11\0"):
        try:
            result = parse(start + data)
        except ProxyError:
            continue
        assert result is None or result.rest in start + data
