"""What time the server says it is, and where."""

import time

import pytest

from stonechat.stanza import Element
from stonechat_time import zone_offset

TIME = "urn:xmpp:time"


@pytest.fixture
def zone(monkeypatch):
    """Set the time zone of the process for one test."""

    def set_zone(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


def ask(server):
    host = server.host("capulet.example", time={})
    juliet = host.connect("juliet@capulet.example/balcony")
    return juliet.get(Element(TIME, "time"), to="capulet.example").payload


def test_tells_the_time_in_utc(server, zone):
    zone("XXX-05:30")  # POSIX counts hours west of Greenwich
    answer = ask(server)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(server.clock.now() // 1_000_000))
    assert answer.find_text("utc") == now


@pytest.mark.parametrize(
    ("name", "offset"), [("UTC0", "Z"), ("XXX-05:30", "+05:30"), ("XXX+03:30", "-03:30")]
)
def test_tells_how_far_the_zone_is_from_utc(server, zone, name, offset):
    zone(name)
    assert ask(server).find_text("tzo") == offset


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "Z"), (3600, "+01:00"), (-3600, "-01:00"), (20700, "+05:45"), (-34200, "-09:30")],
)
def test_an_offset_has_hours_and_minutes(seconds, text):
    assert zone_offset(seconds) == text


def test_is_advertised(server):
    host = server.host("capulet.example", time={})
    assert host.plugin("time").stonechat_disco_features() == [TIME]
