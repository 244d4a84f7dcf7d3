"""slixmpp announces by address on a server that is a process of its own."""

import asyncio

import pytest
from slixmpp import ClientXMPP

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
PASSWORD = "Wherefore art thou?"
HOST, OTHER = "capulet.example", "montague.example"
NURSE, JULIET, PARIS = (f"{name}@{HOST}" for name in ("nurse", "juliet", "paris"))
ROMEO = f"romeo@{OTHER}"


class Person(ClientXMPP):
    """A client that keeps the messages that come."""

    def __init__(self, jid):
        super().__init__(jid, PASSWORD)
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        for plugin in ("xep_0199",):
            self.register_plugin(plugin)
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.messages = asyncio.Queue()
        self.ready = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        self.add_event_handler("message", self.messages.put_nowait)

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
            "hosts": {HOST: {}, OTHER: {}},
            "plugins": {"announce": {}, "offline": {}, "ping": {}},
            "auth_options": {"internal": {"iterations": 4096}},
            "access": {"admin": {"users": [NURSE]}},
        }
    )
    register(process, NURSE, JULIET, PARIS, ROMEO)
    return process


async def announcing(process):
    nurse = await login(process, f"{NURSE}/house")
    juliet = await login(process, f"{JULIET}/balcony")
    romeo = await login(process, f"{ROMEO}/orchard")
    juliet.send_message(f"{HOST}/announce/all", "Let me", mtype="normal")
    error = await juliet.message()
    assert error["error"]["condition"] == "forbidden"

    nurse.send_message(f"{HOST}/announce/online", "Madam!", mtype="normal")
    message = await juliet.message()
    assert (message["type"], message["body"], message["from"]) == ("headline", "Madam!", HOST)
    nurse.send_message(f"{HOST}/announce/all-hosts/motd", "A feast", mtype="normal")
    assert (await juliet.message())["body"] == "A feast"
    assert (await romeo.message())["body"] == "A feast"
    nurse.send_message(f"{HOST}/announce/all", "Old feuds are over", mtype="normal")
    assert (await juliet.message())["body"] == "Old feuds are over"
    assert romeo.messages.empty()
    for person in (nurse, juliet, romeo):
        await person.disconnect()


async def coming_late(process):
    paris = await login(process, f"{PARIS}/street")
    bodies = {(await paris.message())["body"], (await paris.message())["body"]}
    assert bodies == {"A feast", "Old feuds are over"}
    juliet = await login(process, f"{JULIET}/chamber")
    assert juliet.messages.empty()
    await paris.disconnect()
    await juliet.disconnect()


def test_slixmpp_announces_and_who_comes_later_hears_it(process):
    play(announcing, process)
    process.restart()
    play(coming_late, process)
    assert "feast" not in process.log
    shown = process.command("motd-show", "--host", "*", "--json")
    assert shown.stdout.count("A feast") == 2
