"""The kernel's own commands, as every face offers them."""

import gevent
import pytest

from stonechat.commands import CommandError, command
from stonechat.plugin import hookimpl


def refused(server, name, **arguments) -> str:
    with pytest.raises(CommandError) as caught:
        server.command(name, **arguments)
    return str(caught.value)


# Accounts


def test_an_account_is_made_changed_and_removed(server):
    host = server.host("capulet.example")
    server.command("register", jid="Juliet@capulet.example", password="wherefore")
    assert server.command("registered-users") == ["juliet@capulet.example"]
    server.command("change-password", jid="juliet@capulet.example", password="art thou")
    accounts = host.kernel.accounts
    assert accounts.check_password("juliet", "art thou")
    server.command("unregister", jid="juliet@capulet.example")
    assert server.command("registered-users") == []


def test_removing_an_account_ends_its_sessions(server):
    juliet = server.host("capulet.example").connect("juliet@capulet.example/balcony")
    server.command("unregister", jid="juliet@capulet.example")
    assert juliet.closed_with() == "not-authorized"


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("register", {"jid": "juliet@capulet.example", "password": "x"}, "already"),
        ("register", {"jid": "romeo@capulet.example", "password": ""}, "password"),
        ("register", {"jid": "capulet.example", "password": "x"}, "is no account"),
        ("register", {"jid": "a@capulet.example/b", "password": "x"}, "is no account"),
        ("register", {"jid": "a@verona.example", "password": "x"}, "is not served here"),
        ("unregister", {"jid": "romeo@capulet.example"}, "romeo@capulet.example"),
        ("change-password", {"jid": "romeo@capulet.example", "password": "x"}, "romeo"),
        ("registered-users", {"host": "verona.example"}, "is not served here"),
        ("registered-users", {"host": "@"}, "host: "),
    ],
)
def test_what_cannot_be_done_with_an_account_is_told(server, name, arguments, text):
    server.host("capulet.example").create_account("juliet")
    assert text in refused(server, name, **arguments)


def test_accounts_are_listed_piece_by_piece(server):
    host = server.host("capulet.example")
    for name in ("nurse", "juliet", "tybalt"):
        host.create_account(name)
    first = server.command("registered-users", limit=2)
    assert first == ["juliet@capulet.example", "nurse@capulet.example"]
    assert server.command("registered-users", after="nurse") == ["tybalt@capulet.example"]


def test_of_several_hosts_one_has_to_be_named(server):
    server.host("capulet.example")
    server.host("montague.example")
    assert "capulet.example, montague.example" in refused(server, "registered-users")


# Sessions


def test_sessions_are_listed_as_they_are(server):
    server.configure(allow_plain_without_tls=True)
    juliet = server.host("capulet.example").connect("juliet@capulet.example/balcony")
    server.host("montague.example").connect("romeo@montague.example/orchard", tls=False)
    juliet.available(priority=5)
    first, second = server.command("connected-users")
    assert first["jid"] == "juliet@capulet.example/balcony"
    assert (first["secure"], first["priority"]) == (True, 5)
    assert (second["secure"], second["priority"]) == (False, None)
    assert first["connected_since"].endswith("Z")
    assert server.command("connected-users", host="montague.example") == [second]
    assert server.command("connected-users", limit=1) == [first]


def test_a_kick_closes_one_session_or_all_of_an_account(server):
    host = server.host("capulet.example")
    one, two, three = (
        host.connect(f"juliet@capulet.example/{place}") for place in ("balcony", "tomb", "hall")
    )
    assert server.command("kick", jid="juliet@capulet.example/tomb") == 1
    assert two.closed_with() == "policy-violation"
    assert server.command("kick", jid="juliet@capulet.example", reason="Too loud") == 2
    assert one.closed_with() == three.closed_with() == "policy-violation"
    assert "is not connected" in refused(server, "kick", jid="juliet@capulet.example")


# The node


def test_status_is_degraded_while_a_plugin_is_quarantined(server):
    server.expect_errors()
    host = server.host("capulet.example", ping={})
    assert server.command("status")["state"] == "running"
    with pytest.raises(CommandError):
        host.enable("sick", plugin_class=Sick)
    status = server.command("status")
    assert status["state"] == "degraded"
    assert status["hosts"][0]["plugins"] == ["ping"]
    assert status["hosts"][0]["quarantined"] == {"sick": "too ill"}


class Sick:
    """Cannot start."""

    def __init__(self, host, options) -> None:
        raise RuntimeError("too ill")


def test_a_backup_is_asked_for_by_an_absolute_path(server, tmp_path):
    server.host("capulet.example")
    assert "is no absolute path" in refused(server, "backup", path="copy.db")
    target = tmp_path / "copy.db"
    result = server.command("backup", path=str(target))
    assert result["bytes"] == target.stat().st_size
    assert "is there already" in refused(server, "backup", path=str(target))


# Plugins


def test_a_plugin_is_enabled_with_the_options_of_the_file_or_with_given_ones(server):
    host = server.host("capulet.example", ping={"interval": 600})
    server.command("plugin-disable", plugin="ping")
    server.command("plugin-enable", plugin="ping")
    assert host.plugin("ping").options.interval == 600
    server.command("plugin-disable", plugin="ping")
    server.command("plugin-enable", plugin="ping", options='{"interval": "5 min"}')
    assert host.plugin("ping").options.interval == 300


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"plugin": "pink"}, 'did you mean "ping"'),
        ({"plugin": "ping"}, "enabled on capulet.example already"),
        ({"plugin": "version", "options": "{"}, "options:"),
        ({"plugin": "version", "options": "[]"}, "must be a mapping"),
        ({"plugin": "version", "options": "{show_os: 7}"}, "options:1:11: show_os: must be true"),
        ({"plugin": "version", "host": "verona.example"}, "is not served here"),
    ],
)
def test_what_keeps_a_plugin_from_being_enabled_is_told(server, arguments, text):
    server.host("capulet.example", ping={})
    assert text in refused(server, "plugin-enable", **arguments)


def test_a_plugin_is_enabled_wherever_it_is_not(server):
    server.host("capulet.example", ping={})
    server.host("montague.example")
    result = server.command("plugin-enable", plugin="ping")
    assert result["hosts"] == ["montague.example"]
    assert result["refused"] == ["ping is enabled on capulet.example already"]


class Announcer:
    """A plugin with a command of its own."""

    def __init__(self, host, options) -> None:
        self.host = host

    @command("announce", "Tell everybody.")
    def announce(self, text: str) -> str:
        return f"{self.host.name}: {text}"


def test_a_plugin_s_command_comes_and_goes_with_it(server):
    host = server.host("capulet.example")
    host.enable("announcer", plugin_class=Announcer)
    assert server.command("announce", text="O") == "capulet.example: O"
    server.command("plugin-disable", plugin="announcer")
    assert refused(server, "announce", text="O") == "there is no command 'announce'"


# Stopping


class Mourner:
    """Takes its time over the end of a session."""

    gate: gevent.event.Event

    def __init__(self, host, options) -> None:
        Mourner.gate = gevent.event.Event()

    @hookimpl
    def stonechat_session_closed(self, session):
        self.gate.wait()


def test_a_second_stop_makes_haste(server):
    host = server.host("capulet.example")
    host.enable("mourner", plugin_class=Mourner)
    juliet = host.connect("juliet@capulet.example/balcony")
    kernel = server.kernel
    first = gevent.spawn(kernel.stop, 600)
    assert juliet.closed_with() == "system-shutdown"
    assert not kernel.stopped.is_set()
    kernel.stop(0)
    first.get(timeout=10)
    assert kernel.stopped.is_set()
    Mourner.gate.set()


def test_a_plugin_that_nobody_has_is_refused_by_its_name(server):
    server.host("capulet.example")
    with pytest.raises(CommandError, match="versoin: there is no plugin of this name"):
        server.command("plugin-enable", plugin="versoin", host="capulet.example")
