"""slixmpp looks away and comes back, on a server that is a process of its own."""

import asyncio
import json

import pytest
from slixmpp import ClientXMPP

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


class Person(ClientXMPP):
    """A client that keeps what comes, in order."""

    def __init__(self, jid):
        super().__init__(jid, "Wherefore art thou?")
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        self.auto_authorize = self.auto_subscribe = None
        for plugin in ("xep_0085", "xep_0199", "xep_0352"):
            self.register_plugin(plugin)
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.came = asyncio.Queue()
        self.ready = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        self.add_event_handler("message", self.came.put_nowait)
        self.add_event_handler("chatstate", self.came.put_nowait)
        self.add_event_handler("presence", self.came.put_nowait)

    async def next(self):
        return await asyncio.wait_for(self.came.get(), DEADLINE)

    async def sync(self):
        await self.plugin["xep_0199"].ping(self.boundjid.domain, timeout=DEADLINE)

    async def rest(self):
        """All that has come by now."""
        await self.sync()
        return [self.came.get_nowait() for _ in range(self.came.qsize())]


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"roster": {}, "ping": {}, "csi": {}},
            "auth_options": {"internal": {"iterations": 4096}},
            "log": {"level": "info", "format": "json"},
        }
    )
    for jid in (JULIET, ROMEO):
        made = process.command("register", jid, "--password-stdin", stdin="Wherefore art thou?\n")
        assert made.returncode == 0, made.stderr
    for account, contact in ((JULIET, ROMEO), (ROMEO, JULIET)):
        added = process.command("roster-add", account, contact, "--subscription", "both")
        assert added.returncode == 0, added.stderr
    return process


async def login(process, jid):
    person = Person(jid)
    person.connect(LOCALHOST, process.port)
    await asyncio.wait_for(person.ready.wait(), DEADLINE)
    person.send_presence()
    await person.next()
    return person


async def looking_away(process):
    juliet = await login(process, f"{JULIET}/phone")
    romeo = await login(process, f"{ROMEO}/orchard")
    assert juliet.plugin["xep_0352"].enabled
    await romeo.rest()
    await juliet.rest()

    juliet.plugin["xep_0352"].send_inactive()
    await juliet.sync()
    for show in ("away", "xa", "dnd"):
        romeo.send_presence(pshow=show)
        state = romeo.make_message(JULIET, mtype="chat")
        state["chat_state"] = "composing"
        state.send()
    await romeo.sync()
    # The answer to her ping cannot wait, and what came before it comes first.
    came = [stanza for stanza in await juliet.rest() if stanza.name == "presence"]
    assert [stanza["type"] for stanza in came] == ["dnd"]

    romeo.send_presence(pshow="chat")
    await romeo.sync()
    romeo.send_message(JULIET, "But soft!", mtype="chat")
    presence, message = await juliet.next(), None
    while message is None:
        stanza = await juliet.next()
        message = stanza if stanza.name == "message" and stanza["body"] else None
    assert (presence["type"], message["body"]) == ("chat", "But soft!")

    romeo.send_presence(pshow="away")
    await romeo.sync()
    juliet.plugin["xep_0352"].send_active()
    assert (await juliet.next())["type"] == "away"
    romeo.send_presence(pshow="xa")
    assert (await juliet.next())["type"] == "xa"
    for person in (romeo, juliet):
        person.abort()


def test_slixmpp_looks_away(process):
    asyncio.run(looking_away(process))
    levels = {json.loads(line)["level"] for line in process.log.splitlines()}
    assert levels == {"info"}
