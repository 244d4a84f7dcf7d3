"""Where a domain's server may be: what SRV records say, and what happens without them."""

import subprocess
import sys

import gevent
import pytest

from stonechat.net import resolver as module
from stonechat.net.resolver import NotFound, Resolver, Target, Unavailable
from stonechat.testing import until

PLAIN = "_xmpp-server._tcp.capulet.example"
DIRECT = "_xmpps-server._tcp.capulet.example"

XMPP = Target("xmpp.capulet.example", 5269, tls=False)
XMPPS = Target("xmpp.capulet.example", 5270, tls=True)
DOMAIN_ITSELF = Target("capulet.example", 5269, tls=False)

DEADLINE = 20.0


@pytest.fixture
def resolver(dns_server):
    return Resolver([dns_server.address], timeout=DEADLINE, now=lambda: 0.0)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)


def test_the_targets_of_both_kinds_are_one_list_by_priority(dns_server, resolver):
    dns_server.publish(
        {
            PLAIN: ["SRV 20 0 5269 b.capulet.example.", "SRV 5 0 5222 d.capulet.example."],
            DIRECT: ["SRV 10 0 443 a.capulet.example.", "SRV 30 0 5270 c.capulet.example."],
        }
    )
    assert resolver.targets("capulet.example") == [
        Target("d.capulet.example", 5222, tls=False),
        Target("a.capulet.example", 443, tls=True),
        Target("b.capulet.example", 5269, tls=False),
        Target("c.capulet.example", 5270, tls=True),
    ]


def test_those_of_one_priority_are_drawn_anew_each_time(dns_server, resolver, monkeypatch):
    dns_server.publish({PLAIN: [f"SRV 1 1 {port} capulet.example" for port in range(1, 9)]})
    # One draw after the other: with eight targets nobody but chance gets 20 times the same.
    orders = {tuple(resolver.targets("capulet.example")) for _ in range(20)}
    assert len(orders) > 1
    assert {frozenset(order) for order in orders} == {
        frozenset(Target("capulet.example", port, tls=False) for port in range(1, 9))
    }


def test_hosts_are_in_lower_case_and_have_no_final_dot(dns_server, resolver):
    dns_server.publish({PLAIN: "SRV 1 1 5269 XMPP.Capulet.Example."})
    assert resolver.targets("capulet.example") == [XMPP]


def test_a_target_that_is_named_twice_is_tried_once(dns_server, resolver):
    dns_server.publish(
        {PLAIN: ["SRV 1 1 5269 xmpp.capulet.example", "SRV 9 9 5269 xmpp.capulet.example"]}
    )
    assert resolver.targets("capulet.example") == [XMPP]


def test_one_place_may_take_both_kinds(dns_server, resolver):
    dns_server.publish(
        {PLAIN: "SRV 2 0 443 xmpp.capulet.example", DIRECT: "SRV 1 0 443 xmpp.capulet.example"}
    )
    assert resolver.targets("capulet.example") == [
        Target("xmpp.capulet.example", 443, tls=True),
        Target("xmpp.capulet.example", 443, tls=False),
    ]


def test_no_domain_makes_us_try_hundreds_of_targets(dns_server, resolver):
    dns_server.publish({PLAIN: [f"SRV 1 1 {port} capulet.example" for port in range(1, 301)]})
    assert len(resolver.targets("capulet.example")) == module.MAX_TARGETS


# No service


@pytest.mark.parametrize("refused", [[PLAIN], [DIRECT], [PLAIN, DIRECT]])
def test_a_dot_and_nothing_else_means_no_service(dns_server, resolver, refused):
    dns_server.publish({**dict.fromkeys(refused, "SRV 0 0 0 ."), "capulet.example": "A 127.0.0.1"})
    with pytest.raises(NotFound, match=r"capulet\.example says that it has no XMPP server"):
        resolver.targets("capulet.example")


@pytest.mark.parametrize(
    ("refused", "offered", "target"), [(PLAIN, DIRECT, XMPPS), (DIRECT, PLAIN, XMPP)]
)
def test_a_dot_speaks_for_one_of_the_two_kinds_only(
    dns_server, resolver, refused, offered, target
):
    dns_server.publish(
        {refused: "SRV 0 0 0 .", offered: f"SRV 1 1 {target.port} xmpp.capulet.example"}
    )
    assert resolver.targets("capulet.example") == [target]


@pytest.mark.parametrize("useless", ["SRV 0 0 5269 .", "SRV 0 0 0 other.capulet.example"])
def test_a_dot_or_no_port_beside_a_real_target_is_passed_over(dns_server, resolver, useless):
    dns_server.publish({PLAIN: [useless, "SRV 5 0 5269 xmpp.capulet.example"]})
    assert resolver.targets("capulet.example") == [XMPP]


# No records


def test_a_domain_without_srv_records_is_asked_at_its_own_address(dns_server, resolver):
    dns_server.publish({"capulet.example": "A 127.0.0.1"})
    assert resolver.targets("capulet.example") == [DOMAIN_ITSELF]


def test_a_name_that_is_there_but_has_no_srv_record_is_none(dns_server, resolver):
    dns_server.publish({PLAIN: "TXT wherefore", DIRECT: "TXT wherefore"})
    assert resolver.targets("capulet.example") == [DOMAIN_ITSELF]


def test_a_domain_that_does_not_exist_has_no_addresses_either(dns_server, resolver):
    dns_server.publish({"montague.example": "A 127.0.0.1"})
    [target] = resolver.targets("capulet.example")
    with pytest.raises(NotFound, match=r"capulet\.example has no address"):
        resolver.addresses(target.host)


def test_a_domain_as_long_as_may_be_has_no_room_for_a_service(dns_server, resolver):
    domain = ".".join(["a" * 49] * 5)
    dns_server.publish({domain: "A 127.0.0.1"})
    assert resolver.targets(domain) == [Target(domain, 5269, tls=False)]
    assert resolver.addresses(domain) == ["127.0.0.1"]


# Aliases


def test_an_alias_is_followed(dns_server, resolver):
    dns_server.publish(
        {
            PLAIN: "CNAME _xmpp-server._tcp.verona.example",
            "_xmpp-server._tcp.verona.example": "SRV 1 1 5269 xmpp.capulet.example",
        }
    )
    assert resolver.targets("capulet.example") == [XMPP]


def test_an_alias_is_followed_where_the_name_server_leaves_that_to_us(dns_server, resolver):
    dns_server.publish(
        {
            PLAIN: "CNAME srv.verona.example",
            "srv.verona.example": "CNAME srv.mantua.example",
            "srv.mantua.example": "SRV 1 1 5269 xmpp.capulet.example",
        }
    )
    dns_server.behave("short")
    assert resolver.targets("capulet.example") == [XMPP]
    assert dns_server.count("srv.mantua.example", "SRV") == 1


def test_an_alias_that_leads_nowhere_is_no_record(dns_server, resolver):
    dns_server.publish({PLAIN: "CNAME srv.verona.example"})
    assert resolver.targets("capulet.example") == [DOMAIN_ITSELF]
    # That the name does not exist was said together with the alias.
    assert dns_server.count("srv.verona.example") == 0


def test_aliases_that_lead_in_a_circle_come_to_an_end(dns_server, resolver):
    dns_server.publish({PLAIN: "CNAME a.capulet.example", "a.capulet.example": f"CNAME {PLAIN}"})
    dns_server.behave("short")
    with pytest.raises(Unavailable, match="one CNAME after the other"):
        resolver.targets("capulet.example")


# Other domains than names in ASCII


def test_the_name_servers_see_a_labels(dns_server, resolver):
    dns_server.publish({"_xmpp-server._tcp.bücher.example": "SRV 1 1 5269 xn--bcher-kva.example."})
    assert resolver.targets("bücher.example") == [Target("xn--bcher-kva.example", 5269, tls=False)]
    assert dns_server.count("_xmpps-server._tcp.xn--bcher-kva.example", "SRV") == 1


def test_the_domain_itself_is_a_target_by_its_a_labels(resolver):
    assert resolver.targets("bücher.example") == [Target("xn--bcher-kva.example", 5269, tls=False)]


@pytest.mark.parametrize(
    ("domain", "address"),
    [("192.0.2.7", "192.0.2.7"), ("[2001:db8::7]", "2001:db8::7"), ("[::1]", "::1")],
)
def test_an_address_for_a_domain_needs_no_dns(dns_server, resolver, domain, address):
    assert resolver.targets(domain) == [Target(address, 5269, tls=False)]
    assert resolver.addresses(address) == [address]
    assert dns_server.queries == []


# Nobody can say


@pytest.mark.parametrize("how", ["SERVFAIL", "REFUSED"])
def test_a_name_server_that_refuses_leaves_it_open(dns_server, resolver, how):
    dns_server.publish({"capulet.example": "A 127.0.0.1"})
    dns_server.behave(how)
    with pytest.raises(
        Unavailable, match=f"{PLAIN} cannot be had: {dns_server.address} says {how}"
    ):
        resolver.targets("capulet.example")


def test_a_name_server_that_is_silent_leaves_it_open(dns_server):
    dns_server.behave("silent")
    resolver = Resolver([dns_server.address], timeout=0.2, now=lambda: 0.0)
    with pytest.raises(Unavailable, match="does not answer"):
        resolver.targets("capulet.example")
    # They were asked side by side: there was no time to do it one after the other.
    until(lambda: dns_server.count(PLAIN) and dns_server.count(DIRECT), "question for each")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["SERVFAIL", "silent"])
@pytest.mark.parametrize(
    ("broken", "sound", "target"), [(PLAIN, DIRECT, XMPPS), (DIRECT, PLAIN, XMPP)]
)
def test_targets_of_one_kind_do_without_the_other(
    dns_server, resolver, how, broken, sound, target
):
    dns_server.publish({sound: f"SRV 1 1 {target.port} xmpp.capulet.example"})
    dns_server.behave(how, broken)
    assert resolver.targets("capulet.example") == [target]


@pytest.mark.usefixtures("impatient")
def test_what_is_silent_beside_records_is_not_waited_for_to_the_end(dns_server):
    dns_server.publish({PLAIN: "SRV 1 1 5269 xmpp.capulet.example"})
    dns_server.behave("silent", DIRECT)
    resolver = Resolver([dns_server.address], timeout=1e6, now=lambda: 0.0)
    with gevent.Timeout(DEADLINE):
        assert resolver.targets("capulet.example") == [XMPP]


def test_without_a_word_on_direct_tls_there_is_the_usual_way(dns_server, resolver):
    dns_server.behave("SERVFAIL", DIRECT)
    assert resolver.targets("capulet.example") == [DOMAIN_ITSELF]


def test_without_a_word_on_the_usual_way_nothing_else_is_tried(dns_server, resolver):
    dns_server.behave("SERVFAIL", PLAIN)
    with pytest.raises(Unavailable):
        resolver.targets("capulet.example")


def test_a_dot_for_the_usual_way_leaves_open_what_direct_tls_would_say(dns_server, resolver):
    dns_server.publish({PLAIN: "SRV 0 0 0 ."})
    dns_server.behave("SERVFAIL", DIRECT)
    with pytest.raises(Unavailable):
        resolver.targets("capulet.example")


# For whoever explains it


def test_what_a_domain_publishes_can_be_seen_bare(dns_server, resolver):
    dns_server.publish({PLAIN: "SRV 0 0 0 .", DIRECT: "SRV 3 7 5270 xmpp.capulet.example"})
    plain, direct = resolver.services("capulet.example")
    assert (plain.name, plain.tls, plain.is_refused, plain.choices) == (PLAIN, False, True, [])
    assert (direct.name, direct.tls, direct.is_refused) == (DIRECT, True, False)
    assert direct.choices == [(XMPPS, 3, 7)]


def test_the_library_is_loaded_with_the_first_question():
    code = """
import sys
from stonechat.net import dialer
from stonechat.net.resolver import Resolver
resolver = Resolver(["127.0.0.1:1"], now=lambda: 0.0)
resolver.targets("192.0.2.1")
sys.exit("dns" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 0
