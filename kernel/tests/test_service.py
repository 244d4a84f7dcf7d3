"""A domain of a plugin's own: what it says of itself, and who answers what."""

import gevent
import pytest
from gevent.event import Event

from stonechat import hookimpl
from stonechat import service as module
from stonechat.errors import JIDError, StanzaError
from stonechat.forms import Field, Form
from stonechat.iq import IGNORE, one_queue, parallel
from stonechat.jid import JID
from stonechat.namespaces import NS_DISCO_INFO, NS_DISCO_ITEMS, NS_RSM
from stonechat.service import Service
from stonechat.stanza import Element, Iq, Message
from stonechat.testing.client import error_of

HOST = "capulet.example"
DIRECTORY = JID.parse("vjud.capulet.example")
QUERY = "urn:example:query"

DEADLINE = 10


class Plugin:
    """A user directory of which each test makes what it needs."""

    def __init__(self, host, options):
        self.host = host
        self.service = None
        self.said = []
        self.go_on = Event()

    def serve(self, **settings):
        self.service = Service(
            self.host,
            "VJUD.capulet.example",
            **{"category": "directory", "type": "user", "name": "User Directory", **settings},
        )

    @hookimpl
    def stonechat_disco_items(self):
        return [self.service.item] if self.service else []

    def slow(self, iq):
        self.said.append(("begun", iq.id))
        assert self.go_on.wait(DEADLINE)
        self.said.append(("done", iq.id))

    @one_queue
    def one_by_one(self, iq):
        return self.slow(iq)

    @parallel
    def side_by_side(self, iq):
        return self.slow(iq)


@pytest.fixture
def capulet(server):
    return server.host(HOST, disco={}, plugin_classes={"plugin": Plugin})


@pytest.fixture
def plugin(capulet):
    return capulet.plugin("plugin")


@pytest.fixture
def juliet(capulet):
    return capulet.connect("juliet@capulet.example/balcony")


def ask(client, namespace, to=DIRECTORY, **attributes):
    return client.request("get", Element(namespace, "query", attributes), to=to)


def condition_of(answer):
    return error_of(answer).condition


def request(id_, type_="get", to=DIRECTORY):
    return f"<iq type='{type_}' id='{id_}' to='{to}'><query xmlns='{QUERY}'/></iq>"


def answers(client):
    """The answers that have come, by id; none came twice."""
    found = {}
    for iq in client.received():
        assert type(iq) is Iq
        assert iq.id not in found
        found[iq.id] = iq.type if iq.type == "result" else condition_of(iq)
    return found


# Service discovery


def test_tells_what_it_is(plugin, juliet):
    form = Form("result", "urn:example:form", fields=[Field("size", values="7")])
    plugin.serve(features=["urn:z", QUERY, "urn:a", "urn:z"], forms=[form])
    info = ask(juliet, NS_DISCO_INFO).payload
    identity, *features, extension = info.elements
    assert identity.attributes == {
        "category": "directory",
        "type": "user",
        "name": "User Directory",
    }
    assert [feature.get("var") for feature in features] == [
        NS_DISCO_INFO,
        NS_DISCO_ITEMS,
        "urn:a",
        QUERY,
        "urn:z",
    ]
    assert extension == form.to_element()


def test_is_an_item_of_its_host(plugin, juliet):
    plugin.serve()
    assert plugin.service.item == (DIRECTORY, "", "User Directory")
    (item,) = ask(juliet, NS_DISCO_ITEMS, to=HOST).payload.elements
    assert item.attributes == {"jid": DIRECTORY.text, "name": "User Directory"}


def test_has_no_items_unless_it_is_told_of_some(plugin, juliet):
    plugin.serve()
    assert ask(juliet, NS_DISCO_ITEMS).payload == Element(NS_DISCO_ITEMS, "query")


def test_lists_items_to_whoever_asks(plugin, juliet):
    def items(iq):
        return [(iq.from_, "", "You"), (DIRECTORY, "everybody", "")]

    plugin.serve(items=items)
    assert [item.attributes for item in ask(juliet, NS_DISCO_ITEMS).payload.elements] == [
        {"jid": juliet.jid.text, "name": "You"},
        {"jid": DIRECTORY.text, "node": "everybody"},
    ]
    assert NS_RSM in str(ask(juliet, NS_DISCO_INFO).payload)


def test_lists_many_items_by_pages(plugin, juliet):
    items = [(DIRECTORY, f"node {number:04}", "") for number in range(1200)]
    plugin.serve(items=lambda iq: items)
    seen, query = [], Element(NS_DISCO_ITEMS, "query")
    while len(seen) < len(items):
        answer = juliet.get(query, to=DIRECTORY).payload
        result_set = answer.find("set", NS_RSM)
        assert result_set.find_text("count") == "1200"
        assert result_set.find("first").get("index") == str(len(seen))
        page = [item.get("node") for item in answer.find_all("item")]
        assert 0 < len(page) <= 500
        seen += page
        query = Element(NS_DISCO_ITEMS, "query")
        query.add("set", namespace=NS_RSM).add("after", result_set.find_text("last"))
    assert seen == [node for _, node, _ in items]


def test_refuses_a_page_that_nobody_can_give(plugin, juliet):
    plugin.serve(items=lambda iq: [(DIRECTORY, "", "")])
    query = Element(NS_DISCO_ITEMS, "query")
    query.add("set", namespace=NS_RSM).add("max", "many")
    assert condition_of(juliet.request("get", query, to=DIRECTORY)) == "bad-request"


@pytest.mark.parametrize("namespace", [NS_DISCO_INFO, NS_DISCO_ITEMS])
def test_has_no_nodes(plugin, juliet, namespace):
    plugin.serve()
    assert condition_of(ask(juliet, namespace, node="secrets")) == "item-not-found"


def test_a_plugin_may_answer_service_discovery_itself(plugin, juliet):
    def describe(iq):
        return iq.payload if iq.payload.get("node") else plugin.service.describe(iq)

    plugin.serve(handlers={("get", NS_DISCO_INFO): describe})
    assert ask(juliet, NS_DISCO_INFO, node="secrets").payload.get("node") == "secrets"
    assert ask(juliet, NS_DISCO_INFO).payload.find("identity") is not None


# Addresses

WHO = ("nurse@vjud.capulet.example", "nurse@vjud.capulet.example/kitchen")
PLACE = "vjud.capulet.example/shelf"


@pytest.mark.parametrize("namespace", [QUERY, NS_DISCO_INFO, NS_DISCO_ITEMS, "urn:unknown"])
def test_addresses_below_the_domain_do_not_exist(plugin, juliet, namespace):
    plugin.serve(
        handlers={("get", QUERY): lambda iq: None},
        on_message=plugin.said.append,
        on_presence=plugin.said.append,
    )
    for to in WHO:
        assert condition_of(ask(juliet, namespace, to=to)) == "item-not-found"
        juliet.message(to, "Hark")
        assert condition_of(juliet.receive_message()) == "item-not-found"
        juliet.send(f"<presence to='{to}'/>")
    assert condition_of(ask(juliet, namespace, to=PLACE)) == "service-unavailable"
    juliet.message(PLACE, "Hark")
    assert condition_of(juliet.receive_message()) == "service-unavailable"
    juliet.send(f"<presence to='{PLACE}'/>")
    assert juliet.received() == plugin.said == []


@pytest.mark.parametrize("to", [*WHO, PLACE])
def test_a_plugin_may_take_what_is_for_any_address(plugin, juliet, to):
    plugin.serve(
        handlers={("get", QUERY): lambda iq: iq.payload},
        on_message=plugin.said.append,
        on_presence=plugin.said.append,
        any_address=True,
    )
    assert ask(juliet, QUERY, to=to).from_ == JID.parse(to)
    juliet.message(to, "Hark")
    juliet.send(f"<presence to='{to}'/>")
    assert [stanza.to for stanza in plugin.said] == [JID.parse(to)] * 2
    # What we say of ourselves is not said of them.
    assert condition_of(ask(juliet, NS_DISCO_INFO, to=to)) == "item-not-found"
    assert condition_of(ask(juliet, NS_DISCO_ITEMS, to=to)) == "item-not-found"


# Messages and presence


def test_takes_messages_and_presence(plugin, juliet):
    plugin.serve(on_message=plugin.said.append, on_presence=plugin.said.append)
    juliet.message(DIRECTORY, "Hark")
    juliet.send(f"<presence type='unavailable' to='{DIRECTORY}'/>")
    message, presence = plugin.said
    assert message.body == "Hark"
    assert presence.type == "unavailable"


def test_a_message_that_nobody_takes_is_answered_and_presence_is_not(plugin, juliet):
    plugin.serve()
    juliet.message(DIRECTORY, "Hark")
    juliet.send(f"<presence to='{DIRECTORY}'/>")
    assert condition_of(juliet.receive_message()) == "service-unavailable"
    assert juliet.received() == []


def test_a_message_may_be_refused(plugin, juliet):
    def refuse(message):
        raise StanzaError("forbidden")

    plugin.serve(on_message=refuse)
    juliet.message(DIRECTORY, "Hark")
    assert condition_of(juliet.receive_message()) == "forbidden"


def test_errors_are_kept_from_who_might_answer_them(plugin, juliet):
    errors = []
    plugin.serve(
        on_message=plugin.said.append, on_presence=plugin.said.append, on_error=errors.append
    )
    for name in ("message", "presence", "iq"):
        juliet.send(f"<{name} type='error' id='1' to='{DIRECTORY}'/>")
    assert [stanza.name for stanza in errors] == ["message", "presence"]
    assert plugin.said == juliet.received() == []


def test_errors_need_nobody(plugin, juliet):
    plugin.serve(on_message=plugin.said.append)
    juliet.send(f"<message type='error' to='{DIRECTORY}'/>")
    juliet.send(f"<message type='error' to='nurse@{DIRECTORY}'/>")
    assert plugin.said == juliet.received() == []


def test_a_handler_of_messages_that_fails_is_logged_and_the_sender_told(server, plugin, juliet):
    def fail(message):
        raise RuntimeError("Alack")

    server.expect_errors()
    plugin.serve(on_message=fail)
    juliet.message(DIRECTORY, "Hark")
    assert condition_of(juliet.receive_message()) == "internal-server-error"
    assert [fault["plugin"] for fault in server.logged("plugin failed")] == ["plugin"]


# Requests


def test_answers_by_type_and_namespace(plugin, juliet):
    plugin.serve(handlers={("get", QUERY): lambda iq: Element(QUERY, "answer")})
    answer = ask(juliet, QUERY)
    assert (answer.payload.name, answer.from_) == ("answer", DIRECTORY)
    for kind, namespace in (("set", QUERY), ("get", "urn:other"), ("set", NS_DISCO_INFO)):
        answer = juliet.request(kind, Element(namespace, "query"), to=DIRECTORY)
        assert condition_of(answer) == "service-unavailable"


def test_a_handler_is_of_requests():
    with pytest.raises(ValueError, match="result"):
        Service(
            None,
            "vjud.capulet.example",
            category="directory",
            type="user",
            name="",
            handlers={("result", QUERY): print},
        )


@pytest.mark.parametrize("head", [{"type": "nonsense", "id": "1"}, {"type": "get"}])
def test_what_is_no_proper_request_is_refused(plugin, juliet, head):
    plugin.serve(handlers={("get", QUERY): lambda iq: None})
    plugin.host.route(Iq(Element(QUERY, "query"), to=DIRECTORY, from_=juliet.jid, **head))
    assert condition_of(juliet.receive_iq()) == "bad-request"


@pytest.mark.parametrize("type_", ["result", "error"])
def test_answers_reach_no_handler(plugin, juliet, type_):
    plugin.serve(handlers={("get", QUERY): plugin.said.append})
    juliet.send(request("1", type_))
    assert plugin.said == juliet.received() == []


DOES = {
    "an element": (lambda: Element(QUERY, "yes"), "result"),
    "nothing": (lambda: None, "result"),
    "a refusal": (StanzaError("not-allowed"), "not-allowed"),
    "a bad address": (JIDError("no JID"), "jid-malformed"),
    "an exception": (RuntimeError("Alack"), "internal-server-error"),
    "a deadline": (gevent.Timeout(1), "internal-server-error"),
    "a text": (lambda: "yes", "internal-server-error"),
    "what cannot be written": (
        lambda: Element(QUERY, "yes", {"a": None}),
        "internal-server-error",
    ),
}


@pytest.mark.parametrize("mark", [lambda f: f, one_queue, parallel], ids=["none", "one", "many"])
@pytest.mark.parametrize(("does", "expected"), DOES.values(), ids=DOES)
def test_every_request_gets_one_answer_whatever_its_handler_does(
    server, plugin, juliet, mark, does, expected
):
    @mark
    def handle(iq):
        if isinstance(does, BaseException):
            raise does
        return does()

    server.expect_errors()
    plugin.serve(handlers={("get", QUERY): handle})
    for id_ in "123":
        juliet.send(request(id_))
    server.settle()
    assert answers(juliet) == dict.fromkeys("123", expected)
    faults = server.logged("plugin failed")
    assert len(faults) == (3 if expected == "internal-server-error" else 0)
    assert {fault["plugin"] for fault in faults} <= {"plugin"}


@pytest.mark.parametrize("mark", [one_queue, parallel], ids=["one", "many"])
def test_a_handler_whose_greenlet_is_killed_has_answered(server, plugin, juliet, mark):
    @mark
    def handle(iq):
        raise gevent.GreenletExit

    plugin.serve(handlers={("get", QUERY): handle})
    for id_ in "123":
        juliet.send(request(id_))
    server.settle()
    assert answers(juliet) == dict.fromkeys("123", "internal-server-error")


def test_who_loses_the_sender_has_answered_it(server, plugin, juliet):
    """The greenlet of whoever routes may be killed while the handler runs in it."""
    plugin.serve(handlers={("get", QUERY): plugin.slow})
    iq = Iq(Element(QUERY, "query"), to=DIRECTORY, from_=juliet.jid, type="get", id="1")
    carrier = gevent.spawn(plugin.host.route, iq)
    server.settle()
    assert plugin.said == [("begun", "1")]
    carrier.kill()
    assert answers(juliet) == {"1": "internal-server-error"}


@pytest.mark.parametrize("mark", [lambda f: f, one_queue, parallel], ids=["none", "one", "many"])
def test_a_handler_may_see_to_the_answer_itself(plugin, juliet, mark):
    later = []

    @mark
    def remember(iq):
        later.append(iq)
        return IGNORE

    plugin.serve(handlers={("get", QUERY): remember})
    juliet.send(request("1"))
    assert answers(juliet) == {}
    plugin.host.route(later[0].result(Element(QUERY, "late")))
    assert juliet.receive_iq().payload.name == "late"


# How they are queued


def test_without_a_mark_a_handler_holds_up_its_sender_and_nobody_else(
    server, capulet, plugin, juliet
):
    plugin.serve(handlers={("get", QUERY): plugin.slow, ("set", QUERY): lambda iq: None})
    romeo = capulet.connect("romeo@capulet.example/orchard")
    juliet.send(request("1") + request("2", "set"))
    romeo.send(request("2", "set"))
    assert answers(romeo) == {"2": "result"}
    assert answers(juliet) == {}
    plugin.go_on.set()
    server.settle()
    assert [iq.id for iq in juliet.received()] == ["1", "2"]


def test_one_queue_keeps_the_order_of_all_its_requests(server, capulet, plugin, juliet):
    plugin.serve(handlers={("get", QUERY): plugin.one_by_one, ("set", QUERY): plugin.one_by_one})
    romeo = capulet.connect("romeo@capulet.example/orchard")
    sent = []
    for number in range(20):
        for client in (juliet, romeo):
            sent.append(f"{client.bare.localpart}-{number}")
            client.send(request(sent[-1], "set" if number % 3 else "get"))
    assert plugin.said == [("begun", sent[0])]
    plugin.go_on.set()
    server.settle()
    assert plugin.said == [(what, id_) for id_ in sent for what in ("begun", "done")]
    assert len(answers(juliet)) == len(answers(romeo)) == 20


def test_parallel_runs_them_side_by_side(server, plugin, juliet):
    plugin.serve(handlers={("get", QUERY): plugin.side_by_side})
    ids = [str(number) for number in range(module.PARALLEL_LIMIT)]
    for id_ in ids:
        juliet.send(request(id_))
    assert plugin.said == [("begun", id_) for id_ in ids]
    plugin.go_on.set()
    server.settle()
    assert answers(juliet) == dict.fromkeys(ids, "result")


def test_a_queue_has_an_end(server, plugin, juliet, monkeypatch):
    monkeypatch.setattr(module, "QUEUE_LIMIT", 3)
    monkeypatch.setattr(module, "PARALLEL_LIMIT", 2)
    plugin.serve(handlers={("get", QUERY): plugin.one_by_one, ("set", QUERY): plugin.side_by_side})
    for id_ in "12345":
        juliet.send(request(id_))
    for id_ in "abcdef":
        juliet.send(request(id_, "set"))
    assert answers(juliet) == {"5": "resource-constraint", "f": "resource-constraint"}
    plugin.go_on.set()
    server.settle()
    assert answers(juliet) == dict.fromkeys("1234abcde", "result")
    juliet.send(request("6") + request("g", "set"))
    server.settle()
    assert answers(juliet) == dict.fromkeys("6g", "result")


@pytest.mark.parametrize("type_", ["get", "set"])
def test_what_waits_for_a_plugin_that_stops_is_answered(
    server, capulet, plugin, juliet, monkeypatch, type_
):
    monkeypatch.setattr(module, "PARALLEL_LIMIT", 1)
    plugin.serve(handlers={("get", QUERY): plugin.one_by_one, ("set", QUERY): plugin.side_by_side})
    for id_ in "123":
        juliet.send(request(id_, type_))
    capulet.disable("plugin")
    server.settle()
    assert answers(juliet) == {
        "1": "internal-server-error",
        "2": "service-unavailable",
        "3": "service-unavailable",
    }
    assert plugin.said == [("begun", "1")]


def test_what_no_worker_has_begun_is_answered_too(server, capulet, plugin, juliet):
    plugin.serve(handlers={("get", QUERY): plugin.side_by_side})
    for id_ in "12":
        # Past the client's stream, which would give the workers time to begin.
        plugin.host.route(
            Iq(Element(QUERY, "query"), to=DIRECTORY, from_=juliet.jid, type="get", id=id_)
        )
    capulet.kernel.plugins.disable("plugin")
    server.settle()
    assert answers(juliet) == dict.fromkeys("12", "service-unavailable")
    assert plugin.said == []


# The end


def test_the_domain_is_nobodys_when_the_plugin_has_stopped(capulet, plugin, juliet):
    plugin.serve(on_message=plugin.said.append)
    capulet.disable("plugin")
    juliet.message(DIRECTORY, "Hark")
    assert isinstance(answer := juliet.receive_message(), Message)
    assert condition_of(answer) == "remote-server-not-found"


def test_one_domain_has_one_service(plugin):
    plugin.serve()
    with pytest.raises(ValueError, match="served by plugin already"):
        plugin.serve()
