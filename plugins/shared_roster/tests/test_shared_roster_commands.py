"""How groups are managed, by whom, and within what bounds."""

import pytest

from stonechat.commands import CommandError
from stonechat.errors import StanzaError
from stonechat.forms import Field, Form
from stonechat.jid import JID
from stonechat.stanza import Element

HOST = "capulet.example"
NS_COMMANDS = "http://jabber.org/protocol/commands"


def test_a_group_is_created_shown_changed_and_deleted(groups):
    made = groups("create", " capulets ", label="House of Capulet", description="Verona")
    assert made == {
        "group": "capulets",
        "label": "House of Capulet",
        "description": "Verona",
        "members": 0,
        "everybody": False,
        "online": False,
        "displays": ["capulets"],
    }
    assert groups("show", "capulets") == made
    assert groups("list") == [made]
    changed = groups("set", "capulets", description="They keep a feast")
    assert changed == {**made, "description": "They keep a feast"}
    assert groups("set", "capulets", label="The Capulets")["label"] == "The Capulets"
    assert groups("delete", "capulets") is None
    assert groups("list") == []


def test_members_are_added_and_removed(capulet, groups):
    capulet.create_account("juliet")
    groups("create", "capulets")
    for member in ("Juliet@Capulet.Example", "@all@", "@online@"):
        groups("add", "capulets", member=member)
    assert groups("members", "capulets") == ["@all@", "@online@", f"juliet@{HOST}"]
    shown = groups("show", "capulets")
    assert (shown["members"], shown["everybody"], shown["online"]) == (1, True, True)
    groups("remove", "capulets", member="@all@")
    groups("remove", "capulets", member=f"juliet@{HOST}")
    assert groups("members", "capulets") == ["@online@"]


def test_a_group_that_is_deleted_is_displayed_no_longer(server, groups):
    groups("create", "capulets")
    groups("create", "montagues", displays="capulets, montagues")
    groups("delete", "capulets")
    assert groups("show", "montagues")["displays"] == ["montagues"]
    groups("create", "capulets")
    server.restart()
    assert groups("show", "montagues")["displays"] == ["montagues"]


@pytest.mark.parametrize(
    ("name", "arguments", "condition"),
    [
        ("create", {"group": ""}, ""),
        ("create", {"group": "a,b"}, ""),
        ("create", {"group": "@all@"}, ""),
        ("create", {"group": "x" * 101}, ""),
        ("create", {"group": "bell\x07"}, ""),
        ("create", {"group": "verona", "label": "bell\x07"}, ""),
        ("create", {"group": "verona", "label": "x" * 256}, ""),
        ("create", {"group": "verona", "description": "x" * 1001}, ""),
        ("create", {"group": "verona", "displays": "nobody"}, "item-not-found"),
        ("create", {"group": "capulets"}, "conflict"),
        ("show", {"group": "nobody"}, "item-not-found"),
        ("members", {"group": "nobody"}, "item-not-found"),
        ("set", {"group": "nobody"}, "item-not-found"),
        ("delete", {"group": "nobody"}, "item-not-found"),
        ("add", {"group": "nobody", "member": "@all@"}, "item-not-found"),
        ("add", {"group": "capulets", "member": "@recent@"}, ""),
        ("add", {"group": "capulets", "member": "juliet"}, ""),
        ("add", {"group": "capulets", "member": HOST}, ""),
        ("add", {"group": "capulets", "member": f"juliet@{HOST}/balcony"}, ""),
        ("add", {"group": "capulets", "member": "romeo@montague.example"}, ""),
        ("add", {"group": "capulets", "member": f"tybalt@{HOST}"}, "item-not-found"),
        ("add", {"group": "capulets", "member": f"juliet@{HOST}"}, "conflict"),
        ("remove", {"group": "capulets", "member": "@all@"}, "item-not-found"),
        ("remove", {"group": "capulets", "member": f"tybalt@{HOST}"}, "item-not-found"),
        ("display", {"group": "capulets", "displayed": "nobody"}, "item-not-found"),
        ("display", {"group": "nobody", "displayed": "capulets"}, "item-not-found"),
        ("hide", {"group": "capulets", "displayed": "servants"}, "item-not-found"),
    ],
)
def test_commands_say_what_is_wrong(house, groups, name, arguments, condition):
    groups("create", "servants")
    before = groups("list"), groups("members", "capulets")
    with pytest.raises(CommandError) as excinfo:
        groups(name, **arguments)
    assert excinfo.value.condition == condition
    assert (groups("list"), groups("members", "capulets")) == before


def test_there_are_so_many_groups_of_so_many_at_most(server):
    capulet = server.host(HOST, roster={}, shared_roster={"max_groups": 1, "max_members": 1})
    for name in ("juliet", "nurse"):
        capulet.create_account(name)
    server.command("shared-group-create", group="capulets")
    server.command("shared-group-add", group="capulets", member=f"juliet@{HOST}")
    with pytest.raises(CommandError):
        server.command("shared-group-add", group="capulets", member=f"nurse@{HOST}")
    with pytest.raises(CommandError):
        server.command("shared-group-create", group="montagues")
    assert server.command("shared-group-members", group="capulets") == [f"juliet@{HOST}"]
    assert len(server.command("shared-group-list")) == 1


def test_with_several_hosts_a_command_says_for_which(server, capulet):
    server.host("montague.example", roster={}, shared_roster={})
    with pytest.raises(CommandError):
        server.command("shared-group-create", group="capulets")
    server.command("shared-group-create", group="capulets", host=HOST)
    assert server.command("shared-group-list", host="montague.example") == []


# As ad-hoc commands (XEP-0050)


@pytest.fixture
def verona(server):
    server.configure(access={"admin": {"users": [f"nurse@{HOST}"]}})
    return server.host(HOST, roster={}, shared_roster={}, adhoc={}, disco={})


def ask(client, command, **fields):
    element = Element(NS_COMMANDS, "command", {"node": command})
    answer = client.set(element, to=HOST).payload
    form = Form("submit", fields=[Field(var, values=(value,)) for var, value in fields.items()])
    element = Element(
        NS_COMMANDS,
        "command",
        {"node": command, "sessionid": answer.get("sessionid"), "action": "complete"},
        form.to_element(),
    )
    return client.set(element, to=HOST).payload


def nodes(client):
    query = Element("http://jabber.org/protocol/disco#items", "query", {"node": NS_COMMANDS})
    return {item.get("node") for item in client.get(query, to=HOST).payload.elements}


def node(client, name):
    (found,) = [node for node in nodes(client) if node.endswith(name)]
    return found


def test_administrators_manage_groups_from_their_clients(server, verona, talk):
    nurse = verona.connect(f"nurse@{HOST}/house")
    juliet = verona.connect(f"juliet@{HOST}/balcony")
    talk.query(juliet)
    created = ask(nurse, node(nurse, "shared-group-create"), group="verona", label="Verona")
    assert created.get("status") == "completed"
    for member in (f"juliet@{HOST}", f"nurse@{HOST}"):
        ask(nurse, node(nurse, "shared-group-add"), group="verona", member=member)
    assert talk.pushed(juliet) == {"nurse": ("both", "", ["Verona"])}


def test_nobody_else_does(server, verona):
    nurse = verona.connect(f"nurse@{HOST}/house")
    juliet = verona.connect(f"juliet@{HOST}/balcony")
    assert not [node for node in nodes(juliet) if "shared-group" in node]
    create = node(nurse, "shared-group-create")
    with pytest.raises(StanzaError) as excinfo:
        juliet.set(Element(NS_COMMANDS, "command", {"node": create}), to=HOST)
    assert excinfo.value.condition == "forbidden"
    host = verona.plugin("shared_roster").host
    with pytest.raises(StanzaError) as excinfo:
        host.run_command("shared-group-create", JID.parse(juliet.jid.text), group="verona")
    assert excinfo.value.condition == "forbidden"
    assert server.command("shared-group-list") == []


def test_the_operator_says_who_may(server):
    server.configure(access={"admin": {"users": []}, "heads": {"users": [f"nurse@{HOST}"]}})
    verona = server.host(HOST, roster={}, shared_roster={"access": "heads"})
    host = verona.plugin("shared_roster").host
    host.run_command("shared-group-create", JID.parse(f"nurse@{HOST}"), group="verona")
    with pytest.raises(StanzaError):
        host.run_command("shared-group-delete", JID.parse(f"juliet@{HOST}"), group="verona")
    assert [group["group"] for group in server.command("shared-group-list")] == ["verona"]
