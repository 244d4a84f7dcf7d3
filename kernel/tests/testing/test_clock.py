"""The kit's clock: time passes when a test says so, and everything due runs on the way."""

import pytest

from stonechat.stanza import Message


class Ticking:
    """Writes down when its timers ran."""

    def __init__(self, host, options):
        self.host = host
        self.times = []
        self.begun = host.now()

    def note(self, name):
        self.times.append((name, round((self.host.now() - self.begun) / 1e6, 3)))


@pytest.fixture
def plugin(server):
    return server.host("capulet.example", plugin_classes={"ticking": Ticking}).plugin("ticking")


def test_time_stands_still_by_itself(server, plugin):
    before = server.clock.now()
    server.settle()
    assert server.clock.now() == before


def test_a_timer_runs_when_its_time_has_come_and_not_before(server, plugin):
    plugin.host.call_later(5, plugin.note, "a")
    server.clock.advance(4.99)
    assert plugin.times == []
    server.clock.advance(0.01)
    assert plugin.times == [("a", 5.0)]


def test_each_timer_runs_at_its_own_moment_in_their_order(server, plugin):
    for name, seconds in (("late", 30), ("early", 10), ("in between", 20)):
        plugin.host.call_later(seconds, plugin.note, name)
    server.clock.advance(60)
    assert plugin.times == [("early", 10.0), ("in between", 20.0), ("late", 30.0)]


def test_a_timer_that_comes_again_does_so_as_often_as_it_is_due(server, plugin):
    timer = plugin.host.call_every(15, plugin.note, "a")
    server.clock.advance(60)
    assert [moment for _, moment in plugin.times] == [15.0, 30.0, 45.0, 60.0]
    timer.cancel()
    server.clock.advance(60)
    assert len(plugin.times) == 4


def test_a_timer_that_another_one_starts_runs_too(server, plugin):
    plugin.host.call_later(10, lambda: plugin.host.call_later(10, plugin.note, "second"))
    server.clock.advance(20)
    assert plugin.times == [("second", 20.0)]


def test_a_cancelled_timer_does_not_run(server, plugin):
    plugin.host.call_later(5, plugin.note, "a").cancel()
    server.clock.advance(60)
    assert plugin.times == []


def test_the_work_of_a_timer_is_done_when_advance_returns(server, plugin):
    def work():
        plugin.host.run_blocking(sum, [])
        plugin.host.storage.write(lambda connection: None)
        plugin.note("done")

    plugin.host.call_later(5, work)
    server.clock.advance(5)
    assert plugin.times == [("done", 5.0)]


def test_the_wall_clock_goes_along_and_can_be_set_without_moving_timers(server, plugin):
    plugin.host.call_later(5, plugin.note, "a")
    before = server.clock.now()
    server.clock.advance(1)
    assert server.clock.now() - before == 1_000_000
    server.clock.jump(3600)
    server.settle()
    assert plugin.times == []
    assert server.clock.now() - before == 3601_000_000


def test_time_as_plugins_see_it_does_not_go_back(server, plugin):
    before = plugin.host.now()
    server.clock.jump(-3600)
    assert plugin.host.now() > before


def test_time_does_not_go_back(server, plugin):
    with pytest.raises(ValueError, match="passes forwards"):
        server.clock.advance(-1)


def test_a_client_is_idle_by_this_clock(server):
    host = server.host("capulet.example")
    juliet = host.connect("juliet@capulet.example/balcony")
    (session,) = host.kernel.sessions("juliet")
    server.clock.advance(100)
    assert session.idle_seconds == pytest.approx(100)
    juliet.send(Message(to=juliet.jid))
    assert session.idle_seconds == 0


def test_the_clock_goes_on_over_a_restart(server, plugin):
    server.clock.advance(100)
    before = server.clock.now()
    server.restart()
    assert server.clock.now() >= before
    host = server.host("montague.example", plugin_classes={"ticking": Ticking})
    again = host.plugin("ticking")
    again.host.call_later(5, again.note, "a")
    server.clock.advance(5)
    assert again.times == [("a", 5.0)]
