"""What a component may do, and how it is told."""

import pytest
from privilege_cast import DOMAIN, NS_PUBSUB

from stonechat_privilege import Options

NONE = {
    "roster": {"type": "none"},
    "message": {"type": "none"},
    "iq": {"namespaces": {}},
    "presence": {"type": "none"},
}
ALL = {
    "roster": "both",
    "message": "outgoing",
    "presence": "roster",
    "iq": [{"namespace": NS_PUBSUB, "type": "set"}],
}
TOLD = {
    "roster": {"type": "both", "push": "true"},
    "message": {"type": "outgoing"},
    "iq": {"namespaces": {NS_PUBSUB: "set"}},
    "presence": {"type": "roster"},
}


def test_a_component_is_told_what_it_may_do(make_host, join):
    assert join(make_host(plugins={"roster": {}}, **ALL)).permissions() == TOLD


def test_each_of_its_streams_is_told(make_host, join):
    host = make_host(plugins={"roster": {}}, **ALL)
    assert [join(host).permissions() for _ in range(2)] == [TOLD, TOLD]


def test_it_is_the_first_thing_after_the_handshake(make_host, join):
    assert join(make_host()).receive().name == "message"


def test_a_component_may_do_nothing_unless_it_is_granted(make_host, join):
    assert join(make_host()).permissions() == NONE


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"roster": "get"}, {"type": "get", "push": "true"}),
        ({"roster": "both", "push": False}, {"type": "both", "push": "false"}),
        ({"roster": "set"}, {"type": "set"}),
    ],
)
def test_pushes_come_where_rosters_may_be_read(make_host, join, options, told):
    assert join(make_host(plugins={"roster": {}}, **options)).permissions()["roster"] == told


def test_a_component_without_privileges_is_told_nothing(make_host, join):
    assert join(make_host(**ALL), "filter.capulet.example").received() == []


def test_who_is_connected_already_is_told_when_the_plugin_starts_and_stops(
    server, component_options, join
):
    host = server.host("capulet.example", component=component_options, roster={})
    entity = join(host)
    host.enable("privilege", {"components": [{"domain": DOMAIN, **ALL}]})
    assert entity.permissions() == TOLD
    host.disable("privilege")
    assert entity.permissions() == {**NONE, "iq": {"namespaces": {NS_PUBSUB: "none"}}}


def test_after_a_restart_it_is_told_again(server, make_host, join):
    host = make_host(plugins={"roster": {}}, **ALL)
    server.restart()
    assert join(host).permissions() == TOLD


# Options


def options(*more, **permissions):
    return Options(components=[{"domain": "pubsub.@HOST@", **permissions}, *more])


@pytest.mark.parametrize(
    ("permissions", "fault"),
    [
        ({"presence": "roster"}, "presence: roster needs the permission to read rosters"),
        ({"presence": "roster", "roster": "set"}, "needs the permission to read rosters"),
        ({"roster": "set", "push": True}, "push needs the permission to read rosters"),
        ({"push": True}, "push needs the permission to read rosters"),
        ({"roster": "read"}, "'none', 'get', 'set' or 'both'"),
        ({"message": "incoming"}, "'none' or 'outgoing'"),
        ({"presence": "all"}, "'none', 'managed_entity' or 'roster'"),
        ({"iq": [{"namespace": NS_PUBSUB}]}, "type"),
        ({"iq": [{"namespace": NS_PUBSUB, "type": "result"}]}, "'none', 'get', 'set' or 'both'"),
        ({"iq": [{"namespace": "a b", "type": "get"}]}, "pattern"),
        (
            {"iq": [{"namespace": NS_PUBSUB, "type": each} for each in ("get", "set")]},
            f"the namespace {NS_PUBSUB} is there twice",
        ),
        ({"delegate": NS_PUBSUB}, "delegate"),
    ],
)
def test_some_permissions_cannot_be_given(permissions, fault):
    with pytest.raises(ValueError, match=fault):
        options(**permissions)


@pytest.mark.parametrize("domain", ["pubsub.@HOST@", "Pubsub.capulet.example"])
def test_a_component_is_there_once(domain):
    with pytest.raises(ValueError, match=r"the domain pubsub\.capulet\.example is there twice"):
        options({"domain": domain})


def test_a_component_has_to_be_one(server, component_options):
    host = server.host("capulet.example", component=component_options)
    server.expect_errors()
    item = {"domain": "pubsub.montague.example"}
    with pytest.raises(
        Exception, match=r"pubsub\.montague\.example is no domain of the plugin component"
    ):
        host.enable("privilege", {"components": [item]})


def test_the_plugin_needs_that_of_components(server):
    host = server.host("capulet.example")
    server.expect_errors()
    with pytest.raises(Exception, match="requires component"):
        host.enable("privilege", {})


def test_rosters_that_are_not_there_are_noticed(server, make_host):
    make_host(roster="get")
    event = "the plugin roster is not enabled, so there are no rosters for components"
    (record,) = server.logged(event)
    assert record["components"] == [DOMAIN]
