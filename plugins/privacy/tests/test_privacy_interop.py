"""slixmpp writes privacy lists, on a server that is a process of its own."""

import asyncio

import pytest
from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


class Person(ClientXMPP):
    """A client that keeps messages until somebody asks for them."""

    def __init__(self, jid):
        super().__init__(jid, "Wherefore art thou?")
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        for plugin in ("xep_0016", "xep_0030"):
            self.register_plugin(plugin)
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.came = asyncio.Queue()
        self.ready = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        for event in ("message", "message_error"):
            self.add_event_handler(event, self.came.put_nowait)

    @property
    def lists(self):
        return self.plugin["xep_0016"]

    async def message(self):
        return await asyncio.wait_for(self.came.get(), DEADLINE)


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"roster": {}, "disco": {}, "privacy": {}},
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


def names(answer, kind):
    found = answer.xml.iter(f"{{jabber:iq:privacy}}{kind}")
    return sorted(element.get("name") for element in found)


async def write_and_use(process):
    juliet = await login(process, f"{JULIET}/balcony")
    romeo = await login(process, f"{ROMEO}/orchard")
    rules = [
        {"type": "jid", "value": ROMEO, "action": "deny", "order": "1", "message": True},
        {"type": "subscription", "value": "none", "action": "allow", "order": "2"},
    ]
    await juliet.lists.edit_list("closed", rules, timeout=DEADLINE)
    await juliet.lists.make_default("closed", timeout=DEADLINE)
    await juliet.lists.edit_list("open", rules[1:], timeout=DEADLINE)
    listed = await juliet.lists.get_list("closed", timeout=DEADLINE)
    items = [dict(item.attrib) for item in listed.xml.iter("{jabber:iq:privacy}item")]
    assert items[0] == {"type": "jid", "value": ROMEO, "action": "deny", "order": "1"}
    assert items[1]["type"] == "subscription"

    romeo.send_message(f"{JULIET}/balcony", "But soft!", mtype="chat")
    assert (await romeo.message())["error"]["condition"] == "service-unavailable"
    await juliet.lists.activate("open", timeout=DEADLINE)
    romeo.send_message(f"{JULIET}/balcony", "What light?", mtype="chat")
    assert (await juliet.message())["body"] == "What light?"
    await juliet.lists.deactivate(timeout=DEADLINE)
    romeo.send_message(f"{JULIET}/balcony", "It is the east!", mtype="chat")
    assert (await romeo.message())["error"]["condition"] == "service-unavailable"

    await juliet.lists.remove_list("open", timeout=DEADLINE)
    with pytest.raises(IqError) as refused:
        await juliet.lists.get_list("open", timeout=DEADLINE)
    assert refused.value.condition == "item-not-found"
    for client in (juliet, romeo):
        await client.disconnect()


async def names_of_lists(process):
    juliet = await login(process, f"{JULIET}/balcony")
    answer = await juliet.lists.get_privacy_lists(timeout=DEADLINE)
    await juliet.disconnect()
    return names(answer, "default"), names(answer, "list")


def test_lists_are_written_used_and_outlive_a_kill(process):
    asyncio.run(write_and_use(process))
    # Robustness promise R2.
    process.kill()
    process.start()
    assert asyncio.run(names_of_lists(process)) == (["closed"], ["closed"])
