"""A component that manages a namespace, and uses its privileges to do so (both XEPs)."""

import pytest
from privilege_cast import DOMAIN, NS_PUBSUB, NS_ROSTER, request

from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_FORWARD
from stonechat.stanza import Element, Iq
from stonechat.testing import error_of

NS_DELEGATION = "urn:xmpp:delegation:2"
JULIET = "juliet@capulet.example"
QUERY = Element(NS_ROSTER, "query")


@pytest.fixture
def make_host(make_host):
    """The roster is delegated to the component, and so is pubsub."""

    def make(**permissions):
        namespaces = [{"namespace": NS_ROSTER}, {"namespace": NS_PUBSUB}]
        delegation = {"components": [{"domain": DOMAIN, "namespaces": namespaces}]}
        return make_host(plugins={"roster": {}, "delegation": delegation}, **permissions)

    return make


@pytest.fixture
def host(make_host):
    granted = [{"namespace": NS_PUBSUB, "type": "both"}, {"namespace": NS_ROSTER, "type": "get"}]
    return make_host(roster="both", push=False, iq=granted)


@pytest.fixture
def entity(host, join):
    entity = join(host)
    entity.permissions()
    entity.received()
    return entity


@pytest.fixture
def juliet(host):
    return host.connect(f"{JULIET}/balcony")


def item(*groups):
    inner = (Element(NS_ROSTER, "group", None, group) for group in groups)
    child = Element(NS_ROSTER, "item", {"jid": "romeo@montague.example"}, *inner)
    return Element(NS_ROSTER, "query", None, child)


def delegated(entity):
    """The next request that is delegated to it: ours, and the one inside."""
    outer = entity.receive_where(
        lambda stanza: isinstance(stanza, Iq) and stanza.namespace == NS_DELEGATION,
        "A delegated request",
    )
    return outer, outer.payload.elements[0].elements[0]


def settle(entity, outer, inner, *payload):
    head = {"type": "result", "id": inner.get("id"), "to": inner.get("from")}
    forwarded = Element(NS_FORWARD, "forwarded", None, Element(NS_CLIENT, "iq", head, *payload))
    entity.answer(outer, Element(NS_DELEGATION, "delegation", None, forwarded))


def nothing_is_delegated(entity):
    return not [s for s in entity.received() if getattr(s, "namespace", "") == NS_DELEGATION]


def test_a_component_sorts_contacts_into_groups(entity, juliet):
    """The example of XEP-0355, "Stanzas from managing entity"."""
    juliet.send(Iq(QUERY, type="get", id="roster0"))
    outer, inner = delegated(entity)
    settle(entity, outer, inner, entity.get(QUERY, to=JULIET).payload)
    assert juliet.answer_to("roster0").payload.elements == []
    juliet.send(Iq(item(), type="set", id="roster1"))
    outer, inner = delegated(entity)
    assert inner.elements == [item()]
    settle(entity, outer, inner)
    assert juliet.answer_to("roster1").type == "result"
    assert entity.set(item("Rivals"), to=JULIET).type == "result"
    push = juliet.receive_iq()
    assert (push.type, push.payload.first().find_text("group")) == ("set", "Rivals")


def test_a_request_for_a_user_is_not_delegated_to_who_sends_it(entity, juliet):
    id_ = entity.ask_for(JULIET, request(QUERY, type="get"), type="get")
    answer = entity.answer_for(id_)
    assert (answer.get("type"), answer.elements[0].namespace) == ("result", NS_ROSTER)
    id_ = entity.ask_for(JULIET, request(to="capulet.example"))
    assert entity.answer_for(id_).get("type") == "error"
    assert nothing_is_delegated(entity)


def test_one_of_another_component_s_is_delegated(server, component_options, join):
    namespaces = [{"namespace": NS_ROSTER}]
    host = server.host(
        "capulet.example",
        component=component_options,
        roster={},
        delegation={"components": [{"domain": DOMAIN, "namespaces": namespaces}]},
        privilege={"components": [{"domain": "filter.@HOST@", "roster": "get"}]},
    )
    host.create_account("juliet")
    manager, other = join(host), join(host, "filter.capulet.example")
    id_ = other.ask("get", QUERY, JULIET)
    outer, inner = delegated(manager)
    assert (inner.get("from"), inner.get("to")) == (JULIET, JULIET)
    settle(manager, outer, inner, item())
    answer = other.answer_to(id_)
    assert (answer.type, answer.payload) == ("result", item())
    # And where the manager is away, the other hears of that.
    manager.drop()
    error = error_of(other.answer_to(other.ask("get", QUERY, JULIET)))
    assert error.condition == "service-unavailable"


def test_two_that_ask_each_other_do_not_wait_for_each_other(server, component_options, join):
    """Each manages what the other asks for; both go on meanwhile."""
    granted = [{"namespace": each, "type": "both"} for each in ("urn:example:a", "urn:example:b")]
    domains = {"urn:example:a": DOMAIN, "urn:example:b": "filter.capulet.example"}
    host = server.host(
        "capulet.example",
        component=component_options,
        delegation={
            "components": [
                {"domain": domain, "namespaces": [{"namespace": namespace}]}
                for namespace, domain in domains.items()
            ]
        },
        privilege={"components": [{"domain": each, "iq": granted} for each in domains.values()]},
    )
    host.create_account("juliet")
    a, b = join(host), join(host, "filter.capulet.example")
    of_a = a.ask_for(JULIET, request(Element("urn:example:b", "x"), id="1"))
    of_b = b.ask_for(JULIET, request(Element("urn:example:a", "x"), id="2"))
    settle(a, *delegated(a))
    settle(b, *delegated(b))
    assert a.answer_for(of_a).get("type") == b.answer_for(of_b).get("type") == "result"


def test_nobody_passes_for_the_component_by_an_id(host, entity, juliet):
    """What is asked by the user is delegated, whatever is under way in the user's name."""
    server = host.server.host("montague.example")
    romeo = server.connect("romeo@montague.example/orchard")
    entity.ask_for(JULIET, request(to=romeo.jid.text))
    ours = romeo.receive_iq()
    juliet.send(Iq(QUERY, type="get", id=ours.id))
    outer, inner = delegated(entity)
    assert inner.get("from") == juliet.jid.text
    settle(entity, outer, inner)
    assert juliet.answer_to(ours.id).type == "result"
    assert JID.parse(inner.get("from")).resource
