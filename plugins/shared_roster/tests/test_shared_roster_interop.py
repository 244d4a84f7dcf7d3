"""slixmpp and shared groups, on a server that is a process of its own."""

import pytest

HOST = "capulet.example"
JULIET, NURSE, ROMEO = (f"{name}@{HOST}" for name in ("juliet", "nurse", "romeo"))


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {HOST: {}},
            "access": {"admin": {"users": [NURSE]}},
            "plugins": {"roster": {}, "disco": {}, "ping": {}, "adhoc": {}, "shared_roster": {}},
        }
    )
    process.register(JULIET, NURSE, ROMEO)
    return process


@pytest.fixture
def login(process, slixmpp):
    def login(jid):
        person = slixmpp.login(process, jid, "xep_0050")
        person.get_roster()
        person.available()
        return person

    return login


def entry(person, jid):
    item = person.xmpp.client_roster[jid]
    return item["subscription"], item["name"], list(item["groups"])


def test_a_group_from_its_beginning_to_its_end(process, login):
    process.run("shared-group-create", "capulets", "--label", "House of Capulet")
    for jid in (JULIET, NURSE):
        process.run("shared-group-add", "capulets", jid)
    juliet = login(f"{JULIET}/balcony")
    nurse = login(f"{NURSE}/house")
    assert entry(juliet, NURSE) == ("both", "", ["House of Capulet"])
    juliet.presence(NURSE)

    # Another comes: by a command from the shell, and as a new account with @all@.
    process.run("shared-group-add", "capulets", ROMEO)
    assert juliet.push(ROMEO, "both")["groups"] == ["House of Capulet"]
    romeo = login(f"{ROMEO}/orchard")
    juliet.presence(ROMEO)
    romeo.presence(JULIET)
    process.run("shared-group-add", "capulets", "@all@")
    process.register(f"tybalt@{HOST}")
    juliet.push(f"tybalt@{HOST}", "both")

    # What a client calls somebody is its own; to remove it takes that away, and no more.
    groups = ["Lovers", "House of Capulet"]
    juliet.run(lambda: juliet.xmpp.update_roster(ROMEO, name="Husband", groups=groups))
    pushed = juliet.push(ROMEO, "both", name="Husband")
    assert sorted(pushed["groups"]) == ["House of Capulet", "Lovers"]
    # slixmpp ends the subscriptions before, each by itself.
    juliet.run(lambda: juliet.xmpp.del_roster_item(ROMEO))
    assert juliet.push(ROMEO, "both", name="")["groups"] == ["House of Capulet"]

    # The administrator ends it, from her client.
    commands = nurse.call("xep_0050", "get_commands", jid=HOST)
    nodes = [item[1] for item in commands["disco_items"]["items"]]
    (node,) = [node for node in nodes if node.endswith("shared-group-delete")]
    begun = nurse.call("xep_0050", "send_command", HOST, node)
    form = nurse.call("xep_0004", "make_form", ftype="submit")
    form.add_field("group", value="capulets")
    session = {"action": "complete", "sessionid": begun["command"]["sessionid"]}
    done = nurse.call("xep_0050", "send_command", HOST, node, payload=form, **session)
    assert done["command"]["status"] == "completed"
    juliet.push(ROMEO, "remove")
    romeo.presence(JULIET, "unavailable")
    assert "capulets" not in process.run("shared-group-list")


def roster_of(person):
    roster = person.xmpp.client_roster
    found = {jid: entry(person, jid) for jid in roster if jid != person.bare}
    return found, roster.version


def test_what_was_confirmed_outlives_a_kill_and_so_does_its_version(process, login):
    # Robustness promise R2.
    process.run("shared-group-create", "verona", "--label", "Verona")
    process.run("shared-group-add", "verona", "@all@")
    before = roster_of(login(f"{JULIET}/balcony"))
    assert before[0] == {NURSE: ("both", "", ["Verona"]), ROMEO: ("both", "", ["Verona"])}
    assert before[1]
    process.kill()
    process.start()
    assert roster_of(login(f"{JULIET}/balcony")) == before
