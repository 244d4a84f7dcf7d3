"""Groups of a directory in rosters: who sees whom, when it changes, and when it is away."""

import pytest

from stonechat.errors import StanzaError
from stonechat.plugin import SharedGroup
from stonechat_shared_roster_ldap import Options
from stonechat_shared_roster_ldap.contacts import Contacts
from stonechat_shared_roster_ldap.groups import fold_dn, renew

HOST = "capulet.example"
JULIET = "Juliet of the House of Capulet"


def add_group(slapd, name, members, kind="groupOfNames", attribute="member", **more):
    lines = "".join(f"{attribute}: {member}\n" for member in members)
    lines += "".join(f"{key}: {value}\n" for key, value in more.items())
    slapd.add(f"dn: cn={name},ou=groups,{slapd.base}\nobjectClass: {kind}\ncn: {name}\n{lines}")


def change(slapd, name, text):
    slapd.modify(f"dn: cn={name},ou=groups,{slapd.base}\nchangetype: modify\n{text}")


def dn_of(slapd, name):
    return f"uid={name},ou=people,{slapd.base}"


# Who sees whom


def test_members_of_a_group_have_each_other_in_their_rosters(capulet, login, talk, verona):
    host = capulet(verona)
    romeo, juliet, nurse = (login(host, name) for name in ("romeo", "juliet", "nurse"))
    assert talk.roster(romeo) == {"juliet": ("both", JULIET, ["lovers"])}
    assert talk.roster(juliet) == {
        "romeo": ("both", "Romeo Montague", ["lovers"]),
        "nurse": ("both", "Angelica", ["chat"]),
    }
    assert talk.roster(nurse) == {"juliet": ("both", JULIET, ["chat"])}
    for client in (romeo, juliet, nurse):
        client.available()
    assert ("", juliet.jid.text) in talk.presences(nurse)


def test_all_groups_are_seen_where_the_administrator_wants_it(capulet, login, talk, verona):
    host = capulet(verona, shows="all")
    romeo = talk.roster(login(host, "romeo"))
    assert romeo == {
        "juliet": ("both", JULIET, ["chat", "lovers"]),
        "nurse": ("both", "Angelica", ["chat"]),
    }


def test_attributes_of_people_are_groups_too(capulet, login, talk, verona):
    host = capulet(verona, person_groups=["departmentNumber"], group_filter="")
    assert talk.roster(login(host, "nurse")) == {
        "juliet": ("both", JULIET, ["Capulets"]),
        "romeo": ("both", "Romeo Montague", ["Messengers"]),
    }


def test_labels_and_names_come_from_where_the_administrator_says(capulet, login, talk, verona):
    host = capulet(verona, group_label=["description", "cn"], contact_name=["givenName", "mail"])
    assert talk.roster(login(host, "juliet")) == {
        "nurse": ("both", "nurse@mail.capulet.example", ["Who may talk"]),
        "romeo": ("both", "Romeo", ["lovers"]),
    }


def test_only_what_fits_the_filter_is_a_group(capulet, login, talk, verona):
    host = capulet(verona, group_filter="(objectClass=posixGroup)")
    assert talk.roster(login(host, "nurse")) == {}


def test_groups_within_groups_and_circles_of_them(server, capulet, login, talk, slapd):
    outer = f"cn=outer,ou=groups,{slapd.base}"
    add_group(slapd, "inner", [dn_of(slapd, "ROMEO").replace(",", " , "), outer])
    add_group(slapd, "outer", [dn_of(slapd, "nurse"), f"cn=Inner, ou=groups,{slapd.base}"])
    add_group(
        slapd,
        "unique",
        [dn_of(slapd, "juliet"), dn_of(slapd, "nobody"), f"cn=nothing,{slapd.base}"],
        kind="groupOfUniqueNames",
        attribute="uniqueMember",
    )
    host = capulet(slapd)
    assert talk.roster(login(host, "romeo"))["nurse"] == (
        *("both", "Angelica"),
        ["inner", "outer"],
    )
    groups = {row["label"]: row["members"] for row in server.command("ldap-group-list", host=HOST)}
    assert groups == {"chat": 2, "inner": 2, "lovers": 2, "outer": 2, "unique": 1}


def test_names_that_nobody_has_are_passed_over(server, capulet, slapd):
    add_group(
        slapd,
        "odd",
        ["tybalt", "with a space", "JULIET"],
        kind="posixGroup",
        attribute="memberUid",
        gidNumber=1,
    )
    capulet(slapd)
    rows = {row["label"]: row["members"] for row in server.command("ldap-group-list", host=HOST)}
    assert rows["odd"] == 1


def test_strangers_to_the_directory_see_nobody(server, talk, verona, options_for):
    host = server.host(
        HOST, roster={}, shared_roster_ldap={"directory": options_for(verona), "shows": "all"}
    )
    tybalt = host.connect(f"tybalt@{HOST}/street")
    assert talk.roster(tybalt) == {}
    directory = host.plugin("shared_roster_ldap").link.directory
    host.disable("shared_roster_ldap")
    assert directory.open_connections == 0


# Changes


def test_a_change_reaches_who_is_online_when_it_is_read(server, capulet, login, talk, slapd):
    host = capulet(slapd, refresh="1 min")
    romeo, nurse = login(host, "romeo"), login(host, "nurse")
    for client in (romeo, nurse):
        talk.roster(client)
        client.available()
    romeo.received()
    change(slapd, "chat", f"add: member\nmember: {dn_of(slapd, 'romeo')}\n")
    server.clock.advance(30)
    assert talk.pushed(romeo) == {}
    server.clock.advance(35)
    assert talk.pushed(romeo) == {
        "juliet": ("both", JULIET, ["chat", "lovers"]),
        "nurse": ("both", "Angelica", ["chat"]),
    }
    change(slapd, "chat", f"delete: member\nmember: {dn_of(slapd, 'romeo')}\n")
    assert server.command("ldap-group-refresh", host=HOST) == {"groups": 2}
    assert talk.pushed(romeo)["nurse"][0] == "remove"


def test_what_has_not_changed_is_not_told(server, capulet, login, talk, verona):
    host = capulet(verona)
    juliet = login(host, "juliet")
    version = talk.version(juliet)
    plugin = host.plugin("shared_roster_ldap")
    before = plugin.of("juliet")
    server.command("ldap-group-refresh", host=HOST)
    assert plugin.of("juliet") is before
    assert talk.version(juliet) == version
    assert talk.pushed(juliet) == {}


def test_the_end_of_the_plugin_is_the_end_of_its_contacts(server, capulet, login, talk, verona):
    host = capulet(verona)
    romeo = login(host, "romeo")
    assert talk.roster(romeo)
    romeo.available()
    host.disable("shared_roster_ldap")
    server.clock.advance(6)
    assert talk.pushed(romeo)["juliet"][0] == "remove"
    assert talk.roster(romeo) == {}


# The directory is away


def test_groups_stay_while_the_directory_is_away(server, capulet, login, talk, slapd):
    host = capulet(slapd, refresh="1 min")
    romeo = login(host, "romeo")
    slapd.stop()
    server.clock.advance(200)
    assert talk.roster(romeo) == {"juliet": ("both", JULIET, ["lovers"])}
    assert len(server.logged("groups cannot be read, those that are known stay")) == 1
    slapd.start()
    change(slapd, "lovers", "delete: memberUid\nmemberUid: romeo\n")
    # It looks more often now than it would.
    server.clock.advance(11)
    assert len(server.logged("groups can be read again")) == 1
    assert talk.roster(romeo) == {}


def test_rosters_wait_for_a_directory_that_never_answered(server, talk, slapd, options_for):
    slapd.stop()
    host = server.host(HOST, roster={}, shared_roster_ldap={"directory": options_for(slapd)})
    juliet = host.connect(f"juliet@{HOST}/balcony")
    with pytest.raises(StanzaError) as refused:
        talk.roster(juliet)
    assert (refused.value.condition, refused.value.type) == ("internal-server-error", "wait")
    slapd.start()
    server.clock.advance(2)
    # Her groups are not below the people.
    assert talk.roster(juliet) == {}


def test_a_slip_is_told_when_somebody_asks_for_it(server, capulet, verona):
    capulet(verona, group_base="ou=nowhere,dc=capulet,dc=example")
    (record,) = server.logged("groups cannot be read, those that are known stay")
    assert "ou=nowhere" in record["reason"]
    with pytest.raises(Exception, match="noSuchObject"):
        server.command("ldap-group-refresh", host=HOST)


# Bounds


def test_no_more_is_shared_than_allowed(server, capulet, slapd):
    slapd.stop()
    slapd.load(
        "\n".join(
            f"dn: cn=group{n:02},ou=groups,{slapd.base}\nobjectClass: posixGroup\n"
            f"cn: group{n:02}\ngidNumber: {n}\nmemberUid: juliet\n"
            for n in range(20)
        )
    )
    slapd.start()
    capulet(slapd, max_groups=5)
    assert len(server.command("ldap-group-list", host=HOST)) == 5
    assert server.logged("not all groups are shared")


def test_no_more_people_are_read_than_allowed(server, capulet, verona):
    host = capulet(verona, max_people=2)
    members = {
        member
        for group in host.plugin("shared_roster_ldap").contacts.groups.values()
        for member in group.members
    }
    assert len(members) <= 2
    assert server.logged("not all people are shared")


def test_answers_are_kept_in_bounds(monkeypatch):
    monkeypatch.setattr("stonechat_shared_roster_ldap.contacts.MAX_ANSWERS", 3)
    contacts = Contacts("own")
    contacts.put({f"g{n}": SharedGroup(f"g{n}", "x", {f"u{n}": ""}) for n in range(10)})
    for n in range(10):
        assert contacts.of(f"u{n}").shown[0].name == f"g{n}"
    assert len(contacts._answers) <= 3


# The parts


def test_a_group_that_is_the_same_stays_the_same_object():
    old = {"a": SharedGroup("a", "A", {"x": ""}), "b": SharedGroup("b", "B", {"x": ""})}
    new = {"a": SharedGroup("a", "A", {"x": ""}), "b": SharedGroup("b", "B", {"y": ""})}
    renewed = renew(old, new)
    assert renewed["a"] is old["a"]
    assert renewed["b"] is new["b"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("uid=Romeo,ou=People", "UID=romeo, OU = people"),
        ("cn=Montague\\, Romeo,ou=x", "cn=Montague\\2C Romeo,ou=x"),
        ("cn=\u0420\u043e\u043c\u0435\u043e", "cn=\\d0\\a0\\D0\\BE\\D0\\BC\\D0\\B5\\D0\\BE"),
    ],
)
def test_a_name_has_many_spellings(one, other):
    assert fold_dn(one) == fold_dn(other)


def test_names_that_differ_stay_different():
    assert fold_dn("cn=a\\,b,ou=x") != fold_dn("cn=a,b,ou=x")
    assert fold_dn("cn=a\\2cou=y") != fold_dn("cn=a,ou=y")


@pytest.mark.parametrize(
    "options",
    [{"group_filter": "cn"}, {"group_base": "x"}, {"member_dns": ["a b"]}, {"refresh": "500 ms"}],
)
def test_a_slip_in_the_options_is_told_at_the_start(options):
    with pytest.raises(ValueError, match=r"must be|greater"):
        Options(**options)
