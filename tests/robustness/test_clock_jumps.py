"""The wall clock is set, an hour forth or back (R10)."""

import pytest

HOUR = 3600

jumps = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forth", "back"])


def capulet(server, **plugins):
    return server.host("capulet.example", ping={}, **plugins)


@jumps
def test_no_session_is_closed(server, jump):
    host = capulet(server)
    juliet = host.connect("juliet@capulet.example/balcony")
    stranger = host.open_stream()
    server.clock.jump(jump)
    server.clock.advance(1)
    assert juliet.get("<ping xmlns='urn:xmpp:ping'/>").type == "result"
    assert not stranger.is_closed


@jumps
def test_no_timer_is_early_or_late(server, jump):
    host = capulet(server)
    fired = []
    host.kernel.timers.add(10, fired.append, "due")
    server.clock.jump(jump)
    server.clock.advance(9)
    assert fired == []
    server.clock.advance(1.5)
    assert fired == ["due"]


@jumps
def test_moments_stay_in_order_and_are_never_the_same(server, jump):
    host = capulet(server)
    moments = []
    for _ in range(3):
        moments += [host.kernel.now() for _ in range(10)]
        server.clock.jump(jump)
    assert moments == sorted(set(moments))


@jumps
def test_messages_that_waited_come_in_the_order_they_were_sent(server, jump):
    host = capulet(server, offline={})
    host.create_account("juliet", "secret")
    romeo = host.connect("romeo@capulet.example/orchard")
    for number in range(4):
        romeo.message("juliet@capulet.example", str(number))
        server.clock.jump(jump)
        server.clock.advance(1)
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.available()
    assert [juliet.receive_message().body for _ in range(4)] == ["0", "1", "2", "3"]


@jumps
def test_messages_that_waited_keep_their_order_over_a_restart(server, jump):
    host = capulet(server, offline={})
    host.create_account("juliet", "secret")
    for number in range(4):
        romeo = host.connect("romeo@capulet.example/orchard")
        romeo.message("juliet@capulet.example", str(number))
        server.clock.jump(jump)
        server.restart()
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.available()
    assert [juliet.receive_message().body for _ in range(4)] == ["0", "1", "2", "3"]
