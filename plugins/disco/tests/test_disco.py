"""What the host and its accounts tell about themselves, and to whom."""

import pytest

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.forms import Field, Form
from stonechat.stanza import Element

NS_INFO = "http://jabber.org/protocol/disco#info"
NS_ITEMS = "http://jabber.org/protocol/disco#items"
INFO = Element(NS_INFO, "query")
ITEMS = Element(NS_ITEMS, "query")


class Trust:
    """In place of a roster: everybody may see everybody."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_may_see_presence(self, account, watcher):
        return True


class Catalogue:
    """Has identities, forms and nodes, of the host and of accounts."""

    def __init__(self, host, options):
        self.host = host
        self.asked = 0

    @hookimpl
    def stonechat_disco_identities(self):
        self.asked += 1
        return [("pubsub", "service", "Catalogue"), ("server", "im", "Another name")]

    @hookimpl
    def stonechat_account_disco_identities(self):
        return [("pubsub", "pep", "")]

    @hookimpl
    def stonechat_disco_forms(self):
        return [
            Form("result", kind, fields=[Field("who", values=who)]).to_element()
            for kind, who in (("urn:example:a", "Juliet"), ("urn:example:a", "Romeo"))
        ]

    @hookimpl
    def stonechat_disco_node_info(self, iq, node):
        if node == "secrets":
            raise StanzaError("forbidden")
        if node != "books":
            return None
        whose = (iq.to or iq.from_).bare.text
        return Element(
            NS_INFO,
            "query",
            {"node": node},
            Element(NS_INFO, "identity", {"category": "pubsub", "type": "leaf", "name": whose}),
        )

    @hookimpl
    def stonechat_disco_node_items(self, iq, node):
        if node != "books":
            return None
        query = Element(NS_ITEMS, "query")
        query.add("item", jid=iq.to.text, node="book 1")
        return query.freeze()


def features(query):
    return [feature.get("var") for feature in query.find_all("feature")]


def identities(query):
    return [identity.attributes for identity in query.find_all("identity")]


def items(query):
    return [item.attributes for item in query.find_all("item")]


def refusal(client, payload, to):
    with pytest.raises(StanzaError) as refused:
        client.get(payload, to=to)
    return refused.value.condition


@pytest.fixture
def host(server):
    return server.host("capulet.example", disco={}, ping={}, version={})


@pytest.fixture
def juliet(host):
    return host.connect("juliet@capulet.example/balcony")


# The host


def test_the_host_is_a_server_for_instant_messaging(juliet):
    query = juliet.get(INFO, to="capulet.example").payload
    assert identities(query) == [{"category": "server", "type": "im", "name": "Stonechat"}]


def test_the_host_may_have_a_name(server):
    host = server.host("capulet.example", disco={"name": "House of Capulet"})
    query = host.connect("juliet@capulet.example/balcony").get(INFO, to="capulet.example").payload
    assert identities(query)[0]["name"] == "House of Capulet"


def test_the_host_has_the_features_of_its_plugins_and_no_other(juliet):
    query = juliet.get(INFO, to="capulet.example").payload
    assert features(query) == [NS_INFO, NS_ITEMS, "jabber:iq:version", "urn:xmpp:ping"]


def test_features_come_and_go_with_the_plugins(host, juliet):
    assert "urn:xmpp:time" not in features(juliet.get(INFO, to="capulet.example").payload)
    host.enable("time", {})
    assert "urn:xmpp:time" in features(juliet.get(INFO, to="capulet.example").payload)
    host.disable("time")
    assert "urn:xmpp:time" not in features(juliet.get(INFO, to="capulet.example").payload)


def test_the_payload_is_made_once(host, juliet):
    plugin = host.plugin("disco")
    juliet.get(INFO, to="capulet.example")
    made = plugin.host_info.payload()
    juliet.get(INFO, to="capulet.example")
    assert plugin.host_info.payload() is made
    assert made.is_frozen


def test_services_are_listed(server):
    extra = [{"domain": "Rooms.Montague.Example", "name": "Rooms"}, {"domain": "files.example"}]
    host = server.host("capulet.example", disco={"extra_items": extra}, echo={})
    query = host.connect("juliet@capulet.example/balcony").get(ITEMS, to="capulet.example").payload
    assert items(query) == [
        {"jid": "echo.capulet.example", "name": "Echo"},
        {"jid": "rooms.montague.example", "name": "Rooms"},
        {"jid": "files.example"},
    ]


def test_a_host_without_services_has_an_empty_list(juliet):
    assert juliet.get(ITEMS, to="capulet.example").payload == ITEMS


@pytest.mark.parametrize("namespace", [NS_INFO, NS_ITEMS])
def test_the_host_has_no_nodes_of_its_own(juliet, namespace):
    query = Element(namespace, "query", {"node": "montague"})
    assert refusal(juliet, query, "capulet.example") == "item-not-found"


def test_an_empty_node_is_none(juliet):
    query = Element(NS_INFO, "query", {"node": ""})
    assert features(juliet.get(query, to="capulet.example").payload)


# What plugins add


@pytest.fixture
def catalogue(host):
    host.enable("catalogue", plugin_class=Catalogue)
    return host.plugin("catalogue")


def test_plugins_give_identities_of_which_each_has_one_name(catalogue, juliet):
    query = juliet.get(INFO, to="capulet.example").payload
    assert identities(query) == [
        {"category": "server", "type": "im", "name": "Stonechat"},
        {"category": "pubsub", "type": "service", "name": "Catalogue"},
    ]
    juliet.get(INFO, to="capulet.example")
    assert catalogue.asked == 1


def test_plugins_give_forms_one_of_each_type(server, catalogue, juliet):
    (form,) = juliet.get(INFO, to="capulet.example").payload.find_all("x", "jabber:x:data")
    assert Form.read(form, form_type="urn:example:a").get("who") == "Juliet"


def test_identities_and_forms_go_with_their_plugin(host, catalogue, juliet):
    juliet.get(INFO, to="capulet.example")
    host.disable("catalogue")
    query = juliet.get(INFO, to="capulet.example").payload
    assert len(identities(query)) == 1
    assert query.find("x", "jabber:x:data") is None


def test_plugins_give_identities_to_accounts(catalogue, juliet):
    assert identities(juliet.get(INFO).payload) == [
        {"category": "account", "type": "registered"},
        {"category": "pubsub", "type": "pep"},
    ]


@pytest.mark.parametrize("to", ["capulet.example", "juliet@capulet.example", None])
def test_plugins_describe_nodes(catalogue, juliet, to):
    query = juliet.get(Element(NS_INFO, "query", {"node": "books"}), to=to).payload
    assert query.get("node") == "books"
    assert identities(query)[0]["name"] == (to or "juliet@capulet.example")


def test_plugins_list_nodes_and_the_answer_names_the_node(catalogue, juliet):
    query = juliet.get(
        Element(NS_ITEMS, "query", {"node": "books"}), to="juliet@capulet.example"
    ).payload
    assert query.get("node") == "books"
    assert items(query) == [{"jid": "juliet@capulet.example", "node": "book 1"}]


@pytest.mark.parametrize("to", ["capulet.example", "juliet@capulet.example"])
@pytest.mark.parametrize("namespace", [NS_INFO, NS_ITEMS])
def test_a_node_that_no_plugin_knows_is_none(catalogue, juliet, namespace, to):
    query = Element(namespace, "query", {"node": "films"})
    assert refusal(juliet, query, to) == "item-not-found"


def test_a_plugin_may_refuse_to_tell_of_a_node(catalogue, juliet):
    query = Element(NS_INFO, "query", {"node": "secrets"})
    assert refusal(juliet, query, "capulet.example") == "forbidden"


@pytest.mark.parametrize("namespace", [NS_INFO, NS_ITEMS])
def test_strangers_are_told_of_no_account_s_nodes(host, catalogue, juliet, namespace):
    tybalt = host.connect("tybalt@capulet.example/street")
    query = Element(namespace, "query", {"node": "books"})
    assert refusal(tybalt, query, "juliet@capulet.example") == "service-unavailable"
    host.enable("trust", plugin_class=Trust)
    assert tybalt.get(query, to="juliet@capulet.example").payload.get("node") == "books"


class Editor:
    """Has the last word about what the host and its accounts say of themselves."""

    def __init__(self, host, options):
        self.word = "one"

    @hookimpl
    def stonechat_disco_info_made(self, query, of_account):
        for feature in list(query.find_all("feature")):
            query.remove(feature)
        query.add("feature", var=f"{'account' if of_account else 'host'} {self.word}")


def test_a_plugin_has_the_last_word(host, juliet):
    assert NS_INFO in features(juliet.get(INFO, to="capulet.example").payload)
    editor = host.enable("editor", plugin_class=Editor)
    assert features(juliet.get(INFO, to="capulet.example").payload) == ["host one"]
    assert features(juliet.get(INFO).payload) == ["account one"]
    editor.word = "two"
    assert features(juliet.get(INFO).payload) == ["account one"]
    host.kernel.service("disco").changed()
    assert features(juliet.get(INFO, to="capulet.example").payload) == ["host two"]
    assert features(juliet.get(INFO).payload) == ["account two"]


# Contact addresses (XEP-0157)


def test_contact_addresses_are_told_in_a_form(server):
    contact = {
        "admin": ["mailto:admin@capulet.example", "xmpp:admin@capulet.example"],
        "abuse": ["mailto:abuse@capulet.example"],
    }
    host = server.host("capulet.example", disco={"contact": contact})
    query = host.connect("juliet@capulet.example/balcony").get(INFO, to="capulet.example").payload
    form = Form.read(query.find("x", "jabber:x:data"))
    assert form.type == "result"
    assert form.form_type == "http://jabber.org/network/serverinfo"
    assert {field.var: field.values for field in form.fields} == {
        "abuse-addresses": ("mailto:abuse@capulet.example",),
        "admin-addresses": ("mailto:admin@capulet.example", "xmpp:admin@capulet.example"),
    }
    assert {field.type for field in form.fields} == {"list-multi"}


def test_without_contact_addresses_there_is_no_form(juliet):
    assert juliet.get(INFO, to="capulet.example").payload.find("x", "jabber:x:data") is None


def test_a_contact_address_is_a_uri():
    from stonechat_disco import Options

    with pytest.raises(ValueError, match="admin"):
        Options(contact={"admin": ["admin@capulet.example"]})


# Accounts


@pytest.mark.parametrize("to", ["juliet@capulet.example", None])
def test_an_account_says_of_itself_that_it_is_registered(juliet, to):
    query = juliet.get(INFO, to=to).payload
    assert identities(query) == [{"category": "account", "type": "registered"}]
    assert features(query) == [NS_INFO, NS_ITEMS, "urn:xmpp:ping"]


def test_an_account_lists_its_available_resources(host, juliet):
    chamber = host.connect("juliet@capulet.example/chamber")
    chamber.available()
    query = juliet.get(ITEMS).payload
    assert items(query) == [{"jid": "juliet@capulet.example/chamber"}]


@pytest.mark.parametrize("query", [INFO, ITEMS, Element(NS_INFO, "query", {"node": "x"})])
def test_strangers_cannot_tell_an_account_from_none(host, juliet, query):
    tybalt = host.connect("tybalt@capulet.example/street")
    juliet.available()
    known = tybalt.request("get", query, to="juliet@capulet.example")
    unknown = tybalt.request("get", query, to="rosaline@capulet.example")
    assert known.type == unknown.type == "error"
    assert known.element.children == unknown.element.children
    assert "service-unavailable" in str(known.element)


def test_who_may_see_presence_may_see_the_account(host, juliet):
    romeo = host.connect("romeo@capulet.example/orchard")
    host.enable("trust", plugin_class=Trust)
    juliet.available()
    query = romeo.get(INFO, to="juliet@capulet.example").payload
    assert identities(query) == [{"category": "account", "type": "registered"}]
    query = romeo.get(ITEMS, to="juliet@capulet.example").payload
    assert items(query) == [{"jid": "juliet@capulet.example/balcony"}]
    node = Element(NS_ITEMS, "query", {"node": "x"})
    assert refusal(romeo, node, "juliet@capulet.example") == "item-not-found"
