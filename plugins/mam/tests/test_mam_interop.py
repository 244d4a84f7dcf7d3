"""slixmpp reads the archives of a server that is a process of its own."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
PASSWORD = "Wherefore art thou?"
HOST = "capulet.example"
JULIET, ROMEO = f"juliet@{HOST}", f"romeo@{HOST}"


class Person(ClientXMPP):
    """A client with slixmpp's own plugins for archives."""

    def __init__(self, jid):
        super().__init__(jid, PASSWORD)
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        for plugin in (
            *("xep_0030", "xep_0059", "xep_0199"),
            *("xep_0313", "xep_0359", "xep_0424", "xep_0441"),
        ):
            self.register_plugin(plugin)
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        self.inbox = asyncio.Queue()
        self.ready = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        self.add_event_handler("message", self.inbox.put_nowait)

    async def sync(self):
        """Wait until the server has handled what was sent."""
        await self.plugin["xep_0199"].send_ping(HOST, timeout=DEADLINE)

    async def archive(self, **how):
        """All messages, as slixmpp pages through them: (id, body)."""
        how.setdefault("rsm", {"max": 7})
        found = []
        async for message in self.plugin["xep_0313"].iterate(**how):
            result = message["mam_result"]
            found.append((result["id"], result["forwarded"]["stanza"]))
        return found


async def login(process, jid):
    person = Person(jid)
    person.connect(LOCALHOST, process.port)
    await asyncio.wait_for(person.ready.wait(), DEADLINE)
    person.send_presence()
    await person.sync()
    return person


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {HOST: {}},
            "plugins": {"disco": {}, "mam": {}, "ping": {}},
            "log": {"format": "json"},
            "auth_options": {"internal": {"iterations": 4096}},
        }
    )
    for jid in (JULIET, ROMEO):
        made = process.command("register", jid, "--password-stdin", stdin=f"{PASSWORD}\n")
        assert made.returncode == 0, made.stderr
    return process


def play(scene, process):
    asyncio.run(asyncio.wait_for(scene(process), 4 * DEADLINE))
    assert '"level": "error"' not in process.log


async def paging(process):
    began = datetime.now(UTC) - timedelta(seconds=1)
    romeo = await login(process, f"{ROMEO}/orchard")
    # Juliet is away; she loses nothing by it.
    for number in range(25):
        romeo.send_message(mto=JULIET, mbody=str(number), mtype="chat")
    await romeo.sync()
    juliet = await login(process, f"{JULIET}/balcony")
    assert juliet.inbox.empty()
    juliet.send_message(mto=f"{ROMEO}/orchard", mbody="Ay me!", mtype="chat")
    await juliet.sync()

    texts = [*map(str, range(25)), "Ay me!"]
    forwards = await juliet.archive()
    assert [stanza["body"] for _, stanza in forwards] == texts
    assert await juliet.archive(reverse=True) == forwards[::-1]
    assert [stanza["body"] for _, stanza in await juliet.archive(with_jid=ROMEO)] == texts
    assert await juliet.archive(with_jid=f"nurse@{HOST}") == []
    assert len(await juliet.archive(start=began)) == 26
    assert await juliet.archive(end=began) == []
    assert all(stanza["from"].bare in (ROMEO, JULIET) for _, stanza in forwards)

    # The same ids as on the way.
    romeo.send_message(mto=JULIET, mbody="now", mtype="chat")
    message = await asyncio.wait_for(juliet.inbox.get(), DEADLINE)
    assert message["stanza_id"]["by"] == JULIET
    last = await juliet.archive(rsm={"max": 1, "before": ""}, reverse=True, total=1)
    assert last[0][0] == message["stanza_id"]["id"]

    metadata = await juliet.plugin["xep_0313"].get_archive_metadata(timeout=DEADLINE)
    assert metadata["mam_metadata"]["start"]["id"] == forwards[0][0]
    assert metadata["mam_metadata"]["end"]["id"] == last[0][0]
    fields = await juliet.plugin["xep_0313"].get_fields()
    assert {"with", "start", "end", "before-id", "after-id", "ids"} <= set(fields.get_fields())
    features = (await juliet.plugin["xep_0030"].get_info(JULIET))["disco_info"]["features"]
    assert {"urn:xmpp:mam:2", "urn:xmpp:mam:2#extended", "urn:xmpp:sid:0"} <= features

    with pytest.raises(IqError) as refusal:
        await romeo.plugin["xep_0313"].retrieve(JULIET, timeout=DEADLINE)
    assert refusal.value.condition == "forbidden"


def test_slixmpp_pages_through_an_archive(process):
    play(paging, process)
    assert process.command("mam-count", JULIET).stdout.strip() == "27"


async def choices(process):
    romeo = await login(process, f"{ROMEO}/orchard")
    juliet = await login(process, f"{JULIET}/balcony")
    preferences = juliet.plugin["xep_0441"]
    await preferences.set_preferences(default="always", never=[ROMEO], always=[], timeout=DEADLINE)
    default, always, never = await preferences.get_preferences(timeout=DEADLINE)
    assert (default, set(always), {str(jid) for jid in never}) == ("always", set(), {ROMEO})
    romeo.send_message(mto=JULIET, mbody="unheard", mtype="chat")
    await romeo.sync()
    assert await juliet.archive() == []

    await preferences.set_preferences(default="always", never=[], always=[], timeout=DEADLINE)
    sent = romeo.make_message(mto=JULIET, mbody="lips", mtype="chat")
    sent.send()
    romeo.plugin["xep_0424"].send_retraction(JULIET, sent["id"])
    await romeo.sync()
    (_, stone), (_, retraction) = await juliet.archive()
    assert stone["retracted"]["id"] == retraction["id"]
    assert stone["body"] == ""


def test_slixmpp_sets_preferences_and_takes_something_back(process):
    play(choices, process)


async def speaking(process):
    juliet = await login(process, f"{JULIET}/balcony")
    for number in range(5):
        juliet.send_message(mto=JULIET, mbody=str(number), mtype="chat")
    await juliet.sync()
    return await juliet.archive()


async def remembering(process):
    juliet = await login(process, f"{JULIET}/balcony")
    return await juliet.archive()


def test_what_was_shown_once_is_there_after_the_process_was_killed(process):
    before = asyncio.run(speaking(process))
    assert len(before) == 5
    process.kill()
    process.start()
    after = asyncio.run(remembering(process))
    assert [(id_, stanza["body"]) for id_, stanza in after] == [
        (id_, stanza["body"]) for id_, stanza in before
    ]
