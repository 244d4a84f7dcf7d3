"""slixmpp asks a server that is a process of its own for its statistics."""

import asyncio
import json

import pytest
from slixmpp import ClientXMPP
from slixmpp.xmlstream import ET

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
PASSWORD = "Wherefore art thou?"
HOST = "capulet.example"
JULIET = f"juliet@{HOST}"
STATS = "http://jabber.org/protocol/stats"


class Person(ClientXMPP):
    """A client."""

    def __init__(self, jid):
        super().__init__(jid, PASSWORD)
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        for plugin in ("xep_0030", "xep_0199"):
            self.register_plugin(plugin)
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.ready = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())


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
            "plugins": {"stats": {}, "disco": {}, "ping": {}},
            "auth_options": {"internal": {"iterations": 4096}},
        }
    )
    register(process, JULIET, f"paris@{HOST}")
    return process


async def ask(person, *names):
    iq = person.make_iq_get(ito=HOST)
    query = ET.Element(f"{{{STATS}}}query")
    for name in names:
        ET.SubElement(query, f"{{{STATS}}}stat", {"name": name})
    iq.append(query)
    answer = await iq.send(timeout=DEADLINE)
    return answer.xml.findall(f".//{{{STATS}}}stat")


async def asking(process):
    juliet = await login(process, f"{JULIET}/balcony")
    info = await juliet.plugin["xep_0030"].get_info(jid=HOST, timeout=DEADLINE)
    assert STATS in info["disco_info"]["features"]
    names = [stat.get("name") for stat in await ask(juliet)]
    assert {"users/online", "users/total", "time/uptime"} <= set(names)
    told = {stat.get("name"): stat for stat in await ask(juliet, *names, "users/asleep")}
    by_command = json.loads(process.command("stats", "--json").stdout)
    for name in ("users/online", "users/total"):
        assert told[name].get("value") == by_command[name]
        assert told[name].get("units") == "users"
    assert told["users/total"].get("value") == "2"
    error = told["users/asleep"].find(f"{{{STATS}}}error")
    assert error.get("code") == "404"
    await juliet.disconnect()


def test_slixmpp_reads_the_statistics(process):
    play(asking, process)
