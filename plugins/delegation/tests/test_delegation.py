"""Requests that a component answers in the place of the server, and what it may answer."""

import pytest
from delegation_cast import (
    DELEGATED,
    DOMAIN,
    NS_DELEGATION,
    NS_MAM,
    NS_PUBSUB,
    wrapped,
)

from stonechat.custody import Custody
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_FORWARD
from stonechat.stanza import Element, Iq
from stonechat.testing import error_of

PUBSUB = Element(NS_PUBSUB, "pubsub")
NS_ROSTER = "jabber:iq:roster"


def ask(client, payload=PUBSUB, to=None, type="set", id="pep1"):
    """Send a request without waiting for its answer."""
    client.send(Iq(payload, type=type, id=id, to=JID.parse(to) if to else None))


def refusal(client, id="pep1"):
    return error_of(client.answer_to(id)).condition


# What the component is told


def test_a_component_is_told_what_is_delegated_to_it(host, join):
    assert join(host).delegations() == {NS_PUBSUB: [], NS_MAM: ["node"]}


def test_each_of_its_streams_is_told(host, join):
    first, second = join(host), join(host)
    assert first.delegations() == second.delegations() == {NS_PUBSUB: [], NS_MAM: ["node"]}


def test_the_first_thing_after_the_handshake_is_what_it_is_told(host, join):
    message = join(host).receive()
    assert message.name == "message"
    assert message.has(NS_DELEGATION, "delegation")


def test_a_component_that_nothing_is_delegated_to_is_told_nothing(host, join):
    assert join(host, "filter.capulet.example").received() == []


def test_who_is_connected_already_is_told_when_the_plugin_starts_and_stops(
    server, component_options, join
):
    host = server.host("capulet.example", component=component_options)
    component = join(host)
    options = {"components": [{"domain": DOMAIN, "namespaces": DELEGATED}]}
    host.enable("delegation", options)
    assert component.delegations() == {NS_PUBSUB: [], NS_MAM: ["node"]}
    host.disable("delegation")
    assert component.delegations() == {}


# Forwarding


def test_a_request_without_an_address_goes_to_the_component_and_back(manager, juliet):
    publish = Element(NS_PUBSUB, "pubsub", None, Element(NS_PUBSUB, "publish", {"node": "mood"}))
    ask(juliet, publish)
    outer, inner = manager.forwarded()
    assert inner.attributes == {"from": juliet.jid.text, "id": "pep1", "type": "set"}
    assert inner.elements == [publish]
    manager.settle(outer, inner, PUBSUB)
    answer = juliet.answer_to("pep1")
    assert answer.type == "result"
    assert answer.payload == PUBSUB
    assert answer.attributes.keys() <= {"id", "type", "to", "from"}


def test_what_is_forwarded_says_that_it_is_a_client_s(manager, juliet):
    ask(juliet)
    manager.forwarded()
    octets = manager.story()
    assert "<forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client'" in octets.replace(
        '"', "'"
    ), octets


@pytest.mark.parametrize("to", ["capulet.example", "juliet@capulet.example"])
@pytest.mark.parametrize("type", ["get", "set"])
def test_requests_to_the_host_and_to_accounts_go_to_the_component(manager, juliet, to, type):
    ask(juliet, to=to, type=type)
    inner = manager.settle_next()
    assert (inner.get("to"), inner.get("type")) == (to, type)
    answer = juliet.answer_to("pep1")
    assert (answer.type, answer.from_.text, answer.payload) == ("result", to, None)


def test_the_account_of_another_is_the_component_s_matter_too(host, manager, juliet):
    romeo = host.connect("romeo@capulet.example/orchard")
    ask(romeo, to="juliet@capulet.example")
    assert manager.settle_next().get("from") == "romeo@capulet.example/orchard"
    assert romeo.answer_to("pep1").type == "result"


def test_requests_to_a_client_go_to_the_client(host, manager, juliet):
    romeo = host.connect("romeo@capulet.example/orchard")
    ask(romeo, to="juliet@capulet.example/balcony")
    assert juliet.receive_iq().namespace == NS_PUBSUB
    assert manager.requests() == []


def test_an_account_that_does_not_exist_is_none_of_the_component_s(manager, juliet):
    ask(juliet, to="rosaline@capulet.example")
    assert refusal(juliet) == "service-unavailable"
    assert manager.requests() == []


def test_other_namespaces_stay_with_the_server(host, manager, juliet):
    host.enable("version", {})
    assert juliet.get(Element("jabber:iq:version", "query"), to="capulet.example").payload
    ask(juliet, Element("urn:example:unknown", "x"))
    assert refusal(juliet) == "service-unavailable"
    assert manager.requests() == []


def test_a_component_comes_before_a_plugin_of_the_server(make_host, join):
    host = make_host([{"namespace": "jabber:iq:version"}], plugins={"version": {}})
    manager = join(host)
    juliet = host.connect("juliet@capulet.example/balcony")
    payload = Element("jabber:iq:version", "query", None)
    payload.add("name", "Mantua")
    ask(juliet, Element("jabber:iq:version", "query"), to="capulet.example", type="get")
    manager.settle_next(payload)
    assert juliet.answer_to("pep1").payload == payload


def test_only_requests_with_the_attribute_are_delegated(manager, juliet):
    ask(juliet, Element(NS_MAM, "query", {"queryid": "1"}), id="plain")
    assert refusal(juliet, "plain") == "service-unavailable"
    assert manager.requests() == []
    ask(juliet, Element(NS_MAM, "query", {"node": "blog"}), id="of-node")
    manager.settle_next()
    assert juliet.answer_to("of-node").type == "result"


def test_all_attributes_have_to_be_there(make_host, join):
    host = make_host([{"namespace": NS_MAM, "attributes": ["node", "queryid"]}])
    manager = join(host)
    juliet = host.connect("juliet@capulet.example/balcony")
    ask(juliet, Element(NS_MAM, "query", {"node": "blog"}))
    assert refusal(juliet) == "service-unavailable"
    ask(juliet, Element(NS_MAM, "query", {"node": "", "queryid": "1"}), id="both")
    manager.settle_next()
    assert juliet.answer_to("both").type == "result"


def test_nobody_waits_for_the_component(manager, juliet, host):
    host.enable("version", {})
    ask(juliet)
    assert juliet.get(Element("jabber:iq:version", "query"), to="capulet.example").payload
    ask(juliet, id="pep2")
    first, second = manager.forwarded(), manager.forwarded()
    manager.settle(*second)
    assert juliet.answer_to("pep2").type == "result"
    manager.settle(*first)
    assert juliet.answer_to("pep1").type == "result"


def test_one_sender_s_requests_are_one_process_s(host, join):
    managers = [join(host), join(host)]
    for manager in managers:
        manager.delegations()
    clients = [host.connect(f"guest{number}@capulet.example/x") for number in range(8)]
    for client in clients:
        for number in range(3):
            ask(client, id=f"pep{number}")
    counts = []
    for manager in managers:
        senders = [inner.get("from") for inner in manager.requests()]
        assert all(senders.count(sender) == 3 for sender in senders)
        counts.append(len(senders))
    assert sum(counts) == 24
    assert all(counts)


# What comes back


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "pep2"},
        {"id": None},
        {"to": "romeo@capulet.example/orchard"},
        {"to": "juliet@capulet.example"},
        {"to": "@"},
        {"to": None},
        {"from": "capulet.example"},
        {"from": "juliet@capulet.example/balcony"},
        {"from": "@"},
        {"type": "error"},
        {"type": "set"},
        {"type": None},
    ],
)
def test_a_result_that_is_not_to_the_request_is_an_error(server, manager, juliet, changes):
    ask(juliet, to="juliet@capulet.example")
    manager.settle_next(PUBSUB, **changes)
    assert refusal(juliet) == "service-unavailable"
    (record,) = server.logged("bad answer to a delegated request")
    assert record["component"] == DOMAIN


@pytest.mark.parametrize(
    "payload",
    [
        None,
        PUBSUB,
        wrapped(),
        Element(NS_DELEGATION, "delegation"),
        wrapped(Element("jabber:server", "iq")),
        wrapped(Element(NS_CLIENT, "message")),
        Element(NS_DELEGATION, "delegation", None, Element(NS_FORWARD, "x")),
    ],
)
def test_a_result_without_a_result_is_an_error(manager, juliet, payload):
    ask(juliet)
    outer, _ = manager.forwarded()
    manager.answer(outer, payload)
    assert refusal(juliet) == "service-unavailable"


def test_a_result_has_one_payload_at_most(manager, juliet):
    ask(juliet)
    manager.settle_next(PUBSUB, Element(NS_CLIENT, "error"))
    assert refusal(juliet) == "service-unavailable"


@pytest.mark.parametrize("sender", [None, "juliet@capulet.example"])
def test_a_result_need_not_say_whom_it_is_from(manager, juliet, sender):
    ask(juliet, to="juliet@capulet.example")
    manager.settle_next(PUBSUB, **{"from": sender})
    answer = juliet.answer_to("pep1")
    assert (answer.type, answer.from_.text) == ("result", "juliet@capulet.example")


def test_addresses_may_be_written_otherwise(manager, juliet):
    ask(juliet, to="juliet@capulet.example")
    manager.settle_next(to="Juliet@Capulet.Example/balcony")
    assert juliet.answer_to("pep1").type == "result"


def test_an_error_of_the_component_is_one_of_the_service(server, manager, juliet):
    ask(juliet)
    outer, _ = manager.forwarded()
    manager.refuse(outer, "item-not-found")
    assert refusal(juliet) == "service-unavailable"
    assert server.logged("bad answer to a delegated request") == []


def test_an_answer_comes_to_the_host(manager, juliet):
    ask(juliet)
    outer, inner = manager.forwarded()
    manager.send(Iq(wrapped(), type="result", id=outer.id, from_=manager.jid, to=juliet.jid))
    assert juliet.receive_iq().from_ == manager.jid
    manager.settle(outer, inner)
    assert juliet.answer_to("pep1").type == "result"


def test_what_is_answered_leaves_nothing_behind(host, manager, juliet):
    ledger = host.kernel.plugins.running["delegation"].ledger
    before = len(ledger)
    ask(juliet)
    assert len(ledger) > before
    manager.settle_next()
    assert len(ledger) == before


def test_a_request_is_answered_once(manager, juliet):
    ask(juliet)
    outer, inner = manager.forwarded()
    manager.settle(outer, inner)
    manager.settle(outer, inner)
    manager.refuse(outer, "item-not-found")
    assert len(juliet.received()) == 1


def test_another_component_cannot_answer(host, manager, juliet, join):
    other = join(host, "filter.capulet.example")
    ask(juliet)
    outer, inner = manager.forwarded()
    forged = Iq(wrapped(), type="result", id=outer.id, from_=other.jid, to=outer.from_)
    other.send(forged)
    assert juliet.received() == []
    manager.settle(outer, inner)
    assert juliet.answer_to("pep1").type == "result"


def test_a_client_cannot_answer(manager, host, juliet):
    tybalt = host.connect("tybalt@capulet.example/street")
    ask(juliet)
    outer, inner = manager.forwarded()
    tybalt.send(Iq(wrapped(), type="result", id=outer.id, to=outer.from_))
    assert juliet.received() == []
    manager.settle(outer, inner)
    assert juliet.answer_to("pep1").type == "result"


def test_who_has_sent_it_hears_that_it_is_handled_once_it_is_answered(host, manager, juliet):
    freed = []
    for number in range(2):
        iq = Iq(PUBSUB, type="set", id=str(number), from_=juliet.jid)
        iq.custody = Custody(lambda number=number: freed.append(number))
        host.plugin("delegation").forwarding.forward(DOMAIN, iq)
    assert freed == []
    manager.settle_next()
    assert freed == [0]
    manager.drop()
    assert freed == [0, 1]


def test_who_is_blocked_is_not_heard_by_the_component_either(host, manager, juliet):
    host.enable("blocking", {})
    item = Element("urn:xmpp:blocking", "item", {"jid": "tybalt@capulet.example"})
    juliet.set(Element("urn:xmpp:blocking", "block", None, item))
    tybalt = host.connect("tybalt@capulet.example/street")
    ask(tybalt, to="juliet@capulet.example")
    assert refusal(tybalt) == "service-unavailable"
    assert manager.requests() == []


# No answer


def test_without_the_component_the_service_is_unavailable(host, juliet):
    ask(juliet)
    assert refusal(juliet) == "service-unavailable"


def test_what_a_component_had_before_it_is_refused_when_it_goes(manager, juliet):
    ask(juliet)
    manager.drop()
    assert refusal(juliet) == "service-unavailable"


def test_what_another_stream_of_it_has_before_it_is_not(host, join):
    managers = [join(host), join(host)]
    clients = [host.connect(f"guest{number}@capulet.example/x") for number in range(8)]
    for client in clients:
        ask(client)
    managers[0].drop()
    refused = sum(len(client.received()) for client in clients)
    assert 0 < refused < 8
    assert refused + len(managers[1].requests()) == 8


def test_a_component_that_does_not_answer_is_not_waited_for(server, manager, juliet):
    ask(juliet)
    outer, inner = manager.forwarded()
    server.clock.advance(29)
    assert juliet.received() == []
    server.clock.advance(2)
    assert refusal(juliet) == "service-unavailable"
    # Too late.
    manager.settle(outer, inner)
    assert juliet.received() == []


def test_what_waits_is_refused_when_the_plugin_stops(host, manager, juliet):
    ask(juliet)
    host.disable("delegation")
    assert refusal(juliet) == "service-unavailable"


def test_a_component_has_so_many_requests_before_it(make_host, join):
    host = make_host(max_requests=20)
    manager = join(host)
    manager.delegations()
    clients = [host.connect(f"guest{number}@capulet.example/x") for number in range(11)]
    for client in clients:
        for number in range(2):
            ask(client, id=f"pep{number}")
    assert [len(client.received()) for client in clients] == [0] * 10 + [2]
    manager.settle_next()
    ask(clients[10], id="again")
    assert len(manager.requests()) == 20
    assert clients[10].received() == []


def test_one_sender_has_a_part_of_them(make_host, join):
    host = make_host(max_requests=20)
    manager = join(host)
    manager.delegations()
    juliet = host.connect("juliet@capulet.example/balcony")
    for number in range(3):
        ask(juliet, id=f"pep{number}")
    error = error_of(juliet.answer_to("pep2"))
    assert (error.condition, error.type) == ("resource-constraint", "wait")
    for number in range(2):
        manager.settle_next()
        assert juliet.answer_to(f"pep{number}").type == "result"
    ask(juliet, id="again")
    manager.settle_next()
    assert juliet.answer_to("again").type == "result"
    assert not host.plugin("delegation").forwarding._senders


def test_a_component_that_reads_too_slowly_is_given_no_more(manager, juliet, host):
    (stream,) = host.kernel.service("component").streams(DOMAIN)
    stream.output_stuck()
    ask(juliet)
    assert refusal(juliet) == "resource-constraint"
    stream.output_flowing()
    ask(juliet, id="pep2")
    manager.settle_next()


# The component's own requests


def test_what_the_component_itself_asks_is_not_forwarded_to_it(make_host, join):
    host = make_host([{"namespace": "jabber:iq:version"}], plugins={"version": {}})
    manager = join(host)
    manager.delegations()
    answer = manager.get(Element("jabber:iq:version", "query"), to="capulet.example")
    assert answer.payload.find_text("name") == "Stonechat"
    host.create_account("juliet")
    with pytest.raises(StanzaError, match="service-unavailable"):
        manager.get(Element("jabber:iq:version", "query"), to="juliet@capulet.example")


def test_what_another_component_asks_is(manager, host, join):
    other = join(host, "filter.capulet.example")
    id_ = other.ask("set", PUBSUB, "capulet.example")
    manager.settle_next()
    assert other.answer_to(id_).type == "result"


# Clients and namespaces


@pytest.mark.parametrize("type", ["get", "set"])
def test_nobody_else_gets_a_namespace_by_asking(manager, juliet, type):
    query = Element(NS_DELEGATION, "query", {"to": "juliet@capulet.example"})
    query.append(Element(NS_DELEGATION, "delegate", {"namespace": NS_PUBSUB}))
    ask(juliet, query, to="capulet.example", type=type)
    assert refusal(juliet) == "feature-not-implemented"


def test_the_namespace_of_delegation_is_never_delegated(manager, juliet):
    query = Element(NS_DELEGATION, "query", {"to": "juliet@capulet.example"})
    query.append(Element(NS_DELEGATION, "delegate", {"namespace": NS_PUBSUB}))
    query.append(Element(NS_DELEGATION, "delegate", {"namespace": NS_DELEGATION}))
    ask(juliet, query, to="capulet.example", type="get")
    assert refusal(juliet) == "forbidden"
    ask(juliet, wrapped(Element(NS_CLIENT, "iq", {"type": "set"})), to="capulet.example", id="2")
    assert refusal(juliet, "2") == "feature-not-implemented"
    assert manager.requests() == []


# The roster


def test_who_gets_the_roster_from_a_component_gets_pushes(make_host, join):
    host = make_host([{"namespace": NS_ROSTER}], plugins={"roster": {}})
    manager = join(host)
    juliet = host.connect("juliet@capulet.example/balcony")
    chamber = host.connect("juliet@capulet.example/chamber")
    ask(juliet, Element(NS_ROSTER, "query"), type="get")
    manager.settle_next(Element(NS_ROSTER, "query"))
    juliet.answer_to("pep1")
    service = host.kernel.service("roster")
    service.set("juliet", JID.parse("romeo@montague.example"), groups=["Rivals"])
    push = juliet.receive_iq()
    assert (push.type, push.namespace) == ("set", NS_ROSTER)
    assert chamber.received() == []
    # Who changes it without having it does not want to hear of that.
    ask(chamber, Element(NS_ROSTER, "query"))
    manager.settle_next()
    chamber.answer_to("pep1")
    service.set("juliet", JID.parse("mercutio@montague.example"))
    assert chamber.received() == []


# Restarts


def test_after_a_restart_all_is_as_before(server, host, join):
    server.restart()
    manager = join(host)
    assert manager.delegations() == {NS_PUBSUB: [], NS_MAM: ["node"]}
    juliet = host.connect("juliet@capulet.example/balcony")
    ask(juliet)
    manager.settle_next()
    assert juliet.answer_to("pep1").type == "result"
