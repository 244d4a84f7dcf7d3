"""slixmpp reads the archives of a server that is a process of its own."""

from datetime import UTC, datetime, timedelta

import pytest

from stonechat.errors import StanzaError

HOST = "capulet.example"
JULIET, ROMEO = f"juliet@{HOST}", f"romeo@{HOST}"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {"hosts": {HOST: {}}, "plugins": {"disco": {}, "mam": {}, "ping": {}}}
    )
    process.register(JULIET, ROMEO)
    return process


@pytest.fixture
def login(process, slixmpp):
    """Clients with slixmpp's own plugins for archives."""
    plugins = ("xep_0059", "xep_0313", "xep_0359", "xep_0424", "xep_0441")
    return lambda jid: slixmpp.available(process, jid, *plugins)


def archive(person, **how):
    """All messages, as slixmpp pages through them: (id, stanza)."""
    how.setdefault("rsm", {"max": 7})

    async def read():
        results = person.xmpp.plugin["xep_0313"].iterate(**how)
        return [message["mam_result"] async for message in results]

    return [(result["id"], result["forwarded"]["stanza"]) for result in person.run(read)]


def test_slixmpp_pages_through_an_archive(process, login):
    began = datetime.now(UTC) - timedelta(seconds=1)
    romeo = login(f"{ROMEO}/orchard")
    # Juliet is away; she loses nothing by it.
    for number in range(25):
        romeo.say(JULIET, str(number))
    romeo.sync()
    juliet = login(f"{JULIET}/balcony")
    assert juliet.rest() == []
    juliet.say(romeo.jid, "Ay me!")
    juliet.sync()

    texts = [*map(str, range(25)), "Ay me!"]
    forwards = archive(juliet)
    assert [stanza["body"] for _, stanza in forwards] == texts
    assert archive(juliet, reverse=True) == forwards[::-1]
    assert [stanza["body"] for _, stanza in archive(juliet, with_jid=ROMEO)] == texts
    assert archive(juliet, with_jid=f"nurse@{HOST}") == []
    assert len(archive(juliet, start=began)) == 26
    assert archive(juliet, end=began) == []
    assert all(stanza["from"].bare in (ROMEO, JULIET) for _, stanza in forwards)

    # The same ids as on the way.
    romeo.say(JULIET, "now")
    message = juliet.message("now")
    assert message["stanza_id"]["by"] == JULIET
    last = archive(juliet, rsm={"max": 1, "before": ""}, reverse=True, total=1)
    assert last[0][0] == message["stanza_id"]["id"]

    metadata = juliet.call("xep_0313", "get_archive_metadata")
    assert metadata["mam_metadata"]["start"]["id"] == forwards[0][0]
    assert metadata["mam_metadata"]["end"]["id"] == last[0][0]
    fields = juliet.call("xep_0313", "get_fields")
    assert {"with", "start", "end", "before-id", "after-id", "ids"} <= set(fields.get_fields())
    assert {
        "urn:xmpp:mam:2",
        "urn:xmpp:mam:2#extended",
        "urn:xmpp:sid:0",
    } <= juliet.features(JULIET)

    with pytest.raises(StanzaError) as refusal:
        romeo.call("xep_0313", "retrieve", JULIET)
    assert refusal.value.condition == "forbidden"
    assert process.faults == []
    assert process.run("mam-count", JULIET).strip() == "27"


def test_slixmpp_sets_preferences_and_takes_something_back(process, login):
    romeo = login(f"{ROMEO}/orchard")
    juliet = login(f"{JULIET}/balcony")
    juliet.call("xep_0441", "set_preferences", default="always", never=[ROMEO], always=[])
    default, always, never = juliet.call("xep_0441", "get_preferences")
    assert (default, set(always), {str(jid) for jid in never}) == ("always", set(), {ROMEO})
    romeo.say(JULIET, "unheard")
    romeo.sync()
    assert archive(juliet) == []

    juliet.call("xep_0441", "set_preferences", default="always", never=[], always=[])
    sent = romeo.xmpp.make_message(mto=JULIET, mbody="lips", mtype="chat")
    romeo.run(sent.send)
    romeo.call("xep_0424", "send_retraction", JULIET, sent["id"])
    romeo.sync()
    (_, stone), (_, retraction) = archive(juliet)
    assert stone["retracted"]["id"] == retraction["id"]
    assert stone["body"] == ""
    assert process.faults == []


def test_what_was_shown_once_is_there_after_the_process_was_killed(process, login):
    juliet = login(f"{JULIET}/balcony")
    for number in range(5):
        juliet.say(JULIET, str(number))
    juliet.sync()
    before = archive(juliet)
    assert len(before) == 5
    process.kill()
    process.start()
    after = archive(login(f"{JULIET}/balcony"))
    assert [(id_, stanza["body"]) for id_, stanza in after] == [
        (id_, stanza["body"]) for id_, stanza in before
    ]
