"""What is kept of block lists, and what happens when the database fails."""

import gevent
import pytest

from stonechat.account_cache import LARGE
from stonechat.errors import StanzaError, StorageError
from stonechat.jid import JID
from stonechat.stanza import Element, Presence
from stonechat.storage import StorageFull
from stonechat.testing.client import error_of

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
PING = Element("urn:xmpp:ping", "ping")


@pytest.fixture
def lists(capulet):
    return capulet.plugin("blocking").lists


@pytest.fixture
def no_storage(capulet, monkeypatch):
    """The database fails from now on."""

    def fail(work, **_):
        raise StorageError("the database is away")

    monkeypatch.setattr(type(capulet.kernel.storage), "read", lambda self, work, **_: fail(work))
    monkeypatch.setattr(type(capulet.kernel.storage), "write", lambda self, work, **_: fail(work))


def test_the_database_is_asked_once(capulet, lists, juliet, romeo, monkeypatch):
    juliet.available()
    asked = []
    read = capulet.kernel.storage.read
    monkeypatch.setattr(
        type(capulet.kernel.storage),
        "read",
        lambda self, work, **more: asked.append(work) or read(work, **more),
    )
    lists.forget("juliet")
    for _ in range(3):
        romeo.message(JULIET, "?")
    assert len([work for work in asked if "blocking" in work.__code__.co_filename]) == 1


def test_no_more_lists_than_wanted_stay_in_memory(server):
    host = server.host("capulet.example", blocking={"cached_lists": 3})
    lists = host.plugin("blocking").lists
    juliet = host.connect(f"{JULIET}/balcony")
    for number in range(10):
        juliet.message(f"servant{number}@capulet.example", "?")
    assert len(lists) == 4
    juliet.disconnect()
    assert len(lists) == 3


def test_the_lists_that_were_not_used_for_long_go_first(server):
    host = server.host("capulet.example", blocking={"cached_lists": 2})
    lists = host.plugin("blocking").lists
    for localpart in ("a", "b", "a", "c"):
        lists.of(localpart)
    assert [name for name in ("a", "b", "c") if lists.known(name) is not None] == ["a", "c"]


def test_a_long_list_of_somebody_offline_is_not_kept(capulet, lists, juliet, talk):
    talk.block(juliet, *(f"servant{number}@x.example" for number in range(LARGE + 1)))
    assert len(lists.of("juliet")) == LARGE + 1
    before = len(lists)
    juliet.disconnect()
    assert len(lists) == before - 1
    assert len(lists.of("juliet")) == LARGE + 1


def test_what_cannot_be_looked_up_does_not_pass(server, capulet, juliet, romeo, no_storage):
    juliet.available()
    capulet.plugin("blocking").lists.forget("juliet")
    romeo.message(JULIET, "?")
    error = error_of(romeo.receive_message())
    assert (error.condition, error.type) == ("internal-server-error", "wait")
    juliet.message(ROMEO, "?")
    error = error_of(juliet.receive_message())
    assert (error.condition, error.type) == ("internal-server-error", "wait")
    romeo.send(Presence(to=juliet.bare))
    error = error_of(romeo.receive_presence())
    assert (error.condition, error.type) == ("internal-server-error", "wait")
    # The account itself, and its server, are never blocked: that needs no look.
    juliet.message(JULIET, "To myself.")
    assert juliet.receive_message().body == "To myself."
    assert error_of(juliet.request("get", PING, to="capulet.example")).condition == (
        "service-unavailable"
    )


def test_users_go_on_while_the_database_is_away(juliet, romeo, talk, request):
    for client in (juliet, romeo):
        client.available()
    talk.block(juliet, "tybalt@capulet.example")
    talk.bodies(juliet)
    request.getfixturevalue("no_storage")
    romeo.message(JULIET, "But soft!")
    assert talk.bodies(juliet) == ["But soft!"]
    juliet.message(ROMEO, "Ay me!")
    assert talk.bodies(romeo) == ["Ay me!"]


@pytest.mark.parametrize(
    ("fault", "condition"),
    [(StorageError, "internal-server-error"), (StorageFull, "resource-constraint")],
)
def test_a_change_that_is_not_written_is_not_made(
    capulet, juliet, talk, monkeypatch, fault, condition
):
    talk.block(juliet, ROMEO)

    def fail(self, work, **_):
        raise fault("no")

    with monkeypatch.context() as away:
        away.setattr(type(capulet.kernel.storage), "write", fail)
        for change, jid in ((talk.block, "tybalt@capulet.example"), (talk.unblock, ROMEO)):
            with pytest.raises(StanzaError) as refused:
                change(juliet, jid)
            assert (refused.value.condition, refused.value.type) == (condition, "wait")
    assert talk.pushes(juliet) == []
    assert talk.blocked(juliet) == [ROMEO]


def test_changes_at_the_same_time_are_made_one_after_the_other(capulet, juliet, talk):
    talk.block(juliet, ROMEO)
    commands = capulet.plugin("blocking").commands
    jids = [JID.parse(f"servant{number}@x.example") for number in range(10)]
    changes = [gevent.spawn(commands.block, "juliet", [jid]) for jid in jids]
    changes.append(gevent.spawn(commands.unblock, "juliet", [JID.parse(ROMEO)]))
    gevent.joinall(changes, timeout=10, raise_error=True)
    assert talk.blocked(juliet) == sorted(jid.text for jid in jids)


def test_a_removed_account_leaves_no_list(capulet, juliet, talk):
    talk.block(juliet, ROMEO)
    capulet.kernel.accounts.remove("juliet")
    assert talk.blocked(capulet.connect(f"{JULIET}/balcony")) == []


def test_a_session_that_goes_on_after_a_restart_still_gets_pushes(capulet, juliet, talk):
    talk.blocked(juliet)
    session = capulet.kernel.session(juliet.jid)
    kept = capulet.kernel.collect("stonechat_session_state", {"session": session})
    state = {key: value for answer in kept for key, value in answer.items()}
    chamber = capulet.connect(f"{JULIET}/chamber")
    later = capulet.kernel.session(chamber.jid)
    capulet.kernel.notify("stonechat_session_restored", {"session": later, "state": state})
    talk.block(juliet, ROMEO)
    assert talk.pushes(chamber) == [("block", [ROMEO])]


def test_a_session_that_never_asked_has_nothing_to_keep(capulet, juliet):
    session = capulet.kernel.session(juliet.jid)
    kept = capulet.kernel.collect("stonechat_session_state", {"session": session})
    assert not any("blocking" in key for answer in kept for key in answer)
