"""The name server of the kit: what it answers, and the ways in which it can fail.

dnspython's own client asks, and blocks: the server has to answer all the same.
"""

import socket

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from stonechat.testing import DnsQuery, DnsServer

PLAIN = "_xmpp-server._tcp.capulet.example"
DEADLINE = 20.0


def ask(server, name, kind="A", how=dns.query.udp, timeout=DEADLINE):
    host, port = server.address.split(":")
    return how(dns.message.make_query(name, kind), host, timeout=timeout, port=int(port))


def lines(section):
    return sorted(line for rrset in section for line in rrset.to_text().splitlines())


def test_zones_may_be_text(dns_server):
    dns_server.publish(
        f"""
        ; Verona
        {PLAIN}  60 IN SRV 10 5 5269 xmpp.capulet.example
        {PLAIN} SRV 10 5 5270 other.capulet.example.   ; the other
        xmpp.capulet.example. A 127.0.0.2
        """
    )
    assert lines(ask(dns_server, PLAIN, "SRV").answer) == [
        f"{PLAIN}. 60 IN SRV 10 5 5269 xmpp.capulet.example.",
        f"{PLAIN}. 60 IN SRV 10 5 5270 other.capulet.example.",
    ]
    assert lines(ask(dns_server, "xmpp.capulet.example").answer) == [
        "xmpp.capulet.example. 300 IN A 127.0.0.2"
    ]


def test_zones_may_be_a_mapping_and_names_have_u_labels():
    zones = {"bücher.example": ["A 127.0.0.2", "20 AAAA ::1"], "capulet.example": "A 127.0.0.3"}
    with DnsServer(zones) as server:
        answer = ask(server, "xn--bcher-kva.example", "AAAA").answer
        assert lines(answer) == ["xn--bcher-kva.example. 20 IN AAAA ::1"]
        assert ask(server, "capulet.example").answer
        assert server.count("bücher.example") == 1


def test_what_is_published_takes_the_place_of_what_was(dns_server):
    dns_server.publish({"capulet.example": "A 127.0.0.2"})
    dns_server.publish({"montague.example": "A 127.0.0.2"})
    assert ask(dns_server, "capulet.example").rcode() == dns.rcode.NXDOMAIN
    assert ask(dns_server, "montague.example").answer


def test_a_name_without_such_a_record_is_there_and_one_without_any_is_not(dns_server):
    soa = "SOA ns.example hostmaster.example 1 2 3 4 5"
    dns_server.publish({"example": soa, "capulet.example": soa, PLAIN: "TXT wherefore"})
    for name, rcode in (
        (PLAIN, dns.rcode.NOERROR),
        ("_tcp.capulet.example", dns.rcode.NOERROR),
        ("xmpp.capulet.example", dns.rcode.NXDOMAIN),
    ):
        response = ask(dns_server, name)
        assert (response.rcode(), response.answer) == (rcode, [])
        assert [rrset.name.to_text() for rrset in response.authority] == ["capulet.example."]
    assert ask(dns_server, "verona.example").authority[0].name.to_text() == "example."


def test_it_follows_an_alias_unless_it_is_to_be_short(dns_server):
    dns_server.publish({"a.example": "CNAME b.example", "b.example": "A 127.0.0.2"})
    assert len(ask(dns_server, "a.example").answer) == 2
    assert len(ask(dns_server, "a.example", "CNAME").answer) == 1
    dns_server.behave("short")
    assert len(ask(dns_server, "a.example").answer) == 1
    assert len(ask(dns_server, "b.example").answer) == 1
    dns_server.publish({"a.example": "CNAME a.example"})
    dns_server.behave("well")
    assert len(ask(dns_server, "a.example").answer) == 1


def test_it_fails_as_it_is_told_and_the_latest_word_that_fits_counts(dns_server):
    dns_server.publish({"capulet.example": ["A 127.0.0.2", "AAAA ::1"]})
    dns_server.behave("REFUSED")
    dns_server.behave("SERVFAIL", "capulet.example", "AAAA")
    dns_server.behave("NXDOMAIN", "Montague.example.")
    assert ask(dns_server, "capulet.example").rcode() == dns.rcode.REFUSED
    assert ask(dns_server, "capulet.example", "AAAA").rcode() == dns.rcode.SERVFAIL
    assert ask(dns_server, "montague.example", "AAAA").rcode() == dns.rcode.NXDOMAIN
    dns_server.behave("well")
    assert ask(dns_server, "capulet.example", "AAAA").answer


@pytest.mark.parametrize("how", [dns.query.udp, dns.query.tcp])
def test_who_is_silent_is_so_by_either_way(dns_server, how):
    dns_server.behave("silent")
    with pytest.raises(dns.exception.Timeout):
        ask(dns_server, "capulet.example", how=how, timeout=0.2)
    dns_server.behave("well")
    assert ask(dns_server, "capulet.example", how=how).rcode() == dns.rcode.NXDOMAIN


def test_by_udp_it_can_be_cut_short_and_what_is_too_long_always_is(dns_server):
    dns_server.publish(
        {
            "capulet.example": "A 127.0.0.2",
            "montague.example": [f"A 127.0.0.{number}" for number in range(1, 100)],
        }
    )
    dns_server.behave("truncated", "capulet.example")
    for name, number in (("capulet.example", 1), ("montague.example", 99)):
        response = ask(dns_server, name)
        assert response.flags & dns.flags.TC
        assert response.answer == []
        assert len(ask(dns_server, name, how=dns.query.tcp).answer[0]) == number


def test_questions_are_written_down_and_counted(dns_server):
    ask(dns_server, "Capulet.Example.")
    ask(dns_server, "capulet.example", "AAAA", dns.query.tcp)
    ask(dns_server, "montague.example")
    assert dns_server.queries[:2] == [
        DnsQuery("capulet.example", "A", "udp"),
        DnsQuery("capulet.example", "AAAA", "tcp"),
    ]
    assert dns_server.count() == 3
    assert dns_server.count("CAPULET.example.") == 2
    assert dns_server.count(kind="A") == 2
    assert dns_server.count("capulet.example", transport="tcp") == 1


def test_rubbish_does_not_stop_it(dns_server):
    host, port = dns_server.address.split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for rubbish in (b"", b"rubbish", bytes(12)):
            udp.sendto(rubbish, (host, int(port)))
    for rubbish in (b"", b"\0", b"\0\5rub"):
        with socket.create_connection((host, int(port))) as tcp:
            tcp.sendall(rubbish)
    assert ask(dns_server, "capulet.example").rcode() == dns.rcode.NXDOMAIN
    assert ask(dns_server, "capulet.example", how=dns.query.tcp).rcode() == dns.rcode.NXDOMAIN


def test_when_it_is_closed_its_port_is_free():
    with DnsServer() as server:
        host, port = server.address.split(":")
    with socket.create_server((host, int(port))), pytest.raises((OSError, dns.exception.Timeout)):
        ask(server, "capulet.example", timeout=0.2)
