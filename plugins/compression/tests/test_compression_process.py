"""Bombs, rubbish, and clients that do not read, on a server that is a process of its own."""

import random
import zlib
from base64 import b64encode
from pathlib import Path

import pytest
from compressed_clients import HEADER, PASSWORD, RawClient

MEGABYTE = 1 << 20
NAMES = ("juliet", "romeo", "nurse")
BOMB = "<message to='romeo@capulet.example'><body>"

# What zlib makes little of, so that what waits for a client is what it is told.
NOISE = b64encode(random.Random(1597).randbytes(1 << 20)).decode()


@pytest.fixture
def process(stonechat_process):
    return start(stonechat_process)


@pytest.fixture
def login(process):
    """Makes clients that are compressed and bound."""
    return lambda localpart, **how: enter(process, localpart, **how)


def start(stonechat_process, **sections):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"ping": {}, "compression": {}},
            **sections,
        }
    )
    process.register(*(f"{name}@capulet.example" for name in NAMES), password=PASSWORD)
    return process


def enter(process, localpart, *, receive_buffer=0, **how):
    client = RawClient(process.port, receive_buffer=receive_buffer)
    client.log_in(localpart)
    client.compress(**how)
    client.bind("balcony")
    return client


def memory(process):
    """The most memory that it ever had."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        pytest.skip("the memory of a process is not to be seen here")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def explode(client, megabytes):
    """Send a bomb that stands for so much; the server may end the stream meanwhile."""
    deflate = client.zlib.deflate
    try:
        client.socket.sendall(deflate.compress(BOMB.encode()))
        for _ in range(megabytes):
            client.socket.sendall(deflate.compress(b" " * MEGABYTE))
        client.socket.sendall(deflate.flush(zlib.Z_SYNC_FLUSH))
    except ConnectionError:
        pass


@pytest.mark.parametrize("megabytes", [1, 16, 1024])
def test_a_bomb_costs_little_and_ends_its_stream_and_no_other(process, login, megabytes):
    romeo = login("romeo")
    # Once before, so that what the first of them needs is there already.
    explode(first := login("nurse", level=9), 4)
    first.read_to_the_end()
    before = memory(process)
    juliet = login("juliet", level=9)
    explode(juliet, megabytes)
    # A stanza may have so many octets, and they may stand for so many others.
    assert "<policy-violation" in juliet.read_to_the_end()
    assert memory(process) - before < 4 * MEGABYTE
    assert "error" not in romeo.ping()
    assert process.faults == []


def test_a_bomb_beneath_the_limit_of_a_stanza_is_one_too(stonechat_process):
    process = start(stonechat_process, limits={"stanza_bytes": "512 MiB"})
    juliet = enter(process, "juliet", level=9)
    before = memory(process)
    explode(juliet, 256)
    end = juliet.read_to_the_end()
    assert "<policy-violation" in end
    assert "beyond all measure" in end
    assert memory(process) - before < 8 * MEGABYTE


def test_many_bombs_one_after_the_other_leave_nothing_behind(process, login):
    for _ in range(5):
        explode(client := login("juliet", level=9), 16)
        client.read_to_the_end()
    before = memory(process)
    for _ in range(20):
        explode(client := login("juliet", level=9), 16)
        assert "<policy-violation" in client.read_to_the_end()
    assert memory(process) - before < 4 * MEGABYTE


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"<presence/>", id="in the clear"),
        pytest.param(b"\xff" * 100_000, id="rubbish"),
        pytest.param(b"\x00" * 1_000_000, id="zeros"),
        pytest.param(zlib.compress(b"<presence/>" * 1000), id="a header in the middle"),
    ],
)
def test_rubbish_is_answered_with_a_failure_of_processing(process, login, octets):
    romeo, juliet = login("romeo"), login("juliet")
    try:
        juliet.socket.sendall(octets)
    except ConnectionError:
        pass
    end = juliet.read_to_the_end()
    assert "<undefined-condition" in end
    assert "<processing-failed/>" in end
    assert end.endswith("</stream:stream>")
    assert "error" not in romeo.ping()
    assert process.faults == []


def test_empty_blocks_without_end_are_read_no_faster_than_anything_else(stonechat_process):
    listen = [{"type": "c2s", "starttls": "off", "rate": "64 KiB/s"}]
    process = start(stonechat_process, listen=listen, allow_plain_without_tls=True)
    juliet = enter(process, "juliet")
    juliet.socket.settimeout(0.5)
    empty = b"\x00\x00\x00\xff\xff" * 100_000
    sent = 0
    try:
        for _ in range(100):
            sent += juliet.socket.send(empty)
    except TimeoutError:
        pass
    # What the systems hold between the two of us is more than what was read.
    assert sent < 20 * MEGABYTE
    assert "error" not in enter(process, "romeo").ping()


def test_a_client_that_does_not_read_costs_what_waits_for_it_and_no_more(stonechat_process):
    process = start(stonechat_process, limits={"unsent_bytes": "256 KiB"})
    nurse = enter(process, "nurse", receive_buffer=4096)
    romeo = enter(process, "romeo")
    before = memory(process)
    for number in range(1000):
        body = f"<body>{number} {NOISE[number * 1000 :][:30_000]}</body>"
        romeo.send(f"<message to='nurse@capulet.example/balcony'>{body}</message>")
    refused = romeo.ping().count("<service-unavailable")
    assert 0 < refused < 1000
    assert memory(process) - before < 8 * MEGABYTE
    # She reads after all, and gets in order what was taken for her.
    nurse.send("<iq type='get' id='late'><ping xmlns='urn:xmpp:ping'/></iq>")
    heard = nurse.read_until("id='late'")
    assert heard.count("</message>") == 1000 - refused


def test_what_is_compressed_is_sent_to_the_end_when_the_server_stops(process, login):
    juliet, romeo = login("juliet"), login("romeo")
    for number in range(100):
        romeo.send(f"<message to='juliet@capulet.example/balcony'><body>{number}</body></message>")
    romeo.ping()
    romeo.socket.close()
    process.signal(15)
    end = juliet.read_to_the_end()
    assert end.count("</message>") == 100
    assert "<system-shutdown" in end
    assert end.endswith("</stream:stream>")
    juliet.socket.close()
    assert process.wait() == 0


def test_a_header_that_comes_before_the_answer_ends_the_stream(process):
    juliet = RawClient(process.port)
    juliet.log_in("juliet")
    request = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method>"
    juliet.send(f"{request}</compress>{HEADER}")
    end = juliet.read_to_the_end()
    assert "<policy-violation" in end
    assert "<compressed" not in end
