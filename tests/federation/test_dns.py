"""Where DNS says that a server is, and what it says otherwise."""

import pytest
from peers import CAPULET

# A port that nobody listens on, for all that is tried here.
CLOSED = 1


@pytest.fixture
def juliet(capulet, people):
    return people.client(capulet, f"juliet@{CAPULET}")


@pytest.fixture
def reaches(stage, prosody, people, juliet):
    """Whether what Juliet says arrives at a host of Prosody's, with these records."""

    def check(label, records):
        domain = f"{label}.{prosody.domain}"
        ascii_domain = domain.encode("idna").decode()
        # All that was said of it before is taken back.
        names = ("_xmpp-server._tcp.", "_xmpps-server._tcp.", "xmpp.", "")
        stage.publish({f"{name}{ascii_domain}": records.get(name, ()) for name in names})
        romeo = people.client(prosody, f"romeo@{domain}")
        juliet.say(romeo.jid, label)
        return romeo.message(label)["from"] == juliet.jid

    return check


def test_of_several_targets_the_next_one_does(prosody, reaches):
    assert reaches(
        "dead-first",
        {
            "_xmpp-server._tcp.": [
                f"SRV 0 0 {CLOSED} xmpp.{prosody.domain}",
                f"SRV 5 0 {prosody.s2s_port} not-there.{prosody.domain}",
                f"SRV 10 0 {prosody.s2s_port} xmpp.{prosody.domain}",
                f"SRV 20 0 {CLOSED} xmpp.{prosody.domain}",
            ]
        },
    )


def test_a_target_that_is_no_xmpp_server_counts_as_none(prosody, babbler, reaches):
    assert reaches(
        "rude-first",
        {
            "_xmpp-server._tcp.": [
                f"SRV 0 0 {babbler.port} xmpp.rude-first.{prosody.domain}",
                f"SRV 10 0 {prosody.s2s_port} xmpp.{prosody.domain}",
            ],
            "xmpp.": f"A {babbler.address}",
        },
    )


def test_without_service_records_the_domain_itself_is_looked_for(prosody, reaches):
    assert reaches("no-record", {"": f"A {prosody.address}"})


def test_a_domain_may_be_an_alias(prosody, reaches):
    assert reaches("alias", {"": f"CNAME xmpp.{prosody.domain}"})


def test_an_address_that_is_dead_does_not_hold_up_the_other(prosody, reaches):
    assert reaches(
        "dead-ipv6",
        {
            "_xmpp-server._tcp.": f"SRV 0 0 {prosody.s2s_port} xmpp.dead-ipv6.{prosody.domain}",
            "xmpp.": ["AAAA ::1", f"A {prosody.address}"],
        },
    )


def test_where_tls_does_not_begin_at_once_starttls_does(prosody, reaches):
    assert reaches(
        "dead-direct",
        {
            "_xmpps-server._tcp.": f"SRV 0 0 {CLOSED} xmpp.{prosody.domain}",
            "_xmpp-server._tcp.": f"SRV 5 0 {prosody.s2s_port} xmpp.{prosody.domain}",
        },
    )
    assert reaches(
        "no-direct",
        {
            "_xmpps-server._tcp.": "SRV 0 0 0 .",
            "_xmpp-server._tcp.": f"SRV 5 0 {prosody.s2s_port} xmpp.{prosody.domain}",
        },
    )


def test_a_domain_of_other_letters_is_looked_for_by_its_a_label(prosody, people, juliet):
    romeo = people.client(prosody, f"romeo@b\u00fccher.{prosody.domain}")
    for one, other in ((juliet, romeo), (romeo, juliet)):
        one.say(other.jid, "What's in a name?")
        assert other.message("What's in a name?")["from"] == one.jid


def test_tls_may_begin_at_once(capulet, prosody, people):
    juliet = people.client(capulet, f"juliet@direct.{CAPULET}")
    romeo = people.client(prosody, f"romeo@direct.{prosody.domain}")
    for one, other in ((juliet, romeo), (romeo, juliet)):
        one.say(other.jid, "At once")
        assert other.message("At once")["from"] == one.jid


@pytest.mark.parametrize("peer", ["ejabberd", "mantua"], indirect=True)
def test_others_begin_tls_at_once(capulet, peer, people):
    juliet = people.client(capulet, f"juliet@direct.{CAPULET}")
    romeo = people.client(peer, f"romeo@{peer.domain}")
    for one, other in ((romeo, juliet), (juliet, romeo)):
        one.say(other.jid, "At once")
        assert other.message("At once")["from"] == one.jid


def test_a_domain_that_offers_no_service_has_none(stage, juliet):
    # Its address is none of a server's then (RFC 2782).
    address = stage.address()
    stage.publish(
        {"_xmpp-server._tcp.none.example": "SRV 0 0 0 .", "none.example": f"A {address}"}
    )
    error = said_in_vain(juliet, "none.example")
    assert (error.condition, error.type) == ("remote-server-not-found", "cancel")
    assert stage.dns.count("none.example") == 0


def test_a_domain_that_is_not_there_is_not_found(juliet):
    error = said_in_vain(juliet, "nowhere.example")
    assert (error.condition, error.type) == ("remote-server-not-found", "cancel")


@pytest.mark.parametrize("how", ["SERVFAIL", "REFUSED", "silent"])
def test_what_is_not_known_now_may_be_later(stage, impatient, people, how):
    domain = f"{how.lower()}.example"
    for name in ("_xmpp-server._tcp.", "_xmpps-server._tcp.", ""):
        stage.dns.behave(how, f"{name}{domain}")
    error = said_in_vain(people.client(impatient, f"juliet@{impatient.domain}"), domain)
    assert (error.condition, error.type) == ("remote-server-not-found", "wait")


def said_in_vain(juliet, domain):
    juliet.say(f"romeo@{domain}", "O Romeo, Romeo!")
    return juliet.error_of(juliet.message("O Romeo, Romeo!"))
