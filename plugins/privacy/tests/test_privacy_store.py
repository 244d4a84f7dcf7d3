"""What is kept of privacy lists, and what happens when the database fails."""

import gevent
import pytest

from stonechat.account_cache import LARGE
from stonechat.errors import StanzaError, StorageError
from stonechat.jid import JID
from stonechat.stanza import Element
from stonechat.storage import StorageFull
from stonechat.testing.client import error_of
from stonechat_privacy.rules import EMPTY

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
DENY_ROMEO = (1, "deny", "jid", ROMEO)
PING = Element("urn:xmpp:ping", "ping")


@pytest.fixture
def store(capulet):
    return capulet.plugin("privacy").store


def break_storage(capulet, monkeypatch, *names, fault=StorageError):
    def fail(self, work, **_):
        raise fault("the database is away")

    for name in names:
        monkeypatch.setattr(type(capulet.kernel.storage), name, fail)


def test_the_database_is_asked_once(capulet, store, juliet, romeo, monkeypatch):
    juliet.available()
    asked = []
    read = capulet.kernel.storage.read
    monkeypatch.setattr(
        type(capulet.kernel.storage),
        "read",
        lambda self, work, **more: asked.append(work) or read(work, **more),
    )
    store.forget("juliet")
    for _ in range(3):
        romeo.message(JULIET, "?")
    assert len([work for work in asked if "privacy" in work.__code__.co_filename]) == 1


def test_no_more_accounts_than_wanted_stay_in_memory(server):
    host = server.host("capulet.example", privacy={"cached_accounts": 2})
    store = host.plugin("privacy").store
    juliet = host.connect(f"{JULIET}/balcony")
    for number in range(10):
        juliet.message(f"servant{number}@capulet.example", "?")
    assert len(store) == 3
    juliet.disconnect()
    assert len(store) == 2
    for localpart in ("a", "b", "a", "c"):
        store.of(localpart)
    assert [name for name in ("a", "b", "c") if store.known(name) is not None] == ["a", "c"]


def test_who_has_no_lists_any_more_costs_nothing(store, juliet, talk):
    talk.edit(juliet, "public", DENY_ROMEO)
    talk.remove(juliet, "public")
    assert store.known("juliet") is EMPTY


def test_long_lists_of_somebody_offline_are_not_kept(store, juliet, talk):
    items = [(n, "deny", "jid", f"{n}.example") for n in range(LARGE + 1)]
    talk.edit(juliet, "public", *items)
    before = len(store)
    juliet.disconnect()
    assert len(store) == before - 1
    assert len(store.of("juliet").by_name["public"].items) == LARGE + 1


def test_what_cannot_be_looked_up_does_not_pass(capulet, store, juliet, romeo, monkeypatch):
    juliet.available()
    juliet.received()
    break_storage(capulet, monkeypatch, "read")
    store.forget("juliet")
    romeo.message(JULIET, "?")
    error = error_of(romeo.receive_message())
    assert (error.condition, error.type) == ("internal-server-error", "wait")
    juliet.message(ROMEO, "?")
    error = error_of(juliet.receive_message())
    assert (error.condition, error.type) == ("internal-server-error", "wait")
    # The account itself, and its server, are never denied: that needs no look.
    juliet.message(JULIET, "To myself.")
    assert juliet.receive_message().body == "To myself."
    answer = juliet.request("get", PING, to="capulet.example")
    assert error_of(answer).condition == "service-unavailable"


def test_users_go_on_while_the_database_is_away(capulet, juliet, romeo, talk, monkeypatch):
    for client in (juliet, romeo):
        client.available()
    talk.apply(juliet, (1, "deny", "jid", "tybalt@capulet.example"))
    talk.bodies(juliet)
    break_storage(capulet, monkeypatch, "read", "write")
    romeo.message(JULIET, "But soft!")
    assert talk.bodies(juliet) == ["But soft!"]


@pytest.mark.parametrize(
    ("fault", "condition"),
    [(StorageError, "internal-server-error"), (StorageFull, "resource-constraint")],
)
def test_a_change_that_is_not_written_is_not_made(
    capulet, juliet, talk, monkeypatch, fault, condition
):
    talk.edit(juliet, "public", DENY_ROMEO)
    juliet.received()
    with monkeypatch.context() as away:
        break_storage(capulet, away, "write", fault=fault)
        for change in (
            lambda: talk.edit(juliet, "public", (2, "deny", "", "")),
            lambda: talk.remove(juliet, "public"),
            lambda: talk.default(juliet, "public"),
        ):
            with pytest.raises(StanzaError) as refused:
                change()
            assert (refused.value.condition, refused.value.type) == (condition, "wait")
    assert juliet.received() == []
    assert talk.names(juliet) == ([], [], ["public"])
    assert talk.items(juliet, "public") == [DENY_ROMEO]


def test_changes_at_the_same_time_are_made_one_after_the_other(capulet, juliet, talk):
    service = capulet.kernel.service("privacy")
    jids = [JID.parse(f"servant{number}@x.example") for number in range(10)]
    changes = [gevent.spawn(service.block, "juliet", [jid], lambda: None) for jid in jids]
    gevent.joinall(changes, timeout=10, raise_error=True)
    assert service.blocked("juliet") == {jid.text for jid in jids}
    assert len(talk.items(juliet, "blocked")) == 10


def test_a_removed_account_leaves_no_lists(capulet, juliet, talk):
    talk.edit(juliet, "public", DENY_ROMEO)
    talk.default(juliet, "public")
    capulet.kernel.accounts.remove("juliet")
    assert talk.names(capulet.connect(f"{JULIET}/balcony")) == ([], [], [])


def test_all_goes_without_a_roster(server, talk):
    host = server.host("capulet.example", privacy={})
    juliet = host.connect(f"{JULIET}/balcony")
    tybalt = host.connect("tybalt@capulet.example/square")
    juliet.available()
    talk.apply(juliet, (1, "deny", "subscription", "none"))
    tybalt.message(JULIET, "?")
    assert error_of(tybalt.receive_message()).condition == "service-unavailable"
    with pytest.raises(StanzaError) as refused:
        talk.edit(juliet, "groups", (1, "deny", "group", "Enemies"))
    assert refused.value.condition == "item-not-found"
