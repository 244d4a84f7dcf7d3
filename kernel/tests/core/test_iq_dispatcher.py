"""IQ handlers: who answers what, in which order, and that each request gets one answer."""

import gevent
import pytest
from gevent.event import Event

from stonechat import hookimpl
from stonechat.core import iq_dispatcher as module
from stonechat.errors import JIDError, StanzaError
from stonechat.iq import IGNORE, add_iq_handler, one_queue, parallel, remove_iq_handler
from stonechat.jid import JID
from stonechat.stanza import Element, Iq
from stonechat.testing.client import error_of

QUERY = "urn:example:query"
HOST = "capulet.example"
ACCOUNT = f"juliet@{HOST}"
DISCIPLINES = ("no_queue", "one_queue", "parallel")

# Handlers that wait do so for this, unless a test sets it before.
DEADLINE = 10


class Plugin:
    """Holds a handler for its tests."""

    def __init__(self, host, options):
        self.host = host
        self.said = []
        self.go_on = Event()

    def slow(self, iq):
        """Waits until it may go on, and says so before and after."""
        self.said.append(("begun", iq.id))
        assert self.go_on.wait(DEADLINE)
        self.said.append(("done", iq.id))


@pytest.fixture
def capulet(server):
    return server.host(HOST, plugin_classes={"plugin": Plugin})


@pytest.fixture
def plugin(capulet):
    return capulet.plugin("plugin")


@pytest.fixture
def juliet(capulet):
    return capulet.connect(f"{ACCOUNT}/balcony")


@pytest.fixture
def romeo(capulet):
    return capulet.connect(f"romeo@{HOST}/orchard")


def request(id_, to=HOST, type_="get", namespace=QUERY):
    return f"<iq type='{type_}' id='{id_}' to='{to}'><query xmlns='{namespace}'/></iq>"


def condition_of(answer):
    return error_of(answer).condition


def answers(client):
    """The answers that have come, by id; none came twice."""
    found = {}
    for iq in client.received():
        assert type(iq) is Iq
        assert iq.id not in found
        found[iq.id] = iq.type if iq.type == "result" else condition_of(iq)
    return found


# Who is asked


class Declared:
    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_iq_handlers(self):
        return {("get", QUERY): lambda iq: Element(QUERY, "host")}

    @hookimpl
    def stonechat_account_iq_handlers(self):
        return {("set", QUERY): lambda iq: Element(QUERY, "account")}


def test_a_host_and_its_accounts_answer_by_type_and_namespace(server):
    capulet = server.host(HOST, plugin_classes={"declared": Declared})
    capulet.create_account("romeo")
    juliet = capulet.connect(f"{ACCOUNT}/balcony")
    for to, type_, expected in (
        (HOST, "get", "host"),
        (HOST, "set", None),
        (ACCOUNT, "set", "account"),
        (ACCOUNT, "get", None),
        (None, "set", "account"),
        # Though he is not there.
        (f"romeo@{HOST}", "set", "account"),
        (f"nobody@{HOST}", "set", None),
        (f"romeo@{HOST}/orchard", "set", None),
    ):
        answer = juliet.request(type_, Element(QUERY, "query"), to=to)
        if expected is None:
            assert condition_of(answer) == "service-unavailable"
        else:
            assert answer.payload == Element(QUERY, expected)
    assert condition_of(juliet.request("get", Element("urn:x", "x"), to=HOST)) == (
        "service-unavailable"
    )


def test_an_answer_comes_from_who_was_asked(plugin, juliet):
    plugin.host.add_iq_handler("sm", QUERY, lambda iq: None)
    juliet.send(request("1", to=f"Juliet@{HOST}"))
    answer = juliet.receive_iq()
    assert (answer.type, answer.id, answer.children) == ("result", "1", ())
    assert (answer.from_, answer.to) == (juliet.bare, juliet.jid)


@pytest.mark.parametrize("to", [HOST, ACCOUNT])
@pytest.mark.parametrize("head", [{"type": "nonsense", "id": "1"}, {"type": "get"}])
def test_what_is_no_proper_request_is_refused_wherever_it_comes_from(plugin, juliet, to, head):
    # A client's is refused at its door already; this one comes from a service.
    plugin.host.add_iq_handler("local", QUERY, lambda iq: None)
    plugin.host.route(Iq(Element(QUERY, "query"), to=JID.parse(to), from_=juliet.jid, **head))
    assert condition_of(juliet.receive_iq()) == "bad-request"


# Exactly one answer

ANSWERS = {
    "an element": (lambda: Element(QUERY, "yes"), "result"),
    "nothing": (lambda: None, "result"),
    "a refusal": (StanzaError("not-allowed"), "not-allowed"),
    "a bad address": (JIDError("no JID"), "jid-malformed"),
    "an exception": (RuntimeError("Alack"), "internal-server-error"),
    "a deadline": (gevent.Timeout(1), "internal-server-error"),
    "a text": (lambda: "yes", "internal-server-error"),
    "true": (lambda: True, "internal-server-error"),
    "an iq": (lambda: Iq(type="result"), "internal-server-error"),
    "what cannot be written": (
        lambda: Element(QUERY, "yes", {"a": None}),
        "internal-server-error",
    ),
}


@pytest.mark.parametrize("discipline", DISCIPLINES)
@pytest.mark.parametrize(("does", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_every_request_gets_one_answer_whatever_its_handler_does(
    server, plugin, juliet, does, expected, discipline
):
    def handle(iq):
        if isinstance(does, BaseException):
            raise does
        return does()

    server.expect_errors()
    plugin.host.add_iq_handler("local", QUERY, handle, discipline)
    for id_ in ("1", "2"):
        juliet.send(request(id_))
    assert answers(juliet) == {"1": expected, "2": expected}
    assert not juliet.is_closed
    faults = server.logged("plugin failed")
    if expected == "internal-server-error":
        assert [(fault["plugin"], fault["where"]) for fault in faults] == [
            ("plugin", "handle")
        ] * 2
        assert "id='1'" in faults[0]["stanza"]
    else:
        assert faults == []


@pytest.mark.parametrize("discipline", ["one_queue", "parallel"])
def test_a_handler_whose_greenlet_is_killed_has_answered(server, plugin, juliet, discipline):
    def killed(iq):
        raise gevent.GreenletExit

    plugin.host.add_iq_handler("local", QUERY, killed, discipline)
    for id_ in ("1", "2", "3"):
        juliet.send(request(id_))
    assert answers(juliet) == dict.fromkeys(("1", "2", "3"), "internal-server-error")


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_a_handler_may_see_to_the_answer_itself(plugin, juliet, discipline):
    later = []

    def remember(iq):
        later.append(iq)
        return IGNORE

    plugin.host.add_iq_handler("local", QUERY, remember, discipline)
    juliet.send(request("1"))
    assert answers(juliet) == {}
    plugin.host.route(later[0].result(Element(QUERY, "late")))
    assert juliet.receive_iq().payload.name == "late"
    assert repr(IGNORE) == "IGNORE"


def test_answers_that_are_no_requests_reach_no_handler(plugin, juliet):
    said = []
    plugin.host.add_iq_handler("local", QUERY, said.append)
    juliet.send(f"<iq type='result' id='1' to='{HOST}'><query xmlns='{QUERY}'/></iq>")
    juliet.send(f"<iq type='error' id='1' to='{HOST}'><query xmlns='{QUERY}'/></iq>")
    assert said == juliet.received() == []


# How they are queued


def test_no_queue_holds_up_its_sender_and_nobody_else(server, plugin, juliet, romeo):
    plugin.host.add_iq_handler("local", QUERY, plugin.slow, "no_queue")
    plugin.host.add_iq_handler("local", "urn:example:quick", lambda iq: None, "no_queue")
    quick = request("2", namespace="urn:example:quick")
    juliet.send(request("1") + quick)
    romeo.send(quick)
    assert answers(romeo) == {"2": "result"}
    assert answers(juliet) == {}
    plugin.go_on.set()
    server.settle()
    assert [iq.id for iq in juliet.received()] == ["1", "2"]


def test_one_queue_keeps_the_order_of_all_senders(server, plugin, juliet, romeo):
    plugin.host.add_iq_handler("local", QUERY, plugin.slow, "one_queue")
    sent = []
    for number in range(50):
        for client in (juliet, romeo):
            sent.append(f"{client.bare.localpart}-{number}")
            client.send(request(sent[-1], type_="set" if number % 3 else "get"))
    # One after the other, though each of them waits.
    assert plugin.said == [("begun", sent[0])]
    plugin.go_on.set()
    server.settle()
    assert plugin.said == [(what, id_) for id_ in sent for what in ("begun", "done")]
    assert len(answers(juliet)) == len(answers(romeo)) == 50


def test_one_queue_holds_up_nobody_else(plugin, juliet):
    plugin.host.add_iq_handler("local", QUERY, plugin.slow, "one_queue")
    plugin.host.add_iq_handler("local", "urn:example:quick", lambda iq: None, "one_queue")
    juliet.send(request("1"))
    juliet.get(Element("urn:example:quick", "query"), to=HOST)
    assert plugin.said == [("begun", "1")]
    plugin.go_on.set()


def test_parallel_runs_them_side_by_side(server, plugin, juliet):
    plugin.host.add_iq_handler("local", QUERY, plugin.slow, "parallel")
    ids = [str(number) for number in range(module.PARALLEL_LIMIT)]
    for id_ in ids:
        juliet.send(request(id_))
    assert plugin.said == [("begun", id_) for id_ in ids]
    plugin.go_on.set()
    server.settle()
    assert answers(juliet) == dict.fromkeys(ids, "result")


def test_one_queue_has_an_end(server, plugin, juliet, monkeypatch):
    monkeypatch.setattr(module, "QUEUE_LIMIT", 3)
    plugin.host.add_iq_handler("local", QUERY, plugin.slow, "one_queue")
    for id_ in "12345":
        juliet.send(request(id_))
    assert answers(juliet) == {"5": "resource-constraint"}
    plugin.go_on.set()
    server.settle()
    assert answers(juliet) == dict.fromkeys("1234", "result")
    juliet.send(request("6"))
    assert answers(juliet) == {"6": "result"}


def test_parallel_has_an_end_and_a_line_before_it(server, plugin, juliet, monkeypatch):
    monkeypatch.setattr(module, "PARALLEL_LIMIT", 2)
    monkeypatch.setattr(module, "QUEUE_LIMIT", 1)
    plugin.host.add_iq_handler("local", QUERY, plugin.slow, "parallel")
    for id_ in "1234":
        juliet.send(request(id_))
    assert plugin.said == [("begun", "1"), ("begun", "2")]
    assert answers(juliet) == {"4": "resource-constraint"}
    plugin.go_on.set()
    server.settle()
    assert answers(juliet) == dict.fromkeys("123", "result")
    juliet.send(request("5"))
    assert answers(juliet) == {"5": "result"}


@pytest.mark.parametrize("discipline", ["one_queue", "parallel"])
def test_what_waits_for_a_handler_that_goes_is_answered(
    server, plugin, juliet, monkeypatch, discipline
):
    monkeypatch.setattr(module, "PARALLEL_LIMIT", 1)
    plugin.host.add_iq_handler("local", QUERY, plugin.slow, discipline)
    for id_ in "123":
        juliet.send(request(id_))
    remove_iq_handler("local", plugin.host, QUERY)
    assert answers(juliet) == {}
    plugin.go_on.set()
    server.settle()
    assert answers(juliet) == {
        "1": "result",
        "2": "service-unavailable",
        "3": "service-unavailable",
    }
    assert plugin.said == [("begun", "1"), ("done", "1")]


class Marked(Plugin):
    @hookimpl
    def stonechat_iq_handlers(self):
        return {("get", QUERY): self.one, ("set", QUERY): self.many}

    @one_queue
    def one(self, iq):
        return self.slow(iq)

    @parallel
    def many(self, iq):
        return self.slow(iq)


def test_a_handler_is_queued_as_it_is_marked(server):
    juliet = server.host(HOST, plugin_classes={"marked": Marked}).connect(f"{ACCOUNT}/balcony")
    marked = server.kernel.hosts[HOST].plugins.running["marked"].instance
    for id_ in "12":
        juliet.send(request(id_))
    for id_ in "34":
        juliet.send(request(id_, type_="set"))
    assert marked.said == [("begun", "1"), ("begun", "3"), ("begun", "4")]
    marked.go_on.set()
    server.settle()
    assert answers(juliet) == dict.fromkeys("1234", "result")


def test_a_mark_counts_for_handlers_that_come_later_too_unless_told(server, plugin, juliet):
    @parallel
    def many(iq):
        return plugin.slow(iq)

    for namespace, told in (("urn:a", ()), ("urn:b", ("one_queue",))):
        add_iq_handler("local", plugin.host, namespace, many, *told)
    for namespace in ("urn:a", "urn:b"):
        for id_ in "12":
            juliet.send(request(namespace + id_, namespace=namespace))
    assert plugin.said == [("begun", "urn:a1"), ("begun", "urn:a2"), ("begun", "urn:b1")]
    plugin.go_on.set()
    server.settle()
    assert len(answers(juliet)) == 4


def test_an_unmarked_handler_runs_in_the_greenlet_that_brought_the_request(plugin, juliet):
    greenlets = []

    def handle(iq):
        greenlets.append(gevent.getcurrent())

    add_iq_handler("local", plugin.host, QUERY, handle)
    plugin.host.route(
        Iq(Element(QUERY, "query"), type="get", id="1", to=plugin.host.jid, from_=juliet.jid)
    )
    assert greenlets == [gevent.getcurrent()]


# The table itself


@pytest.fixture
def table(capulet):
    return capulet.kernel.local_iq


def test_a_pair_is_handled_by_one(table):
    table.add(("get", QUERY), print, "first")
    with pytest.raises(ValueError, match=f"get {QUERY} is handled by the plugin first already"):
        table.add(("get", QUERY), print, "second")
    table.add(("set", QUERY), print, "second")
    assert (table.owner(("get", QUERY)), table.owner(("set", QUERY))) == ("first", "second")
    assert table.owner(("get", "urn:x")) == ""
    assert table.namespaces() == {QUERY}


def test_what_a_plugin_handled_goes_with_it(table):
    for key in (("get", QUERY), ("set", QUERY), ("get", "urn:x")):
        table.add(key, print, "plugin", "one_queue")
    table.add(("set", "urn:x"), print, "other", "one_queue")
    table.remove_plugin("plugin")
    assert table.namespaces() == {"urn:x"}
    assert table.owner(("set", "urn:x")) == "other"
    table.remove(("set", "urn:x"))
    with pytest.raises(KeyError):
        table.remove(("set", "urn:x"))


@pytest.mark.parametrize("type_", ["", "result", "error", "GET"])
def test_only_requests_are_handled(table, type_):
    with pytest.raises(ValueError, match="get or set"):
        table.add((type_, QUERY), print, "plugin")


def test_a_discipline_that_there_is_not_is_refused(table):
    with pytest.raises(ValueError, match="no queueing discipline 'fifo'"):
        table.add(("get", QUERY), print, "plugin", "fifo")
    assert table.namespaces() == set()
