"""slixmpp meets a stranger, and then a contact, on a server that is a process of its own."""

import asyncio

import pytest
from slixmpp import ClientXMPP

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"


class Person(ClientXMPP):
    """A client that keeps what comes until somebody asks for it."""

    def __init__(self, jid):
        super().__init__(jid, "Wherefore art thou?")
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        self.auto_authorize = self.auto_subscribe = None
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.came = asyncio.Queue()
        self.ready = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        for event in ("message", "message_error"):
            self.add_event_handler(event, self.came.put_nowait)

    async def take(self):
        return await asyncio.wait_for(self.came.get(), DEADLINE)


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}, "montague.example": {}},
            "plugins": {"roster": {}, "block_strangers": {}},
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
    return person


async def a_stranger_becomes_a_contact(process):
    juliet = await login(process, f"{JULIET}/balcony")
    romeo = await login(process, f"{ROMEO}/orchard")
    romeo.send_message(f"{JULIET}/balcony", "But soft!", mtype="chat")
    error = await romeo.take()
    assert error["type"] == "error"
    # slixmpp has no word for it.
    assert list(error.xml.iter("{urn:ietf:params:xml:ns:xmpp-stanzas}policy-violation"))
    await juliet.update_roster(ROMEO, subscription="none", timeout=DEADLINE)
    romeo.send_message(f"{JULIET}/balcony", "What light?", mtype="chat")
    assert (await juliet.take())["body"] == "What light?"
    for client in (juliet, romeo):
        await client.disconnect()


def test_a_stranger_becomes_a_contact(process):
    asyncio.run(a_stranger_becomes_a_contact(process))
