"""What a plugin acquires on its host, and that all of it is taken back."""

import gevent
import pytest
from gevent.event import Event

from stonechat import hookimpl
from stonechat.commands import CommandError
from stonechat.core import ledger as module
from stonechat.errors import StanzaError
from stonechat.iq import add_iq_handler, remove_iq_handler
from stonechat.jid import JID
from stonechat.stanza import Element, Message
from stonechat.testing.client import error_of

QUERY = "urn:example:query"
ECHO = "echo.capulet.example"


class Plugin:
    """Acquires what a test tells it to."""

    def __init__(self, host, options):
        self.host = host


class Other(Plugin):
    @hookimpl
    def stonechat_iq_handlers(self):
        return {("set", QUERY): self.answer}

    def answer(self, iq):
        return None


@pytest.fixture
def capulet(server):
    return server.host("capulet.example", plugin_classes={"plugin": Plugin, "other": Other})


@pytest.fixture
def host(capulet):
    """The host as the plugin sees it."""
    return capulet.plugin("plugin").host


@pytest.fixture
def ledger(capulet):
    return capulet.kernel.plugins.running["plugin"].ledger


@pytest.fixture
def juliet(capulet):
    return capulet.connect("juliet@capulet.example/balcony")


def condition_of(answer):
    return error_of(answer).condition


# Routes


def test_a_route_gets_every_stanza_for_its_domain_until_it_is_given_back(host, juliet, ledger):
    said = []
    host.register_route(ECHO, said.append)
    juliet.send(f"<message to='romeo@{ECHO}/x' id='1'/>")
    juliet.send(f"<presence to='{ECHO}' id='2'/>")
    assert [stanza.id for stanza in said] == ["1", "2"]
    assert len(ledger) == 1
    host.unregister_route(ECHO)
    assert len(ledger) == 0
    juliet.send(f"<message to='{ECHO}'/>")
    assert condition_of(juliet.receive_message()) == "remote-server-not-found"


def test_a_route_is_found_however_its_domain_is_spelled(host, juliet):
    said = []
    host.register_route("Echo.Capulet.EXAMPLE", said.append)
    host.register_route("*.Verona.example", said.append)
    for domain in ("echo.capulet.example", "ECHO.capulet.example", "x.verona.example"):
        juliet.send(f"<message to='{domain}'/>")
    assert len(said) == 3
    host.unregister_route("echo.capulet.example")
    host.unregister_route("*.verona.EXAMPLE")


def test_a_domain_is_served_once(capulet, host):
    for domain in ("capulet.example", "Capulet.Example"):
        with pytest.raises(ValueError, match=r"served by host capulet\.example already"):
            host.register_route(domain, print)
    capulet.plugin("other").host.register_route(ECHO, print)
    with pytest.raises(ValueError, match="served by other already"):
        host.register_route(ECHO, print)
    with pytest.raises(KeyError):
        host.unregister_route(ECHO)
    assert capulet.kernel.router.owner(ECHO) == "other"


def test_a_route_may_refuse(host, juliet):
    def refuse(stanza):
        raise StanzaError("forbidden")

    host.register_route(ECHO, refuse)
    juliet.send(f"<message to='{ECHO}'/>")
    assert condition_of(juliet.receive_message()) == "forbidden"


@pytest.mark.parametrize("error", [RuntimeError("Alack"), gevent.Timeout(1)])
def test_a_route_that_fails_costs_its_plugin_the_fault_and_not_the_sender(
    server, host, juliet, error
):
    def fail(stanza):
        raise error

    server.expect_errors()
    host.register_route(ECHO, fail)
    answer = juliet.request("get", Element(QUERY, "query"), to=ECHO)
    assert condition_of(answer) == "internal-server-error"
    (fault,) = server.logged("plugin failed")
    assert (fault["plugin"], fault["where"]) == ("plugin", "fail")
    assert not juliet.is_closed


# IQ handlers


def test_an_iq_handler_comes_and_goes(host, juliet, ledger):
    namespace = "urn:example:other"
    for component, to in (("local", "capulet.example"), ("sm", juliet.bare)):
        add_iq_handler(component, host, namespace, lambda iq: Element(namespace, iq.type))
        assert juliet.get(Element(namespace, "a"), to=to).payload.name == "get"
        assert juliet.set(Element(namespace, "a"), to=to).payload.name == "set"
        assert len(ledger) == 1
        remove_iq_handler(component, host, namespace)
        assert len(ledger) == 0
        answer = juliet.request("get", Element(namespace, "a"), to=to)
        assert condition_of(answer) == "service-unavailable"
        with pytest.raises(KeyError):
            remove_iq_handler(component, host, namespace)


def test_a_namespace_that_is_taken_by_half_is_not_taken_at_all(host, juliet, ledger):
    with pytest.raises(ValueError, match=f"set {QUERY} is handled by the plugin other already"):
        host.add_iq_handler("local", QUERY, lambda iq: None)
    assert len(ledger) == 0
    answer = juliet.request("get", Element(QUERY, "query"), to="capulet.example")
    assert condition_of(answer) == "service-unavailable"
    juliet.set(Element(QUERY, "query"), to="capulet.example")


def test_a_component_is_one_of_two(host):
    with pytest.raises(ValueError, match="local or sm"):
        host.add_iq_handler("session", QUERY, lambda iq: None)


# Services


def test_a_service_is_provided_once(capulet, host, ledger):
    other = capulet.plugin("other").host
    host.provide("orchard", "wall")
    assert other.service("orchard") == "wall"
    assert len(ledger) == 1
    with pytest.raises(ValueError, match="provided already"):
        other.provide("orchard", "gate")
    assert other.service("balcony") is None


# Timers


def test_a_call_comes_later_and_once(server, host, ledger):
    said = []
    host.call_later(5, said.append, "now")
    assert len(ledger) == 1
    server.clock.advance(4.9)
    assert said == []
    server.clock.advance(100)
    assert said == ["now"]
    assert len(ledger) == 0


def test_a_call_may_be_cancelled(server, host, ledger):
    said = []
    timer = host.call_later(5, said.append, "now")
    timer.cancel()
    timer.cancel()
    assert len(ledger) == 0
    server.clock.advance(10)
    assert said == []


def test_a_call_comes_again_and_again_until_it_is_cancelled(server, host, ledger):
    said = []
    timer = host.call_every(5, lambda: said.append(server.clock.monotonic()))
    begun = server.clock.monotonic()
    server.clock.advance(16)
    assert [round(at - begun) for at in said] == [5, 10, 15]
    assert len(ledger) == 1
    timer.cancel()
    assert len(ledger) == 0
    server.clock.advance(100)
    assert len(said) == 3


def test_the_next_call_waits_until_the_last_is_done(server, host):
    said, go_on = [], Event()

    def slow():
        said.append("begun")
        go_on.wait()
        said.append("done")

    host.call_every(5, slow)
    server.clock.advance(60)
    assert said == ["begun"]
    go_on.set()
    server.settle()
    assert said == ["begun", "done"]
    server.clock.advance(5)
    assert said == ["begun", "done", "begun", "done"]


def test_a_call_may_cancel_itself(server, host, ledger):
    said = []

    def once():
        said.append("now")
        timer.cancel()

    timer = host.call_every(5, once)
    server.clock.advance(60)
    assert said == ["now"]
    assert len(ledger) == 0


@pytest.mark.parametrize("error", [RuntimeError("Alack"), gevent.Timeout(1)])
def test_a_call_that_fails_comes_again_all_the_same(server, host, error):
    said = []

    def fail():
        said.append("now")
        raise error

    server.expect_errors()
    host.call_every(5, fail)
    server.clock.advance(11)
    assert said == ["now", "now"]
    faults = server.logged("plugin failed")
    assert [(fault["plugin"], fault["where"]) for fault in faults] == [("plugin", "fail")] * 2


# Greenlets


def test_a_greenlet_gives_back_what_its_function_returns(server, host, ledger):
    greenlet = host.spawn(lambda *given: given, 1, 2)
    assert len(ledger) == 1
    assert greenlet.get(timeout=5) == (1, 2)
    server.settle()
    assert len(ledger) == 0


@pytest.mark.parametrize("error", [RuntimeError("Alack"), gevent.Timeout(1)])
def test_a_greenlet_that_fails_is_a_fault_of_its_plugin(server, host, error):
    def fail():
        raise error

    server.expect_errors()
    assert host.spawn(fail).get(timeout=5) is None
    (fault,) = server.logged("plugin failed")
    assert (fault["plugin"], fault["where"]) == ("plugin", "fail")


def test_greenlets_end_with_their_plugin(server, capulet, host):
    said = []

    def wait():
        try:
            Event().wait()
        finally:
            said.append("ended")

    greenlets = [host.spawn(wait) for _ in range(3)]
    server.settle()
    capulet.disable("plugin")
    assert said == ["ended"] * 3
    assert all(greenlet.dead for greenlet in greenlets)


def test_a_greenlet_that_will_not_end_is_reported_and_holds_up_nobody(
    server, capulet, host, juliet, monkeypatch
):
    monkeypatch.setattr(module, "STOP_SECONDS", 0.01)
    go_on = Event()

    def stubborn():
        while not go_on.is_set():
            try:
                go_on.wait()
            except gevent.GreenletExit:
                continue

    server.expect_errors()
    greenlet = host.spawn(stubborn)
    host.register_route(ECHO, print)
    server.settle()
    capulet.kernel.plugins.disable("plugin")
    (fault,) = server.logged("greenlets outlive their plugin")
    assert (fault["plugin"], fault["greenlets"]) == ("plugin", 1)
    assert "plugin" not in capulet.kernel.plugins.running
    assert capulet.kernel.router.owner(ECHO) == ""
    go_on.set()
    greenlet.join()
    server.settle()


# The end


def test_a_plugin_that_stops_leaves_nothing(server, capulet, host, juliet):
    kernel = capulet.kernel
    ledger = kernel.plugins.running["plugin"].ledger
    said = []
    host.register_route(ECHO, said.append)
    host.register_route("*.verona.example", said.append)
    host.add_iq_handler("local", "urn:example:other", said.append, "one_queue")
    host.add_iq_handler("sm", "urn:example:other", said.append, "parallel")
    host.provide("orchard", "wall")
    host.call_later(5, said.append, 1)
    host.call_every(5, said.append, 1)
    host.spawn(Event().wait)
    assert len(ledger) == 8
    capulet.disable("plugin")
    assert len(ledger) == 0
    assert kernel.router.owner(ECHO) == kernel.router.owner("*.verona.example") == ""
    assert "urn:example:other" not in kernel.local_iq.namespaces() | kernel.account_iq.namespaces()
    assert kernel.services == {}
    server.clock.advance(60)
    assert said == []


@pytest.mark.parametrize(
    "acquire",
    [
        lambda host: host.register_route(ECHO, print),
        lambda host: host.add_iq_handler("local", QUERY, print),
        lambda host: host.provide("orchard", "wall"),
        lambda host: host.call_later(5, print),
        lambda host: host.call_every(5, print),
        lambda host: host.spawn(print),
    ],
)
def test_a_plugin_that_has_stopped_acquires_nothing_any_more(capulet, host, acquire):
    capulet.disable("plugin")
    with pytest.raises(RuntimeError, match="the plugin plugin has stopped"):
        acquire(host)


def test_a_plugin_may_be_stopped_by_a_greenlet_of_its_own(server, capulet, host):
    said = []

    def leave():
        capulet.kernel.plugins.disable("plugin")
        said.append("done")

    host.call_later(5, leave)
    host.spawn(Event().wait)
    server.clock.advance(5)
    assert said == ["done"]
    with pytest.raises(CommandError, match="not enabled"):
        capulet.kernel.plugins.disable("plugin")
    del capulet.plugins["plugin"]


def test_a_host_speaks_through_its_own_face(server, capulet, host, juliet):
    assert repr(host) == "<Host capulet.example for plugin>"
    assert (host.name, host.jid) == ("capulet.example", JID.parse("capulet.example"))
    assert host.data_dir.is_dir()
    assert host.data_dir.name == "plugin"
    host.route(Message(to=juliet.jid, from_=host.jid, id="1"))
    assert juliet.receive_message().id == "1"
