"""The hash of the photo in presence (XEP-0153, XEP-0398)."""

import pytest

from stonechat.errors import StorageError
from stonechat.storage import StorageUncertain

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


@pytest.fixture
def options():
    return {}


@pytest.fixture
def host(server, options):
    return server.host("capulet.example", vcard=options, roster={})


@pytest.fixture
def juliet(host):
    return host.connect(f"{JULIET}/balcony")


@pytest.fixture
def chamber(host):
    return host.connect(f"{JULIET}/chamber")


@pytest.fixture
def romeo(server, host, juliet):
    """A contact, who is online."""
    romeo = host.connect(f"{ROMEO}/orchard")
    for account, contact in ((JULIET, ROMEO), (ROMEO, JULIET)):
        server.command("roster-add", account=account, contact=contact, subscription="both")
    romeo.available()
    romeo.received()
    return romeo


def test_the_server_adds_what_a_client_does_not_know(juliet, romeo, talk, rose):
    juliet.set(talk.card(talk.photo(rose)))
    juliet.available()
    assert talk.told(romeo, juliet) == [talk.hash(rose)]
    # Her own clients see the same.
    assert talk.told(juliet, juliet) == [talk.hash(rose)]


def test_a_probe_is_answered_with_it(host, juliet, romeo, talk, rose):
    juliet.set(talk.card(talk.photo(rose)))
    juliet.available()
    romeo.received()
    tomb = host.connect(f"{ROMEO}/tomb")
    tomb.available()
    assert talk.told(tomb, juliet) == [talk.hash(rose)]


def test_where_there_is_no_photo_nothing_is_added(juliet, romeo, talk):
    juliet.available()
    juliet.set(talk.card("<FN>Juliet</FN>"))
    talk.presence(juliet, "<status>Ay me</status>")
    assert talk.told(romeo, juliet) == [None, None]


@pytest.mark.parametrize("photo", ["<PHOTO/>", "<PHOTO><BINVAL/></PHOTO>"])
def test_an_empty_photo_is_none(host, juliet, romeo, talk, photo):
    juliet.set(talk.card(photo))
    juliet.available()
    assert talk.told(romeo, juliet) == [None]
    assert host.plugin("vcard").cards.photo_hash("juliet") == ""


def test_a_photo_elsewhere_has_no_hash(juliet, romeo, talk):
    juliet.set(talk.card("<PHOTO><EXTVAL>https://capulet.example/rose.png</EXTVAL></PHOTO>"))
    juliet.available()
    assert talk.told(romeo, juliet) == [None]


def test_a_right_hash_stays_as_the_client_has_written_it(juliet, romeo, talk, rose):
    juliet.set(talk.card(talk.photo(rose)))
    talk.presence(juliet, talk.x(talk.hash(rose).upper()))
    assert talk.told(romeo, juliet) == [talk.hash(rose).upper()]


def test_a_wrong_hash_is_corrected(juliet, romeo, talk, rose, thorn):
    juliet.set(talk.card(talk.photo(rose)))
    talk.presence(juliet, talk.x(talk.hash(thorn)))
    assert talk.told(romeo, juliet) == [talk.hash(rose)]


def test_the_hash_of_a_photo_that_is_not_there_is_taken_away(juliet, romeo, talk, rose):
    talk.presence(juliet, talk.x(talk.hash(rose)))
    assert talk.told(romeo, juliet) == [""]


def test_a_client_that_is_not_ready_is_helped(juliet, romeo, talk, rose):
    talk.presence(juliet, talk.x())
    juliet.set(talk.card(talk.photo(rose)))
    talk.presence(juliet, talk.x())
    assert talk.told(romeo, juliet) == ["?", talk.hash(rose)]


def test_a_client_that_says_there_is_none_is_believed(juliet, romeo, talk, rose):
    juliet.set(talk.card(talk.photo(rose)))
    talk.presence(juliet, talk.x(""))
    assert talk.told(romeo, juliet) == [""]


def test_of_two_updates_one_is_left(juliet, romeo, talk, rose):
    juliet.set(talk.card(talk.photo(rose)))
    talk.presence(juliet, talk.x(""), talk.x())
    assert talk.told(romeo, juliet) == [talk.hash(rose)]


def test_the_rest_of_the_presence_stays(juliet, romeo, talk, rose):
    juliet.set(talk.card(talk.photo(rose)))
    talk.presence(juliet, "<show>dnd</show>", talk.x("no hash"), "<status>Ay me</status>")
    presence = romeo.receive_presence()
    assert presence.show == "dnd"
    assert presence.element.find_text("status") == "Ay me"
    assert presence.from_ == juliet.jid


def test_directed_presence_has_it_too(host, juliet, talk, rose):
    nurse = host.connect("nurse@capulet.example/kitchen")
    juliet.set(talk.card(talk.photo(rose)))
    talk.presence(juliet, to=nurse.jid)
    talk.presence(juliet, talk.x("no hash"), to=nurse.jid)
    assert talk.told(nurse, juliet) == [talk.hash(rose)] * 2


def test_other_kinds_of_presence_are_left_alone(juliet, romeo, talk, rose):
    juliet.set(talk.card(talk.photo(rose)))
    juliet.available()
    romeo.received()
    juliet.send(f"<presence type='unavailable' to='{ROMEO}'/>")
    juliet.unavailable()
    assert [presence.children for presence in romeo.received()] == [(), ()]


# When the photo changes


def test_a_new_photo_is_told_at_once_where_the_server_speaks_for_the_client(
    juliet, romeo, talk, rose, thorn
):
    juliet.available()
    juliet.set(talk.card(talk.photo(rose)))
    juliet.set(talk.card(talk.photo(thorn)))
    juliet.set(talk.card("<FN>Juliet</FN>"))
    juliet.set(talk.card(talk.photo(rose)))
    said = [None, talk.hash(rose), talk.hash(thorn), "", talk.hash(rose)]
    assert talk.told(romeo, juliet) == said


def test_who_comes_back_from_having_no_photo_says_so_still(juliet, romeo, talk, rose):
    """Contacts that have heard of a photo would go on showing it."""
    juliet.set(talk.card(talk.photo(rose)))
    juliet.available()
    juliet.set(talk.card("<FN>Juliet</FN>"))
    talk.presence(juliet, "<status>Ay me</status>")
    assert talk.told(romeo, juliet) == [talk.hash(rose), "", ""]


def test_other_clients_of_the_account_are_corrected(juliet, chamber, romeo, talk, rose, thorn):
    juliet.set(talk.card(talk.photo(rose)))
    talk.presence(juliet, talk.x(talk.hash(rose)))
    talk.presence(chamber, talk.x(talk.hash(rose)), "<status>Ay me</status>")
    romeo.received()
    juliet.set(talk.card(talk.photo(thorn)))
    # Who has set it tells of it; a server that did so as well would do it twice.
    assert talk.told(romeo, juliet) == []
    juliet.set(talk.card(talk.photo(rose)))
    presence = romeo.receive_presence()
    assert presence.from_ == chamber.jid
    assert presence.element.find_text("status") == "Ay me"


def test_what_it_was_before_is_told_by_both(juliet, chamber, romeo, talk, rose, thorn):
    juliet.set(talk.card(talk.photo(rose)))
    talk.presence(juliet, talk.x(talk.hash(rose)))
    talk.presence(chamber, talk.x(talk.hash(rose)))
    romeo.received()
    juliet.set(talk.card(talk.photo(thorn)))
    talk.presence(juliet, talk.x(talk.hash(thorn)))
    stanzas = romeo.received()
    assert [(stanza.from_, photo_in(stanza)) for stanza in stanzas] == [
        (chamber.jid, talk.hash(thorn)),
        (juliet.jid, talk.hash(thorn)),
    ]


def photo_in(presence):
    return presence.find("vcard-temp:x:update", "x").find_text("photo")


def test_a_client_that_begins_to_speak_for_itself_is_not_spoken_for(
    juliet, romeo, talk, rose, thorn
):
    juliet.set(talk.card(talk.photo(rose)))
    juliet.available()
    talk.presence(juliet, talk.x(""))
    juliet.set(talk.card(talk.photo(thorn)))
    assert talk.told(romeo, juliet) == [talk.hash(rose), ""]


def test_a_change_of_something_else_tells_nothing(juliet, chamber, romeo, talk, rose):
    juliet.set(talk.card(talk.photo(rose)))
    juliet.available()
    talk.presence(chamber, talk.x(talk.hash(rose)))
    romeo.received()
    juliet.set(talk.card(talk.photo(rose), "<FN>Juliet</FN>"))
    assert romeo.received() == []


def test_who_is_not_available_tells_nothing(juliet, romeo, talk, rose):
    juliet.set(talk.card(talk.photo(rose)))
    assert romeo.received() == []


def test_an_operator_who_deletes_it_takes_the_photo_away(server, juliet, romeo, talk, rose):
    juliet.set(talk.card(talk.photo(rose)))
    talk.presence(juliet, talk.x(talk.hash(rose)))
    server.command("vcard-delete", jid=JULIET)
    assert talk.told(romeo, juliet) == [talk.hash(rose), ""]


# Options


@pytest.mark.parametrize("options", [{"presence_hash": "correct"}])
def test_the_server_may_correct_without_adding(juliet, chamber, romeo, talk, rose, thorn):
    juliet.set(talk.card(talk.photo(rose)))
    juliet.available()
    talk.presence(chamber, talk.x(talk.hash(thorn)))
    assert photos(romeo) == [(juliet.jid, None), (chamber.jid, talk.hash(rose))]
    juliet.set(talk.card(talk.photo(thorn)))
    assert photos(romeo) == [(chamber.jid, talk.hash(thorn))]


def photos(client):
    return [
        (s.from_, photo_in(s) if s.has("vcard-temp:x:update", "x") else None)
        for s in client.received()
    ]


@pytest.mark.parametrize("options", [{"presence_hash": "off"}])
def test_the_server_may_leave_it_alone(juliet, romeo, talk, rose, thorn):
    juliet.set(talk.card(talk.photo(rose)))
    juliet.available()
    talk.presence(juliet, talk.x(talk.hash(thorn)))
    juliet.set(talk.card())
    assert talk.told(romeo, juliet) == [None, talk.hash(thorn)]


# The cache


def test_a_hash_is_read_once(host, juliet, romeo, talk, rose, monkeypatch):
    juliet.set(talk.card(talk.photo(rose)))
    juliet.available()
    romeo.received()

    def fail(*_):
        raise AssertionError("it is known")

    monkeypatch.setattr(host.plugin("vcard").store, "photo_hash", fail)
    juliet.available()
    assert talk.told(romeo, juliet) == [talk.hash(rose)]


def test_a_hash_that_was_read_during_a_change_is_read_again(host, talk, rose):
    plugin = host.plugin("vcard")
    read = plugin.store.photo_hash
    reads = []

    def photo_hash(localpart):
        reads.append(localpart)
        found = read(localpart)
        if len(reads) == 1:
            # Another client's vCard comes while this is on its way back.
            plugin.store.photo_hash = read
            from stonechat.xml import parse

            plugin.cards.set("juliet", parse(talk.card(talk.photo(rose)).encode()))
            plugin.store.photo_hash = photo_hash
        return found

    plugin.store.photo_hash = photo_hash
    assert plugin.avatars.hash_of("juliet") == talk.hash(rose)


def test_a_write_that_may_have_failed_leaves_no_old_hash(
    server, host, juliet, talk, rose, thorn, monkeypatch
):
    server.expect_errors()
    storage = host.kernel.storage
    write = storage.write

    def write_and_fail(work, **options):
        write(work, **options)
        raise StorageUncertain("too late")

    juliet.set(talk.card(talk.photo(rose)))
    cards = host.plugin("vcard").cards
    assert cards.photo_hash("juliet") == talk.hash(rose)
    with monkeypatch.context() as patch:
        patch.setattr(storage, "write", write_and_fail)
        refused = talk.refusal(juliet.set, talk.card(talk.photo(thorn)))
    assert refused == ("internal-server-error", "wait")
    assert cards.photo_hash("juliet") == talk.hash(thorn)


def test_an_account_that_could_not_be_forgotten_leaves_no_old_hash(
    host, juliet, talk, rose, monkeypatch
):
    plugin = host.plugin("vcard")
    juliet.set(talk.card(talk.photo(rose)))
    assert plugin.cards.photo_hash("juliet") == talk.hash(rose)
    erase = plugin.store.erase

    def erase_and_fail(localpart):
        erase(localpart)
        raise StorageUncertain("too late")

    monkeypatch.setattr(plugin.store, "erase", erase_and_fail)
    with pytest.raises(StorageUncertain):
        plugin.stonechat_account_removed(juliet.bare)
    assert plugin.cards.photo_hash("juliet") == ""


def hashes_read(host, monkeypatch):
    """Whose hashes are read from the store from now on."""
    store, read = host.plugin("vcard").store, []
    photo_hash = store.photo_hash

    def noted(localpart):
        read.append(localpart)
        return photo_hash(localpart)

    monkeypatch.setattr(store, "photo_hash", noted)
    return read


def test_few_hashes_are_kept(server, monkeypatch):
    monkeypatch.setattr("stonechat_vcard.avatars.MAX_CACHED", 3)
    host = server.host("capulet.example", vcard={})
    avatars = host.plugin("vcard").avatars
    for name in ("a", "b", "c", "a", "d", "e"):
        avatars.hash_of(name)
    read = hashes_read(host, monkeypatch)
    for name in ("a", "d", "e", "b"):
        avatars.hash_of(name)
    assert read == ["b"]


def test_the_hash_of_one_who_is_online_stays(server, monkeypatch):
    monkeypatch.setattr("stonechat_vcard.avatars.MAX_CACHED", 1)
    host = server.host("capulet.example", vcard={}, roster={})
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    avatars = host.plugin("vcard").avatars
    for name in ("a", "b"):
        avatars.hash_of(name)
    read = hashes_read(host, monkeypatch)
    juliet.available()
    assert read == []
    juliet.disconnect()
    for name in ("a", "juliet"):
        avatars.hash_of(name)
    assert read == ["a", "juliet"]


def test_while_the_store_is_away_presence_goes_on(server, host, juliet, romeo, talk, monkeypatch):
    server.expect_errors()

    def fail(*_, **__):
        raise StorageError("gone")

    host.create_account("nurse")
    juliet.available()
    romeo.received()
    host.plugin("vcard").avatars.changed("juliet")
    with monkeypatch.context() as patch:
        patch.setattr(host.plugin("vcard").store._host.storage, "read", fail)
        talk.presence(juliet, talk.x("no hash"))
        nurse = host.connect("nurse@capulet.example/kitchen")
        talk.presence(juliet, to=nurse.jid)
        host.plugin("vcard").avatars.tell("juliet", None)
    assert talk.told(romeo, juliet) == ["no hash"]
    assert talk.told(nurse, juliet) == [None]
