"""A required plugin that guards and is taken out of service leaves no open door (promise R13)."""

import pytest

from stonechat import hookimpl
from stonechat.commands import CommandError
from stonechat.core import plugin_loader
from stonechat.core.config_types import PluginSetting
from stonechat.errors import ConfigError, StanzaError
from stonechat.options import PluginOptions, option
from stonechat.plugin import HANDLED, Stage, concerns, stage
from stonechat.stanza import Message
from stonechat.testing import error_of
from stonechat.xml import Element

HOST = "capulet.example"
SWORD = "urn:example:sword"
REFUSED = "it failed too often; what it guards is refused until it is at work again"


class Options(PluginOptions):
    is_ill: bool = option(False, "Whether it cannot start.")


class Watch:
    """Lets no sword pass, and nothing by way of the wall; counts what else goes by."""

    Options = Options

    def __init__(self, host, options):
        if options.is_ill:
            raise RuntimeError("too ill")
        self.host = host
        self.seen = []

    @hookimpl
    @stage(Stage.GUARD)
    @concerns(f"{SWORD} sword")
    def stonechat_message_from_user(self, session, message):
        raise StanzaError("forbidden")

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_presence_to_user(self, presence):
        return HANDLED if presence.find("urn:example:wall", "wall") else None

    @hookimpl
    def stonechat_iq_from_user(self, session, iq):
        self.seen.append(iq)


class Captain:
    """Needs the watch, and guards the way in himself."""

    requires = ("watch",)

    def __init__(self, host, options):
        self.host = host

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_message_to_user(self, message):
        return None

    @hookimpl
    @stage(Stage.GUARD)
    def stonechat_iq_to_user(self, iq):
        return None


class Kept:
    """Writes down what gets to it."""

    def __init__(self, host, options):
        self.messages = []

    @hookimpl
    @stage(Stage.RECORD)
    def stonechat_message_from_user(self, session, message):
        self.messages.append(message.id)


def setting(name="watch", required=True, **options):
    return PluginSetting(name, plugin_loader.options_of("plugin", name)(**options), required)


@pytest.fixture
def make_host(server):
    def make(*, required=True, captain=None):
        server.expect_errors()
        classes = {"watch": Watch, "kept": Kept}
        others = {}
        if captain is not None:
            classes["captain"] = Captain
            others["captain"] = {"required": captain}
        host = server.host(HOST, plugin_classes=classes, watch={"required": required}, **others)
        host.kernel.plugins.errors_per_minute = 1
        return host

    return make


@pytest.fixture
def host(make_host):
    return make_host()


@pytest.fixture
def plugins(host):
    return host.kernel.plugins


@pytest.fixture
def juliet(host):
    return host.connect(f"juliet@{HOST}/balcony")


def suspend(server, host, name="watch"):
    host.kernel.plugins.count_failure(name)
    server.settle()
    assert name in host.kernel.plugins.quarantined


def say(client, *payload, to=None):
    """Send a message to oneself; the error that answers it, or None if it arrives."""
    client.send(Message(*payload, to=to or client.jid, id="m1"))
    answer = client.receive_message()
    return error_of(answer) if answer.type == "error" else None


def sword():
    return Element(SWORD, "sword")


# While it is out of service


def test_what_its_guards_would_have_seen_is_refused_and_all_else_passes(server, host, juliet):
    assert say(juliet, sword()).condition == "forbidden"
    suspend(server, host)
    error = say(juliet, sword())
    assert (error.condition, error.type) == ("internal-server-error", "wait")
    # Nobody behind it sees what it has not let through.
    assert host.plugin("kept").messages == []
    assert say(juliet) is None
    # It was no guard there.
    assert juliet.request("get", Element("urn:example:any", "query")).type == "error"
    romeo = host.connect(f"romeo@{HOST}/orchard")
    romeo.available()
    romeo.send(f"<presence to='{juliet.jid}'/>")
    assert [stanza.name for stanza in juliet.received()] == []


def test_the_status_and_the_log_say_so(server, host):
    assert server.command("status")["state"] == "running"
    suspend(server, host)
    status = server.command("status")
    assert status["state"] == "degraded"
    assert status["hosts"][0]["quarantined"] == {"watch": f"suspended: {REFUSED}"}
    (record,) = server.logged("guards closed")
    assert (record["plugin"], record["host"]) == ("watch", HOST)


def test_one_that_is_not_required_leaves_its_door_open(server, make_host):
    host = make_host(required=False)
    juliet = host.connect(f"juliet@{HOST}/balcony")
    suspend(server, host)
    assert say(juliet, sword()) is None
    assert host.kernel.plugins.quarantined == {"watch": "suspended: it failed too often"}
    assert server.logged("guards closed") == []


@pytest.mark.parametrize("required", [False, True])
def test_those_that_are_stopped_with_another_guard_on_if_they_are_required(
    server, make_host, required
):
    host = make_host(captain=required)
    juliet = host.connect(f"juliet@{HOST}/balcony")
    suspend(server, host)
    error = say(juliet)
    assert (error is not None) == required
    assert host.kernel.hooks.is_closed("captain") == required


def test_answers_pass_so_that_whoever_is_refused_learns_of_it(server, make_host):
    host = make_host(captain=True)
    juliet = host.connect(f"juliet@{HOST}/balcony")
    romeo = host.connect(f"romeo@{HOST}/orchard")
    suspend(server, host)
    answer = juliet.request("get", Element("urn:example:any", "query"), to=romeo.jid)
    assert error_of(answer).condition == "internal-server-error"
    assert say(juliet, to=romeo.jid).condition == "internal-server-error"
    assert romeo.received() == []
    for answer in ("result", "error"):
        juliet.send(f"<iq type='{answer}' id='1' to='{romeo.jid}'/>")
        assert romeo.receive_iq().type == answer


def test_there_is_no_moment_without_a_guard(server, host, juliet, monkeypatch):
    watch = host.plugin("watch")
    outcomes = []

    def stop():
        with pytest.raises(StanzaError) as raised:
            host.kernel.hooks.message_from_user.run(Message(sword()), None)
        outcomes.append(raised.value.condition)

    watch.stop = stop
    suspend(server, host)
    assert outcomes == ["internal-server-error"]


def test_nothing_of_the_plugin_is_kept(server, host):
    suspend(server, host)
    assert "watch" not in {call.plugin for call in host.kernel.hooks.calls()}
    host.kernel.plugins.disable("watch")
    assert not host.kernel.hooks.presence_to_user


# Until it is at work again


def test_one_that_starts_again_guards_by_itself(server, host, plugins, juliet):
    suspend(server, host)
    server.command("plugin-enable", plugin="watch")
    assert say(juliet, sword()).condition == "forbidden"
    assert plugins.quarantined == {}
    assert not host.kernel.hooks.is_closed("watch")


def test_one_that_does_not_start_again_leaves_it_closed(server, host, juliet):
    suspend(server, host)
    with pytest.raises(CommandError, match="too ill"):
        server.command("plugin-enable", plugin="watch", options='{"is_ill": true}')
    assert say(juliet, sword()).condition == "internal-server-error"


def test_who_disables_it_wants_no_guard(server, host, plugins, juliet):
    suspend(server, host)
    plugins.disable("watch")
    assert say(juliet, sword()) is None


def test_one_that_is_disabled_at_work_leaves_nothing_closed(host, juliet):
    host.disable("watch")
    assert say(juliet, sword()) is None


def test_one_that_does_not_survive_new_options_leaves_it_closed(host, plugins, juliet):
    with pytest.raises(ConfigError):
        plugins.reconfigure(setting(is_ill=True))
    assert say(juliet, sword()).condition == "internal-server-error"
    assert plugins.quarantined == {
        "watch": "too ill; what it guards is refused until it is at work again"
    }


def test_a_reload_may_take_it_away_or_let_it_go(server, host, plugins, juliet):
    for settings in ({}, {"watch": setting(required=False)}):
        suspend(server, host)
        plugins.require({"watch": setting(), "kept": setting("kept", required=False)})
        assert say(juliet, sword()).condition == "internal-server-error"
        plugins.require(settings)
        assert say(juliet, sword()) is None
        if "watch" in settings:
            assert not plugins._waiting["watch"].required
        plugins.enable(plugins.disable("watch"))
        plugins.running["watch"].required = True


def test_a_change_that_fails_and_is_undone_leaves_it_as_it_was(server, host, plugins, juliet):
    before = plugins.snapshot()
    with pytest.raises(ConfigError):
        plugins.change({"watch": setting(is_ill=True)}, {"watch"})
    assert say(juliet, sword()).condition == "internal-server-error"
    plugins.restore(before)
    assert say(juliet, sword()).condition == "forbidden"
    # And where it was closed before, it is closed again.
    suspend(server, host)
    before = plugins.snapshot()
    plugins.change({"watch": setting()}, {"watch"})
    assert say(juliet, sword()).condition == "forbidden"
    plugins.restore(before)
    assert say(juliet, sword()).condition == "internal-server-error"
    assert plugins.quarantined == {"watch": f"suspended: {REFUSED}"}


def test_a_change_without_it_opens_the_door(plugins, host, juliet):
    plugins.change({}, {"watch"})
    assert say(juliet, sword()) is None
    assert not host.kernel.hooks.is_closed("watch")
