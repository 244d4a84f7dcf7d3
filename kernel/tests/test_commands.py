"""Commands: declared by a method's signature, read from plain data."""

from types import SimpleNamespace

import pytest

from stonechat.auth import Secret
from stonechat.commands import (
    MISSING,
    CommandError,
    Parameter,
    Text,
    command,
    commands_of,
    declaration,
)
from stonechat.core.command_registry import CommandRegistry
from stonechat.jid import JID

JULIET = JID.parse("juliet@capulet.example")


class Doors:
    """Commands of one host."""

    def __init__(self, host=""):
        self.host = host

    @command("kick", "Show somebody out.", example="stonechat kick romeo@montague.example")
    def kick(self, jid: JID, reason: str = "", times: int = 1, loudly: bool = False) -> str:
        """Out of the orchard, too."""
        return f"{self.host}: {jid} {reason} {times} {loudly}"

    @command("doors", "Count the doors.", permission="guests")
    def count(self):
        return self.host

    def no_command(self):
        raise AssertionError


class OnHost:
    @command("lock", "Lock the doors.")
    def lock(self, host: str = "") -> str:
        return host


# Declaring


def test_a_method_declares_a_command():
    (doors, count), (kick, _) = commands_of(Doors("capulet.example"))
    assert (doors.name, doors.sentence, doors.parameters) == ("doors", "Count the doors.", ())
    assert (doors.permission, doors.example, doors.help) == ("guests", "", "")
    assert count() == "capulet.example"
    assert kick.permission == "admin"
    assert kick.example == "stonechat kick romeo@montague.example"
    assert kick.help == "Out of the orchard, too."
    assert kick.parameters == (
        Parameter("jid", JID),
        Parameter("reason", str, ""),
        Parameter("times", int, 1),
        Parameter("loudly", bool, False),
    )
    assert [parameter.is_required for parameter in kick.parameters] == [True, False, False, False]
    assert kick.parameters[0].default is MISSING


def test_a_command_stays_a_method_that_can_be_called():
    assert Doors("here").kick(JULIET) == "here: juliet@capulet.example  1 False"


class Gate:
    """A command whose rule an operator chooses, and one that a protocol names."""

    options = SimpleNamespace(access="porters")

    @command("close", "Close the gate.", permission_option="access", whole_node=True)
    def close(self) -> None: ...

    @command("open", "Open the gate.", adhoc_node="http://capulet.example/gate#open")
    def open(self) -> None: ...


def test_the_rule_of_a_command_may_be_an_option():
    (close, _), (open_, _) = commands_of(Gate())
    assert (close.permission, close.whole_node, close.adhoc_node) == ("porters", True, "")
    assert (open_.permission, open_.whole_node) == ("admin", False)
    assert open_.adhoc_node == "http://capulet.example/gate#open"
    assert declaration(Gate.close).permission == "admin"


def test_what_declares_nothing_is_no_command():
    assert declaration(Doors.no_command) is None
    assert commands_of(object()) == []


def test_a_parameter_without_a_type_is_text():
    @command("say", "Say it.")
    def say(words):
        return words

    assert declaration(say).parameters == (Parameter("words", str),)


def test_a_type_that_no_face_can_read_is_refused():
    @command("say", "Say it.")
    def lists(words: list[str]): ...

    @command("say", "Say it.")
    def many(*words: str): ...

    @command("say", "Say it.")
    def named(**words: str): ...

    for function in (lists, many, named):
        with pytest.raises(TypeError, match="command say"):
            declaration(function)


# Reading


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (str, "a", "a"),
        (str, 7, "7"),
        (str, "", ""),
        (int, 7, 7),
        (int, 0, 0),
        (int, 1, 1),
        (int, "-7", -7),
        (bool, True, True),
        (bool, "True", True),
        (bool, "yes", True),
        (bool, "no", False),
        (bool, "FALSE", False),
        (JID, "Juliet@Capulet.example", JULIET),
        (JID, JULIET, JULIET),
        (Secret, "honey", Secret("honey")),
        (Secret, 1234, Secret("1234")),
        (Text, "two\nlines", Text("two\nlines")),
    ],
)
def test_a_value_is_read_as_its_type(kind, value, read):
    found = Parameter("x", kind).read(value)
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("kind", "value", "fault"),
    [
        (int, "seven", "x: 'seven' is not a whole number"),
        (int, "1.5", "x: '1.5' is not a whole number"),
        (int, 1.5, "x: '1.5' is not a whole number"),
        (int, True, "x: 'True' is not a whole number"),
        (int, "9" * 5000, "is not a whole number"),
        (bool, "maybe", "x: 'maybe' is not true or false"),
        (bool, 1, "x: '1' is not true or false"),
        (JID, "a@b@c", "x: "),
        (JID, "", "x: "),
        (str, None, "x: a single value is wanted"),
        (str, ["a"], "x: a single value is wanted"),
        (str, {"a": 1}, "x: a single value is wanted"),
        (int, None, "x: a single value is wanted"),
        (JID, None, "x: a single value is wanted"),
        (Secret, None, "x: a single value is wanted"),
        (Text, ["a"], "x: a single value is wanted"),
    ],
)
def test_a_value_that_is_not_of_its_type_is_refused(kind, value, fault):
    with pytest.raises(CommandError) as caught:
        Parameter("x", kind).read(value)
    assert fault in str(caught.value)


def test_arguments_are_read_together():
    kick = declaration(Doors.kick)
    assert kick.read({"jid": JULIET.text, "times": "2"}) == {"jid": JULIET, "times": 2}
    with pytest.raises(CommandError, match="kick needs 'jid'"):
        kick.read({"reason": "late"})
    with pytest.raises(CommandError, match="kick has no parameter 'who'"):
        kick.read({"jid": JULIET.text, "who": "?"})


# Finding and running


@pytest.fixture
def registry():
    """A command of the kernel, and one of a plugin on two hosts."""
    registry = CommandRegistry()
    registry.add_owner(OnHost())
    for host in ("capulet.example", "montague.example"):
        registry.add_owner(Doors(host), host=host, plugin="doors")
    return registry


def test_commands_are_listed_by_name_with_their_hosts(registry):
    assert [found.name for found in registry.commands()] == ["doors", "kick", "lock"]
    assert registry.hosts_of("doors") == ["capulet.example", "montague.example"]
    assert registry.hosts_of("lock") == registry.hosts_of("none") == []


def test_a_command_that_is_not_there_is_told(registry):
    with pytest.raises(CommandError, match="there is no command 'unlock'"):
        registry.run("unlock", {})


@pytest.mark.parametrize(
    ("arguments", "host"),
    [
        ({"jid": "romeo@montague.example"}, "montague.example"),
        ({"jid": "romeo@mantua.example", "host": "capulet.example"}, "capulet.example"),
        ({"jid": "romeo@mantua.example", "host": "Capulet.Example"}, "capulet.example"),
    ],
)
def test_the_host_is_the_one_that_is_named_or_that_of_the_address(registry, arguments, host):
    assert registry.run("kick", arguments).startswith(f"{host}: ")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({}, "say on which host: capulet.example, montague.example"),
        ({"host": "verona.example"}, "verona.example has no such command"),
        ({"host": "a b"}, "host: "),
        ({"host": ["capulet.example"]}, "host: "),
    ],
)
def test_which_host_is_meant_must_be_clear(registry, arguments, fault):
    with pytest.raises(CommandError, match=fault):
        registry.run("doors", arguments)


def test_with_one_host_none_need_be_named():
    registry = CommandRegistry()
    registry.add_owner(Doors("capulet.example"), host="capulet.example", plugin="doors")
    assert registry.run("doors", {}) == "capulet.example"
    with pytest.raises(CommandError, match=r"montague\.example has no such command"):
        registry.run("kick", {"jid": "romeo@montague.example"})


def test_a_host_may_be_a_parameter_of_the_command_itself(registry):
    assert registry.run("lock", {"host": "Anywhere"}) == "Anywhere"
    other = CommandRegistry()
    for host in ("capulet.example", "montague.example"):
        other.add_owner(OnHost(), host=host, plugin="locks")
    assert other.run("lock", {"host": "montague.example"}) == "montague.example"


def test_a_command_may_be_given_on_all_hosts_that_have_it(registry):
    assert registry.run("doors", {"host": "*"}) == {
        "capulet.example": "capulet.example",
        "montague.example": "montague.example",
    }
    with pytest.raises(CommandError, match="an address is on one host only"):
        registry.run("kick", {"host": "*", "jid": JULIET.text})
    # The kernel's own are about all without a host.
    assert registry.run("lock", {"host": "*"}) == ""


def test_each_of_all_hosts_is_told_its_name():
    locks = CommandRegistry()
    for host in ("capulet.example", "montague.example"):
        locks.add_owner(OnHost(), host=host, plugin="locks")
    hosts = ["capulet.example", "montague.example"]
    assert locks.run("lock", {"host": "*"}) == {host: host for host in hosts}


def test_where_all_hosts_refuse_it_is_refused():
    class Porter:
        @command("knock", "Knock.")
        def knock(self) -> None:
            raise CommandError("nobody is up")

    porters = CommandRegistry()
    for host in ("capulet.example", "montague.example"):
        porters.add_owner(Porter(), host=host, plugin="porter")
    with pytest.raises(CommandError, match="nobody is up"):
        porters.run("knock", {"host": "*"})


def test_a_command_of_the_node_is_on_no_host():
    registry = CommandRegistry()
    registry.add_owner(Doors())
    with pytest.raises(CommandError, match="doors has no parameter 'host'"):
        registry.run("doors", {"host": "capulet.example"})


def test_the_arguments_of_the_caller_stay_as_they_are(registry):
    arguments = {"host": "capulet.example"}
    registry.run("doors", arguments)
    assert arguments == {"host": "capulet.example"}


@pytest.mark.parametrize(
    ("host", "plugin"),
    [("verona.example", "gates"), ("capulet.example", "doors"), ("", "")],
)
def test_a_name_belongs_to_one_plugin_and_once_to_each_host(registry, host, plugin):
    with pytest.raises(ValueError, match="the command doors is offered by doors already"):
        registry.add_owner(Doors(), host=host, plugin=plugin)
    assert registry.hosts_of("kick") == ["capulet.example", "montague.example"]


def test_a_command_of_the_kernel_cannot_be_taken(registry):
    with pytest.raises(ValueError, match="lock is offered by the kernel already"):
        registry.add_owner(OnHost(), host="capulet.example", plugin="locks")


def test_what_an_owner_offered_goes_with_it(registry):
    owner = Doors("verona.example")
    registry.add_owner(owner, host="verona.example", plugin="doors")
    registry.remove_owner(owner)
    assert registry.hosts_of("doors") == ["capulet.example", "montague.example"]
    registry.remove_owner(owner)
    alone = CommandRegistry()
    alone.add_owner(owner, host="verona.example", plugin="doors")
    alone.remove_owner(owner)
    assert alone.commands() == []
