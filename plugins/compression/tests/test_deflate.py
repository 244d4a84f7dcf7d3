"""The codec by itself: zlib on the one side, and a peer's zlib on the other."""

import os
import zlib

import pytest
from compressed_clients import Zlib

from stonechat.errors import StreamError
from stonechat_compression.deflate import NS_COMPRESS, Deflate

LIMIT = 64 * 1024
MEGABYTE = 1 << 20
STANZA = (
    b"<message from='romeo@montague.example/orchard' to='juliet@capulet.example/balcony'"
    b" type='chat'><body>But soft! what light through yonder window breaks?</body></message>"
)


def codec(level=6, window_bits=13, memory_level=5, **bounds):
    return Deflate(
        level, window_bits, memory_level, **{"max_ratio": 100, "max_excess": MEGABYTE, **bounds}
    )


def decoded(deflate, octets):
    """All that octets stand for, asked for as a connection does."""
    pieces = [deflate.decode(octets, LIMIT)]
    while deflate.has_more:
        pieces.append(deflate.decode(b"", LIMIT))
    return b"".join(pieces)


def refusal(deflate, octets):
    with pytest.raises(StreamError) as refused:
        decoded(deflate, octets)
    return refused.value.condition


@pytest.mark.parametrize("window_bits", range(9, 16))
@pytest.mark.parametrize("memory_level", [1, 9])
def test_a_client_can_read_what_was_sent_as_soon_as_it_comes(window_bits, memory_level):
    deflate, client = codec(9, window_bits, memory_level), Zlib()
    for number in range(50):
        stanza = STANZA.replace(b"soft", b"soft %d" % number)
        assert client.decode(deflate.encode(stanza)) == stanza


@pytest.mark.parametrize("window_bits", range(9, 16))
def test_what_a_client_compresses_is_read_whatever_window_it_has(window_bits):
    deflate, client = codec(), Zlib(wbits=window_bits)
    speech = os.urandom(20_000) + STANZA * 100
    assert decoded(deflate, client.encode(speech)) == speech
    assert decoded(deflate, client.encode(STANZA)) == STANZA


@pytest.mark.parametrize("flush", [zlib.Z_PARTIAL_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH])
def test_a_client_may_flush_as_it_likes(flush):
    deflate, client = codec(), zlib.compressobj()
    for _ in range(3):
        assert decoded(deflate, client.compress(STANZA) + client.flush(flush)) == STANZA


def test_what_was_said_before_makes_what_follows_short():
    deflate = codec()
    first = len(deflate.encode(STANZA))
    assert first < len(STANZA)
    assert len(deflate.encode(STANZA)) < first / 5


def test_octets_may_come_one_by_one():
    deflate, client = codec(), Zlib()
    octets = client.encode(STANZA)
    assert b"".join(decoded(deflate, bytes([octet])) for octet in octets) == STANZA


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT, 3 * LIMIT + 1])
def test_no_piece_is_larger_than_was_asked_for_and_none_is_lost(size):
    deflate, client = codec(), Zlib()
    speech = (b"O Romeo, " * size)[:size]
    octets = client.encode(speech)
    pieces = [deflate.decode(octets, LIMIT)]
    while deflate.has_more:
        pieces.append(deflate.decode(b"", LIMIT))
    assert b"".join(pieces) == speech
    assert max(map(len, pieces)) <= LIMIT
    assert all(pieces[:-1])
    assert decoded(deflate, client.encode(STANZA)) == STANZA


# Bombs


def explode(deflate, octets):
    """How much comes of octets, piece by piece, before it is refused, and with what."""
    size = 0
    try:
        for piece in octets:
            decoded = deflate.decode(piece, LIMIT)
            assert len(decoded) <= LIMIT
            size += len(decoded)
            while deflate.has_more:
                size += len(deflate.decode(b"", LIMIT))
    except StreamError as error:
        return size, error.condition
    return size, ""


def test_a_bomb_is_cut_at_the_bound():
    octets = Zlib(level=9).encode(b" " * (64 * MEGABYTE))
    size, condition = explode(codec(), [octets])
    assert condition == "policy-violation"
    assert MEGABYTE <= size < 2 * MEGABYTE


def test_a_bomb_that_comes_octet_by_octet_is_one_too():
    octets = Zlib(level=9).encode(b" " * (16 * MEGABYTE))
    size, condition = explode(codec(), (bytes([octet]) for octet in octets))
    assert condition == "policy-violation"
    assert size < 2 * MEGABYTE


def test_many_small_bombs_are_one():
    client = Zlib(level=9)
    octets = (client.encode(b" " * (MEGABYTE // 2)) for _ in range(100))
    assert explode(codec(), octets)[1] == "policy-violation"


def test_who_was_modest_for_long_may_not_be_immodest_for_it():
    deflate, client = codec(), Zlib(level=9)
    for _ in range(10):
        noise = os.urandom(MEGABYTE)
        assert decoded(deflate, client.encode(noise)) == noise
    assert refusal(deflate, client.encode(b" " * (8 * MEGABYTE))) == "policy-violation"


def test_what_is_said_again_and_again_is_no_bomb():
    deflate, client = codec(max_excess=LIMIT), Zlib(level=9)
    for _ in range(5000):
        assert decoded(deflate, client.encode(STANZA)) == STANZA


def test_the_bounds_are_options():
    octets = Zlib(level=9).encode(b" " * (4 * MEGABYTE))
    assert refusal(codec(), octets) == "policy-violation"
    assert len(decoded(codec(max_excess=4 * MEGABYTE), octets)) == 4 * MEGABYTE
    assert len(decoded(codec(max_ratio=1000), octets)) == 4 * MEGABYTE


# What is not zlib's


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(STANZA, id="in the clear"),
        pytest.param(b"\x00" * 10, id="zeros"),
        pytest.param(b"\xff" * 10, id="ones"),
        pytest.param(b"\x9f\x5e\x21" * 100, id="noise"),
        pytest.param(zlib.compress(STANZA, wbits=-15), id="raw deflate"),
        pytest.param(zlib.compress(STANZA, wbits=31), id="gzip"),
        pytest.param(zlib.compress(STANZA)[:-1] + b"?", id="wrong checksum"),
        pytest.param(b"\x78\x9c\x07", id="no such block"),
        pytest.param(b"\x78\xbb\x00\x00\x00\x01\x00\x00", id="preset dictionary"),
        pytest.param(b"\x88\x1c\x03\x00", id="window too large"),
    ],
)
def test_what_is_not_compressed_by_zlib_is_a_failure_of_processing(octets):
    with pytest.raises(StreamError) as refused:
        decoded(codec(), octets)
    error = refused.value
    assert error.condition == "undefined-condition"
    assert error.application.qualified_name == f"{NS_COMPRESS} failure"
    assert error.application.find("processing-failed", NS_COMPRESS) is not None


def test_damage_in_the_middle_is_found():
    deflate, client = codec(), Zlib()
    assert decoded(deflate, client.encode(STANZA)) == STANZA
    assert refusal(deflate, b"\x07" + client.encode(STANZA)) == "undefined-condition"


def test_a_client_may_end_what_it_compresses_and_say_no_more():
    deflate, client = codec(), Zlib()
    octets = client.encode(STANZA) + client.deflate.compress(STANZA)
    assert decoded(deflate, octets + client.deflate.flush(zlib.Z_FINISH)) == 2 * STANZA
    assert refusal(deflate, b"\x00") == "undefined-condition"


def test_octets_behind_the_end_are_not_taken_for_the_next_stream():
    octets = zlib.compress(STANZA)
    assert refusal(codec(), octets + octets) == "undefined-condition"
