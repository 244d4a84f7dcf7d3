"""slixmpp keeps private data on a server that is a process of its own (XEP-0049)."""

import asyncio

import pytest
from slixmpp import ClientXMPP, ElementBase
from slixmpp.exceptions import IqError

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


class Prefs(ElementBase):
    name = "exodus"
    namespace = "exodus:prefs"
    plugin_attrib = "prefs"
    interfaces = sub_interfaces = frozenset({"defaultnick"})


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"disco": {}, "private": {}},
            "auth_options": {"internal": {"iterations": 4096}},
        }
    )
    for jid in (JULIET, ROMEO):
        made = process.command("register", jid, "--password-stdin", stdin="Wherefore art thou?\n")
        assert made.returncode == 0, made.stderr
    return process


async def login(process, jid):
    person = ClientXMPP(jid, "Wherefore art thou?")
    person.enable_starttls = person.enable_direct_tls = False
    person.enable_plaintext = True
    # The connection is one within the machine.
    person.plugin["feature_mechanisms"].unencrypted_plain = True
    person.register_plugin("xep_0030")
    person.register_plugin("xep_0049")
    person.plugin["xep_0049"].register(Prefs)
    ready = asyncio.Event()
    person.add_event_handler("session_start", lambda _: ready.set())
    person.connect(LOCALHOST, process.port)
    await asyncio.wait_for(ready.wait(), DEADLINE)
    return person


async def nick_of(person):
    answer = await person.plugin["xep_0049"].retrieve("prefs", timeout=DEADLINE)
    return answer["private"]["prefs"]["defaultnick"]


async def store_and_retrieve(process):
    juliet = await login(process, f"{JULIET}/balcony")
    romeo = await login(process, f"{ROMEO}/orchard")
    info = await juliet.plugin["xep_0030"].get_info(jid="capulet.example", timeout=DEADLINE)
    assert "jabber:iq:private" in info["disco_info"]["features"]
    assert await nick_of(juliet) == ""
    prefs = Prefs()
    prefs["defaultnick"] = "Juliet"
    await juliet.plugin["xep_0049"].store(prefs, timeout=DEADLINE)
    assert await nick_of(juliet) == "Juliet"
    assert await nick_of(romeo) == ""

    theirs = romeo.make_iq_get(ito=JULIET)
    theirs["private"].enable("prefs")
    with pytest.raises(IqError) as refused:
        await theirs.send(timeout=DEADLINE)
    assert refused.value.condition == "forbidden"


async def retrieve(process):
    juliet = await login(process, f"{JULIET}/chamber")
    return await nick_of(juliet)


def test_what_was_confirmed_outlives_a_kill(process):
    # Robustness promise R2.
    asyncio.run(store_and_retrieve(process))
    process.kill()
    process.start()
    assert asyncio.run(retrieve(process)) == "Juliet"
