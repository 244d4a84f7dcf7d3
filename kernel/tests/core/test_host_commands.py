"""Commands through a host: who may give which, on what, and what is written down of it."""

import pytest

from stonechat.auth import Secret
from stonechat.commands import CommandError, Text, command
from stonechat.core.access import AccessRule, AccessRules
from stonechat.errors import StanzaError, StorageError
from stonechat.jid import JID
from stonechat.options import PluginOptions, option
from stonechat.storage import StorageFull

CAPULET, MONTAGUE = "capulet.example", "montague.example"
NURSE = JID.parse("nurse@capulet.example/house")
FRIAR = JID.parse("friar@verona.example/cell")
JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
SILENCE, NOTHING = Text(), Secret("")


class Bell:
    """Commands of one host."""

    def __init__(self, host, options) -> None:
        self.host = host

    @command("ring", "Ring the bell.")
    def ring(self, times: int = 1, words: Text = SILENCE, secret: Secret = NOTHING) -> str:
        if times < 0:
            raise CommandError("nobody can unring a bell")
        if times > 9:
            raise RuntimeError("the rope is broken")
        if times == 9:
            raise StorageFull("no room")
        if times == 8:
            raise StorageError("away")
        return f"{self.host.name}: {times}"

    @command("ring-for", "Ring for somebody.")
    def ring_for(self, jid: JID, name: str = "", caller: str = "") -> str:
        return f"{self.host.name}: {jid} {name} {caller}"

    @command("muffle", "Muffle the bell.", local=True)
    def muffle(self) -> str:
        return "muffled"

    @command("ring-all", "Ring all bells of the town.", whole_node=True)
    def ring_all(self) -> str:
        return "dong"


class ClockOptions(PluginOptions):
    access: str = option("admin", "Who may.")


class Clock:
    """A command whose rule is an option."""

    Options = ClockOptions

    def __init__(self, host, options) -> None:
        self.options = options

    @command("wind", "Wind the clock.", permission_option="access")
    def wind(self) -> str:
        return "wound"


def rules(*admins: JID, **others: JID) -> AccessRules:
    found = {"admin": AccessRule(users=[str(jid.bare) for jid in admins])}
    found |= {name: AccessRule(users=[str(jid.bare)]) for name, jid in others.items()}
    return AccessRules(found)


@pytest.fixture
def town(server):
    """Two hosts: the nurse is at home on one of them, the friar looks after the node."""
    server.configure(access={"admin": {"users": [str(FRIAR.bare)]}})
    for name in (CAPULET, MONTAGUE):
        host = server.host(name, plugin_classes={"bell": Bell})
        host.create_account("juliet" if name == CAPULET else "romeo")
    capulet = server.kernel.hosts[CAPULET]
    capulet.access = rules(NURSE, FRIAR)
    return server


def at(server, host=CAPULET):
    return server.kernel.hosts[host]


def run(server, name, caller=NURSE, door=CAPULET, /, **arguments):
    return at(server, door).run_command(name, arguments, caller)


def refused(server, name, caller=NURSE, door=CAPULET, /, **arguments) -> str:
    """The stanza error's condition, or the text of the other."""
    with pytest.raises((StanzaError, CommandError)) as caught:
        run(server, name, caller, door, **arguments)
    error = caught.value
    return error.condition if isinstance(error, StanzaError) else str(error)


def names(commands) -> set[str]:
    return {found.name for found in commands}


# What is offered


def test_a_host_offers_the_kernel_s_commands_and_those_of_its_plugins(town):
    town.host("mantua.example", plugin_classes={"clock": Clock})
    offered = names(at(town).commands(None))
    assert {"ring", "ring-for", "register", "status", "connected-users"} <= offered
    assert "wind" not in offered
    assert "there is no command 'wind' here" in refused(town, "wind")


def test_nobody_writes_files_of_the_machine_from_elsewhere(town):
    assert "backup" not in names(at(town).commands(FRIAR))
    assert "no command" in refused(town, "backup", FRIAR, path="/tmp/copy.db")
    assert "no command" in refused(town, "muffle", FRIAR)


def test_somebody_is_offered_what_they_may(town):
    mine = names(at(town).commands(NURSE))
    assert {"ring", "register", "kick", "connected-users"} <= mine
    assert not mine & {"status", "stop", "restart", "reload", "ring-all", "plugin-enable"}
    assert {"status", "stop", "ring-all", "plugin-enable"} <= names(at(town).commands(FRIAR))
    assert at(town, MONTAGUE).commands(NURSE) == []
    assert at(town).commands(JID.parse(JULIET)) == []


def test_a_plugin_s_command_shows_that_it_can_be_given_on_another_host(town):
    offered = {found.name: found for found in at(town).commands(None)}
    host = offered["ring"].parameters[-1]
    assert (host.name, host.type, host.default) == ("host", str, CAPULET)
    assert not offered["ring-for"].has("host")


def test_on_the_only_host_that_has_it_there_is_nothing_to_choose(server):
    host = server.host(CAPULET, plugin_classes={"bell": Bell})
    offered = {found.name: found for found in host.kernel.commands(None)}
    assert not offered["ring"].has("host")


# Who may


def test_without_another_word_it_is_for_this_host(town):
    assert run(town, "ring", times="3") == "capulet.example: 3"
    assert run(town, "registered-users") == [JULIET]
    assert run(town, "registered-users", FRIAR, MONTAGUE) == [ROMEO]


def test_a_stranger_may_nothing(town):
    for name in ("ring", "register", "status"):
        assert refused(town, name, JID.parse(f"{JULIET}/balcony")) == "forbidden"
    assert refused(town, "ring", JID.parse("mercutio@verona.example")) == "forbidden"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("kick", {"jid": ROMEO}),
        ("kick", {"jid": f"{ROMEO}/orchard"}),
        ("kick", {"jid": "romeo@MONTAGUE.example"}),
        ("register", {"jid": "benvolio@montague.example", "password": "x"}),
        ("unregister", {"jid": ROMEO}),
        ("change-password", {"jid": ROMEO, "password": "x"}),
        ("registered-users", {"host": MONTAGUE}),
        ("registered-users", {"host": "Montague.example."}),
        ("registered-users", {"host": "*"}),
        ("connected-users", {"host": "*"}),
        ("connected-users", {"host": MONTAGUE}),
        ("plugin-list", {"host": MONTAGUE}),
        ("ring", {"host": MONTAGUE}),
        ("ring", {"host": "*"}),
        ("ring-for", {"jid": ROMEO}),
        ("ring-for", {"jid": JULIET, "host": MONTAGUE}),
    ],
)
def test_a_rule_of_one_host_reaches_no_other(town, name, arguments):
    assert refused(town, name, **arguments) == "forbidden"
    at(town, MONTAGUE).access = rules(NURSE, FRIAR)
    # And it was only for that.
    if arguments.get("host") != "*":
        assert refused_by_rule(town, name, arguments) is False


def refused_by_rule(server, name, arguments) -> bool:
    try:
        run(server, name, **arguments)
    except CommandError:
        return False
    except StanzaError as error:
        return error.condition == "forbidden"
    return False


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("status", {}),
        ("metrics", {}),
        ("stop", {}),
        ("restart", {}),
        ("reload", {"dry_run": True}),
        ("check-store", {}),
        ("plugin-enable", {"plugin": "ping"}),
        ("plugin-disable", {"plugin": "bell", "host": CAPULET}),
        ("plugin-reload", {"plugin": "bell"}),
        ("ring-all", {}),
    ],
)
def test_the_whole_node_is_not_a_host_s_administrator_s(town, name, arguments):
    assert refused(town, name, **arguments) == "forbidden"
    assert not town.kernel.is_stopping
    assert "bell" in at(town).plugins.running


def test_whoever_looks_after_the_node_may_do_what_is_about_all_of_it(town):
    assert run(town, "ring-all", FRIAR) == "dong"
    assert run(town, "status", FRIAR)["state"] == "running"
    assert run(town, "connected-users", FRIAR, host="*") == []


def test_a_host_s_rule_keeps_the_node_s_administrator_out_too(town):
    at(town, MONTAGUE).access = rules(NURSE)
    assert refused(town, "kick", FRIAR, jid=ROMEO) == "forbidden"
    assert refused(town, "connected-users", FRIAR, host="*") == "forbidden"
    assert refused(town, "ring", FRIAR, host="*") == "forbidden"


def test_the_door_that_is_used_has_to_be_open(town):
    # The nurse may on Montague's host, too, but comes by one that does not know her.
    mantua = town.host("mantua.example", plugin_classes={"bell": Bell})
    at(town, MONTAGUE).access = rules(NURSE)
    assert refused(town, "kick", NURSE, mantua.name, jid=ROMEO) == "forbidden"


def test_who_has_the_rule_on_both_hosts_acts_on_both(town):
    at(town, MONTAGUE).access = rules(NURSE)
    assert run(town, "ring", host=MONTAGUE) == "montague.example: 1"
    assert run(town, "ring", host="*", times=2) == {
        CAPULET: "capulet.example: 2",
        MONTAGUE: "montague.example: 2",
    }
    run(town, "unregister", jid=ROMEO)
    assert run(town, "registered-users", host=MONTAGUE) == []


def test_a_rule_may_want_the_address_of_a_client_of_ours(server):
    host = server.host(CAPULET, plugin_classes={"bell": Bell})
    nurse = host.connect("nurse@capulet.example/house", address="192.0.2.7")
    host.kernel.access = AccessRules(
        {"admin": AccessRule(users=["nurse@capulet.example"], addresses=["192.0.2.0/24"])}
    )
    assert run(server, "ring", nurse.jid) == "capulet.example: 1"
    abroad = host.connect("nurse@capulet.example/ship", address="203.0.113.9")
    assert refused(server, "ring", abroad.jid) == "forbidden"
    # Who is not seen to connect from anywhere does not.
    assert refused(server, "ring", nurse.bare) == "forbidden"
    assert refused(server, "ring", JID.parse("nurse@capulet.example/lost")) == "forbidden"
    assert "ring" in names(host.kernel.commands(nurse.jid))
    assert host.kernel.commands(abroad.jid) == []


def test_the_rule_of_a_command_may_be_an_option_of_its_plugin(server):
    host = server.host(CAPULET, plugin_classes={"clock": Clock}, clock={"access": "clocks"})
    host.kernel.access = rules(FRIAR, clocks=NURSE)
    assert run(server, "wind", NURSE) == "wound"
    assert refused(server, "wind", FRIAR) == "forbidden"
    assert names(host.kernel.commands(NURSE)) == {"wind"}


def test_each_host_s_own_rule_holds_for_what_is_done_there(server):
    capulet = server.host(CAPULET, plugin_classes={"clock": Clock})
    montague = server.host(MONTAGUE, plugin_classes={"clock": Clock}, clock={"access": "clocks"})
    capulet.kernel.access = rules(NURSE, clocks=NURSE)
    montague.kernel.access = rules(NURSE)
    assert refused(server, "wind", NURSE, host=MONTAGUE) == "forbidden"
    with pytest.raises(StanzaError, match="access rule"):
        capulet.kernel.run_command("wind", {"host": MONTAGUE}, NURSE)
    montague.kernel.access = rules(NURSE, clocks=NURSE)
    assert capulet.kernel.run_command("wind", {"host": MONTAGUE}, NURSE) == "wound"


# What is wrong with it


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("unlock", {}, "there is no command 'unlock' here"),
        ("ring", {"times": "often"}, "is not a whole number"),
        ("ring", {"times": -1}, "unring"),
        ("ring", {"bells": 2}, "has no parameter 'bells'"),
        ("ring", {"host": "a b"}, "host: "),
        ("kick", {"jid": "paris@mantua.example"}, "mantua.example is not served here"),
        ("kick", {}, "kick needs 'jid'"),
        ("registered-users", {"host": "mantua.example"}, "mantua.example is not served here"),
        ("registered-users", {"host": "@"}, "host: "),
        ("ring-for", {"jid": JULIET, "host": "*"}, "an address is on one host only"),
    ],
)
def test_what_the_caller_can_mend_is_told(town, name, arguments, text):
    assert text in refused(town, name, **arguments)


def test_the_other_hosts_are_not_named_to_who_comes_by_one(town):
    for arguments in ({"host": "mantua.example"}, {"host": "mantua.example", "times": 2}):
        text = refused(town, "ring", **arguments)
        assert "mantua.example has no such command" in text
        assert MONTAGUE not in text


def test_a_parameter_may_be_called_as_ours_are(town):
    face = at(town).plugins.running["bell"].instance.host
    text = face.run_command("ring-for", NURSE, jid=JULIET, name="J", caller="N")
    assert text == f"capulet.example: {JULIET} J N"
    assert "ring" in names(face.commands(NURSE))
    assert face.commands(JID.parse(JULIET)) == []


def test_of_all_hosts_one_may_refuse(town):
    at(town, MONTAGUE).access = rules(NURSE)

    def refuse(times=1, words="", secret=""):
        raise CommandError("the rope is wet")

    for offer in town.kernel.commands._offers["ring"]:
        if offer.host == MONTAGUE:
            object.__setattr__(offer, "function", refuse)
    results = run(town, "ring", host="*")
    assert results == {CAPULET: "capulet.example: 1", MONTAGUE: "refused: the rope is wet"}


def test_a_fault_is_the_plugin_s_whose_command_it_is(town):
    town.expect_errors()
    assert refused(town, "ring", times=99) == "internal-server-error"
    assert any("where='command ring'" in line for line in town.errors)
    assert "plugin='bell'" in town.errors[0]


@pytest.mark.parametrize(
    ("times", "condition"), [(9, "resource-constraint"), (8, "internal-server-error")]
)
def test_trouble_of_the_store_passes(town, times, condition):
    town.expect_errors()
    with pytest.raises(StanzaError) as caught:
        run(town, "ring", times=times)
    assert (caught.value.condition, caught.value.type) == (condition, "wait")


# What is written down


def test_every_command_is_logged_with_who_gave_it(town):
    run(town, "ring", times=3, words="Rise, fair sun", secret="honeysuckle")
    refused(town, "ring", times=-1)
    refused(town, "kick", jid=ROMEO)
    refused(town, "ring", JID.parse(JULIET))
    records = town.logged("command")
    assert [record["outcome"] for record in records] == ["done", *["refused"] * 3]
    assert [record["command"] for record in records] == ["ring", "ring", "kick", "ring"]
    assert records[0]["caller"] == str(NURSE)
    assert records[0]["arguments"] == {"times": 3}
    assert records[1]["reason"] == "nobody can unring a bell"
    assert records[2]["arguments"] == {"jid": ROMEO}
    assert records[2]["reason"] == "forbidden"
    assert (records[3]["caller"], records[3]["arguments"]) == (JULIET, {})
    shown = repr(town.logged())
    assert "honeysuckle" not in shown
    assert "fair sun" not in shown


def test_a_password_is_never_logged(town):
    run(town, "register", jid="tybalt@capulet.example", password="good King of Cats")
    refused(town, "change-password", jid="paris@capulet.example", password="good King of Cats")
    assert "King of Cats" not in repr(town.logged())
    assert town.logged("command")[0]["arguments"] == {"jid": "tybalt@capulet.example"}


# What a refusal is in the words of stanza errors


@pytest.mark.parametrize(
    ("name", "arguments", "condition"),
    [
        ("register", {"jid": JULIET, "password": "x"}, "conflict"),
        ("register", {"jid": "paris@capulet.example", "password": ""}, "not-acceptable"),
        ("register", {"jid": CAPULET, "password": "x"}, "not-acceptable"),
        ("unregister", {"jid": "paris@capulet.example"}, "item-not-found"),
        ("kick", {"jid": "paris@capulet.example"}, "item-not-found"),
        ("unlock", {}, "item-not-found"),
        ("ring", {"times": -1}, ""),
    ],
)
def test_a_refusal_has_a_condition_where_there_is_one(town, name, arguments, condition):
    with pytest.raises(CommandError) as caught:
        run(town, name, **arguments)
    assert caught.value.condition == condition


# Figures


def test_a_host_says_how_many_use_it_and_how_many_all_hosts(town):
    town.clock.advance(60)
    capulet = at(town).plugins.running["bell"].instance.host
    before = capulet.figures(all_hosts=True)
    town._hosts[CAPULET].connect(f"{JULIET}/balcony")
    town._hosts[CAPULET].connect(f"{JULIET}/chamber")
    town._hosts[MONTAGUE].connect(f"{ROMEO}/orchard")
    mine, all_ = capulet.figures(), capulet.figures(all_hosts=True)
    assert (mine.online, mine.sessions, mine.registered) == (1, 2, 1)
    assert (all_.online, all_.sessions, all_.registered) == (2, 3, 2)
    assert before.online == 0
    assert before.uptime >= 60
