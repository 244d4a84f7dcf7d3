"""slixmpp on several devices, on a server that is a process of its own."""

import asyncio
import json

import pytest
from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


class Device(ClientXMPP):
    """A client that notes messages and copies in the order in which they come."""

    def __init__(self, jid):
        super().__init__(jid, "Wherefore art thou?")
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        for plugin in ("xep_0030", "xep_0199", "xep_0280", "xep_0334"):
            self.register_plugin(plugin)
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.came = asyncio.Queue()
        self.ready = asyncio.Event()
        self.seen = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        self.add_event_handler("presence_available", lambda _: self.seen.set())
        self.add_event_handler("message", lambda message: self.note("", message))
        self.add_event_handler("carbon_received", lambda m: self.note("carbon_received", m))
        self.add_event_handler("carbon_sent", lambda m: self.note("carbon_sent", m))

    def note(self, direction, message):
        inner = message[direction] if direction else message
        if direction or message["body"]:
            self.came.put_nowait((direction, inner["from"].full, inner["body"]))

    async def next(self):
        return await asyncio.wait_for(self.came.get(), DEADLINE)

    async def sync(self):
        await self.plugin["xep_0199"].ping(self.boundjid.domain, timeout=DEADLINE)


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"roster": {}, "disco": {}, "ping": {}, "carbons": {}},
            "auth_options": {"internal": {"iterations": 4096}},
            "log": {"level": "info", "format": "json"},
        }
    )
    for jid in (JULIET, ROMEO):
        made = process.command("register", jid, "--password-stdin", stdin="Wherefore art thou?\n")
        assert made.returncode == 0, made.stderr
    return process


async def login(process, jid, *, carbons=True):
    device = Device(jid)
    device.connect(LOCALHOST, process.port)
    await asyncio.wait_for(device.ready.wait(), DEADLINE)
    if carbons:
        await device.plugin["xep_0280"].enable(timeout=DEADLINE)
    device.send_presence()
    await asyncio.wait_for(device.seen.wait(), DEADLINE)
    return device


async def a_conversation(process):
    orchard = await login(process, f"{ROMEO}/orchard")
    home = await login(process, f"{ROMEO}/home")
    balcony = await login(process, f"{JULIET}/balcony")
    chamber = await login(process, f"{JULIET}/chamber")
    old = await login(process, f"{JULIET}/old", carbons=False)

    info = await orchard.plugin["xep_0030"].get_info(jid="capulet.example", timeout=DEADLINE)
    assert {"urn:xmpp:carbons:2", "urn:xmpp:carbons:rules:0"} <= info["disco_info"]["features"]

    lines = [(orchard, balcony, "She speaks"), (balcony, orchard, "O Romeo"), (home, chamber, "I")]
    for sender, receiver, body in lines:
        sender.send_message(receiver.boundjid.full, body, mtype="chat")
        here, there = (
            ((orchard, home), (balcony, chamber))
            if sender in (orchard, home)
            else ((balcony, chamber), (orchard, home))
        )
        address = sender.boundjid.full
        for device in there:
            direction = "" if device is receiver else "carbon_received"
            assert await device.next() == (direction, address, body)
        for device in here:
            if device is not sender:
                assert await device.next() == ("carbon_sent", address, body)

    secret = orchard.make_message(balcony.boundjid.full, "Lady", mtype="chat")
    secret["carbon_private"] = True
    secret.enable("no-copy")
    secret.send()
    assert await balcony.next() == ("", orchard.boundjid.full, "Lady")

    await home.plugin["xep_0280"].disable(timeout=DEADLINE)
    orchard.send_message(balcony.boundjid.full, "by yonder", mtype="chat")
    assert await balcony.next() == ("", orchard.boundjid.full, "by yonder")
    assert await chamber.next() == ("carbon_received", orchard.boundjid.full, "by yonder")
    forged = home.make_iq_set(ito=JULIET)
    forged.enable("carbon_enable")
    with pytest.raises(IqError) as refused:
        await forged.send(timeout=DEADLINE)
    assert refused.value.condition == "not-allowed"
    for device in (home, orchard, balcony, chamber, old):
        await device.sync()
        assert device.came.empty()
        device.abort()


def test_slixmpp_sees_both_sides_on_every_device(process):
    asyncio.run(a_conversation(process))
    levels = {json.loads(line)["level"] for line in process.log.splitlines()}
    assert levels == {"info"}
