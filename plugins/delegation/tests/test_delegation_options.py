"""What may be delegated at all."""

import pytest
from delegation_cast import NS_DELEGATION, NS_PUBSUB

from stonechat_delegation import Options

BARE_INFO = "urn:xmpp:delegation:2:bare:disco#info:*"


def options(*namespaces, domain="pubsub.@HOST@", more=()):
    return Options(components=[{"domain": domain, "namespaces": list(namespaces)}, *more])


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ({"namespace": NS_DELEGATION}, "must not be delegated"),
        ({"namespace": f"{NS_DELEGATION}:bare:disco#info:x"}, "there are .* only"),
        ({"namespace": f"{NS_DELEGATION}::{NS_PUBSUB}"}, "there are .* only"),
        ({"namespace": "http://jabber.org/protocol/disco#info"}, "nests what a component has"),
        ({"namespace": "http://jabber.org/protocol/disco#items"}, "nests what a component has"),
        ({"namespace": ""}, "pattern"),
        ({"namespace": "a b"}, "pattern"),
        ({"namespace": "x" * 1001}, "at most 1000"),
        ({}, "namespace"),
        ({"namespace": NS_PUBSUB, "attributes": [""]}, "pattern"),
        ({"namespace": NS_PUBSUB, "attributes": ["a b"]}, "pattern"),
        ({"namespace": NS_PUBSUB, "attributes": ["node", "node"]}, "named twice"),
        ({"namespace": BARE_INFO, "attributes": ["node"]}, "takes no attributes"),
    ],
)
def test_some_things_cannot_be_delegated(item, fault):
    with pytest.raises(ValueError, match=fault):
        options(item)


def test_something_has_to_be_delegated():
    with pytest.raises(ValueError, match="namespaces"):
        options()


def test_a_namespace_has_one_component():
    other = {"domain": "filter.@HOST@", "namespaces": [{"namespace": NS_PUBSUB}]}
    with pytest.raises(ValueError, match=f"the namespace {NS_PUBSUB} is there twice"):
        options({"namespace": NS_PUBSUB}, more=[other])


@pytest.mark.parametrize("domain", ["pubsub.@HOST@", "Pubsub.capulet.example"])
def test_a_component_is_there_once(domain):
    other = {"domain": domain, "namespaces": [{"namespace": "urn:example"}]}
    with pytest.raises(ValueError, match=r"the domain pubsub\.capulet\.example is there twice"):
        options({"namespace": NS_PUBSUB}, more=[other])


def test_a_component_has_to_be_one(server, component_options):
    host = server.host("capulet.example", component=component_options)
    server.expect_errors()
    item = {"domain": "pubsub.montague.example", "namespaces": [{"namespace": NS_PUBSUB}]}
    with pytest.raises(
        Exception, match=r"pubsub\.montague\.example is no domain of the plugin component"
    ):
        host.enable("delegation", {"components": [item]})


def test_the_plugin_needs_that_of_components(server):
    host = server.host("capulet.example")
    server.expect_errors()
    with pytest.raises(Exception, match="requires component"):
        host.enable("delegation", {})


def test_without_components_nothing_is_delegated(server, component_options):
    host = server.host("capulet.example", component=component_options, delegation={})
    assert host.plugin("delegation").managers == {}
