"""What is left of a stanza that never ended: nothing, as soon as its stream is over."""

import gc

import pytest

from stonechat.protocol.reader import Reader
from stonechat.protocol.splitter import Splitter
from stonechat.testing import TestClient

HALF = "<message to='romeo@capulet.example'>" + "<body>But soft!</body>" * 5000
HEADER = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

# Parsers that wait to be used again may hold the beginning of an element.
FEW = 1000


@pytest.fixture
def octets_held():
    """Tells how many octets of half elements are in memory, while no cycles are looked for."""

    def octets_held():
        return sum(thing.size for thing in gc.get_objects() if type(thing) is Reader)

    gc.collect()
    gc.disable()
    yield octets_held
    gc.enable()


def test_half_an_element_goes_with_its_splitter(octets_held):
    splitter = Splitter(1_000_000)
    splitter.feed(HEADER.encode())
    splitter.feed(HALF.encode())
    assert octets_held() > 50_000
    del splitter
    assert octets_held() < FEW


def drop(stream):
    stream.send(HALF)
    stream.drop()


def say_too_much(stream):
    stream.send(HALF)
    stream.send("<body>But soft!</body>" * 9000)
    assert stream.closed_with() == "policy-violation"


def say_rubbish(stream):
    stream.send(HALF)
    stream.send("</no>")
    assert stream.closed_with() == "not-well-formed"


@pytest.mark.parametrize("end", [drop, say_too_much, say_rubbish])
@pytest.mark.parametrize("bound", [True, False])
def test_half_a_stanza_goes_with_its_stream(server, logged_in, octets_held, end, bound):
    if bound:
        TestClient(logged_in, "balcony")
    end(logged_in)
    server.settle()
    assert octets_held() < FEW
