"""slixmpp as a component and as a client; the server is a process of its own."""

import pytest

from stonechat.errors import StanzaError
from stonechat.testing import LoginFailed, until

GATEWAY = "gateway.capulet.example"
BOT = f"echo@{GATEWAY}/bot"
JULIET = "juliet@capulet.example/balcony"
SECRET = "What's in a name?"


@pytest.fixture
def process(own_process):
    return own_process


@pytest.fixture
def join(process, slixmpp):
    """A component that says everything twice."""

    def join():
        echo = slixmpp.component(process.ports[1], GATEWAY, SECRET)

        def answer(message):
            if message["type"] == "chat":
                message.reply(f"{message['body']}, {message['body']}").send()

        echo.run(lambda: echo.xmpp.add_event_handler("message", answer))
        return echo

    return join


def events(process):
    return [record["event"] for record in process.records]


def test_slixmpp_is_a_component(process, slixmpp, join):
    echo, juliet = join(), slixmpp.available(process, JULIET)

    juliet.say(BOT, "Ay me")
    assert juliet.message("Ay me, Ay me")["from"] == BOT

    # Requests, both ways.
    items = juliet.call("xep_0030", "get_items", jid="capulet.example")
    assert (GATEWAY, None, "To other networks") in items["disco_items"]["items"]
    assert "urn:xmpp:ping" in juliet.features(GATEWAY)
    juliet.call("xep_0199", "send_ping", GATEWAY)
    echo.call("xep_0199", "send_ping", JULIET, ifrom=BOT)
    with pytest.raises(StanzaError) as refused:
        echo.call("xep_0199", "send_ping", "nobody@capulet.example/x", ifrom=BOT)
    assert refused.value.condition == "service-unavailable"

    # Presence, both ways.
    juliet.send_presence(to=BOT, status="on the balcony")
    assert echo.presence(JULIET)["status"] == "on the balcony"
    echo.send_presence(to=JULIET, from_=BOT, status="at your service")
    assert juliet.presence(BOT)["status"] == "at your service"
    juliet.send_presence(type="subscribe", to="echo@" + GATEWAY)
    echo.presence(JULIET.partition("/")[0], "subscribe")

    # Killed, and started again. What was said just before the server knows is lost: the
    # protocol has no acknowledgements.
    echo.vanish()
    until(lambda: "component disconnected" in events(process), "end of the component")
    juliet.say(BOT, "Ay me")
    error = juliet.error_of(juliet.message())
    assert (error.condition, error.type) == ("remote-server-timeout", "wait")
    echo = join()
    juliet.say(BOT, "Good night")
    juliet.message("Good night, Good night")

    # And so is the server.
    process.stop()
    _, value = echo.wait_event("stream_error")
    assert value["condition"] == "system-shutdown"
    process.start()
    join()
    juliet = slixmpp.available(process, JULIET)
    juliet.say(BOT, "Good morrow")
    juliet.message("Good morrow, Good morrow")
    assert process.faults == []


def test_slixmpp_with_another_secret_is_refused(process, slixmpp):
    with pytest.raises(LoginFailed, match="not-authorized"):
        slixmpp.component(process.ports[1], GATEWAY, "Montague")
