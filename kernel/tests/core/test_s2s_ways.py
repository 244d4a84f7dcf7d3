"""What goes for connections to other servers, whatever goes over them."""

import socket

import pytest

from stonechat.core.s2s_ways import Ways
from stonechat.federation import Pair
from stonechat.net.dialer import Dialed
from stonechat.net.resolver import Target

CAPULET, MONTAGUE = "capulet.example", "montague.example"


@pytest.fixture
def open_stream(server):
    """Opens a stream to Montague, over a connection that nobody reads."""
    ours, theirs = socket.socketpair()

    def open_stream(**limits):
        server.configure(limits=limits)
        host = server.host(CAPULET).kernel
        target = Target(MONTAGUE, 5269, tls=False)
        dialed = Dialed(ours, target, "203.0.113.1")
        kernel = server.kernel
        return Ways(kernel).open(kernel.s2s, host, Pair(CAPULET, MONTAGUE), dialed, 30.0)

    yield open_stream
    ours.close()
    theirs.close()


def test_the_peer_of_a_stream_of_ours_is_read_no_faster_than_anybody(open_stream):
    """It may have much to say, where the stream is one for both directions (XEP-0288)."""
    shaper = open_stream(rate="1 KB/s")._connection.shaper
    assert shaper.consume(1000, 0.0) == 0.0
    assert shaper.consume(2000, 0.0) == 2.0


def test_without_a_rate_it_is_read_as_it_comes(open_stream):
    assert open_stream()._connection.shaper is None
