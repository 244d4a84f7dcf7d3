"""slixmpp as the phone, as the app server and as whoever writes; the server is a process."""

import asyncio
import json

import pytest
from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"
APP = "app@capulet.example/service"
PUBLISH = "http://jabber.org/protocol/pubsub#publish-options"
PUSH = "{urn:xmpp:push:0}"
PUBSUB = "{http://jabber.org/protocol/pubsub}"
FORM = "{jabber:x:data}"


class Person(ClientXMPP):
    def __init__(self, jid):
        super().__init__(jid, "Wherefore art thou?")
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        for plugin in ("xep_0004", "xep_0030", "xep_0060", "xep_0199"):
            self.register_plugin(plugin)
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.ready, self.left = asyncio.Event(), asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        self.add_event_handler("disconnected", lambda _: self.left.set())

    async def sync(self):
        await self.plugin["xep_0199"].ping(self.boundjid.domain, timeout=DEADLINE)

    async def leave(self):
        self.disconnect()
        await asyncio.wait_for(self.left.wait(), DEADLINE)


class AppServer(Person):
    """A client that answers as a pubsub service of push notifications."""

    def __init__(self, jid):
        super().__init__(jid)
        self.published = asyncio.Queue()
        self.refuses = False
        self.register_handler(
            Callback("published", StanzaPath("iq@type=set/pubsub/publish"), self.receive)
        )

    def receive(self, iq):
        self.published.put_nowait(iq)
        reply = iq.reply()
        if self.refuses:
            reply.error()
            reply["error"]["type"] = "cancel"
            reply["error"]["condition"] = "item-not-found"
        reply.send()

    async def next(self):
        iq = await asyncio.wait_for(self.published.get(), DEADLINE)
        publish = iq.xml.find(f"{PUBSUB}pubsub/{PUBSUB}publish")
        summary = publish.find(f"{PUBSUB}item/{PUSH}notification/{FORM}x")
        options = iq.xml.find(f"{PUBSUB}pubsub/{PUBSUB}publish-options/{FORM}x")
        return iq["from"].full, publish.get("node"), fields(summary), fields(options)


def fields(form):
    return {
        field.get("var"): field.findtext(f"{FORM}value") for field in form.iter(f"{FORM}field")
    }


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {
                "disco": {},
                "offline": {},
                "ping": {},
                "push": {"interval": "100 ms", "last_sender": True},
            },
            "auth_options": {"internal": {"iterations": 4096}},
            "log": {"level": "info", "format": "json"},
        }
    )
    for jid in (JULIET, ROMEO, APP.partition("/")[0]):
        made = process.command("register", jid, "--password-stdin", stdin="Wherefore art thou?\n")
        assert made.returncode == 0, made.stderr
    return process


async def login(process, jid, kind=Person):
    person = kind(jid)
    person.connect(LOCALHOST, process.port)
    await asyncio.wait_for(person.ready.wait(), DEADLINE)
    person.send_presence()
    await person.sync()
    return person


def enable(phone, **attributes):
    """The request; slixmpp has no words of its own for it."""
    form = phone.plugin["xep_0004"].make_form(ftype="submit")
    form.add_field(var="FORM_TYPE", ftype="hidden", value=PUBLISH)
    form.add_field(var="secret", value="eruio234vzxc2kla-91")
    payload = ET.Element(f"{PUSH}enable", attributes)
    payload.append(form.xml)
    iq = phone.make_iq_set()
    iq.append(payload)
    return iq.send(timeout=DEADLINE)


async def registered(process):
    listed = await asyncio.to_thread(process.command, "push-list", JULIET, "--json")
    return json.loads(listed.stdout)


async def a_night(process):
    app = await login(process, APP, AppServer)
    romeo = await login(process, f"{ROMEO}/orchard")
    phone = await login(process, f"{JULIET}/phone")
    info = await phone.plugin["xep_0030"].get_info(jid=JULIET, timeout=DEADLINE)
    assert "urn:xmpp:push:0" in info["disco_info"]["features"]
    await enable(phone, jid=APP, node="yxs32uqsflafdk3iuqo")
    with pytest.raises(IqError) as refused:
        await enable(phone, node="nowhere")
    assert refused.value.condition == "bad-request"
    await phone.leave()

    romeo.send_message(JULIET, "But soft!", mtype="chat")
    sender, node, summary, options = await app.next()
    assert (sender, node) == (JULIET, "yxs32uqsflafdk3iuqo")
    assert summary == {
        "FORM_TYPE": "urn:xmpp:push:summary",
        "message-count": "1",
        "last-message-sender": f"{ROMEO}/orchard",
    }
    assert options == {"FORM_TYPE": PUBLISH, "secret": "eruio234vzxc2kla-91"}

    # The registration is as good after a restart of the server.
    assert len(await registered(process)) == 1
    await app.leave()
    await romeo.leave()
    await asyncio.to_thread(process.restart)
    app = await login(process, APP, AppServer)
    romeo = await login(process, f"{ROMEO}/orchard")
    app.refuses = True
    romeo.send_message(JULIET, "What light?", mtype="chat")
    await app.next()
    async with asyncio.timeout(DEADLINE):
        while await registered(process):
            await app.sync()
    await app.leave()
    await romeo.leave()


def test_slixmpp_is_woken(process):
    asyncio.run(a_night(process))
    levels = {json.loads(line)["level"] for line in process.log.splitlines()}
    assert levels == {"info"}
