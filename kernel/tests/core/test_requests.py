"""Requests that a host sends itself, and whose answers count."""

import gevent
import pytest

from stonechat.core import requests as module
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.stanza import Element, Iq

QUERY = "urn:example:query"
HOST = "capulet.example"
DEADLINE = 5


class Plugin:
    def __init__(self, host, options):
        self.host = host


@pytest.fixture
def capulet(server):
    return server.host(HOST, plugin_classes={"plugin": Plugin})


@pytest.fixture
def host(capulet):
    return capulet.plugin("plugin").host


@pytest.fixture
def juliet(capulet):
    return capulet.connect(f"juliet@{HOST}/balcony")


@pytest.fixture
def romeo(capulet):
    return capulet.connect(f"romeo@{HOST}/orchard")


@pytest.fixture
def ask(server, host):
    """Asks in a greenlet of its own, which is returned once the request is out."""
    asking = []

    def ask(to, timeout=30.0, from_=None):
        iq = Iq(Element(QUERY, "query"), type="get", to=to, from_=from_ or host.jid)
        asking.append(gevent.spawn(outcome, host.ask, iq, timeout))
        server.settle()
        return asking[-1]

    yield ask
    gevent.killall(asking)


def outcome(call, *arguments):
    """What a call returns, or the StanzaError that it raises."""
    try:
        return call(*arguments)
    except StanzaError as error:
        return error


def test_a_request_waits_for_its_result(capulet, ask, juliet):
    asking = ask(juliet.jid)
    request = juliet.receive_iq()
    assert (request.from_, request.type, request.namespace) == (capulet.jid, "get", QUERY)
    assert len(capulet.kernel.requests) == 1
    juliet.send(request.result(Element(QUERY, "yes")))
    assert asking.get(timeout=DEADLINE).payload == Element(QUERY, "yes")
    assert len(capulet.kernel.requests) == 0


def test_two_requests_get_their_own_answers(ask, juliet):
    one, two = ask(juliet.jid), ask(juliet.jid)
    first, second = juliet.receive_iq(), juliet.receive_iq()
    assert first.id != second.id
    juliet.send(second.result(Element(QUERY, "two")))
    juliet.send(first.result(Element(QUERY, "one")))
    assert one.get(timeout=DEADLINE).payload.name == "one"
    assert two.get(timeout=DEADLINE).payload.name == "two"


def test_nobody_can_guess_the_id_of_a_request(server, host, juliet):
    for _ in range(2):
        iq = Iq(Element(QUERY, "query"), type="get", to=juliet.jid, from_=host.jid, id="1")
        gevent.spawn(outcome, host.ask, iq, 1)
    server.settle()
    ids = {juliet.receive_iq().id for _ in range(2)}
    assert len(ids) == 2
    assert all(len(id_) >= 22 for id_ in ids)  # 128 bits (robustness rule 7)
    server.clock.advance(1)


@pytest.mark.parametrize(
    ("error", "condition", "text", "type_"),
    [
        (
            "<error type='auth'><forbidden xmlns='{0}'/><text xmlns='{0}'>Begone</text></error>",
            "forbidden",
            "Begone",
            "auth",
        ),
        ("<error type='wait'><conflict xmlns='{0}'/></error>", "conflict", "", "wait"),
        ("<error><conflict xmlns='{0}'/></error>", "conflict", "", "cancel"),
        ("<error><too-late xmlns='{0}'/></error>", "undefined-condition", "", "cancel"),
        ("<error><conflict xmlns='urn:x'/></error>", "undefined-condition", "", "cancel"),
        ("<error/>", "undefined-condition", "", "cancel"),
        ("", "undefined-condition", "", "cancel"),
        ("<query xmlns='urn:example:query'/>", "undefined-condition", "", "cancel"),
    ],
)
def test_an_error_is_raised_as_it_came(ask, juliet, error, condition, text, type_):
    asking = ask(juliet.jid)
    id_ = juliet.receive_iq().id
    inside = error.format("urn:ietf:params:xml:ns:xmpp-stanzas")
    juliet.send(f"<iq type='error' id='{id_}' to='{HOST}'>{inside}</iq>")
    found = asking.get(timeout=DEADLINE)
    assert (found.condition, found.text, found.type) == (condition, text, type_)


@pytest.mark.parametrize(
    ("to", "condition"),
    [
        ("juliet@capulet.example/balcony", "service-unavailable"),
        ("capulet.example/room", "service-unavailable"),
        ("montague.example", "remote-server-not-found"),
        (None, "bad-request"),
    ],
)
def test_what_cannot_be_delivered_need_not_be_waited_for(ask, to, condition):
    asking = ask(to and JID.parse(to))
    assert asking.get(timeout=DEADLINE).condition == condition


def test_an_answer_that_never_comes_is_waited_for_so_long(server, capulet, ask, juliet):
    asking = ask(juliet.jid, timeout=10)
    server.clock.advance(9)
    assert not asking.ready()
    server.clock.advance(2)
    assert asking.get(timeout=DEADLINE).condition == "remote-server-timeout"
    assert len(capulet.kernel.requests) == 0
    # Too late, and nobody minds.
    juliet.send(juliet.receive_iq().result())
    assert juliet.received() == []


def test_only_who_was_asked_can_answer(server, ask, juliet, romeo):
    asking = ask(juliet.jid)
    request = juliet.receive_iq()
    for forged in (
        f"<iq type='result' id='{request.id}' to='{HOST}'/>",
        f"<iq type='error' id='{request.id}' to='{HOST}'/>",
    ):
        romeo.send(forged)
    assert romeo.received() == []
    assert not asking.ready()
    juliet.send(request.result())
    assert asking.get(timeout=DEADLINE).from_ == juliet.jid


def test_an_answer_counts_however_its_sender_is_spelled(server, capulet, host, ask):
    service = JID.parse("echo.montague.example")
    said = []
    host.register_route(service.domain, said.append)
    asking = ask(service)
    head = f"<iq type='result' id='{said[0].id}' from='ECHO.Montague.Example' to='{HOST}'/>"
    answer = Iq.received(
        {"type": "result", "id": said[0].id, "from": "ECHO.Montague.Example", "to": HOST},
        (),
        head.encode(),
        len(head),
    )
    host.route(answer)
    assert asking.get(timeout=DEADLINE) is answer


def test_a_host_may_ask_for_one_of_its_accounts(capulet, ask, juliet, romeo):
    asking = ask(romeo.jid, from_=juliet.bare)
    request = romeo.receive_iq()
    assert request.from_ == juliet.bare
    romeo.send(request.result())
    assert asking.get(timeout=DEADLINE).to == juliet.bare
    # The answer was for the server, which asked in her name.
    assert juliet.received() == []


def test_there_is_an_end_to_open_requests(server, capulet, ask, juliet, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    open_ = [ask(juliet.jid), ask(juliet.jid)]
    assert ask(juliet.jid).get(timeout=DEADLINE).condition == "resource-constraint"
    server.clock.advance(60)
    assert [asking.get(timeout=DEADLINE).condition for asking in open_] == [
        "remote-server-timeout"
    ] * 2


def test_who_is_killed_while_waiting_leaves_nothing(server, capulet, ask, juliet):
    timers = len(capulet.kernel.timers)
    asking = ask(juliet.jid)
    assert len(capulet.kernel.timers) == timers + 1
    asking.kill()
    assert len(capulet.kernel.requests) == 0
    assert len(capulet.kernel.timers) == timers
