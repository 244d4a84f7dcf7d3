"""What gets into an archive, how it is told, and when it is safe."""

from types import SimpleNamespace

import pytest
from sqlalchemy import func, select

from stonechat.custody import Custody
from stonechat.errors import StanzaError, StorageError
from stonechat.namespaces import NS_CLIENT, NS_HINTS, NS_STANZA_ID
from stonechat.plugin import Stage, hookimpl, stage
from stonechat.stanza import Message
from stonechat.testing.client import error_of
from stonechat.xml import Element
from stonechat_mam import recorder
from stonechat_mam.tables import MESSAGES

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"
SOFT = "But, soft! what light through yonder window breaks?"


def stanza_ids(message):
    return [
        (mark.get("by"), mark.get("id"))
        for mark in message.element.find_all("stanza-id", NS_STANZA_ID)
    ]


# Both sides


def test_a_message_is_in_the_archives_of_both(juliet, romeo, ask):
    romeo.message(JULIET, SOFT, id="m1")
    for somebody in (juliet, romeo):
        (result,) = ask(somebody).results
        assert result.body == SOFT
        assert result.message.get("from") == "romeo@capulet.example/orchard"
        assert result.message.get("to") == JULIET
        assert result.message.get("id") == "m1"
        assert result.message.get("type") == "chat"


def test_who_receives_a_message_learns_its_archive_id(juliet, romeo, ask):
    romeo.message(JULIET, SOFT)
    message = juliet.receive_message()
    (result,) = ask(juliet).results
    assert stanza_ids(message) == [(JULIET, result.id)]


def test_nobody_learns_an_id_in_another_s_archive(juliet, romeo, ask):
    romeo.message(JULIET, SOFT)
    message = juliet.receive_message()
    (sent,) = ask(romeo).results
    assert sent.id not in [id_ for _, id_ in stanza_ids(message)]


def test_the_archive_has_what_was_delivered_without_the_id(juliet, romeo, ask):
    romeo.send(
        f"<message to='{JULIET}' type='chat' id='m1' xml:lang='en'><body>{SOFT}</body>"
        "<x xmlns='urn:example:unheard'><y a='&apos;&lt;'/>&amp;</x></message>"
    )
    delivered = juliet.receive_message().element.copy()
    delivered.remove(delivered.find("stanza-id", NS_STANZA_ID))
    (result,) = ask(juliet).results
    assert result.message == delivered


def test_a_forged_id_is_taken_off_and_the_true_one_stays(juliet, romeo, ask):
    romeo.message(
        JULIET,
        SOFT,
        Element(NS_STANZA_ID, "stanza-id", {"by": JULIET, "id": "1"}),
        Element(NS_STANZA_ID, "stanza-id", {"by": "room@conference.verona.example", "id": "2"}),
        Element(NS_STANZA_ID, "origin-id", {"id": "3"}),
    )
    message = juliet.receive_message()
    (result,) = ask(juliet).results
    assert stanza_ids(message) == [("room@conference.verona.example", "2"), (JULIET, result.id)]
    # XEP-0359, "Business Rules".
    assert message.find(NS_STANZA_ID, "origin-id").get("id") == "3"


def test_all_clients_get_a_message_under_one_id_and_it_is_archived_once(
    capulet, juliet, romeo, ask
):
    chamber = capulet.connect("juliet@capulet.example/chamber")
    chamber.available()
    chamber.received()
    romeo.message(JULIET, SOFT)
    assert stanza_ids(juliet.receive_message()) == stanza_ids(chamber.receive_message())
    assert ask(juliet).bodies == [SOFT]


@pytest.mark.parametrize("to", ["", JULIET, f"{JULIET}/balcony"])
def test_a_message_to_oneself_is_archived_once(juliet, ask, to):
    address = f" to='{to}'" if to else ""
    juliet.send(f"<message{address} type='chat'><body>O me</body></message>")
    message = juliet.receive_message()
    (result,) = ask(juliet).results
    assert result.body == "O me"
    assert stanza_ids(message) == [(JULIET, result.id)]


def test_a_message_to_somebody_elsewhere_is_archived(romeo, ask):
    romeo.message("rosaline@verona.example/garden", SOFT)
    (result,) = ask(romeo).results
    assert result.message.get("to") == "rosaline@verona.example/garden"


def test_a_message_whose_head_declares_a_namespace_comes_back_whole(juliet, romeo, ask):
    romeo.send(
        f"<message xmlns='jabber:client' xmlns:u='urn:example:u' to='{JULIET}' type='chat'"
        " u:mood='x > y'><body>Ay</body><u:sigh/></message>"
    )
    (result,) = ask(juliet).results
    assert result.body == "Ay"
    assert result.message.get("urn:example:u mood") == "x > y"
    assert result.message.find("sigh", "urn:example:u") is not None


def test_the_archive_of_an_account_survives_a_restart(server, capulet, juliet, romeo, ask):
    for number in range(5):
        romeo.message(JULIET, str(number))
    before = ask(juliet).ids
    server.restart()
    juliet = capulet.connect("juliet@capulet.example/balcony")
    assert ask(juliet).ids == before


# To whom there is no delivery


def test_who_has_no_account_has_no_archive(capulet, romeo):
    romeo.message("rosaline@capulet.example", SOFT)
    assert error_of(romeo.receive_message()).condition == "service-unavailable"
    assert capulet.plugin("mam").archive.accounts.find("rosaline") is None


def test_what_nobody_can_get_is_not_archived(juliet, romeo, ask):
    # RFC 6121, 8.5.3.2: refused, and so XEP-0313 does not want it.
    romeo.message(f"{JULIET}/tomb", SOFT, type="normal")
    assert error_of(romeo.receive_message()).condition == "service-unavailable"
    assert ask(juliet).results == []
    romeo.message(f"{JULIET}/tomb", SOFT)
    assert ask(juliet).bodies == [SOFT]


def test_what_a_guard_refuses_is_not_archived(server, ask):
    class Guard:
        def __init__(self, host, options):
            pass

        @hookimpl
        @stage(Stage.GUARD)
        def stonechat_message_to_user(self, message):
            if message.type != "error":
                raise StanzaError("not-acceptable")

    host = server.host("capulet.example", mam={}, plugin_classes={"guard": Guard})
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    romeo = host.connect(f"{ROMEO}/orchard")
    romeo.message(JULIET, SOFT)
    assert error_of(romeo.receive_message()).condition == "not-acceptable"
    assert ask(juliet).results == []


def test_a_message_that_is_archived_needs_nobody_who_is_there(capulet, juliet, romeo, ask):
    juliet.unavailable()
    romeo.message(JULIET, SOFT)
    assert romeo.received() == []
    assert ask(juliet).bodies == [SOFT]


def test_a_message_that_is_not_archived_is_answered_if_nobody_is_there(juliet, romeo):
    juliet.unavailable()
    romeo.message(JULIET, SOFT, Element(NS_HINTS, "no-store"))
    assert error_of(romeo.receive_message()).condition == "service-unavailable"


def test_who_keeps_messages_for_later_keeps_those_that_are_archived_too(server, ask):
    kept = []

    class Spool:
        def __init__(self, host, options):
            pass

        @hookimpl(trylast=True)
        def stonechat_message_undelivered(self, message):
            kept.append(message)
            return True

    # After `mam` in the alphabet, and in the order of the configuration.
    host = server.host("capulet.example", mam={}, plugin_classes={"spool": Spool})
    host.create_account("juliet")
    romeo = host.connect(f"{ROMEO}/orchard")
    romeo.message(JULIET, SOFT)
    (message,) = kept
    assert [by for by, _ in stanza_ids(message)] == [JULIET]


def test_a_page_that_did_not_arrive_is_not_delivered_to_others(capulet, juliet, romeo, ask):
    romeo.message(JULIET, SOFT)
    (result,) = ask(juliet).results
    said = capulet.kernel.first(
        "stonechat_message_unhandled", {"session": None, "message": result.wrapper}
    )
    assert said is True
    other = Message(Element(NS_CLIENT, "body", None, SOFT), to=juliet.bare, from_=romeo.jid)
    assert not capulet.kernel.first(
        "stonechat_message_unhandled", {"session": None, "message": other}
    )


# What other plugins are told


def test_a_plugin_that_copies_learns_the_id_of_what_is_being_sent(server, ask):
    told = []

    class Copies:
        def __init__(self, host, options):
            self.host = host

        @hookimpl
        @stage(Stage.COPY)
        def stonechat_message_from_user(self, session, message):
            told.append(self.host.service("mam").sent_id(session))

    host = server.host("capulet.example", mam={}, plugin_classes={"copies": Copies})
    romeo = host.connect(f"{ROMEO}/orchard")
    romeo.message("juliet@verona.example", SOFT)
    romeo.message("juliet@verona.example", SOFT, type="headline")
    assert told == [*ask(romeo).ids, ""]


# When it is safe


@pytest.fixture
def keeper(server):
    """A host where each message has a custody; `freed` are ids of those that are safe."""
    freed = []

    class Keeper:
        def __init__(self, host, options):
            pass

        @hookimpl
        @stage(Stage.GUARD)
        def stonechat_message_from_user(self, session, message):
            message.custody = Custody(lambda: freed.append(message.id))

    host = server.host("capulet.example", mam={}, plugin_classes={"keeper": Keeper})
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    romeo = host.connect(f"{ROMEO}/orchard")
    return SimpleNamespace(host=host, juliet=juliet, romeo=romeo, freed=freed)


class Broken:
    """A store that writes nothing until it is mended."""

    def __init__(self, host, monkeypatch, error=StorageError):
        self.store = host.kernel.storage
        self.monkeypatch = monkeypatch

        def write(work, **_):
            raise error("out of order")

        monkeypatch.setattr(self.store, "write", write)

    def mend(self):
        self.monkeypatch.undo()


def test_a_sender_s_message_is_safe_once_both_archives_have_it(
    server, keeper, monkeypatch, until, ask
):
    server.expect_errors()
    # Who has said something before need not be looked up.
    keeper.romeo.message(JULIET, "Ay me!", id="m0")
    until(lambda: keeper.freed == ["m0"], "the first commit")
    store = Broken(keeper.host, monkeypatch)
    keeper.romeo.message(JULIET, SOFT, id="m1")
    # Delivered it is, and at once.
    bodies = [message.body for message in keeper.juliet.received() if isinstance(message, Message)]
    assert bodies[-1] == SOFT
    assert keeper.freed == ["m0"]
    store.mend()
    until(lambda: keeper.freed == ["m0", "m1"], "the second commit")
    assert ask(keeper.juliet).bodies == ask(keeper.romeo).bodies == ["Ay me!", SOFT]


def test_what_cannot_be_written_is_refused_before_it_is_delivered(server, monkeypatch, until, ask):
    server.expect_errors()
    monkeypatch.setattr(recorder, "MAX_WAITING", 2)
    monkeypatch.setattr(recorder, "ROOM_SECONDS", 0.01)
    host = server.host("capulet.example", mam={})
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    romeo = host.connect(f"{ROMEO}/orchard")
    romeo.message(JULIET, "0")
    ask(romeo)
    with monkeypatch.context() as broken:
        store = Broken(host, broken)
        for number in (1, 2, 3):
            romeo.message(JULIET, str(number))
        error = error_of(romeo.receive_message())
        assert (error.condition, error.type) == ("resource-constraint", "wait")
        bodies = [message.body for message in juliet.received() if isinstance(message, Message)]
        assert bodies == ["0", "1", "2"]
        store.mend()
    until(lambda: len(ask(juliet).results) == 3, "the commit")
    romeo.message(JULIET, "4")
    assert ask(juliet).bodies == ["0", "1", "2", "4"]


def test_who_is_not_known_yet_is_refused_while_the_store_is_away(server, keeper, monkeypatch):
    server.expect_errors()
    Broken(keeper.host, monkeypatch)
    keeper.romeo.message(JULIET, SOFT)
    error = error_of(keeper.romeo.receive_message())
    assert (error.condition, error.type) == ("internal-server-error", "wait")
    assert not [stanza for stanza in keeper.juliet.received() if isinstance(stanza, Message)]


def test_what_is_not_written_yet_makes_a_page_unstable(server, keeper, monkeypatch, until, ask):
    server.expect_errors()
    keeper.romeo.message(JULIET, "Ay me!")
    assert ask(keeper.juliet).fin.get("stable") == ""
    archive = keeper.host.plugin("mam").archive
    monkeypatch.setattr(
        archive.recorder,
        "wait_for",
        lambda account: type(archive.recorder).wait_for(archive.recorder, account, 0.01),
    )
    with monkeypatch.context() as broken:
        store = Broken(keeper.host, broken)
        keeper.romeo.message(JULIET, SOFT)
        answer = ask(keeper.juliet)
        assert answer.bodies == ["Ay me!"]
        assert answer.fin.get("stable") == "false"
        store.mend()
    until(lambda: ask(keeper.juliet).bodies == ["Ay me!", SOFT], "the commit")


def test_rows_may_be_written_twice(capulet, juliet, romeo, ask):
    """A commit whose outcome nobody knows is repeated."""
    plugin = capulet.plugin("mam")
    account = plugin.archive.accounts.get("juliet").number
    rows = [
        plugin.archive.recorder.row(
            account, romeo.jid, romeo.jid, Message(Element(NS_CLIENT, "body", None, text))
        )
        for text in ("1", "2", "3")
    ]
    storage = capulet.kernel.storage
    storage.write(lambda connection: plugin.archive.recorder.write_rows(connection, rows[:2]))
    storage.write(lambda connection: plugin.archive.recorder.write_rows(connection, rows))
    plugin.archive.recorder.catalogue.update()
    assert ask(juliet).bodies == ["1", "2", "3"]


def test_an_archive_goes_with_its_account(server, capulet, juliet, romeo, ask):
    romeo.message(JULIET, SOFT)
    juliet.set("<prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs>")
    capulet.kernel.accounts.remove("juliet")
    server.settle()
    again = capulet.connect(f"{JULIET}/balcony")
    assert ask(again).results == []
    prefs = again.get("<prefs xmlns='urn:xmpp:mam:2'/>").payload
    assert prefs.get("default") == "always"
    # The other's remains, and nothing else.
    assert ask(romeo).bodies == [SOFT]
    left = server.kernel.store.read(
        lambda connection: connection.execute(select(func.count(MESSAGES.c.id))).scalar_one()
    )
    assert left == 1


def test_two_hosts_have_nothing_in_common(server, ask):
    one = server.host("capulet.example", mam={})
    other = server.host("montague.example", mam={})
    juliet = one.connect("juliet@capulet.example/balcony")
    namesake = other.connect("juliet@montague.example/balcony")
    romeo = other.connect("romeo@montague.example/orchard")
    romeo.message(JULIET, "for her")
    romeo.message("juliet@montague.example", "for the other")
    assert ask(juliet).bodies == ["for her"]
    assert ask(namesake).bodies == ["for the other"]
    assert ask(romeo).bodies == ["for her", "for the other"]
