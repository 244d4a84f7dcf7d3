"""slixmpp as an app server that is an external component (XEP-0114); the server is a process."""

import asyncio
import json

import pytest
from slixmpp import ClientXMPP, ComponentXMPP
from slixmpp.xmlstream import ET
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from stonechat.testing.process import LOCALHOST, ServerProcess

pytest.importorskip("stonechat_component")

DEADLINE = 30
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"
APP = "push.capulet.example"
PASSWORD = "Wherefore art thou?"
SECRET = "What's in a name?"
PUSH = "{urn:xmpp:push:0}"
PUBSUB = "{http://jabber.org/protocol/pubsub}"
FORM = "{jabber:x:data}"


class AppServer(ComponentXMPP):
    def __init__(self, port):
        super().__init__(APP, SECRET, LOCALHOST, port)
        for plugin in ("xep_0030", "xep_0060"):
            self.register_plugin(plugin)
        self.published = asyncio.Queue()
        self.refuses = False
        self.ready, self.left = asyncio.Event(), asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        self.add_event_handler("disconnected", lambda _: self.left.set())
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
        """Who tells of what: the account, the node, and the fields of the summary."""
        iq = await asyncio.wait_for(self.published.get(), DEADLINE)
        publish = iq.xml.find(f"{PUBSUB}pubsub/{PUBSUB}publish")
        summary = publish.find(f"{PUBSUB}item/{PUSH}notification/{FORM}x")
        fields = {
            field.get("var"): field.findtext(f"{FORM}value")
            for field in summary.iter(f"{FORM}field")
        }
        return iq["from"].full, publish.get("node"), fields


class Person(ClientXMPP):
    def __init__(self, jid):
        super().__init__(jid, PASSWORD)
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.register_plugin("xep_0199")
        self.ready, self.left = asyncio.Event(), asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        self.add_event_handler("disconnected", lambda _: self.left.set())

    async def sync(self):
        await self.plugin["xep_0199"].ping(self.boundjid.domain, timeout=DEADLINE)


@pytest.fixture
def process(tmp_path):
    (tmp_path / "push.secret").write_text(f"{SECRET}\n")
    process = ServerProcess(
        tmp_path,
        {
            "hosts": {"capulet.example": {}},
            "listen": [{"type": "c2s", "starttls": "off"}, {"type": "component"}],
            "allow_plain_without_tls": True,
            "plugins": {
                "component": {"components": [{"domains": [APP], "secret_file": "push.secret"}]},
                "disco": {},
                "offline": {},
                "ping": {},
                "push": {"interval": "100 ms"},
            },
            "auth_options": {"internal": {"iterations": 4096}},
            "log": {"level": "info", "format": "json"},
        },
    )
    process.start()
    for jid in (JULIET, ROMEO):
        made = process.command("register", jid, "--password-stdin", stdin=f"{PASSWORD}\n")
        assert made.returncode == 0, made.stderr
    yield process
    process.kill()


async def login(process, jid):
    person = Person(jid)
    person.connect(LOCALHOST, process.port)
    await asyncio.wait_for(person.ready.wait(), DEADLINE)
    person.send_presence()
    await person.sync()
    return person


async def join(process):
    app = AppServer(process.ports[1])
    app.connect()
    await asyncio.wait_for(app.ready.wait(), DEADLINE)
    return app


async def leave(peer):
    peer.disconnect()
    await asyncio.wait_for(peer.left.wait(), DEADLINE)


async def registered(process):
    listed = await asyncio.to_thread(process.command, "push-list", JULIET, "--json")
    return json.loads(listed.stdout)


async def a_night(process):
    app, romeo = await join(process), await login(process, f"{ROMEO}/orchard")
    phone = await login(process, f"{JULIET}/phone")
    enable = phone.make_iq_set()
    enable.append(ET.Element(f"{PUSH}enable", {"jid": APP, "node": "yxs32uqsflafdk3iuqo"}))
    await enable.send(timeout=DEADLINE)
    await leave(phone)

    romeo.send_message(JULIET, "But soft!", mtype="chat")
    told = {"FORM_TYPE": "urn:xmpp:push:summary", "message-count": "1"}
    assert await app.next() == (JULIET, "yxs32uqsflafdk3iuqo", told)

    # While the app server is away the registration stays, and what is told later is more.
    await leave(app)
    romeo.send_message(JULIET, "What light?", mtype="chat")
    await romeo.sync()
    assert len(await registered(process)) == 1

    app = await join(process)
    app.refuses = True
    romeo.send_message(JULIET, "It is the east.", mtype="chat")
    sender, _, summary = await app.next()
    assert sender == JULIET
    assert int(summary["message-count"]) > 1
    async with asyncio.timeout(DEADLINE):
        while await registered(process):
            await romeo.sync()
    await leave(app)
    await leave(romeo)


def test_an_app_server_may_be_a_component(process):
    asyncio.run(a_night(process))
    levels = {json.loads(line)["level"] for line in process.log.splitlines()}
    assert levels <= {"info", "warning"}
