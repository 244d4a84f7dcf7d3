"""The addresses of a host: by turns, from DNS or from the system's own files."""

import os

import gevent
import pytest

from stonechat.net import dns_servers
from stonechat.net import resolver as module
from stonechat.net.dns_servers import NameServer, SystemFiles, name_server
from stonechat.net.resolver import NotFound, Resolver, Unavailable

HOST = "xmpp.capulet.example"
DEADLINE = 20.0


@pytest.fixture
def resolver(dns_server):
    return Resolver([dns_server.address], timeout=DEADLINE, now=lambda: 0.0)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)


def test_the_families_take_turns_and_ipv6_begins(dns_server, resolver):
    dns_server.publish({HOST: ["A 192.0.2.1", "A 192.0.2.2", "A 192.0.2.3", "AAAA 2001:db8::1"]})
    addresses = resolver.addresses(HOST)
    assert addresses[0] == "2001:db8::1"
    assert set(addresses[1:]) == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}
    dns_server.publish({"b.example": ["A 192.0.2.1", "AAAA 2001:db8::1", "AAAA 2001:db8::2"]})
    assert [":" in address for address in resolver.addresses("b.example")] == [True, False, True]


def test_the_family_that_is_named_first_begins(dns_server, resolver):
    dns_server.publish({HOST: ["A 192.0.2.1", "AAAA 2001:db8::1"]})
    assert resolver.addresses(HOST, ("ipv4", "ipv6")) == ["192.0.2.1", "2001:db8::1"]


def test_a_family_that_is_not_wanted_is_not_asked_for(dns_server, resolver):
    dns_server.publish({HOST: ["A 192.0.2.1", "AAAA 2001:db8::1"]})
    assert resolver.addresses(HOST, ("ipv4",)) == ["192.0.2.1"]
    assert dns_server.count(kind="AAAA") == 0
    with pytest.raises(NotFound, match=r"2001:db8::7 has no address \(ipv4\)"):
        resolver.addresses("2001:db8::7", ("ipv4",))


def test_an_alias_is_followed(dns_server, resolver):
    dns_server.publish({HOST: "CNAME a.verona.example", "a.verona.example": "A 192.0.2.1"})
    assert resolver.addresses(HOST) == ["192.0.2.1"]


def test_no_host_makes_us_try_hundreds_of_addresses(dns_server, resolver):
    dns_server.publish({HOST: [f"A 192.0.2.{number}" for number in range(1, 201)]})
    assert len(resolver.addresses(HOST)) == module.MAX_ADDRESSES


@pytest.mark.parametrize("zone", [{}, {HOST: "TXT wherefore"}])
def test_a_host_without_addresses_is_not_found(dns_server, resolver, zone):
    dns_server.publish(zone)
    with pytest.raises(NotFound, match=r"xmpp\.capulet\.example has no address \(ipv6 or ipv4\)"):
        resolver.addresses(HOST)


def test_without_a_word_on_one_family_it_stays_open_whether_there_is_an_address(
    dns_server, resolver
):
    dns_server.behave("SERVFAIL", kind="AAAA")
    with pytest.raises(Unavailable, match="AAAA"):
        resolver.addresses(HOST)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["SERVFAIL", "silent"])
def test_one_family_does_without_a_word_on_the_other(dns_server, resolver, how):
    dns_server.publish({HOST: "A 192.0.2.1"})
    dns_server.behave(how, kind="AAAA")
    assert resolver.addresses(HOST) == ["192.0.2.1"]


@pytest.mark.usefixtures("impatient")
def test_a_name_server_that_swallows_ipv6_does_not_cost_the_whole_time(dns_server):
    dns_server.publish({HOST: "A 192.0.2.1"})
    dns_server.behave("silent", kind="AAAA")
    resolver = Resolver([dns_server.address], timeout=1e6, now=lambda: 0.0)
    with gevent.Timeout(DEADLINE):
        assert resolver.addresses(HOST) == ["192.0.2.1"]
        # Nor does it when half of it is known.
        assert resolver.addresses(HOST) == ["192.0.2.1"]


def test_what_is_known_of_the_families_can_be_seen_bare(dns_server, resolver):
    dns_server.publish({HOST: "A 192.0.2.1"})
    dns_server.behave("REFUSED", kind="AAAA")
    v6, v4 = resolver.address_records(HOST)
    assert isinstance(v6, Unavailable)
    assert [record.host for record in v4.records] == ["192.0.2.1"]


# Which name servers


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("127.0.0.1", ("127.0.0.1", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("[2001:DB8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_a_name_server_is_named_by_its_address(text, server):
    assert name_server(text) == server


@pytest.mark.parametrize(
    "text",
    ["", "ns.capulet.example", "127.0.0.1:", "127.0.0.1:dns", "127.0.0.1:0", "127.0.0.1:65536",
     "[::1", "[::1]53", "[::1]:", "127.0.0.1:53:53", "127.0.0.1:-1"],
)  # fmt: skip
def test_anything_else_names_none(text):
    with pytest.raises(ValueError, match=r"name server|port"):
        Resolver([text], now=lambda: 0.0)


def test_a_name_server_is_written_as_it_is_read():
    for text in ("127.0.0.1:5353", "[::1]:53"):
        assert str(name_server(text)) == text


# Those of the system


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Files that stand for the system's."""
    monkeypatch.setattr(dns_servers, "RESOLV_CONF", tmp_path / "resolv.conf")
    monkeypatch.setattr(dns_servers, "HOSTS", tmp_path / "hosts")
    return tmp_path


def test_the_system_names_its_name_servers(system):
    (system / "resolv.conf").write_text(
        "# By hand\nsearch capulet.example\nnameserver 192.0.2.53\n"
        "nameserver  2001:db8::53 # the other\nnameserver\nnameserver rubbish\noptions rotate\n"
    )
    assert SystemFiles().servers == (NameServer("192.0.2.53"), NameServer("2001:db8::53"))


@pytest.mark.parametrize("content", [None, "", "search capulet.example\n", "\0\xff"])
def test_without_any_it_is_this_machine(system, content):
    if content is not None:
        (system / "resolv.conf").write_text(content, encoding="latin-1")
    assert SystemFiles().servers == (NameServer("127.0.0.1"),)


def test_its_files_are_read_again_when_they_change(system):
    files = SystemFiles()
    assert files.addresses(HOST) == ()
    for number in (1, 2):
        (system / "new").write_text(f"nameserver 192.0.2.{number}\n")
        (system / "new").replace(system / "resolv.conf")
        (system / "hosts").write_text(f"192.0.2.{number} {HOST}\n")
        os.utime(system / "hosts", ns=(number, number))
        assert files.servers == (NameServer(f"192.0.2.{number}"),)
        assert files.addresses(HOST) == (f"192.0.2.{number}",)
    (system / "hosts").unlink()
    assert files.addresses(HOST) == ()


def test_they_are_read_once_while_they_stay_as_they_are(system, monkeypatch):
    read = []
    monkeypatch.setattr(dns_servers, "_hosts", lambda text: read.append(text) or {})
    (system / "hosts").write_text("192.0.2.1 capulet.example\n")
    files = SystemFiles()
    for _ in range(3):
        files.addresses(HOST)
    assert len(read) == 1


def test_a_resolver_without_servers_asks_those_of_the_system(system, dns_server, monkeypatch):
    (system / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    port = name_server(dns_server.address).port
    monkeypatch.setattr(dns_servers, "_servers", lambda text: (NameServer("127.0.0.1", port),))
    dns_server.publish({HOST: "A 192.0.2.1"})
    resolver = Resolver(now=lambda: 0.0)
    assert resolver.addresses(HOST) == ["192.0.2.1"]


def test_its_file_of_hosts_comes_before_dns(system, dns_server):
    (system / "hosts").write_text(
        "# Ours\n127.0.0.1 localhost\n192.0.2.9 gate XMPP.capulet.example. # the gate\n"
        "2001:db8::9 xmpp.capulet.example\nrubbish capulet.example\n"
    )
    resolver = Resolver(now=lambda: 0.0)
    assert resolver.addresses(HOST) == ["2001:db8::9", "192.0.2.9"]
    assert resolver.addresses(HOST, ("ipv4",)) == ["192.0.2.9"]
    # Who names name servers wants to hear what they say.
    dns_server.publish({HOST: "A 192.0.2.1"})
    assert Resolver([dns_server.address], now=lambda: 0.0).addresses(HOST) == ["192.0.2.1"]
