"""Rosters between memory and database: nothing lost, little read, little kept."""

import sys

import gevent
import pytest
from gevent.event import Event
from sqlalchemy import insert

from stonechat.errors import StanzaError, StorageError
from stonechat.jid import JID
from stonechat.locks import Locks
from stonechat.stanza import Presence
from stonechat.storage import StorageFull, StorageUncertain
from stonechat_roster.items import BLANK, Item, Roster
from stonechat_roster.marks import Marks
from stonechat_roster.states import FROM
from stonechat_roster.tables import ITEMS

ROMEO = "romeo@capulet.example"
BALCONY = "juliet@capulet.example/balcony"


@pytest.fixture
def store(capulet):
    return capulet.plugin("roster").store


@pytest.fixture
def service(capulet):
    return capulet.kernel.service("roster")


@pytest.fixture
def reads_of(monkeypatch):
    """Count reads from the database: `reads_of(host)` grows by one for each."""

    def watch(host):
        made = []
        storage = host.kernel.storage
        read = storage.read

        def counted(work, **options):
            made.append(work)
            return read(work, **options)

        monkeypatch.setattr(storage, "read", counted)
        return made

    return watch


def contact(number):
    return JID.parse(f"servant{number}@capulet.example")


def together(*calls):
    gevent.joinall([gevent.spawn(*call) for call in calls], raise_error=True)


# Nothing lost


def test_changes_at_the_same_time_lose_nothing(store, service):
    together(*[(service.set, "juliet", contact(number)) for number in range(30)])
    in_memory = {item.jid for item in service.contacts("juliet")}
    store.forget("juliet")
    assert {item.jid for item in service.contacts("juliet")} == in_memory
    assert in_memory == {contact(number) for number in range(30)}
    assert len({item.changed for item in service.contacts("juliet")}) == 30


def test_a_roster_that_is_read_while_it_changes_is_not_old_afterwards(store, service):
    for number in range(10):
        store.forget("juliet")
        together(
            (service.set, "juliet", contact(number)),
            (service.contacts, "juliet"),
            (service.contacts, "juliet"),
        )
        assert len(service.contacts("juliet")) == number + 1


def test_a_load_that_a_change_would_overtake_is_waited_for(capulet, store, service, monkeypatch):
    storage = capulet.kernel.storage
    read, gate = storage.read, Event()

    def slow_read(work, **options):
        found = read(work, **options)
        monkeypatch.undo()
        gate.wait()
        return found

    store.forget("juliet")
    monkeypatch.setattr(storage, "read", slow_read)
    reading = gevent.spawn(service.contacts, "juliet")
    capulet.server.settle()
    changing = gevent.spawn(service.set, "juliet", contact(1))
    capulet.server.settle()
    gate.set()
    gevent.joinall([reading, changing], raise_error=True)
    assert [item.jid for item in service.contacts("juliet")] == [contact(1)]


def test_two_sessions_may_change_the_roster_at_once(capulet, juliet, talk):
    chamber = capulet.connect("juliet@capulet.example/chamber")
    garden = capulet.connect("juliet@capulet.example/garden")
    together(
        (talk.set, juliet, ROMEO, "Romeo"),
        (talk.say, chamber, "subscribe", ROMEO),
        (talk.set, garden, "nurse@capulet.example"),
    )
    items = talk.items(juliet)
    assert sorted(items) == ["nurse@capulet.example", ROMEO]
    assert items[ROMEO]["ask"] == "subscribe"


def test_two_who_ask_each_other_at_once_do_not_wait_for_ever(capulet, juliet, romeo, talk):
    together(
        (talk.say, juliet, "subscribe", "romeo@capulet.example"),
        (talk.say, romeo, "subscribe", "juliet@capulet.example"),
    )
    assert talk.items(juliet)["romeo@capulet.example"]["ask"] == "subscribe"
    assert talk.items(romeo)["juliet@capulet.example"]["ask"] == "subscribe"


def test_what_was_answered_is_there_after_a_restart(server, capulet, juliet, talk):
    talk.set(juliet, ROMEO, "Romeo", ["Friends"])
    talk.set(juliet, "nurse@capulet.example")
    talk.remove(juliet, "nurse@capulet.example")
    before = talk.get(juliet)
    server.restart()
    assert talk.get(capulet.connect(BALCONY)) == before


# A database that fails


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (StorageError("gone"), "internal-server-error"),
        (StorageFull("full"), "resource-constraint"),
    ],
)
def test_what_cannot_be_written_is_refused_for_now(
    capulet, juliet, talk, monkeypatch, error, condition
):
    talk.get(juliet)

    def fail(work, **options):
        raise error

    monkeypatch.setattr(capulet.kernel.storage, "write", fail)
    with pytest.raises(StanzaError) as excinfo:
        talk.set(juliet, ROMEO)
    assert (excinfo.value.condition, excinfo.value.type) == (condition, "wait")
    talk.say(juliet, "subscribe", ROMEO)
    assert [(p.type, p.name) for p in juliet.received()] == [("error", "presence")]
    monkeypatch.undo()
    assert talk.items(juliet) == {}
    talk.set(juliet, ROMEO)
    assert list(talk.items(juliet)) == [ROMEO]


def test_what_may_have_been_written_is_looked_up(capulet, juliet, talk, monkeypatch):
    write = capulet.kernel.storage.write

    def write_late(work, **options):
        write(work, **options)
        raise StorageUncertain("too late")

    monkeypatch.setattr(capulet.kernel.storage, "write", write_late)
    with pytest.raises(StanzaError):
        talk.set(juliet, ROMEO)
    monkeypatch.undo()
    assert list(talk.items(juliet)) == [ROMEO]


def test_a_session_goes_on_when_its_roster_cannot_be_read(capulet, juliet, talk, monkeypatch):
    def fail(work, **options):
        raise StorageError("gone")

    monkeypatch.setattr(capulet.kernel.storage, "read", fail)
    juliet.available()
    monkeypatch.undo()
    juliet.available()
    assert talk.presences(juliet) == [("", BALCONY)]


def test_an_address_that_is_none_any_more_does_not_hide_the_others(capulet, store, juliet, talk):
    talk.set(juliet, ROMEO)
    row = {"host": "capulet.example", "localpart": "juliet", "jid": "@not a jid"}
    row |= {"name": "", "group_names": "", "state": 3, "changed": 1}

    def write(connection):
        connection.execute(insert(ITEMS), row)

    capulet.kernel.storage.write(write)
    store.forget("juliet")
    assert list(talk.items(juliet)) == [ROMEO]


# Little read


def test_presence_reads_a_roster_once(capulet, juliet, romeo, talk, reads_of):
    talk.befriend(juliet, romeo)
    juliet.available()
    romeo.available()
    reads = reads_of(capulet)
    for show in ("away", "dnd", ""):
        juliet.available(show=show)
    juliet.unavailable()
    juliet.available()
    assert reads == []


def test_a_blank_roster_is_shared(capulet, store):
    assert store.roster("juliet") is store.roster("romeo") is BLANK


def test_an_idle_session_is_cheap(juliet):
    marks = Marks()
    assert sys.getsizeof(marks) + sys.getsizeof(marks.is_interested) < 128
    juliet.available()
    assert not hasattr(marks, "__dict__")
    assert not hasattr(BLANK, "__dict__")


# Little kept


def test_rosters_of_those_who_are_away_have_a_bound(server):
    capulet = server.host("capulet.example", roster={"cached_rosters": 3})
    store = capulet.plugin("roster").store
    for number in range(50):
        store.roster(f"stranger{number}")
    assert len(store) == 3
    clients = [capulet.connect(f"guest{number}@capulet.example/hall") for number in range(5)]
    for client in clients:
        client.available()
    # Accounts that are made are asked for once, and push a stranger out.
    assert 5 <= len(store) <= 8
    for client in clients:
        client.disconnect()
    assert len(store) == 3


def test_a_roster_is_kept_while_a_session_lasts(server, reads_of):
    capulet = server.host("capulet.example", roster={"cached_rosters": 1})
    juliet = capulet.connect(BALCONY)
    juliet.available()
    store = capulet.plugin("roster").store
    for number in range(5):
        store.roster(f"stranger{number}")
    reads = reads_of(capulet)
    juliet.available(show="away")
    assert reads == []


def test_a_large_roster_is_not_kept_without_a_session(store, service):
    for number in range(201):
        service.set("juliet", contact(number))
    assert len(store) == 0
    assert len(service.contacts("juliet")) == 201


def test_a_removed_account_leaves_nothing(capulet, juliet, store, talk):
    talk.set(juliet, ROMEO)
    capulet.kernel.accounts.remove("juliet")
    assert store.roster("juliet") is BLANK


# Locks


def test_a_lock_lasts_as_long_as_somebody_wants_it():
    locks = Locks(5)
    order = []

    def work(number):
        with locks.hold("juliet"):
            order.append(number)
            gevent.sleep(0)
            order.append(number)

    together(*[(work, number) for number in range(3)])
    assert order == [0, 0, 1, 1, 2, 2]
    assert len(locks) == 0


def test_a_wait_for_a_lock_has_an_end():
    locks = Locks(0)
    with locks.hold("juliet"):
        with pytest.raises(StanzaError) as excinfo, locks.hold("juliet"):
            pass
        assert len(locks) == 1
    assert excinfo.value.condition == "resource-constraint"
    assert len(locks) == 0
    with locks.hold("juliet"):
        pass


def test_a_lock_is_given_back_after_an_error():
    locks = Locks(0)
    with pytest.raises(ValueError, match="no"), locks.hold("juliet"):
        raise ValueError("no")
    assert len(locks) == 0


def test_presence_is_told_again_after_an_error(capulet, juliet, monkeypatch, talk):
    broadcast = capulet.plugin("roster").broadcast
    session = capulet.kernel.session(JID.parse(BALCONY))
    with pytest.raises(AttributeError):
        broadcast.changed(session, None, None)
    juliet.send(Presence())
    assert talk.presences(juliet) == [("", BALCONY)]


def test_a_request_of_one_who_may_see_already_does_not_wait():
    """Not written by us; but an import, or a hand in the database, may leave it so."""
    romeo = JID.parse(ROMEO)
    roster = Roster({romeo: Item(romeo, state=FROM)}, frozenset({romeo}), 1, 1)
    assert roster.state(romeo) == FROM
