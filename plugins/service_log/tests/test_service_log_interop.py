"""slixmpp keeps the log of a server that is a process of its own."""

import asyncio

import pytest
from slixmpp import ClientXMPP

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
PASSWORD = "Wherefore art thou?"
HOST = "capulet.example"
JULIET, NURSE, LOG = (f"{name}@{HOST}" for name in ("juliet", "nurse", "log"))


class Person(ClientXMPP):
    """A client that keeps the messages that come."""

    def __init__(self, jid):
        super().__init__(jid, PASSWORD)
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        for plugin in ("xep_0199", "xep_0297"):
            self.register_plugin(plugin)
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.messages = asyncio.Queue()
        self.ready = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        for event in ("message", "forwarded_stanza"):
            self.add_event_handler(event, self.messages.put_nowait)

    async def message(self):
        return await asyncio.wait_for(self.messages.get(), DEADLINE)


async def login(process, jid):
    person = Person(jid)
    person.connect(LOCALHOST, process.port)
    await asyncio.wait_for(person.ready.wait(), DEADLINE)
    person.send_presence()
    await person.plugin["xep_0199"].send_ping(HOST, timeout=DEADLINE)
    return person


def register(process, *jids):
    for jid in jids:
        made = process.command("register", jid, "--password-stdin", stdin=f"{PASSWORD}\n")
        assert made.returncode == 0, made.stderr


def play(scene, process):
    asyncio.run(asyncio.wait_for(scene(process), 4 * DEADLINE))


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {HOST: {}},
            "plugins": {"service_log": {"to": [LOG]}, "offline": {}, "ping": {}},
            "auth_options": {"internal": {"iterations": 4096}},
        }
    )
    register(process, JULIET, NURSE, LOG)
    return process


async def talking(process):
    juliet = await login(process, f"{JULIET}/balcony")
    nurse = await login(process, f"{NURSE}/house")
    juliet.send_message(NURSE, "What says he?", mtype="chat")
    assert (await nurse.message())["body"] == "What says he?"
    nurse.send_message(JULIET, "Peace!", mtype="chat")
    assert (await juliet.message())["body"] == "Peace!"
    await juliet.disconnect()
    await nurse.disconnect()


async def reading(process):
    log = await login(process, f"{LOG}/desk")
    copies = [await log.message() for _ in range(2)]
    assert [copy["from"] for copy in copies] == [HOST, HOST]
    inner = [copy["forwarded"]["stanza"] for copy in copies]
    assert [(str(m["from"]), str(m["to"]), m["body"]) for m in inner] == [
        (f"{JULIET}/balcony", NURSE, "What says he?"),
        (f"{NURSE}/house", JULIET, "Peace!"),
    ]
    assert all(copy["forwarded"]["delay"]["stamp"] for copy in copies)
    await log.disconnect()


def test_slixmpp_reads_what_was_said_even_after_a_restart(process):
    play(talking, process)
    process.restart()
    play(reading, process)
