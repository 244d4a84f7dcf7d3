"""slixmpp blocks, reports and unblocks, on a server that is a process of its own."""

import asyncio

import pytest
from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError
from slixmpp.plugins.xep_0377.stanza import Report

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


class Person(ClientXMPP):
    """A client that keeps what comes until somebody asks for it."""

    def __init__(self, jid):
        super().__init__(jid, "Wherefore art thou?")
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        self.auto_authorize = self.auto_subscribe = None
        for plugin in ("xep_0030", "xep_0191", "xep_0199", "xep_0377"):
            self.register_plugin(plugin)
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.came = asyncio.Queue()
        self.ready = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        for event in ("message", "message_error", "blocked", "unblocked"):
            self.add_event_handler(event, self.came.put_nowait)
        self.add_event_handler("presence_available", self.came.put_nowait)
        self.add_event_handler("presence_unavailable", self.came.put_nowait)

    async def take(self, fits):
        """The next stanza that fits; what does not is dropped."""
        while True:
            stanza = await asyncio.wait_for(self.came.get(), DEADLINE)
            if fits(stanza):
                return stanza

    async def presence(self, type_, jid):
        return await self.take(
            lambda stanza: (
                stanza.name == "presence"
                and stanza["type"] == type_
                and str(stanza["from"].bare) == jid
            )
        )


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"roster": {}, "disco": {}, "ping": {}, "blocking": {}},
            "auth_options": {"internal": {"iterations": 4096}},
        }
    )
    for jid in (JULIET, ROMEO):
        made = process.command("register", jid, "--password-stdin", stdin="Wherefore art thou?\n")
        assert made.returncode == 0, made.stderr
    return process


async def login(process, jid):
    person = Person(jid)
    person.connect(LOCALHOST, process.port)
    await asyncio.wait_for(person.ready.wait(), DEADLINE)
    person.send_presence()
    await person.presence("available", str(person.boundjid.bare))
    return person


async def befriend(one, other):
    for asking, answering in ((one, other), (other, one)):
        asking.send_presence(pto=answering.boundjid.bare, ptype="subscribe")
        answering.send_presence(pto=asking.boundjid.bare, ptype="subscribed")
        await asking.presence("available", str(answering.boundjid.bare))


async def blocking_and_unblocking(process):
    juliet = await login(process, f"{JULIET}/balcony")
    chamber = await login(process, f"{JULIET}/chamber")
    romeo = await login(process, f"{ROMEO}/orchard")
    await befriend(juliet, romeo)

    info = await juliet.plugin["xep_0030"].get_info(jid="capulet.example", timeout=DEADLINE)
    assert {"urn:xmpp:blocking", "urn:xmpp:reporting:1"} <= info["disco_info"]["features"]
    for client in (juliet, chamber):
        assert await client.plugin["xep_0191"].get_blocked_jids(timeout=DEADLINE) == set()

    await juliet.plugin["xep_0191"].block(romeo.boundjid.bare, timeout=DEADLINE)
    for client in (juliet, chamber):
        push = await client.take(lambda stanza: stanza.name == "iq")
        assert [str(item["jid"]) for item in push["block"]] == [ROMEO]
    assert await chamber.plugin["xep_0191"].get_blocked_jids(timeout=DEADLINE) == {ROMEO}
    await romeo.presence("unavailable", JULIET)

    romeo.send_message(JULIET, "But soft!", mtype="chat")
    error = await romeo.take(lambda stanza: stanza.name == "message")
    assert error["error"]["condition"] == "service-unavailable"
    with pytest.raises(IqError) as refused:
        await romeo.plugin["xep_0199"].send_ping(juliet.boundjid, timeout=DEADLINE)
    assert refused.value.condition == "service-unavailable"
    juliet.send_message(ROMEO, "Romeo?", mtype="chat")
    error = await juliet.take(lambda stanza: stanza.name == "message")
    assert error["error"]["condition"] == "not-acceptable"
    assert error["error"].xml.find("{urn:xmpp:blocking:errors}blocked") is not None

    await chamber.plugin["xep_0191"].unblock(romeo.boundjid.bare, timeout=DEADLINE)
    push = await juliet.take(lambda stanza: stanza.name == "iq")
    assert [str(item["jid"]) for item in push["unblock"]] == [ROMEO]
    await romeo.presence("available", JULIET)
    romeo.send_message(JULIET, "What light?", mtype="chat")
    message = await juliet.take(lambda stanza: stanza.name == "message")
    assert message["body"] == "What light?"
    for client in (juliet, chamber, romeo):
        await client.disconnect()


def test_blocking_and_unblocking(process):
    asyncio.run(blocking_and_unblocking(process))


async def block_with_a_report(process):
    juliet = await login(process, f"{JULIET}/balcony")
    block = juliet.make_iq_set()
    block["block"]["item"]["jid"] = ROMEO
    report = Report()
    report["reason"] = "urn:xmpp:reporting:spam"
    report["text"] = "Never came trouble to my house like this."
    block["block"]["item"].append(report)
    await block.send(timeout=DEADLINE)
    await juliet.disconnect()


async def what_is_blocked(process):
    juliet = await login(process, f"{JULIET}/balcony")
    blocked = await juliet.plugin["xep_0191"].get_blocked_jids(timeout=DEADLINE)
    await juliet.disconnect()
    return blocked


def test_what_was_confirmed_outlives_a_kill(process):
    # Robustness promise R2.
    asyncio.run(block_with_a_report(process))
    process.kill()
    process.start()
    assert asyncio.run(what_is_blocked(process)) == {ROMEO}
    listed = process.command("blocking-reports")
    assert listed.returncode == 0, listed.stderr
    assert "Never came trouble" in listed.stdout
    assert ROMEO in listed.stdout
