"""The kit's server: hosts, plugins, faults inside, leaks, and a start on the same data."""

import logging

import gevent
import pytest

from stonechat import hookimpl
from stonechat.commands import CommandError, command
from stonechat.errors import ConfigError, StanzaError
from stonechat.options import PluginOptions, option
from stonechat.stanza import Element, Message
from stonechat.testing import TestServer

QUERY = "urn:example:query"


class Options(PluginOptions):
    greeting: str = option("Hail", "What it says.", min_length=1)


class Greeting:
    """Greets who asks."""

    Options = Options

    def __init__(self, host, options):
        self.host = host
        self.options = options

    @hookimpl
    def stonechat_iq_handlers(self):
        return {("get", QUERY): self.greet}

    @command("greet", "Say it.")
    def say(self) -> str:
        return self.options.greeting

    @command("greet-one", "Say it to somebody.")
    def say_to(self, name: str) -> str:
        return f"{self.options.greeting}, {name}"

    def greet(self, iq):
        return Element(QUERY, "greeting", None, self.options.greeting)


class Failing:
    """Fails at whatever it is asked."""

    def __init__(self, host, options):
        self.host = host

    @hookimpl
    def stonechat_iq_handlers(self):
        return {("get", QUERY): self.fail}

    def fail(self, iq):
        raise RuntimeError("Alack")


@pytest.fixture
def inner(tmp_path):
    """A server that a test may bring to an end itself."""
    return TestServer(tmp_path / "inner")


def greeting_of(client, host="capulet.example"):
    return client.get(Element(QUERY, "q"), to=host).payload.text


# Hosts and plugins


def test_a_plugin_is_given_as_a_class_with_options_that_are_checked(server):
    host = server.host(
        "capulet.example", plugin_classes={"greeting": Greeting}, greeting={"greeting": "Ave"}
    )
    assert host.plugin("greeting").options.greeting == "Ave"
    assert greeting_of(host.connect("juliet@capulet.example")) == "Ave"


def test_a_plugin_given_as_a_class_needs_no_options(server):
    host = server.host("capulet.example", plugin_classes={"greeting": Greeting})
    assert host.plugin("greeting").options.greeting == "Hail"


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"greting": "Ave"}, 'did you mean "greeting"'),
        ({"greeting": ""}, "hosts.capulet.example.plugins.greeting"),
    ],
)
def test_a_bad_option_is_told_as_an_operator_is_told(inner, options, fault):
    with pytest.raises(ConfigError) as caught:
        inner.host("capulet.example", plugin_classes={"greeting": Greeting}, greeting=options)
    assert fault in str(caught.value)
    inner.close()


def test_a_plugin_that_is_not_installed_is_told(inner):
    with pytest.raises(ConfigError, match="there is no plugin of this name"):
        inner.host("capulet.example", balcony={})
    inner.close()


def test_several_hosts_have_plugins_of_their_own_and_reach_each_other(server):
    capulet = server.host(
        "capulet.example", plugin_classes={"greeting": Greeting}, greeting={"greeting": "Ave"}
    )
    montague = server.host("montague.example", greeting={})
    romeo = montague.connect("romeo@montague.example")
    assert greeting_of(romeo, "capulet.example") == "Ave"
    assert greeting_of(romeo, "montague.example") == "Hail"
    assert capulet.plugin("greeting") is not montague.plugin("greeting")


def test_a_host_is_made_once(server):
    server.host("capulet.example")
    with pytest.raises(ValueError, match="served already"):
        server.host("capulet.example")


def test_a_plugin_that_does_not_start_fails_the_test_at_once(inner):
    class Broken:
        def __init__(self, host, options):
            raise RuntimeError("Alack")

    with pytest.raises(AssertionError, match="broken does not start: Alack"):
        inner.host("capulet.example", plugin_classes={"broken": Broken})
    with pytest.raises(AssertionError, match="plugin does not start"):
        inner.close()


def test_a_plugin_may_come_and_go_while_clients_are_there(server):
    host = server.host("capulet.example")
    juliet = host.connect("juliet@capulet.example")
    assert host.enable("greeting", {"greeting": "Ave"}, plugin_class=Greeting).options
    assert greeting_of(juliet) == "Ave"
    host.disable("greeting")
    with pytest.raises(StanzaError, match="service-unavailable"):
        greeting_of(juliet)
    with pytest.raises(LookupError, match="greeting does not run"):
        host.plugin("greeting")
    with pytest.raises(CommandError):
        host.disable("greeting")


def test_commands_of_plugins_can_be_run(server):
    server.host("capulet.example", plugin_classes={"greeting": Greeting})
    assert server.command("greet") == "Hail"
    # Whatever its arguments are called.
    assert server.command("greet-one", name="Juliet") == "Hail, Juliet"


def test_the_configuration_can_be_set_before_and_changed_later(server):
    server.configure(limits={"sessions_per_account": 1, "auth_failures": 2})
    host = server.host("capulet.example")
    host.connect("juliet@capulet.example/balcony")
    with pytest.raises(AssertionError, match="resource-constraint"):
        host.connect("juliet@capulet.example/chamber")
    server.configure(limits={"sessions_per_account": 2})
    host.connect("juliet@capulet.example/chamber")
    assert server.kernel.configuration.limits.auth_failures == 2


def test_nothing_runs_before_the_first_host(server):
    with pytest.raises(AssertionError, match="no host was made yet"):
        server.settle()


# A start on the same data


class Counting:
    """Counts its starts in a file."""

    def __init__(self, host, options):
        self.file = host.data_dir / "starts"

    def start(self):
        self.starts = int(self.file.read_text()) + 1 if self.file.exists() else 1
        self.file.write_text(str(self.starts))


def test_a_restart_keeps_hosts_plugins_accounts_and_data(server):
    host = server.host("capulet.example", plugin_classes={"counting": Counting})
    host.enable("greeting", {"greeting": "Ave"}, plugin_class=Greeting)
    host.create_account("juliet", "R0m30")
    juliet = host.connect("juliet@capulet.example/balcony")
    server.restart()
    assert juliet.closed_with() == "system-shutdown"
    assert host.plugin("counting").starts == 2
    assert greeting_of(host.connect("juliet@capulet.example/balcony")) == "Ave"


def test_what_was_disabled_stays_so_over_a_restart(server):
    host = server.host("capulet.example", plugin_classes={"greeting": Greeting})
    host.disable("greeting")
    server.restart()
    assert "greeting" not in host.kernel.plugins.running


# Faults inside


def test_a_plugin_that_fails_fails_the_test(inner):
    host = inner.host("capulet.example", plugin_classes={"failing": Failing})
    juliet = host.connect("juliet@capulet.example")
    answer = juliet.request("get", Element(QUERY, "q"), "capulet.example")
    assert answer.type == "error"
    assert len(inner.errors) == 1
    with pytest.raises(AssertionError) as caught:
        inner.close()
    assert "plugin failed" in str(caught.value)
    assert "RuntimeError: Alack" in str(caught.value)


def test_errors_that_are_expected_do_not_fail_the_test(inner):
    host = inner.host("capulet.example", plugin_classes={"failing": Failing})
    host.connect("juliet@capulet.example").request("get", Element(QUERY, "q"), "capulet.example")
    inner.expect_errors()
    inner.close()
    assert [record["plugin"] for record in inner.logged("plugin failed")] == ["failing"]


class Erring:
    """Errs where no stanza is at hand."""

    def __init__(self, host, options):
        self.host = host

    def err(self):
        raise RuntimeError("Alack")


@pytest.mark.parametrize(
    "begin",
    [
        lambda plugin: plugin.host.spawn(plugin.err),
        lambda plugin: plugin.host.call_later(0, plugin.err),
        lambda plugin: gevent.spawn(plugin.err),
        lambda plugin: logging.getLogger("stonechat_erring").error("Alack"),
    ],
    ids=["its greenlet", "its timer", "a stray greenlet", "its own log"],
)
def test_what_goes_wrong_in_the_background_fails_the_test(inner, begin):
    host = inner.host("capulet.example", plugin_classes={"erring": Erring})
    begin(host.plugin("erring"))
    inner.clock.advance(1)
    with pytest.raises(AssertionError, match="Alack"):
        inner.close()


def test_a_timer_of_the_kernel_that_blocks_the_hub_fails_the_test(inner):
    inner.host("capulet.example")
    inner.kernel.timers.add(1, gevent.sleep, 1)
    inner.clock.advance(1)
    with pytest.raises(AssertionError, match="timer failed"):
        inner.close()


def test_a_handler_of_the_kernel_that_fails_costs_its_connection_and_the_test(inner):
    host = inner.host("capulet.example")
    juliet = host.connect("juliet@capulet.example/balcony")
    host.kernel.session(juliet.jid)._wire._splitter = None
    juliet.send("<presence/>")
    assert juliet.is_closed
    with pytest.raises(AssertionError, match="connection failed"):
        inner.close()


def test_the_servers_log_is_shown_with_the_test(server, caplog):
    server.host("capulet.example", plugin_classes={"greeting": Greeting})
    assert "plugin started host='capulet.example' plugin='greeting'" in caplog.text


# Leaks


def test_a_greenlet_that_outlives_its_plugin_fails_the_test(inner):
    class Lingering:
        def __init__(self, host, options):
            self.over = gevent.event.Event()

        def start(self):
            self.greenlet = gevent.spawn(self.over.wait)

    host = inner.host("capulet.example", plugin_classes={"lingering": Lingering})
    over = host.plugin("lingering").over
    with pytest.raises(AssertionError, match="a greenlet is still alive"):
        inner.close()
    over.set()


def test_a_plugin_that_changed_the_kernels_tables_behind_its_back_fails_the_test(inner):
    class Sly:
        def __init__(self, host, options):
            self.kernel = host._kernel

        def start(self):
            self.kernel.services["poison"] = self

        def stop(self):
            self.kernel.local_iq.add(("get", QUERY), self.stop, "sly")

    inner.host("capulet.example", plugin_classes={"sly": Sly})
    with pytest.raises(AssertionError) as caught:
        inner.close()
    assert "the plugin sly has left its handler of get urn:example:query" in str(caught.value)
    assert "the service 'poison' is still provided" in str(caught.value)


def test_a_leak_shows_itself_where_the_plugin_is_disabled(inner):
    class Sly:
        def __init__(self, host, options):
            self.kernel = host._kernel

        def stop(self):
            self.kernel.account_iq.add(("set", QUERY), self.stop, "sly")

    host = inner.host("capulet.example", plugin_classes={"sly": Sly})
    with pytest.raises(AssertionError, match="has left its handler of set"):
        host.disable("sly")
    inner.close()


def test_what_is_acquired_through_the_host_leaks_nothing(server):
    class Busy:
        def __init__(self, host, options):
            self.host = host

        def start(self):
            self.host.register_route("echo.example", self.host.bounce)
            self.host.add_iq_handler("sm", QUERY, lambda iq: None)
            self.host.provide("poison", self)
            self.host.call_every(1, self.work)
            self.host.call_later(3600, self.work)
            self.host.spawn(gevent.sleep, 3600)

        def work(self):
            self.host.run_blocking(sum, [])

    host = server.host("capulet.example", plugin_classes={"busy": Busy})
    server.clock.advance(10)
    host.disable("busy")


def test_two_servers_may_run_in_one_test(server, inner):
    here = server.host("capulet.example", plugin_classes={"greeting": Greeting})
    there = inner.host("capulet.example", greeting={"greeting": "Ave"})
    assert greeting_of(here.connect("juliet@capulet.example")) == "Hail"
    assert greeting_of(there.connect("juliet@capulet.example")) == "Ave"
    inner.close()
    assert greeting_of(here.connect("romeo@capulet.example")) == "Hail"


def test_what_never_comes_to_rest_is_told(inner, monkeypatch):
    monkeypatch.setattr("stonechat.testing.rest.DEADLINE", 0.05)
    host = inner.host("capulet.example")
    juliet = host.connect("juliet@capulet.example")
    stop = []

    def spin():
        while not stop:
            gevent.sleep(0)

    spinning = gevent.spawn(spin)
    with pytest.raises(AssertionError, match="did not come to rest"):
        juliet.send(Message(to=juliet.bare))
    stop.append(True)
    spinning.join()
    inner.close()
