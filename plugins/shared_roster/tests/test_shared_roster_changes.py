"""Pushes, versions and presence when groups change."""

import pytest

from stonechat.errors import StorageError
from stonechat.stanza import Iq, Presence
from stonechat.storage import StorageUncertain

BOTH = ("both", "", ["House of Capulet"])
HOST = "capulet.example"


# Pushes


def test_who_is_online_hears_of_a_new_member(house, juliet, nurse, romeo, talk):
    for client in (juliet, nurse, romeo):
        talk.query(client)
        client.received()
    house("romeo")
    assert talk.pushed(juliet) == talk.pushed(nurse) == {"romeo": BOTH}
    assert talk.pushed(romeo) == {"juliet": BOTH, "nurse": BOTH}


def test_who_is_online_hears_of_one_who_is_a_member_no_longer(groups, house, juliet, nurse, talk):
    for client in (juliet, nurse):
        talk.query(client)
    groups("remove", "capulets", member=f"nurse@{HOST}")
    assert talk.pushed(juliet) == {"nurse": ("remove", "", [])}
    assert talk.pushed(nurse) == {"juliet": ("remove", "", [])}


def test_who_is_online_hears_of_another_label(groups, house, juliet, talk):
    talk.set(juliet, "nurse", "Angelica")
    talk.query(juliet)
    groups("set", "capulets", label="The Capulets")
    assert talk.pushed(juliet) == {"nurse": ("both", "Angelica", ["The Capulets"])}
    groups("set", "capulets", description="They have no quarrel with you")
    assert talk.pushes(juliet) == []


def test_who_is_online_hears_of_the_end_of_a_group(groups, house, juliet, nurse, talk):
    talk.set(juliet, "nurse", "Angelica", ["Friends"])
    for client in (juliet, nurse):
        talk.query(client)
        client.received()
    groups("delete", "capulets")
    assert talk.pushed(juliet) == {"nurse": ("none", "Angelica", ["Friends"])}
    assert talk.pushed(nurse) == {"juliet": ("remove", "", [])}


def test_only_who_has_asked_for_the_roster_gets_pushes(house, juliet, nurse):
    house("romeo")
    assert juliet.received() == nurse.received() == []


def test_a_removed_account_is_in_no_group_any_more(capulet, groups, house, juliet, talk):
    house("romeo")
    talk.query(juliet)
    capulet.kernel.accounts.remove("romeo")
    capulet.server.settle()
    assert talk.pushed(juliet) == {"romeo": ("remove", "", [])}
    assert groups("members", "capulets") == [f"juliet@{HOST}", f"nurse@{HOST}"]
    capulet.create_account("romeo")
    assert talk.roster(capulet.connect(f"romeo@{HOST}/orchard")) == {}


# Versions (XEP-0237, and RFC 6121, 2.6)


def test_who_knows_the_version_gets_nothing(server, capulet, house, juliet, talk):
    version = talk.version(juliet)
    assert talk.query(juliet, version) is None
    assert juliet.received() == []
    server.restart()
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    assert talk.query(juliet, version) is None


@pytest.mark.parametrize(
    "change",
    [
        ("remove", {"member": f"nurse@{HOST}"}),
        ("set", {"label": "The Capulets"}),
        ("hide", {"displayed": "capulets"}),
        ("delete", {}),
    ],
)
def test_whatever_changes_makes_another_version(capulet, groups, house, juliet, talk, change):
    version = talk.version(juliet)
    juliet.disconnect()
    command, arguments = change
    groups(command, "capulets", **arguments)
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    query = talk.query(juliet, version)
    assert query is not None
    assert query.get("ver") != version
    assert query.elements == talk.query(juliet).elements


def test_the_same_again_is_the_same_version_again(groups, house, juliet, romeo, talk):
    version = talk.version(juliet)
    house("romeo")
    assert talk.version(juliet) != version
    groups("remove", "capulets", member=f"romeo@{HOST}")
    assert talk.version(juliet) == version


def test_the_last_push_has_the_version_and_those_before_it_have_none(
    capulet, groups, house, juliet, romeo, talk
):
    talk.query(romeo)
    house("romeo")
    (_, _, first), (_, _, last) = talk.pushes(romeo)
    assert talk.query(romeo, first) is not None
    assert talk.query(romeo, last) is None


def test_a_push_for_a_change_of_ones_own_has_the_version_of_all(house, juliet, nurse, talk):
    before = talk.version(juliet)
    talk.set(juliet, "nurse", "Angelica")
    ((_, _, version),) = talk.pushes(juliet)
    assert version != before
    assert talk.query(juliet, version) is None
    # What was changed meanwhile comes in a push, as without shared groups.
    talk.set(juliet, "romeo", "Romeo")
    juliet.received()
    assert talk.query(juliet, version) is None
    ((name, item, last),) = talk.pushes(juliet)
    assert (name, item) == ("romeo", ("none", "Romeo", []))
    assert talk.query(juliet, last) is None
    assert juliet.received() == []


@pytest.mark.parametrize("version", ["", "0", "0.", ".", "x.y", "0.0", "0.\u2026", "." * 5000])
def test_a_version_that_is_none_of_ours_gets_the_whole_roster(house, juliet, talk, version):
    assert [*map(talk.item, talk.query(juliet, version).elements)] == [("nurse", BOTH)]


def test_who_was_told_too_little_has_no_version(server, talk):
    capulet = server.host(HOST, roster={"max_shared_pushes": 2}, shared_roster={})
    for name in ("benvolio", "mercutio", "romeo"):
        capulet.create_account(name)
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    talk.query(juliet)
    server.command("shared-group-create", group="verona")
    server.command("shared-group-add", group="verona", member=f"juliet@{HOST}")
    server.command("shared-group-add", group="verona", member="@all@")
    assert talk.pushes(juliet) == []
    talk.set(juliet, "romeo", "Romeo")
    ((_, item, version),) = talk.pushes(juliet)
    assert item == ("both", "Romeo", ["verona"])
    assert len(talk.query(juliet, version).elements) == 3
    talk.set(juliet, "romeo", "Husband")
    ((_, _, version),) = talk.pushes(juliet)
    assert talk.query(juliet, version) is None


# Presence


def test_members_see_each_others_presence(house, juliet, nurse, romeo, talk):
    for client in (romeo, nurse, juliet):
        talk.query(client)
    nurse.available(status="in the house")
    romeo.available()
    assert talk.presences(nurse) == [("", "nurse")]
    juliet.available()
    assert sorted(talk.presences(juliet)) == [("", "juliet"), ("", "nurse")]
    assert talk.presences(nurse) == [("", "juliet")]
    juliet.unavailable()
    assert talk.presences(nurse) == [("unavailable", "juliet")]
    juliet.available()
    assert talk.presences(nurse) == [("", "juliet")]
    juliet.drop()
    assert talk.presences(nurse) == [("unavailable", "juliet")]
    assert talk.presences(romeo) == [("", "romeo")]


def test_a_member_may_probe(house, juliet, nurse, romeo, talk):
    talk.come(nurse)
    talk.say(juliet, "probe", "nurse")
    juliet.available()
    assert ("", "nurse") in talk.presences(juliet)
    talk.come(romeo)
    talk.say(romeo, "probe", "nurse")
    assert talk.presences(romeo) == []


def test_it_is_seen_from_both_sides_though_one_side_displays_the_other_only(
    groups, house, juliet, romeo, talk
):
    groups("create", "montagues", displays="capulets")
    groups("add", "montagues", member=f"romeo@{HOST}")
    talk.come(juliet)
    talk.come(romeo)
    assert talk.presences(juliet) == [("", "romeo")]
    juliet.available(show="away")
    assert talk.presences(romeo) == [("", "juliet")]
    juliet.unavailable()
    juliet.available()
    assert sorted(talk.presences(juliet)) == [
        ("", "juliet"),
        ("", "juliet"),
        ("", "romeo"),
        ("unavailable", "juliet"),
    ]


def test_presence_follows_who_becomes_a_member_and_who_is_one_no_longer(
    groups, house, juliet, nurse, romeo, talk
):
    for client in (juliet, nurse, romeo):
        talk.come(client)
    for client in (juliet, nurse, romeo):
        client.received()
    house("romeo")
    assert sorted(talk.presences(romeo)) == [("", "juliet"), ("", "nurse")]
    assert talk.presences(juliet) == talk.presences(nurse) == [("", "romeo")]
    groups("remove", "capulets", member=f"romeo@{HOST}")
    assert sorted(talk.presences(romeo)) == [("unavailable", "juliet"), ("unavailable", "nurse")]
    assert talk.presences(juliet) == talk.presences(nurse) == [("unavailable", "romeo")]
    romeo.available(show="away")
    assert juliet.received() == []


def test_who_sees_by_a_subscription_too_hears_nothing_of_a_group(
    groups, house, juliet, romeo, talk
):
    for one, other in ((juliet, "romeo"), (romeo, "juliet")):
        talk.say(one, "subscribe", other)
    talk.say(juliet, "subscribed", "romeo")
    talk.say(romeo, "subscribed", "juliet")
    talk.come(juliet)
    talk.come(romeo)
    juliet.received()
    house("romeo")
    groups("delete", "capulets")
    assert talk.presences(juliet) == []
    assert talk.presences(romeo) == []
    assert talk.roster(juliet)["romeo"] == ("both", "", [])


# Faults


def test_what_cannot_be_written_is_refused_and_does_not_count(
    capulet, groups, house, juliet, talk, monkeypatch
):
    def fail(work, **options):
        raise StorageError("gone")

    monkeypatch.setattr(capulet.kernel.storage, "write", fail)
    with pytest.raises(StorageError):
        groups("delete", "capulets")
    monkeypatch.undo()
    assert talk.roster(juliet) == {"nurse": BOTH}
    groups("delete", "capulets")
    assert talk.roster(juliet) == {}


def test_what_may_have_been_written_is_looked_up(
    server, capulet, groups, house, juliet, talk, monkeypatch
):
    write = capulet.kernel.storage.write

    def write_late(work, **options):
        write(work, **options)
        raise StorageUncertain("too late")

    def fail(work, **options):
        raise StorageError("gone")

    talk.query(juliet)
    monkeypatch.setattr(capulet.kernel.storage, "write", write_late)
    with pytest.raises(StorageError):
        groups("delete", "capulets")
    monkeypatch.undo()
    assert talk.roster(juliet) == {"nurse": BOTH}
    monkeypatch.setattr(capulet.kernel.storage, "read", fail)
    server.clock.advance(5)
    monkeypatch.undo()
    assert talk.roster(juliet) == {"nurse": BOTH}
    server.clock.advance(5)
    assert talk.pushed(juliet) == {"nurse": ("remove", "", [])}
    assert talk.roster(juliet) == {}


def test_whom_the_database_keeps_from_being_told_is_told_later(
    server, capulet, house, juliet, romeo, talk, monkeypatch
):
    talk.query(juliet)

    def fail(work, **options):
        raise StorageError("gone")

    monkeypatch.setattr(capulet.kernel.storage, "read", fail)
    capulet.plugin("roster").store.forget("juliet")
    house("romeo")
    assert juliet.received() == []
    monkeypatch.undo()
    server.clock.advance(10)
    assert talk.pushed(juliet) == {"romeo": BOTH}


# The plugin comes and goes


def test_groups_work_as_soon_as_the_plugin_is_enabled(server, talk):
    capulet = server.host(HOST, roster={})
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    nurse = capulet.connect(f"nurse@{HOST}/house")
    talk.come(juliet)
    talk.come(nurse)
    capulet.enable("shared_roster")
    server.command("shared-group-create", group="capulets", label="House of Capulet")
    server.command("shared-group-add", group="capulets", member="@all@")
    assert [(p.type, p.from_) for p in juliet.received() if isinstance(p, Presence)] == [
        ("", nurse.jid)
    ]
    pushes = [
        (talk.item(i.payload.first()), i.payload.get("ver"))
        for i in nurse.received()
        if isinstance(i, Iq)
    ]
    ((item, version),) = pushes
    assert item == ("juliet", BOTH)
    assert talk.query(nurse, version) is None


def test_without_the_plugin_nothing_is_shared(server, capulet, house, juliet, nurse, talk):
    talk.come(juliet)
    talk.come(nurse)
    version = talk.version(juliet)
    juliet.received()
    capulet.disable("shared_roster")
    server.clock.advance(5)
    stanzas = juliet.received()
    assert [s.payload.first().get("subscription") for s in stanzas if isinstance(s, Iq)] == [
        "remove"
    ]
    assert [s.type for s in stanzas if isinstance(s, Presence)] == ["unavailable"]
    assert talk.query(juliet, version).elements == []
    assert not capulet.kernel.may_see_presence(juliet.bare, nurse.bare)


def test_a_plugin_that_starts_anew_is_not_noticed(server, capulet, house, juliet, nurse, talk):
    talk.come(juliet)
    talk.come(nurse)
    juliet.received()
    version = talk.version(juliet)
    capulet.disable("shared_roster")
    capulet.enable("shared_roster", {"max_groups": 7})
    server.clock.advance(10)
    assert juliet.received() == []
    assert talk.query(juliet, version) is None


def test_a_roster_that_starts_anew_does_not_trust_what_clients_know(
    server, capulet, groups, house, juliet, nurse, talk
):
    talk.come(juliet)
    talk.come(nurse)
    capulet.kernel.plugins.reconfigure(capulet.kernel.plugins.running["roster"].setting)
    server.settle()
    juliet.received()
    house("romeo")
    ((_, _, version),) = talk.pushes(juliet)
    assert len(talk.query(juliet, version).elements) == 2
