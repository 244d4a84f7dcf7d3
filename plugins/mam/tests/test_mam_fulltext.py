"""Full text search (XEP-0431), with and without an index."""

from types import SimpleNamespace

import pytest
from sqlalchemy import text

from stonechat.errors import StanzaError, StorageError
from stonechat.namespaces import NS_CLIENT
from stonechat.stanza import Message, Stanza
from stonechat.testing.client import error_of
from stonechat.timestamps import written
from stonechat.xml import Element
from stonechat_mam import fulltext, index, requests

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"

SAID = (
    "But, soft! what light through yonder window breaks?",
    "It is the east, and Juliet is the SUN",
    "Arise, fair sun, and kill the envious moon",
    "100% of <lovers> & under_scored",
    "朱麗葉是太陽",
    "Où es-tu, Roméo ? L'ÉTÉ",
)


@pytest.fixture(params=["scan", "index"])
def stage_(request, server):
    """Juliet has heard all of it; both ways to search are to find the same."""
    if request.param == "index":
        request.getfixturevalue("sqlite_only")
    host = server.host("capulet.example", mam={"fulltext": request.param})
    juliet = host.connect(f"{JULIET}/balcony")
    romeo = host.connect(f"{ROMEO}/orchard")
    if request.param == "index":
        assert host.plugin("mam").archive._index.is_complete
    for number, line in enumerate(SAID):
        romeo.message(JULIET, line, id=f"m{number}")
    return juliet, romeo


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("sun", [1, 2]),
        ("SUN", [1, 2]),
        ("  sun  ", [1, 2]),
        ("sun juliet", [1]),
        ("juliet, sun!", [1]),
        ("win", [0]),
        ("nightingale", []),
        ("sun nightingale", []),
        ("roméo", [5]),
        ("ROMÉO", [5]),
        ("été", [5]),
        ("太陽", [4]),
        ("葉是", [4]),
        ("%", [3]),
        ("100%", [3]),
        ("_", [3]),
        ("under_scored", [3]),
        ("&", [3]),
        ("<lovers>", [3]),
        ("lovers", [3]),
        ('sun" OR "east', []),
        ("' OR 1=2 --", []),
        ("sun NOT juliet", []),
        ("su*", [1, 2]),
    ],
)
def test_words_are_found_in_any_case_and_without_magic(stage_, ask, words, found):
    juliet, romeo = stage_
    for somebody in (juliet, romeo):
        assert ask(somebody, fulltext=words).bodies == [SAID[number] for number in found]


def test_a_search_can_be_narrowed_and_paged(stage_, ask, server):
    juliet, _ = stage_
    juliet.message(ROMEO, "the sun again")
    juliet.message("nurse@capulet.example", "the sun, nurse")
    everything = ask(juliet, fulltext="sun")
    assert len(everything.results) == 4
    assert everything.of_set("count") == "4"
    ids = everything.ids
    assert ask(juliet, fulltext="sun", with_=ROMEO).ids == ids[:3]
    assert ask(juliet, fulltext="sun", with_=f"{ROMEO}/orchard").ids == ids[:2]
    assert ask(juliet, fulltext="sun", ids=ids[1:3]).ids == ids[1:3]
    assert ask(juliet, fulltext="sun", after_id=ids[0], before_id=ids[3]).ids == ids[1:3]
    assert ask(juliet, fulltext="sun", rsm={"max": 2}).ids == ids[:2]
    assert not ask(juliet, fulltext="sun", rsm={"max": 2}).is_complete
    answer = ask(juliet, fulltext="sun", rsm={"max": 2, "after": ids[1]})
    assert answer.ids == ids[2:]
    assert answer.is_complete
    assert ask(juliet, fulltext="sun", rsm={"max": 1, "before": ""}).ids == ids[3:]
    assert ask(juliet, fulltext="sun", rsm={"max": 2, "before": ids[3]}).ids == ids[1:3]
    assert ask(juliet, fulltext="sun", rsm={"max": 2, "index": 1}).ids == ids[1:3]
    assert ask(juliet, fulltext="sun", rsm={"max": 0}).of_set("count") == "4"
    start = ask(juliet, ids=[ids[2]]).results[0].stamp
    assert ask(juliet, fulltext="sun", start=written(start)).ids == ids[2:]


def test_nobody_finds_what_is_said_to_others(stage_, ask):
    juliet, romeo = stage_
    romeo.message("tybalt@capulet.example", "my sunny secret")
    assert ask(juliet, fulltext="secret").bodies == []
    # Nor by words that stand for others in the index.
    for words in ("a1", "a2", "whose", "whose : a1"):
        assert ask(juliet, fulltext=words).results == []


def test_what_is_deleted_is_not_found(stage_, ask, server):
    juliet, _ = stage_
    assert server.command("mam-delete", jid=JULIET) == len(SAID)
    assert ask(juliet, fulltext="sun").results == []


SEARCH = (
    "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'>"
    "<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>"
    "<field var='{urn:xmpp:fulltext:0}fulltext'><value>sun</value></field></x></query>"
)


def test_searching_may_be_switched_off(server):
    host = server.host("capulet.example", mam={"fulltext": "off"}, disco={})
    juliet = host.connect(f"{JULIET}/balcony")
    form = juliet.get(Element("urn:xmpp:mam:2", "query")).payload
    assert "fulltext" not in str(form)

    assert error_of(juliet.request("set", SEARCH)).condition == ("feature-not-implemented")
    info = juliet.get(Element("http://jabber.org/protocol/disco#info", "query"), JULIET)
    assert "urn:xmpp:fulltext:0" not in str(info.payload)
    assert "urn:xmpp:mam:2" in str(info.payload)


# The text of a message


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<message><body>Soft!</body></message>", "soft!"),
        (
            "<message><body xml:lang='en'>Soft</body><body xml:lang='it'>Ma</body></message>",
            "soft\nma",
        ),
        ("<message><body>a &lt; b &amp;amp; c &#x41;</body></message>", "a < b &amp; c a"),
        ("<message><body><![CDATA[<Soft>]]></body></message>", "<soft>"),
        ("<message><c:body xmlns:c='jabber:client'>Soft</c:body></message>", "soft"),
        ("<message><body/></message>", None),
        ("<message><subject>Soft</subject></message>", None),
        ("<message><body>ＳＯＦＴ Straße</body></message>", "soft strasse"),
    ],
)
def test_the_text_is_what_its_bodies_say(xml, expected):
    message = Stanza.from_bytes(xml.encode())
    assert fulltext.text_of(message, xml.encode()) == expected


def test_only_the_beginning_of_a_long_text_is_searched():
    message = Message(Element(NS_CLIENT, "body", None, "x" * 20_000))
    assert len(fulltext.text_of(message, message.to_bytes())) == fulltext.MAX_CHARACTERS


def test_a_long_text_is_folded_piece_by_piece(monkeypatch):
    """All at once, marks without a letter would cost time by the square of their number."""
    lengths = []
    normalize = fulltext.unicodedata.normalize

    def counting(form, piece):
        lengths.append(len(piece))
        return normalize(form, piece)

    monkeypatch.setattr(fulltext, "unicodedata", SimpleNamespace(normalize=counting))
    assert fulltext.folded("Ö" * 2500) == "ö" * 2500
    fulltext.folded("\u0301\u0323" * 5000)
    assert max(lengths) <= 2000


def test_a_search_has_so_many_words_at_most():
    words = fulltext.words_of(" ".join(f"w{number}" for number in range(1000)))
    assert words == tuple(f"w{number}" for number in range(fulltext.MAX_WORDS))


# Too much of it


def test_a_search_that_takes_too_long_is_given_up(server, juliet, monkeypatch):
    server.expect_errors()

    def read(work, **_):
        raise StorageError("the store did not answer in time")

    juliet.message(JULIET, "sun")
    juliet.received()
    monkeypatch.setattr(server.kernel.store, "read", read)

    error = error_of(juliet.request("set", SEARCH))
    assert (error.condition, error.type) == ("resource-constraint", "wait")


def test_only_so_many_search_at_once(capulet, juliet, ask, monkeypatch):
    monkeypatch.setattr(requests, "SEARCH_SECONDS", 0.01)
    searches = capulet.plugin("mam").requests._searches
    for _ in range(requests.MAX_SEARCHES):
        assert searches.acquire(blocking=False)
    with pytest.raises(StanzaError) as refusal:
        ask(juliet, fulltext="sun")
    assert (refusal.value.condition, refusal.value.type) == ("resource-constraint", "wait")
    assert ask(juliet).is_complete
    searches.release()
    assert ask(juliet, fulltext="sun").is_complete


# The index


def entries(server):
    """The numbers in the index."""
    return server.kernel.store.read(
        lambda connection: (
            connection.execute(text("SELECT rowid FROM mam_fulltext")).scalars().all()
        )
    )


@pytest.mark.usefixtures("sqlite_only")
def test_an_index_that_is_new_takes_in_what_is_there(server, until, ask, monkeypatch):
    monkeypatch.setattr(index, "AT_ONCE", 2)
    host = server.host("capulet.example", mam={})
    juliet = host.connect(f"{JULIET}/balcony")
    for line in SAID:
        juliet.message(JULIET, line)
    ask(juliet)
    host.disable("mam")
    host.enable("mam", {"fulltext": "index"})
    # Right from the beginning, and from somewhere on quicker.
    assert len(ask(juliet, fulltext="sun").results) == 2
    until(lambda: host.plugin("mam").archive._index.is_complete, "the index")
    assert len(entries(server)) == len(SAID)
    juliet.message(JULIET, "one sun more")
    assert len(ask(juliet, fulltext="sun").results) == 3
    assert len(entries(server)) == len(SAID) + 1


@pytest.mark.usefixtures("sqlite_only")
def test_what_came_while_there_was_no_index_is_taken_in_later(server, until, ask):
    host = server.host("capulet.example", mam={"fulltext": "index"})
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.message(JULIET, "first sun")
    ask(juliet)
    host.disable("mam")
    host.enable("mam", {"fulltext": "scan"})
    juliet.message(JULIET, "second sun", id="m2")
    juliet.message(JULIET, "third sun")
    assert len(ask(juliet, fulltext="sun").results) == 3
    assert len(entries(server)) == 1
    # What goes meanwhile goes from the index too.
    host.plugin("mam").archive.delete("juliet", int(ask(juliet).ids[1]))
    assert entries(server) == []
    host.disable("mam")
    host.enable("mam", {"fulltext": "index"})
    until(lambda: host.plugin("mam").archive._index.is_complete, "the index")
    assert ask(juliet, fulltext="sun").bodies == ["second sun", "third sun"]
    assert len(entries(server)) == 2


@pytest.mark.usefixtures("sqlite_only")
def test_an_index_is_one_host_s_choice(server, ask):
    one = server.host("capulet.example", mam={"fulltext": "index"})
    other = server.host("montague.example", mam={"fulltext": "scan"})
    for host in (one, other):
        client = host.connect(f"juliet@{host.name}/x")
        client.message(client.bare, "the sun")
        assert ask(client, fulltext="sun").bodies == ["the sun"]
    assert len(entries(server)) == 1


@pytest.mark.usefixtures("sqlite_only")
def test_a_tombstone_leaves_nothing_in_the_index(server, ask):
    host = server.host("capulet.example", mam={"fulltext": "index"})
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.message(JULIET, "my secret", id="m1")
    retract = Element("urn:xmpp:message-retract:1", "retract", {"id": "m1"})
    juliet.message(JULIET, "", retract, id="m2")
    ask(juliet)
    assert entries(server) == []


def test_what_is_written_twice_is_found_once(server, ask):
    host = server.host("capulet.example", mam={"fulltext": "index"})
    juliet = host.connect(f"{JULIET}/balcony")
    archive = host.plugin("mam").archive
    account = archive.accounts.get("juliet").number
    said = Message(Element(NS_CLIENT, "body", None, "the sun"), from_=juliet.jid, to=juliet.bare)
    rows = [archive.recorder.row(account, juliet.jid, juliet.jid, said) for _ in range(2)]
    for batch in (rows[:1], rows, rows):
        server.kernel.store.write(
            lambda connection, batch=batch: archive.recorder.write_rows(connection, batch)
        )
    archive.recorder.catalogue.update()
    assert len(ask(juliet, fulltext="sun").results) == 2


def test_without_fts5_searches_go_through_the_archive(server, ask, monkeypatch):
    monkeypatch.setattr(index, "_CREATE", (text("CREATE VIRTUAL TABLE x USING fts99(y)"),))
    host = server.host("capulet.example", mam={"fulltext": "index"})
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.message(JULIET, "the sun")
    assert ask(juliet, fulltext="sun").bodies == ["the sun"]
    assert server.logged("full-text search goes without an index")
