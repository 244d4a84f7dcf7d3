"""slixmpp asks too often, on a server that is a process of its own."""

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
        for event in ("presence_subscribe", "presence_error"):
            self.add_event_handler(event, self.came.put_nowait)

    async def take(self):
        return await asyncio.wait_for(self.came.get(), DEADLINE)


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}, "montague.example": {}},
            "plugins": {"roster": {}, "pres_counter": {"count": 2, "interval": "1 h"}},
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


async def too_many_requests(process):
    juliet = await login(process, f"{JULIET}/balcony")
    romeo = await login(process, f"{ROMEO}/orchard")
    juliet.send_presence()
    romeo.send_presence(pto=JULIET, ptype="subscribe")
    assert str((await juliet.take())["from"]) == ROMEO
    for number in range(2):
        romeo.send_presence(pto=f"servant{number}@capulet.example", ptype="subscribe")
    error = await romeo.take()
    assert error["type"] == "error"
    assert str(error["from"]) == "servant1@capulet.example"
    # slixmpp has no word for it.
    assert list(error.xml.iter("{urn:ietf:params:xml:ns:xmpp-stanzas}policy-violation"))
    assert error.xml.find("{jabber:client}error").get("type") == "wait"
    for client in (juliet, romeo):
        await client.disconnect()


def test_too_many_requests(process):
    asyncio.run(too_many_requests(process))
    (line,) = [line for line in process.log.splitlines() if "too much presence" in line]
    assert ROMEO in line
