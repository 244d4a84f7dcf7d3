"""slixmpp writes to many, by way of a server that is a process of its own (XEP-0033)."""

import asyncio

import pytest
from slixmpp import ClientXMPP

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
NS_ADDRESS = "http://jabber.org/protocol/address"
ROMEO = "romeo@capulet.example"
PEOPLE = ["juliet@capulet.example", "nurse@capulet.example", "benvolio@montague.example"]


class Person(ClientXMPP):
    """A client that keeps what comes until somebody asks for it."""

    def __init__(self, jid):
        super().__init__(jid, "Wherefore art thou?")
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.auto_authorize = self.auto_subscribe = None
        for plugin in ("xep_0030", "xep_0033"):
            self.register_plugin(plugin)
        self.came = asyncio.Queue()
        self.ready = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        for event in ("message", "message_error", "presence_available", "presence_unavailable"):
            self.add_event_handler(event, self.came.put_nowait)

    async def take(self, name, sender):
        """The next stanza of that kind from there."""
        while True:
            stanza = await asyncio.wait_for(self.came.get(), DEADLINE)
            if stanza.name == name and stanza["from"] == sender:
                return stanza


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}, "montague.example": {}},
            "plugins": {"roster": {}, "disco": {}, "multicast": {}},
            "auth_options": {"internal": {"iterations": 4096}},
        }
    )
    for jid in (ROMEO, *PEOPLE):
        made = process.command("register", jid, "--password-stdin", stdin="Wherefore art thou?\n")
        assert made.returncode == 0, made.stderr
    return process


async def login(process, jid):
    person = Person(jid)
    person.connect(LOCALHOST, process.port)
    await asyncio.wait_for(person.ready.wait(), DEADLINE)
    person.send_presence()
    await person.take("presence", person.boundjid)
    return person


async def find_service(person):
    """As "Multicast service" describes it."""
    disco = person.plugin["xep_0030"]
    items = await disco.get_items(jid=person.boundjid.domain, timeout=DEADLINE)
    for jid, _, _ in items["disco_items"]["items"]:
        info = await disco.get_info(jid=jid, timeout=DEADLINE)
        if NS_ADDRESS in info["disco_info"]["features"]:
            return jid
    raise AssertionError("there is no multicast service")


async def write_to_many(process):
    romeo = await login(process, f"{ROMEO}/orchard")
    people = [await login(process, f"{jid}/home") for jid in PEOPLE]
    service = await find_service(romeo)

    message = romeo.make_message(mto=service, mbody="What light?", mtype="chat")
    for type_, jid in zip(("to", "bcc", "cc"), PEOPLE, strict=True):
        message["addresses"].add_address(atype=type_, jid=jid)
    message.send()
    for person in people:
        came = await person.take("message", romeo.boundjid)
        assert came["body"] == "What light?"
        open_ = [came["addresses"][type_][0] for type_ in ("to", "cc")]
        assert [str(address["jid"]) for address in open_] == [PEOPLE[0], PEOPLE[2]]
        assert all(address["delivered"] for address in open_)
        blind = [str(address["jid"]) for address in came["addresses"]["bcc"]]
        assert blind == ([PEOPLE[1]] if person is people[1] else [])

    presence = romeo.make_presence(pto=service)
    for jid in PEOPLE:
        presence["addresses"].add_address(atype="to", jid=jid)
    presence.send()
    for person in people:
        assert (await person.take("presence", romeo.boundjid))["type"] == "available"
    romeo.abort()
    for person in people:
        assert (await person.take("presence", romeo.boundjid))["type"] == "unavailable"
        await person.disconnect()


def test_one_stanza_reaches_many(process):
    asyncio.run(write_to_many(process))
    assert '"level":"error"' not in process.log.replace(" ", "")
