"""Readers: lent from stream to stream, and given up before they remember too much."""

import tracemalloc

import pytest

from stonechat.errors import XMLError
from stonechat.protocol import reader as module
from stonechat.protocol.reader import USUAL_HEADER, borrow, give_back
from stonechat.protocol.splitter import Splitter

HEADER = (
    b"<stream:stream xmlns='jabber:client' to='capulet.example' version='1.0'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)


@pytest.fixture(autouse=True)
def idle(monkeypatch):
    """The readers that wait for work: none at first."""
    idle = []
    monkeypatch.setattr(module, "_idle", idle)
    return idle


def opened():
    splitter = Splitter(262_144)
    splitter.feed(HEADER)
    return splitter


def test_one_reader_serves_all_streams_that_are_between_elements(idle):
    streams = [opened() for _ in range(20)]
    for stream in streams:
        stream.feed(b"<presence/>")
    assert len(idle) == 1


def test_a_reader_in_the_middle_of_an_element_is_nobody_elses(idle):
    one, two = opened(), opened()
    one.feed(b"<message><body>")
    two.feed(b"<presence/>")
    assert len(idle) == 1
    one.feed(b"</body></message>")
    assert len(idle) == 2


def test_only_so_many_wait(idle):
    streams = [opened() for _ in range(10)]
    for stream in streams:
        stream.feed(b"<message>")
    for stream in streams:
        stream.feed(b"</message>")
    assert len(idle) == module._IDLE_PARSERS


def test_a_stream_with_declarations_of_its_own_has_readers_of_its_own(idle):
    splitter = Splitter(10_000)
    splitter.feed(HEADER[:-1] + b" xmlns:p='urn:p'>")
    splitter.feed(b"<message><p:a/></message>")
    assert idle == []


@pytest.mark.parametrize("octets", [b"<message></presence>", b"<message/>text", b"<!-- -->"])
def test_a_reader_that_met_a_fault_is_given_up(idle, octets):
    stream = opened()
    with pytest.raises(XMLError):
        stream.feed(octets + b"<a/>")
    assert idle == []


def test_a_reader_at_the_end_of_its_stream_is_given_up(idle):
    opened().feed(b"<presence/></stream:stream>")
    assert idle == []


def test_a_reader_that_has_read_much_is_given_up(idle):
    stream = opened()
    stanza = b"<message><body>%b</body></message>" % (b"x" * 1000)
    for _ in range(300):
        assert len(stream.feed(stanza)) == 1
        assert all(reader.total < module._RETIREMENT for reader in idle)


def test_a_reader_that_knows_many_names_is_given_up(idle):
    stream = opened()
    stream.feed(b"<presence/>")
    (reader,) = idle
    for number in range(module._NAMES - 10):
        stream.feed(b"<a%d/>" % number)
    assert idle == [reader]
    for number in range(20):
        stream.feed(b"<b%d c%d=''/>" % (number, number))
    assert all(reader.names < module._NAMES for reader in idle)
    fresh = borrow(USUAL_HEADER)
    assert fresh.names < 100
    give_back(fresh)


def test_a_reader_that_waits_keeps_nothing_of_what_it_read(idle):
    opened().feed(b"<message><body>secret</body></message>")
    assert [(reader._data, reader._found, reader.size) for reader in idle] == [(b"", [], 0)]


def test_a_reader_that_learnt_much_at_once_is_given_up(idle):
    stream = opened()
    names = b"".join(b"<a%d/>" % number for number in range(module._NEW_NAMES))
    stream.feed(b"<message><x>%b</x></message>" % names)
    assert idle == []
    stream.feed(b"<message>%b</message>" % (b"x" * 2 * module._LARGE))
    assert idle == []
    stream.feed(b"<presence/>")
    assert len(idle) == 1


def test_what_it_learnt_of_one_element_does_not_stay_for_the_next(idle):
    stream = opened()
    names = b"".join(b"<a%d/>" % number for number in range(1000))
    (message,) = stream.feed(b"<message><x>%b</x></message><presence><show>aw" % names)
    assert message.children == ("jabber:client x",)
    (presence,) = stream.feed(b"ay</show></presence>")
    assert presence.to_bytes() == b"<presence><show>away</show></presence>"
    assert [reader.names < 10 for reader in idle] == [True]


def test_names_that_are_not_usual_are_forgotten_with_their_element(idle):
    stream = opened()
    stream.feed(b"<presence/>")
    known = idle[0].names
    for _ in range(2):
        stream.feed(b"<message xmlns:p='%b'><p:a p:b='1'/></message>" % (b"u" * 200))
    # Only `message` is new.
    assert idle[0].names == len(idle[0]._names) == known + 1


def test_elements_whose_names_are_not_kept_are_still_told_apart():
    many = b" ".join(b"a%d=''" % number for number in range(2 * module._NEW_NAMES))
    (message,) = opened().feed(b"<message %b>%b</message>" % (many, b"<b/><c/>" * 500))
    assert message.children == ("jabber:client b", "jabber:client c") * 500
    assert message.children[0] is message.children[2]


def test_a_stanza_has_not_many_children_that_differ_in_name():
    names = [b"<a%d/>" % number for number in range(module.MAX_STRANGE_CHILDREN + 1)]
    (message,) = opened().feed(b"<message>%b</message>" % b"".join(names[1:] * 3))
    assert len(message.children) == 3 * module.MAX_STRANGE_CHILDREN
    with pytest.raises(XMLError, match="different"):
        opened().feed(b"<iq>%b</iq>" % b"".join(names).replace(b"a", b"b"))


def test_many_names_do_not_stay():
    inside = b"".join(b"<a%d/>" % number for number in range(9000))
    message = b"<message><x xmlns='%b'>%b</x></message>" % (b"u" * 40, inside)
    streams = [opened() for _ in range(8)]
    tracemalloc.start()
    try:
        for stream in streams:
            stream.feed(message[:-5])
        for stream in streams:
            assert len(stream.feed(message[-5:])) == 1
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept < 100_000
