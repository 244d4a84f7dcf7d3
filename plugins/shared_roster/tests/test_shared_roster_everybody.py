"""`@all@` and `@online@`: accounts come and go, and there are many of them."""

import gevent
import pytest
from gevent.event import Event

from stonechat.auth import AuthUnavailable
from stonechat.errors import StanzaError
from stonechat.plugin import hookimpl

HOST = "capulet.example"
VERONA = ("both", "", ["verona"])
GONE = ("remove", "", [])


@pytest.fixture
def verona(groups):
    groups("create", "verona")
    groups("add", "verona", member="@all@")


@pytest.fixture
def feast(groups):
    groups("create", "feast")
    groups("add", "feast", member="@online@")


@pytest.fixture
def backend(capulet):
    """Accounts behind the server's back, as a directory has them."""
    ((backend, _),) = capulet.server.kernel._backends[capulet.kernel.accounts]
    return backend


# @all@


def test_everybody_sees_everybody(capulet, verona, juliet, nurse, talk):
    assert talk.roster(juliet) == {"nurse": VERONA}
    nurse.available()
    juliet.available()
    assert talk.presences(nurse) == [("", "nurse"), ("", "juliet")]


def test_accounts_that_come_and_go_are_shown_at_once(capulet, verona, juliet, talk):
    before = talk.version(juliet)
    capulet.create_account("romeo")
    ((name, item, version),) = talk.pushes(juliet)
    assert (name, item) == ("romeo", VERONA)
    assert talk.query(juliet, version) is None
    assert talk.query(juliet, before) is not None
    capulet.kernel.accounts.remove("romeo")
    capulet.server.settle()
    assert talk.pushes(juliet) == [("romeo", GONE, before)]


def test_accounts_that_come_and_go_while_nobody_looks_make_another_version(
    server, capulet, verona, juliet, talk
):
    before = talk.version(juliet)
    juliet.disconnect()
    capulet.create_account("romeo")
    server.restart()
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    assert [*map(talk.item, talk.query(juliet, before).elements)] == [("romeo", VERONA)]


def test_a_login_writes_nothing_and_lists_the_accounts_once(
    capulet, verona, nurse, backend, talk, monkeypatch
):
    for number in range(20):
        capulet.create_account(f"servant{number}")
    writes, lists = [], []
    storage, users = capulet.kernel.storage, backend.users

    def write(work, **options):
        writes.append(work)
        raise AssertionError("nothing is to be written")

    def listed(*arguments):
        lists.append(arguments)
        return users(*arguments)

    monkeypatch.setattr(storage, "write", write)
    monkeypatch.setattr(backend, "users", listed)
    for client in (nurse, capulet.connect(f"servant1@{HOST}/hall")):
        assert len(talk.roster(client)) == 20
        client.available()
    monkeypatch.undo()
    assert writes == []
    assert len(lists) == 2  # the second one finds no more


def test_a_start_lists_no_accounts(server, capulet, verona, backend, monkeypatch):
    server.restart()
    plugin = capulet.plugin("shared_roster")
    assert plugin.everybody._accounts is None
    server.clock.advance(3600)
    assert plugin.everybody._accounts is None


def test_accounts_of_a_directory_are_found_after_a_while(
    server, capulet, verona, juliet, nurse, backend, talk
):
    talk.come(juliet)
    talk.come(nurse)
    juliet.received()
    backend._keep("romeo", "secret")
    backend._keep("Juliet Capulet", "secret")
    backend._passwords.pop("nurse")
    server.clock.advance(3600)
    assert talk.pushed(juliet) == {"romeo": VERONA, "nurse": GONE}
    assert talk.roster(juliet) == {"romeo": VERONA}


def test_when_the_accounts_cannot_be_listed_the_roster_is_refused_for_now(
    capulet, verona, juliet, nurse, backend, talk, monkeypatch
):
    def fail(*arguments):
        raise AuthUnavailable("The directory is away.")

    capulet.plugin("shared_roster").everybody._accounts = None
    capulet.plugin("shared_roster").everybody._names = None
    capulet.plugin("shared_roster").changed()
    monkeypatch.setattr(backend, "users", fail)
    with pytest.raises(StanzaError) as excinfo:
        talk.query(juliet)
    assert (excinfo.value.condition, excinfo.value.type) == ("internal-server-error", "wait")
    monkeypatch.undo()
    assert talk.roster(juliet) == {"nurse": VERONA}


def test_when_the_accounts_cannot_be_listed_again_those_that_are_known_stay(
    server, capulet, verona, juliet, nurse, backend, talk, monkeypatch
):
    def fail(*arguments):
        raise AuthUnavailable("The directory is away.")

    talk.query(juliet)
    monkeypatch.setattr(backend, "users", fail)
    server.clock.advance(3600)
    assert juliet.received() == []
    assert talk.roster(juliet) == {"nurse": VERONA}
    assert server.logged("accounts cannot be listed")
    monkeypatch.undo()


@pytest.mark.parametrize("change", ["create", "remove"])
def test_what_happens_while_the_accounts_are_listed_is_not_lost(
    capulet, verona, juliet, backend, talk, monkeypatch, change
):
    capulet.create_account("nurse")
    everybody = capulet.plugin("shared_roster").everybody
    everybody._accounts = everybody._names = None
    users, gate = backend.users, Event()

    def slow(*arguments):
        found = users(*arguments)
        gate.wait()
        return found

    monkeypatch.setattr(backend, "users", slow)
    listing = gevent.spawn(everybody.names)
    gevent.sleep(0)
    if change == "create":
        capulet.create_account("romeo")
        expected = ["juliet", "nurse", "romeo"]
    else:
        capulet.kernel.accounts.remove("nurse")
        expected = ["juliet"]
    gate.set()
    assert sorted(listing.get(timeout=5)) == expected
    monkeypatch.undo()


def test_everybody_is_so_many_at_most(server, talk):
    capulet = server.host(HOST, roster={}, shared_roster={"max_members": 3})
    for number in range(3):
        capulet.create_account(f"servant{number}")
    server.command("shared-group-create", group="verona")
    server.command("shared-group-add", group="verona", member="@all@")
    servant = capulet.connect(f"servant0@{HOST}/hall")
    assert sorted(talk.roster(servant)) == ["servant1", "servant2"]
    # Who comes when it is full neither sees the others nor is shown to them.
    abram = capulet.connect(f"abram@{HOST}/street")
    assert talk.roster(abram) == {}
    assert sorted(talk.roster(servant)) == ["servant1", "servant2"]
    assert server.logged("no room in @all@")
    server.clock.advance(3600)
    assert servant.received() == []
    capulet.kernel.accounts.remove("servant2")
    server.clock.advance(3600)
    assert talk.pushed(servant) == {"servant2": GONE, "abram": VERONA}
    assert sorted(talk.roster(abram)) == ["servant0", "servant1"]


def test_a_listing_stops_where_there_are_too_many(server, capulet, verona, talk):
    server.expect_errors()
    for number in range(6):
        capulet.create_account(f"servant{number}")
    everybody = type(capulet.plugin("shared_roster").everybody)(
        capulet.plugin("shared_roster").host, 2
    )
    assert list(everybody.names()) == ["servant0", "servant1"]
    assert server.logged("not all accounts are in @all@")
    assert not everybody.list_again()


def test_who_is_named_is_a_member_besides_everybody(groups, verona, juliet, nurse, talk):
    groups("add", "verona", member=f"nurse@{HOST}")
    assert talk.roster(juliet) == {"nurse": VERONA}
    groups("remove", "verona", member="@all@")
    assert talk.roster(juliet) == {}
    assert groups("members", "verona") == [f"nurse@{HOST}"]


# @online@


def test_who_is_online_sees_who_is_online(capulet, feast, juliet, romeo, talk):
    capulet.create_account("nurse")
    talk.come(juliet)
    assert talk.roster(juliet) == {"romeo": ("both", "", ["feast"])}
    talk.come(romeo)
    assert talk.presences(juliet) == [("", "romeo")]
    juliet.available(show="away")
    assert talk.presences(romeo) == [("", "juliet")]


def test_who_comes_online_is_shown_and_who_goes_is_shown_no_longer(
    capulet, feast, juliet, romeo, talk
):
    talk.come(juliet)
    talk.come(romeo)
    juliet.received()
    nurse = capulet.connect(f"nurse@{HOST}/house")
    assert talk.pushed(juliet) == talk.pushed(romeo) == {"nurse": ("both", "", ["feast"])}
    second = capulet.connect(f"nurse@{HOST}/street")
    assert juliet.received() == []
    assert sorted(talk.roster(nurse)) == ["juliet", "romeo"]
    nurse.available()
    assert sorted(talk.presences(nurse)) == [("", "juliet"), ("", "nurse"), ("", "romeo")]
    assert talk.presences(juliet) == [("", "nurse")]
    second.disconnect()
    assert juliet.received() == []
    nurse.drop()
    presence, push = juliet.received()
    assert (presence.type, presence.from_) == ("unavailable", nurse.jid)
    assert talk.item(push.payload.first()) == ("nurse", GONE)
    assert not capulet.kernel.may_see_presence(juliet.bare, nurse.bare)


class Bouncer:
    """Ends a session before the plugins behind it hear that there is one."""

    def __init__(self, host, options):
        pass

    @hookimpl(tryfirst=True)
    def stonechat_session_bound(self, session):
        if session.jid.localpart == "tybalt":
            session.close()
            gevent.sleep(0)


def test_who_is_gone_before_we_hear_of_it_is_not_online(server, talk):
    capulet = server.host(HOST, roster={}, shared_roster={}, plugin_classes={"bouncer": Bouncer})
    server.command("shared-group-create", group="feast")
    server.command("shared-group-add", group="feast", member="@online@")
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    tybalt = capulet.connect(f"tybalt@{HOST}/street")
    assert tybalt.closed_with() == ""
    assert talk.roster(juliet) == {}


def test_who_is_online_already_is_in_a_new_group(groups, juliet, romeo, talk):
    talk.come(juliet)
    talk.come(romeo)
    juliet.received()
    groups("create", "feast")
    groups("add", "feast", member="@online@")
    assert talk.pushed(juliet) == {"romeo": ("both", "", ["feast"])}
    assert talk.presences(romeo) == [("", "juliet")]


def test_no_more_than_so_many_see_each_other_online(server, talk):
    capulet = server.host(HOST, roster={}, shared_roster={"max_online": 2})
    server.command("shared-group-create", group="feast")
    server.command("shared-group-add", group="feast", member="@online@")
    juliet, romeo, nurse = (
        capulet.connect(f"{name}@{HOST}/hall") for name in ("juliet", "romeo", "nurse")
    )
    assert list(talk.roster(juliet)) == ["romeo"]
    assert talk.roster(nurse) == {}
    talk.come(juliet)
    talk.come(nurse)
    assert juliet.received() == []
    romeo.disconnect()
    assert talk.pushed(juliet) == {"romeo": GONE, "nurse": ("both", "", ["feast"])}
    assert talk.presences(nurse) == [("", "juliet")]


def test_those_who_are_online_may_be_shown_to_others_only(groups, juliet, nurse, romeo, talk):
    groups("create", "guests", displays="guests")
    groups("hide", "guests", displayed="guests")
    groups("add", "guests", member="@online@")
    groups("create", "hosts", displays="guests")
    groups("add", "hosts", member=f"juliet@{HOST}")
    assert sorted(talk.roster(juliet)) == ["nurse", "romeo"]
    assert talk.roster(romeo) == {}
    talk.come(juliet)
    talk.come(romeo)
    assert talk.presences(juliet) == [("", "romeo")]
    nurse.disconnect()
    assert talk.pushed(juliet) == {"nurse": GONE}
    assert romeo.received() == []


def test_who_is_online_is_known_when_the_plugin_starts(server, talk):
    capulet = server.host(HOST, roster={})
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    romeo = capulet.connect(f"romeo@{HOST}/orchard")
    capulet.enable("shared_roster")
    server.command("shared-group-create", group="feast")
    server.command("shared-group-add", group="feast", member="@online@")
    assert list(talk.roster(juliet)) == ["romeo"]
    romeo.disconnect()
    assert talk.roster(juliet) == {}


# Many


def test_a_thousand_accounts_make_one_login_no_slower_by_writes(
    server, capulet, verona, backend, talk, monkeypatch
):
    backend._passwords |= {f"servant{number}": "secret" for number in range(2000)}
    plugin = capulet.plugin("shared_roster")
    plugin.everybody._accounts = plugin.everybody._names = None
    plugin.changed()
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    version = talk.version(juliet)
    assert len(talk.roster(juliet)) == 2000
    juliet.available()
    assert talk.presences(juliet) == [("", "juliet")]
    nurse = capulet.connect(f"nurse@{HOST}/house")
    assert [name for name, _, _ in talk.pushes(juliet)] == ["nurse"]
    assert talk.query(nurse, version) is not None
    # What all have in common is there once.
    shared = capulet.plugin("roster").shared
    assert shared.of("juliet") is shared.of("nurse")
    assert len(shared._known) == 1
