"""The plugins of a host: started in order, kept apart, stopped without a trace."""

import gevent
import pytest
from gevent.event import Event

from stonechat import hookimpl
from stonechat.commands import CommandError, command
from stonechat.core import plugin_loader, plugin_manager
from stonechat.core.config_types import PluginSetting
from stonechat.errors import ConfigError, StonechatError
from stonechat.options import PluginOptions, option
from stonechat.stanza import Element
from stonechat.testing import TestServer
from stonechat.testing.client import error_of

QUERY = "urn:example:query"
HOST = "capulet.example"
OTHER = "montague.example"


@pytest.fixture
def said():
    """What plugins say of their starts and stops, in order."""
    return []


@pytest.fixture
def inner(tmp_path):
    """A server whose start may fail."""
    server = TestServer(tmp_path / "inner")
    server.expect_errors()
    yield server
    server.close()


def make(said, name, *, requires=(), start=None, stop=None, hooks=None):
    """A class of a plugin that tells when it starts and stops."""

    class Options(PluginOptions):
        word: str = option("Hail", "What it says.")

    class Plugin:
        def __init__(self, host, options):
            self.host = host
            self.options = options

        def start(self):
            said.append(f"+{name}")
            if start is not None:
                start(self)

        def stop(self):
            said.append(f"-{name}")
            if stop is not None:
                stop(self)

    Plugin.Options = Options
    Plugin.requires = requires
    for hook, function in (hooks or {}).items():
        setattr(Plugin, hook, hookimpl(function))
    return Plugin


def fail(*_):
    raise RuntimeError("Alack")


def setting(name, required=False, **options):
    return PluginSetting(name, plugin_loader.options_of("plugin", name)(**options), required)


# Order


def test_each_starts_after_those_it_requires_and_stops_before_them(server, said):
    server.host(
        HOST,
        plugin_classes={
            "juliet": make(said, "juliet", requires=("romeo", "nurse")),
            "romeo": make(said, "romeo", requires=("mantua",)),
            "nurse": make(said, "nurse"),
            "mantua": make(said, "mantua"),
            "paris": make(said, "paris"),
        },
    )
    assert said == ["+mantua", "+romeo", "+nurse", "+juliet", "+paris"]
    said.clear()
    server.close()
    assert said == ["-paris", "-juliet", "-nurse", "-romeo", "-mantua"]


def test_one_whose_requirement_is_missing_is_quarantined_and_the_host_goes_on(inner, said):
    capulet = inner.host(
        HOST,
        plugin_classes={
            "juliet": make(said, "juliet", requires=("romeo", "nurse")),
            "friar": make(said, "friar", requires=("juliet",)),
            "nurse": make(said, "nurse"),
        },
    )
    assert said == ["+nurse"]
    assert capulet.kernel.plugins.quarantined == {
        "juliet": "it requires romeo, not enabled here",
        "friar": "it requires juliet, not enabled here",
    }
    assert list(capulet.kernel.plugins.running) == ["nurse"]


def test_those_that_require_each_other_do_not_start(inner, said):
    capulet = inner.host(
        HOST,
        plugin_classes={
            "juliet": make(said, "juliet", requires=("romeo",)),
            "romeo": make(said, "romeo", requires=("juliet",)),
            "narcissus": make(said, "narcissus", requires=("narcissus",)),
            "nurse": make(said, "nurse"),
        },
    )
    assert said == ["+nurse"]
    assert set(capulet.kernel.plugins.quarantined) == {"juliet", "romeo", "narcissus"}


# Faults at the start


class Unready:
    def __init__(self, host, options):
        host.provide("orchard", "wall")
        raise RuntimeError("Alack")


class WrongHook:
    def __init__(self, host, options): ...

    @hookimpl
    def stonechat_mesage_to_user(self, message): ...


class TakesCommand:
    def __init__(self, host, options): ...

    @command("status", "It is the kernel's.")
    def status(self): ...


def deadline(plugin):
    raise gevent.Timeout(1)


BAD = {
    "in its making": (Unready, "Alack"),
    "in its start": (lambda said: make(said, "bad", start=fail), "Alack"),
    "at a deadline": (lambda said: make(said, "bad", start=deadline), "1 second"),
    "without a word": (
        lambda said: make(said, "bad", start=lambda plugin: next(iter(()))),
        "StopIteration()",
    ),
    "by a hook that is none": (WrongHook, "mesage_to_user"),
    "by handlers that are none": (
        lambda said: make(said, "bad", hooks={"stonechat_iq_handlers": fail}),
        "Alack",
    ),
    "by a handler that is taken": (
        lambda said: make(
            said,
            "bad",
            hooks={"stonechat_account_iq_handlers": lambda self: {("get", QUERY): print}},
        ),
        "get urn:example:query is handled by the plugin good already",
    ),
    "by a handler before login that is taken": (
        lambda said: make(
            said,
            "bad",
            hooks={"stonechat_unauthenticated_iq_handlers": lambda self: {("get", QUERY): print}},
        ),
        "get urn:example:query before authentication is handled by the plugin good already",
    ),
    "by an element of a stream without a session that is taken": (
        lambda said: make(
            said,
            "bad",
            hooks={"stonechat_unbound_stream_elements": lambda self: {(QUERY, "ask"): print}},
        ),
        "<ask xmlns='urn:example:query'/> is handled by the plugin good already",
    ),
    "by an element of a session's stream that is taken": (
        lambda said: make(
            said, "bad", hooks={"stonechat_stream_elements": lambda self: {(QUERY, "ask"): print}}
        ),
        "<ask xmlns='urn:example:query'/> is handled by the plugin good already",
    ),
    "by a mechanism that is taken": (
        lambda said: make(
            said, "bad", hooks={"stonechat_sasl_mechanisms": lambda self: {"TOKEN": print}}
        ),
        "the mechanism TOKEN is the plugin good's already",
    ),
    "by a command that is taken": (TakesCommand, "the command status is offered by the kernel"),
}


def good(said):
    return make(
        said,
        "good",
        hooks={
            "stonechat_account_iq_handlers": lambda self: {("get", QUERY): print},
            "stonechat_unauthenticated_iq_handlers": lambda self: {("get", QUERY): print},
            "stonechat_unbound_stream_elements": lambda self: {(QUERY, "ask"): print},
            "stonechat_stream_elements": lambda self: {(QUERY, "ask"): print},
            "stonechat_sasl_mechanisms": lambda self: {"TOKEN": print},
        },
    )


@pytest.mark.parametrize(("kind", "reason"), BAD.values(), ids=BAD)
def test_one_that_does_not_start_is_quarantined_and_leaves_nothing(inner, said, kind, reason):
    cls = kind if isinstance(kind, type) else kind(said)
    capulet = inner.host(HOST, plugin_classes={"good": good(said), "bad": cls})
    plugins = capulet.kernel.plugins
    assert list(plugins.running) == ["good"]
    assert reason in plugins.quarantined["bad"]
    assert [call.plugin for call in capulet.kernel.hooks.calls() if call.plugin != "good"] == []
    assert capulet.kernel.services == {}
    (fault,) = inner.logged("plugin does not start")
    assert fault["plugin"] == "bad"
    # What is wrong here is as wrong when it is enabled later.
    capulet.kernel.plugins.disable("bad")
    with pytest.raises(CommandError, match="bad does not start"):
        capulet.enable("bad")


def test_one_that_fails_after_its_start_is_stopped(inner, said):
    inner.host(
        HOST, plugin_classes={"bad": make(said, "bad", hooks={"stonechat_iq_handlers": fail})}
    )
    assert said == ["+bad", "-bad"]


def test_one_that_fails_in_its_start_is_not(inner, said):
    inner.host(HOST, plugin_classes={"bad": make(said, "bad", start=fail)})
    assert said == ["+bad"]


def test_what_was_acquired_before_the_fault_is_taken_back(inner, said):
    def start(plugin):
        host = plugin.host
        host.register_route("bad.capulet.example", print)
        host.add_iq_handler("local", QUERY, print)
        host.provide("orchard", "wall")
        host.call_every(5, print)
        host.spawn(Event().wait)
        fail()

    capulet = inner.host(HOST, plugin_classes={"bad": make(said, "bad", start=start)})
    kernel = capulet.kernel
    assert kernel.router.owner("bad.capulet.example") == ""
    assert kernel.local_iq.namespaces() == set()
    assert kernel.services == {}
    inner.settle()


def test_a_required_plugin_stops_the_start(inner, said):
    with pytest.raises(ConfigError) as caught:
        inner.host(
            HOST,
            plugin_classes={
                "good": make(said, "good"),
                "bad": make(said, "bad", start=fail),
            },
            bad={"required": True},
        )
    assert caught.value.problems == (
        "capulet.example: the required plugin bad does not start: Alack",
    )
    # What had started was stopped again.
    assert said == ["+good", "+bad", "-good"]


# Enabling and disabling


def test_a_plugin_is_enabled_and_disabled_while_the_host_is_at_work(server, said):
    plugin = make(
        said,
        "plugin",
        hooks={"stonechat_iq_handlers": lambda self: {("get", QUERY): lambda iq: None}},
    )
    capulet = server.host(HOST)
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    capulet.enable("plugin", {"word": "Madam"}, plugin_class=plugin)
    assert capulet.plugin("plugin").options.word == "Madam"
    juliet.get(Element(QUERY, "query"), to=HOST)
    with pytest.raises(CommandError, match=r"plugin is enabled on capulet\.example already"):
        capulet.kernel.plugins.enable(setting("plugin"))
    capulet.disable("plugin")
    answer = juliet.request("get", Element(QUERY, "query"), to=HOST)
    assert error_of(answer).condition == "service-unavailable"
    with pytest.raises(CommandError, match=r"plugin is not enabled on capulet\.example"):
        capulet.kernel.plugins.disable("plugin")
    assert said == ["+plugin", "-plugin"]


def test_what_others_require_is_not_disabled(server, said):
    capulet = server.host(
        HOST,
        plugin_classes={
            "romeo": make(said, "romeo"),
            "juliet": make(said, "juliet", requires=("romeo",)),
            "nurse": make(said, "nurse", requires=("romeo",)),
        },
    )
    with pytest.raises(CommandError, match="romeo is required by juliet, nurse"):
        capulet.kernel.plugins.disable("romeo")
    for name in ("juliet", "nurse", "romeo"):
        capulet.disable(name)
    assert capulet.kernel.plugins.running == {}


def test_what_is_disabled_is_what_would_start_it_again(inner, said):
    capulet = inner.host(
        HOST,
        plugin_classes={"good": make(said, "good"), "bad": make(said, "bad", start=fail)},
        good={"word": "Madam", "required": True},
        bad={"word": "Nay"},
    )
    assert capulet.kernel.plugins.disable("good") == setting("good", required=True, word="Madam")
    assert capulet.kernel.plugins.disable("bad") == setting("bad", word="Nay")


def test_one_host_does_not_feel_what_happens_on_another(server, said):
    cls = make(
        said,
        "plugin",
        hooks={"stonechat_iq_handlers": lambda self: {("get", QUERY): lambda iq: None}},
    )
    capulet = server.host(HOST, plugin_classes={"plugin": cls})
    montague = server.host(OTHER, plugin={"word": "Nay"})
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    romeo = montague.connect(f"romeo@{OTHER}/orchard")
    kept = montague.plugin("plugin")
    kept.host.provide("orchard", "wall")
    ticks = []
    kept.host.call_every(5, ticks.append, 1)
    assert capulet.plugin("plugin") is not kept
    capulet.disable("plugin")
    server.clock.advance(5)
    assert ticks == [1]
    assert montague.plugin("plugin") is kept
    assert kept.host.service("orchard") == "wall"
    romeo.get(Element(QUERY, "query"), to=OTHER)
    with pytest.raises(StonechatError):
        juliet.get(Element(QUERY, "query"), to=HOST)
    capulet.enable("plugin")
    juliet.get(Element(QUERY, "query"), to=HOST)
    assert montague.plugin("plugin") is kept
    assert said == ["+plugin", "+plugin", "-plugin", "+plugin"]


def test_the_same_plugin_may_be_ill_on_one_host_only(inner, said):
    def start(plugin):
        if plugin.host.name == HOST:
            fail()

    capulet = inner.host(HOST, plugin_classes={"plugin": make(said, "plugin", start=start)})
    montague = inner.host(OTHER, plugin={})
    assert set(capulet.kernel.plugins.quarantined) == {"plugin"}
    assert set(montague.kernel.plugins.running) == {"plugin"}


# Stopping


def test_a_plugin_that_stops_leaves_nothing(server, said):
    cls = make(
        said,
        "plugin",
        hooks={
            "stonechat_iq_handlers": lambda self: {("get", QUERY): print},
            "stonechat_account_iq_handlers": lambda self: {("set", QUERY): print},
            "stonechat_unauthenticated_iq_handlers": lambda self: {("get", QUERY): print},
            "stonechat_unbound_stream_elements": lambda self: {(QUERY, "ask"): print},
            "stonechat_stream_elements": lambda self: {(QUERY, "ask"): print},
            "stonechat_sasl_mechanisms": lambda self: {"TOKEN": print},
            "stonechat_stream_features": lambda self: [lambda stream: None],
            "stonechat_message_to_user": lambda self, message: None,
        },
    )

    @command("shout", "Shout.")
    def shout(self): ...

    cls.shout = shout
    capulet = server.host(HOST, plugin_classes={"plugin": cls})
    kernel = capulet.kernel
    tables = (
        kernel.unauthenticated_iq,
        kernel.unbound_elements,
        kernel.session_elements,
        kernel.sasl_mechanisms,
    )
    assert all(tables)
    assert kernel.feature_makers
    capulet.disable("plugin")
    assert not any(tables)
    assert kernel.feature_makers == ()
    assert kernel.local_iq.namespaces() == kernel.account_iq.namespaces() == set()
    assert not kernel.hooks.message_to_user
    assert server.kernel.commands.hosts_of("shout") == []


def test_a_plugin_that_has_forgotten_what_it_offered_leaves_nothing_either(server, said):
    answers = [{("get", QUERY): print}]
    cls = make(
        said,
        "plugin",
        hooks={"stonechat_unauthenticated_iq_handlers": lambda self: answers.pop()},
    )
    capulet = server.host(HOST, plugin_classes={"plugin": cls})
    capulet.disable("plugin")
    assert capulet.kernel.unauthenticated_iq == {}
    assert capulet.kernel.plugins.running == {}


def hang(plugin):
    Event().wait()


@pytest.mark.parametrize("stop", [fail, deadline, hang])
def test_one_that_fails_to_stop_is_stopped(server, said, monkeypatch, stop):
    monkeypatch.setattr(plugin_manager, "STOP_SECONDS", 0.01)
    server.expect_errors()
    capulet = server.host(HOST, plugin_classes={"bad": make(said, "bad", stop=stop)})
    capulet.plugin("bad").host.provide("orchard", "wall")
    capulet.disable("bad")
    assert capulet.kernel.services == {}
    (fault,) = server.logged("plugin failed to stop")
    assert fault["plugin"] == "bad"
    assert len(server.logged("plugin stopped")) == 1


# New options


def test_new_options_start_it_anew_and_those_that_require_it(server, said):
    capulet = server.host(
        HOST,
        plugin_classes={
            "romeo": make(said, "romeo"),
            "juliet": make(said, "juliet", requires=("romeo",)),
            "friar": make(said, "friar", requires=("juliet",)),
            "nurse": make(said, "nurse"),
        },
        juliet={"word": "Ay me"},
    )
    said.clear()
    capulet.kernel.plugins.reconfigure(setting("romeo", word="But soft"))
    assert said == ["-friar", "-juliet", "-romeo", "+romeo", "+juliet", "+friar"]
    assert capulet.plugin("romeo").options.word == "But soft"
    assert capulet.plugin("juliet").options.word == "Ay me"


@pytest.mark.parametrize("required", [False, True])
def test_those_that_require_what_does_not_start_anew_are_not_forgotten(server, said, required):
    def start(plugin):
        if plugin.options.word == "bad":
            fail()

    server.expect_errors()
    capulet = server.host(
        HOST,
        plugin_classes={
            "romeo": make(said, "romeo", start=start),
            "juliet": make(said, "juliet", requires=("romeo",)),
        },
    )
    plugins = capulet.kernel.plugins
    bad = setting("romeo", required=required, word="bad")
    if required:
        with pytest.raises(ConfigError, match="the required plugin romeo does not start"):
            plugins.reconfigure(bad)
    else:
        plugins.reconfigure(bad)
    assert plugins.running == {}
    assert plugins.quarantined == {
        "romeo": "Alack",
        "juliet": "it requires romeo, not enabled here",
    }


# The error budget


@pytest.fixture
def clock(monkeypatch):
    """The manager's own clock."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(plugin_manager, "time", clock)
    return clock


def failing(said):
    return make(said, "bad", hooks={"stonechat_iq_handlers": lambda self: {("get", QUERY): fail}})


def ask(client, times):
    """What the host answers, and how often."""
    answers = [
        client.request("get", Element(QUERY, "query"), to=client.jid.domain) for _ in range(times)
    ]
    return {error_of(answer).condition for answer in answers}


def test_one_that_fails_too_often_within_a_minute_is_suspended(server, said, clock):
    server.expect_errors()
    server.configure(limits={"plugin_errors_per_minute": 5})
    capulet = server.host(
        HOST,
        plugin_classes={
            "bad": failing(said),
            "friend": make(said, "friend", requires=("bad",)),
            "good": make(said, "good"),
        },
    )
    juliet = capulet.connect(f"juliet@{HOST}/balcony")
    assert ask(juliet, 4) == {"internal-server-error"}
    clock.now += 60.1
    ask(juliet, 4)
    assert "bad" in capulet.kernel.plugins.running
    assert ask(juliet, 1) == {"internal-server-error"}
    server.settle()
    assert list(capulet.kernel.plugins.running) == ["good"]
    assert capulet.kernel.plugins.quarantined == {
        "bad": "suspended: it failed too often",
        "friend": "stopped, for it requires bad",
    }
    assert said[-2:] == ["-friend", "-bad"]
    assert ask(juliet, 1) == {"service-unavailable"}


def test_faults_of_one_host_do_not_count_on_another(server, said, clock):
    server.expect_errors()
    server.configure(limits={"plugin_errors_per_minute": 3})
    capulet = server.host(HOST, plugin_classes={"bad": failing(said)})
    montague = server.host(OTHER, bad={})
    for host in (capulet, montague):
        ask(host.connect(f"romeo@{host.name}/orchard"), 2)
    server.settle()
    assert "bad" in capulet.kernel.plugins.running
    assert "bad" in montague.kernel.plugins.running


def test_faults_of_nobody_are_counted_nowhere(server, said):
    capulet = server.host(HOST)
    for _ in range(200):
        capulet.kernel.plugins.count_failure("nobody")
    assert capulet.kernel.plugins.quarantined == {}


# Secrets


def test_a_plugin_has_a_secret_for_each_purpose_that_outlives_a_restart(server, said):
    one, other = make(said, "one"), make(said, "other")
    capulet = server.host(HOST, plugin_classes={"one": one, "other": other})
    montague = server.host("montague.example", plugin_classes={"one": one})

    def secrets():
        return [
            capulet.plugin("one").host.secret("tokens"),
            capulet.plugin("one").host.secret("links"),
            capulet.plugin("other").host.secret("tokens"),
            montague.plugin("one").host.secret("tokens"),
            capulet.plugin("one").host.secret("tokens", of_all_hosts=True),
            capulet.plugin("other").host.secret("tokens", of_all_hosts=True),
        ]

    first = secrets()
    assert [len(secret) for secret in first] == [32] * 6
    assert len(set(first)) == 6
    assert montague.plugin("one").host.secret("tokens", of_all_hosts=True) == first[4]
    server.restart()
    assert secrets() == first
