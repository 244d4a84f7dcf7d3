"""slixmpp as a component and as a client; the server is a process of its own."""

import asyncio
import json

import pytest
from slixmpp import ClientXMPP, ComponentXMPP
from slixmpp.exceptions import IqError

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
GATEWAY = "gateway.capulet.example"
BOT = f"echo@{GATEWAY}/bot"
JULIET = "juliet@capulet.example/balcony"
PASSWORD = "Wherefore art thou?"
SECRET = "What's in a name?"


class Inbox:
    """Keeps what comes until somebody asks for it."""

    def prepare(self):
        self.ready, self.left = asyncio.Event(), asyncio.Event()
        self.came = asyncio.Queue()
        self.auto_authorize = self.auto_subscribe = None
        for plugin in ("xep_0030", "xep_0199"):
            self.register_plugin(plugin)
        self.add_event_handler("session_start", lambda _: self.ready.set())
        self.add_event_handler("disconnected", lambda _: self.left.set())
        for event in ("presence_available", "presence_unavailable", "presence_subscribe"):
            self.add_event_handler(event, self.came.put_nowait)

    async def take(self, kind, sender):
        while True:
            stanza = await asyncio.wait_for(self.came.get(), DEADLINE)
            if stanza["type"] == kind and stanza["from"] == sender:
                return stanza


class Echo(Inbox, ComponentXMPP):
    def __init__(self, port, secret=SECRET):
        super().__init__(GATEWAY, secret, LOCALHOST, port)
        self.prepare()
        self.conditions = asyncio.Queue()
        self.add_event_handler("message", self.answer)
        self.add_event_handler("stream_error", self.failed)

    def answer(self, message):
        if message["type"] == "chat":
            message.reply(f"{message['body']}, {message['body']}").send()

    def failed(self, error):
        self.conditions.put_nowait(error["condition"])


class Person(Inbox, ClientXMPP):
    def __init__(self):
        super().__init__(JULIET, PASSWORD)
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.prepare()
        for event in ("message", "message_error"):
            self.add_event_handler(event, self.came.put_nowait)


@pytest.fixture
def process(own_process):
    return own_process


async def login(process):
    juliet = Person()
    juliet.connect(LOCALHOST, process.port)
    await asyncio.wait_for(juliet.ready.wait(), DEADLINE)
    juliet.send_presence()
    # What comes next finds her available.
    await juliet.plugin["xep_0030"].get_info(jid="capulet.example", timeout=DEADLINE)
    return juliet


async def join(process):
    echo = Echo(process.ports[1])
    echo.connect()
    await asyncio.wait_for(echo.ready.wait(), DEADLINE)
    return echo


async def leave(peer):
    peer.disconnect()
    await asyncio.wait_for(peer.left.wait(), DEADLINE)


async def conversation(process):
    echo, juliet = await join(process), await login(process)

    juliet.send_message(BOT, "Ay me", mtype="chat")
    message = await juliet.take("chat", BOT)
    assert message["body"] == "Ay me, Ay me"

    # Requests, both ways.
    items = await juliet.plugin["xep_0030"].get_items(jid="capulet.example", timeout=DEADLINE)
    assert (GATEWAY, None, "To other networks") in items["disco_items"]["items"]
    info = await juliet.plugin["xep_0030"].get_info(jid=GATEWAY, timeout=DEADLINE)
    assert "urn:xmpp:ping" in info["disco_info"]["features"]
    await juliet.plugin["xep_0199"].send_ping(GATEWAY, timeout=DEADLINE)
    await echo.plugin["xep_0199"].send_ping(JULIET, ifrom=BOT, timeout=DEADLINE)
    with pytest.raises(IqError) as refused:
        await echo.plugin["xep_0199"].send_ping(
            "nobody@capulet.example/x", ifrom=BOT, timeout=DEADLINE
        )
    # slixmpp looks for the condition in jabber:client only, which is not a component's.
    tags = {element.tag for element in refused.value.iq.xml.iter()}
    assert "{urn:ietf:params:xml:ns:xmpp-stanzas}service-unavailable" in tags

    # Presence, both ways.
    juliet.send_presence(pto=BOT, pstatus="on the balcony")
    assert (await echo.take("available", JULIET))["status"] == "on the balcony"
    echo.send_presence(pto=JULIET, pfrom=BOT, pstatus="at your service")
    assert (await juliet.take("available", BOT))["status"] == "at your service"
    juliet.send_presence(ptype="subscribe", pto="echo@" + GATEWAY)
    await echo.take("subscribe", JULIET)

    # Killed, and started again.
    echo.abort()
    while True:
        juliet.send_message(BOT, "Ay me", mtype="chat")
        answer = await asyncio.wait_for(juliet.came.get(), DEADLINE)
        if answer["type"] == "error" and answer.name == "message":
            break
    assert answer["error"]["condition"] == "remote-server-timeout"
    assert answer["error"]["type"] == "wait"
    echo = await join(process)
    juliet.send_message(BOT, "Good night", mtype="chat")
    while (await juliet.take("chat", BOT))["body"] != "Good night, Good night":
        pass

    # And so is the server.
    await asyncio.to_thread(process.stop)
    assert await asyncio.wait_for(echo.conditions.get(), DEADLINE) == "system-shutdown"
    await asyncio.to_thread(process.start)
    await leave(juliet)
    await leave(echo)
    echo, juliet = await join(process), await login(process)
    juliet.send_message(BOT, "Good morrow", mtype="chat")
    assert (await juliet.take("chat", BOT))["body"] == "Good morrow, Good morrow"
    await leave(juliet)
    await leave(echo)


def test_slixmpp_is_a_component(process):
    asyncio.run(conversation(process))
    levels = {json.loads(line)["level"] for line in process.log.splitlines()}
    assert levels == {"info"}


async def a_wrong_secret(process):
    echo = Echo(process.ports[1], "Montague")
    echo.connect()
    condition = await asyncio.wait_for(echo.conditions.get(), DEADLINE)
    assert not echo.ready.is_set()
    await asyncio.wait_for(echo.left.wait(), DEADLINE)
    echo.abort()
    return condition


def test_slixmpp_with_another_secret_is_refused(process):
    assert asyncio.run(a_wrong_secret(process)) == "not-authorized"
