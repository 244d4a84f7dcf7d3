"""What clients find out about what a component answers for the server."""

import pytest
from delegation_cast import (
    DOMAIN,
    NS_DELEGATION,
    NS_MAM,
    NS_PUBSUB,
)

from stonechat import hookimpl
from stonechat.forms import Field, Form
from stonechat.jid import JID
from stonechat.namespaces import NS_DISCO_INFO, NS_DISCO_ITEMS
from stonechat.stanza import Element, Iq
from stonechat.testing import error_of

INFO = Element(NS_DISCO_INFO, "query")
ITEMS = Element(NS_DISCO_ITEMS, "query")
BARE_INFO = "urn:xmpp:delegation:2:bare:disco#info:*"
BARE_ITEMS = "urn:xmpp:delegation:2:bare:disco#items:*"
BLOG = "urn:xmpp:microblog:0"
REST = [{"namespace": BARE_INFO}, {"namespace": BARE_ITEMS}]
OF_HOST = f"{NS_DELEGATION}::{NS_PUBSUB}"
OF_ACCOUNT = f"{NS_DELEGATION}:bare:{NS_PUBSUB}"


class Internal:
    """What a service of the server's own would have."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_disco_features(self):
        return [NS_PUBSUB, f"{NS_PUBSUB}#auto-create", "urn:example:other", f"{NS_PUBSUB}s"]

    @hookimpl
    def stonechat_account_disco_features(self):
        return [f"{NS_PUBSUB}#auto-create", NS_MAM, f"{NS_MAM}#extended"]

    @hookimpl
    def stonechat_disco_forms(self):
        return [form(f"{NS_PUBSUB}#meta-data", "ours"), form("urn:example:other", "ours")]

    @hookimpl
    def stonechat_disco_node_info(self, iq, node):
        return Element(NS_DISCO_INFO, "query", {"node": node}) if node == "ours" else None

    @hookimpl
    def stonechat_disco_node_items(self, iq, node):
        return Element(NS_DISCO_ITEMS, "query", {"node": node}) if node == "ours" else None


class Trust:
    """In place of a roster: Romeo may see everybody."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_may_see_presence(self, account, watcher):
        return True if watcher.localpart == "romeo" else None


def form(form_type, value):
    return Form("result", form_type, fields=[Field("who", values=value)]).to_element()


def info(node, *elements):
    return Element(NS_DISCO_INFO, "query", {"node": node}, *elements)


def feature(var):
    return Element(NS_DISCO_INFO, "feature", {"var": var})


def identity(**attributes):
    return Element(NS_DISCO_INFO, "identity", attributes)


@pytest.fixture
def make_host(make_host):
    return lambda *namespaces: make_host(
        list(namespaces) or [{"namespace": NS_PUBSUB}], plugins={"disco": {}}
    )


@pytest.fixture
def host(make_host):
    host = make_host()
    host.enable("internal", plugin_class=Internal)
    return host


def nodes(manager):
    """The nodes that it is asked about now, with the requests."""
    return {
        request.payload.get("node"): request
        for request in manager.received()
        if isinstance(request, Iq) and request.namespace == NS_DISCO_INFO
    }


def tell(manager, of_host=(), of_account=()):
    """Answer the two questions about the namespace."""
    for node, elements in ((OF_HOST, of_host), (OF_ACCOUNT, of_account)):
        (found,) = nodes(manager).items()
        assert found[0] == node
        manager.answer(found[1], info(node, *elements))


def features(client, to=None):
    return [each.get("var") for each in client.get(INFO, to=to).payload.find_all("feature")]


def refusal(client, payload, to=None):
    return error_of(client.request("get", payload, to=to)).condition


# Nesting


def test_the_host_says_that_it_delegates(juliet):
    assert NS_DELEGATION in features(juliet, "capulet.example")
    assert NS_DELEGATION not in features(juliet)


def test_a_component_is_asked_when_it_comes(join, host):
    manager = join(host)
    assert manager.delegations()
    request = manager.receive_iq_get()
    assert request.from_.text == "capulet.example"
    assert request.payload == info(OF_HOST)
    manager.answer(request, info(OF_HOST))
    assert manager.receive_iq_get().payload == info(OF_ACCOUNT)


def test_it_is_asked_anew_when_another_of_its_streams_comes(host, join):
    join(host)
    join(host)
    # And what was asked before is awaited no more.
    assert len(host.kernel.requests) == 1


def test_what_the_component_has_is_in_the_host_s_answer(manager, juliet):
    tell(manager, [feature(NS_PUBSUB), feature(f"{NS_PUBSUB}#publish"), feature("urn:xmpp:x")])
    found = features(juliet, "capulet.example")
    assert {NS_PUBSUB, f"{NS_PUBSUB}#publish", "urn:xmpp:x", "urn:example:other"} <= set(found)
    assert f"{NS_PUBSUB}#auto-create" not in found
    assert f"{NS_PUBSUB}s" in found
    assert len(found) == len(set(found))
    assert f"{NS_PUBSUB}#publish" not in features(juliet)


def test_what_it_has_of_accounts_is_in_theirs(manager, juliet):
    tell(
        manager,
        [],
        [identity(category="pubsub", type="pep"), feature(f"{NS_PUBSUB}#publish")],
    )
    query = juliet.get(INFO).payload
    identities = [(i.get("category"), i.get("type")) for i in query.find_all("identity")]
    assert identities == [("account", "registered"), ("pubsub", "pep")]
    found = features(juliet)
    assert f"{NS_PUBSUB}#publish" in found
    assert f"{NS_PUBSUB}#auto-create" not in found
    assert {NS_MAM, f"{NS_MAM}#extended"} <= set(found)
    assert f"{NS_PUBSUB}#publish" not in features(juliet, "capulet.example")


def test_its_forms_take_the_place_of_ours(manager, juliet):
    def forms():
        query = juliet.get(INFO, to="capulet.example").payload
        found = (Form.read(each) for each in query.find_all("x", "jabber:x:data"))
        return {each.form_type: each.get("who") for each in found}

    assert forms() == {"urn:example:other": "ours"}
    theirs = form(f"{NS_PUBSUB}#meta-data", "theirs")
    tell(manager, [theirs, form("urn:example:other", "theirs")])
    assert forms() == {"urn:example:other": "ours", f"{NS_PUBSUB}#meta-data": "theirs"}


def test_ours_is_not_there_while_the_component_is_not(host, juliet, join):
    assert NS_PUBSUB not in features(juliet, "capulet.example")
    manager = join(host)
    tell(manager, [feature(NS_PUBSUB)])
    assert NS_PUBSUB in features(juliet, "capulet.example")
    manager.drop()
    assert NS_PUBSUB not in features(juliet, "capulet.example")
    tell(join(host), [feature(NS_PUBSUB), feature(f"{NS_PUBSUB}#new")])
    assert f"{NS_PUBSUB}#new" in features(juliet, "capulet.example")


def test_what_it_has_stays_while_one_of_its_streams_is_there(host, juliet, join):
    managers = [join(host), join(host)]
    for node in (OF_HOST, OF_ACCOUNT):
        # Over which of its streams it is asked is not ours to say.
        asked = [(each, found[node]) for each in managers if node in (found := nodes(each))]
        manager, request = asked[-1]
        manager.answer(request, info(node, feature(NS_PUBSUB)))
    managers[0].drop()
    assert NS_PUBSUB in features(juliet, "capulet.example")
    managers[1].drop()
    assert NS_PUBSUB not in features(juliet, "capulet.example")


def test_ours_is_back_when_the_plugin_is_gone(host, juliet):
    assert NS_PUBSUB not in features(juliet, "capulet.example")
    host.disable("delegation")
    assert NS_PUBSUB in features(juliet, "capulet.example")


def test_a_component_that_has_nothing_to_say_says_nothing(server, manager, juliet):
    for _ in range(2):
        (request,) = nodes(manager).values()
        manager.refuse(request, "item-not-found")
    assert NS_PUBSUB not in features(juliet, "capulet.example")
    assert len(server.logged("a component has nothing to nest")) == 2


def test_a_component_that_does_not_answer_is_not_waited_for(server, manager, juliet):
    assert nodes(manager)
    assert features(juliet, "capulet.example")
    server.clock.advance(31)
    (request,) = nodes(manager).values()
    assert request.payload.get("node") == OF_ACCOUNT
    manager.answer(request, info(OF_ACCOUNT, feature(NS_PUBSUB)))
    assert NS_PUBSUB in features(juliet)


@pytest.mark.parametrize(
    "element",
    [
        feature(""),
        identity(category="pubsub"),
        Element("urn:example", "feature", {"var": "x"}),
        Element("jabber:x:data", "x", {"type": "form"}),
        Element("jabber:x:data", "x", {"type": "result"}),
        Element(NS_DISCO_INFO, "item", {"jid": "x"}),
    ],
)
def test_what_does_not_belong_there_is_left_out(manager, juliet, element):
    before = juliet.get(INFO, to="capulet.example").payload
    tell(manager, [element])
    assert juliet.get(INFO, to="capulet.example").payload == before


def test_there_may_be_so_much_and_no_more(server, manager, juliet):
    before = len(features(juliet, "capulet.example"))
    tell(manager, [feature(f"urn:example:{number}") for number in range(600)])
    assert len(features(juliet, "capulet.example")) == before + 500
    assert server.logged("a component has too much to nest")


def test_nothing_is_there_twice(manager, juliet):
    tell(manager, [feature("urn:example:other"), feature("urn:example:new")] * 2)
    found = features(juliet, "capulet.example")
    assert len(found) == len(set(found))


def test_with_a_filter_the_component_s_features_are_shown_all_the_same(make_host, join):
    host = make_host({"namespace": NS_MAM, "attributes": ["node"]})
    host.enable("internal", plugin_class=Internal)
    manager = join(host)
    juliet = host.connect("juliet@capulet.example/balcony")
    assert not {NS_MAM, f"{NS_MAM}#extended"} & set(features(juliet))
    for node in (f"{NS_DELEGATION}::{NS_MAM}", f"{NS_DELEGATION}:bare:{NS_MAM}"):
        (request,) = nodes(manager).values()
        manager.answer(request, info(node, feature(NS_MAM)))
    found = features(juliet)
    assert NS_MAM in found
    assert f"{NS_MAM}#extended" not in found


# What the server does not have itself


@pytest.fixture
def rest(make_host, join):
    """A component that knows all other nodes of accounts."""
    host = make_host(*REST)
    host.enable("internal", plugin_class=Internal)
    host.enable("trust", plugin_class=Trust)
    manager = join(host)
    assert manager.delegations() == {BARE_INFO: [], BARE_ITEMS: []}
    assert manager.received() == []
    return host, manager


def ask(client, payload, to=None):
    client.send(Iq(payload, type="get", id="disco1", to=JID.parse(to) if to else None))


@pytest.mark.parametrize("to", [None, "juliet@capulet.example"])
@pytest.mark.parametrize("namespace", [NS_DISCO_INFO, NS_DISCO_ITEMS])
def test_nodes_of_accounts_are_the_component_s(rest, namespace, to):
    host, manager = rest
    juliet = host.connect("juliet@capulet.example/balcony")
    query = Element(namespace, "query", {"node": BLOG})
    ask(juliet, query, to)
    answer = query.copy()
    answer.append(Element(namespace, "item"))
    inner = manager.settle_next(answer)
    assert inner.elements == [query]
    assert juliet.answer_to("disco1").payload == answer


def test_items_of_accounts_are_the_component_s_too(rest):
    host, manager = rest
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.available()
    juliet.received()
    ask(juliet, ITEMS, "juliet@capulet.example")
    item = Element(NS_DISCO_ITEMS, "item", {"jid": "juliet@capulet.example", "node": BLOG})
    manager.settle_next(Element(NS_DISCO_ITEMS, "query", None, item))
    # Its own alone, not the resources among them.
    assert juliet.answer_to("disco1").payload.elements == [item]


@pytest.mark.parametrize("namespace", [NS_DISCO_INFO, NS_DISCO_ITEMS])
def test_nothing_of_that_can_be_set(rest, namespace):
    host, manager = rest
    juliet = host.connect("juliet@capulet.example/balcony")
    answer = juliet.request("set", Element(namespace, "query", {"node": BLOG}))
    assert error_of(answer).condition == "service-unavailable"
    assert manager.requests() == []


def test_what_there_is_about_accounts_is_ours(rest):
    host, manager = rest
    juliet = host.connect("juliet@capulet.example/balcony")
    assert NS_DISCO_INFO in features(juliet)
    assert manager.requests() == []


@pytest.mark.parametrize("namespace", [NS_DISCO_INFO, NS_DISCO_ITEMS])
def test_nodes_that_the_server_has_stay_with_it(rest, namespace):
    host, manager = rest
    juliet = host.connect("juliet@capulet.example/balcony")
    query = Element(namespace, "query", {"node": "ours"})
    assert juliet.get(query).payload == query
    assert manager.requests() == []


@pytest.mark.parametrize("namespace", [NS_DISCO_INFO, NS_DISCO_ITEMS])
def test_nodes_of_the_host_are_not_the_component_s(rest, namespace):
    host, manager = rest
    juliet = host.connect("juliet@capulet.example/balcony")
    query = Element(namespace, "query", {"node": BLOG})
    assert refusal(juliet, query, "capulet.example") == "item-not-found"
    assert manager.requests() == []


def test_items_of_the_host_are_not_the_component_s(rest):
    host, manager = rest
    juliet = host.connect("juliet@capulet.example/balcony")
    assert juliet.get(ITEMS, to="capulet.example").payload.elements
    assert manager.requests() == []


@pytest.mark.parametrize(
    "query", [ITEMS, *(Element(ns, "query", {"node": BLOG}) for ns in (NS_DISCO_INFO,))]
)
def test_strangers_cannot_tell_an_account_from_none(rest, query):
    host, manager = rest
    host.create_account("juliet")
    tybalt = host.connect("tybalt@capulet.example/street")
    known = tybalt.request("get", query, to="juliet@capulet.example")
    unknown = tybalt.request("get", query, to="rosaline@capulet.example")
    assert known.type == unknown.type == "error"
    assert known.element.children == unknown.element.children
    assert manager.requests() == []


def test_contacts_are_answered_by_the_component(rest):
    host, manager = rest
    host.create_account("juliet")
    romeo = host.connect("romeo@capulet.example/orchard")
    ask(romeo, ITEMS, "juliet@capulet.example")
    manager.settle_next(ITEMS)
    assert romeo.answer_to("disco1").type == "result"


def test_the_component_itself_gets_the_server_s_answer(rest):
    host, manager = rest
    host.create_account("juliet")

    class Everybody:
        def __init__(self, host, options):
            pass

        @hookimpl
        def stonechat_may_see_presence(self, account, watcher):
            return True

    host.enable("everybody", plugin_class=Everybody)
    answer = manager.get(ITEMS, to="juliet@capulet.example")
    assert answer.payload.elements == []
    query = Element(NS_DISCO_INFO, "query", {"node": BLOG})
    assert refusal(manager, query, "juliet@capulet.example") == "item-not-found"


def test_without_the_component_nodes_are_unavailable(rest):
    host, manager = rest
    manager.drop()
    juliet = host.connect("juliet@capulet.example/balcony")
    query = Element(NS_DISCO_INFO, "query", {"node": BLOG})
    assert refusal(juliet, query) == "service-unavailable"


def test_only_what_is_delegated_of_them_is_the_component_s(make_host, join):
    host = make_host({"namespace": BARE_ITEMS})
    manager = join(host)
    juliet = host.connect("juliet@capulet.example/balcony")
    query = Element(NS_DISCO_INFO, "query", {"node": BLOG})
    assert refusal(juliet, query) == "item-not-found"
    assert manager.requests() == []
    assert host.plugin("delegation").managers == {BARE_ITEMS: DOMAIN}
