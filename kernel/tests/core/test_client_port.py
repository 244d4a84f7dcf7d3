"""What a port does for each of its connections."""

import pytest

from stonechat.core.config_model import ClientListener
from stonechat.testing.kit import ADDRESS
from stonechat.testing.transport import MemoryConnection, MemoryPort


@pytest.mark.parametrize(("rate", "expected"), [("none", 0.0), ("3 KiB/s", 1.0)])
def test_the_rate_of_the_listener_comes_before_that_of_the_limits(server, rate, expected):
    server.configure(limits={"rate": "5 KiB/s"})
    server.host("capulet.example")
    kernel = server.kernel
    connection = MemoryConnection(
        kernel, server.clock, ADDRESS, kernel._connection_failed, tls=False
    )
    port = MemoryPort(ClientListener(type="c2s", port=0, rate=rate), kernel)
    port.begin(connection.as_connection())
    shaper = connection.shaper
    # A second's worth is a burst, the next one takes a second.
    assert (shaper.consume(6 * 1024, 0.0) if shaper else 0.0) == expected
    connection.hang_up()
    server.settle()
