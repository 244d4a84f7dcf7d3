"""Rosters that come from elsewhere (XEP-0227)."""

import pytest

from stonechat.jid import JID
from stonechat.xml import parse

CAPULET = "capulet.example"
JULIET = JID.parse(f"juliet@{CAPULET}")


@pytest.fixture
def host(server):
    host = server.host(
        CAPULET, roster={"max_items": 4, "max_groups": 2, "max_name_length": 8, "max_requests": 2}
    )
    host.create_account("juliet", "secret")
    return host


def take(host, xml, dry_run=False):
    roster = host.plugin("roster")
    return roster.stonechat_import_account(JULIET, parse(xml.encode()), dry_run)


def query(*items):
    return f"<query xmlns='jabber:iq:roster'>{''.join(items)}</query>"


def exported(host):
    return [str(element) for element in host.plugin("roster").stonechat_export_account(JULIET)]


def test_what_is_no_roster_is_somebody_else_s(host):
    assert take(host, "<vCard xmlns='vcard-temp'/>") is None
    assert take(host, "<message xmlns='jabber:client'/>") is None


def test_what_is_malformed_is_lost_and_its_neighbours_are_kept(host):
    found = take(
        host,
        query(
            "<item jid='romeo@montague.example' subscription='both' ask='subscribe'/>",
            "<item jid='@'/>",
            "<item subscription='both'/>",
            "<item jid='nurse@capulet.example' subscription='remove'/>",
            f"<item jid='{JULIET}' subscription='both'/>",
            "<other/>",
            "<item jid='nurse@capulet.example/kitchen' ask='subscribe' approved='true'/>",
        ),
    )
    assert (found.kept, len(found.lost)) == (2, 5)
    (written,) = exported(host)
    assert "<item jid='romeo@montague.example' subscription='both'/>" in written
    assert (
        "<item jid='nurse@capulet.example' subscription='none' ask='subscribe' approved='true'/>"
        in written
    )


def test_limits_hold(host):
    groups = "".join(f"<group>{name}</group>" for name in ("a", "b", "c"))
    item = f"<item jid='a@a.example' name='A long name'>{groups}</item>"
    found = take(host, query(item, *(f"<item jid='{n}@b.example'/>" for n in range(5))))
    assert found.kept == 4
    assert sorted(found.lost) == sorted(
        [
            "all but 8 characters of a contact's name",
            "a group of a contact",
            *["a contact beyond the 4 that a roster may have"] * 2,
        ]
    )


def test_what_is_there_stays_as_it_is(host):
    groups = ["<group>Friends</group>", "<group>Lovers</group>"]
    item = "<item jid='romeo@montague.example' subscription='both'>{}{}</item>"
    assert take(host, query(item.format(*groups))).kept == 1
    assert take(host, query(item.format(*reversed(groups))))[:2] == (0, 1)
    found = take(host, query(item.format(*groups).replace("both", "none")))
    assert found.lost == ("a contact that is in the roster already, and stays as it is",)
    assert "subscription='both'" in exported(host)[0]


def test_clients_that_are_there_see_it_at_once_and_nobody_else_hears_of_it(host):
    juliet = host.connect(f"{JULIET}/balcony")
    romeo = host.connect(f"romeo@{CAPULET}/orchard")
    juliet.get(parse(b"<query xmlns='jabber:iq:roster'/>"))
    romeo.available()
    romeo.received()
    take(host, query(f"<item jid='romeo@{CAPULET}' subscription='both'/>"))
    push = juliet.receive_iq()
    assert push.payload.find("item").get("subscription") == "both"
    assert romeo.received() == []


def test_requests_for_subscriptions_wait_for_their_answer(host):
    first = "<presence xmlns='jabber:client' type='subscribe' from='{}@montague.example'/>"
    assert take(host, first.format("romeo")).kept == 1
    assert take(host, first.format("romeo")).known == 1
    assert take(host, first.format("mercutio")).kept == 1
    assert "beyond" in take(host, first.format("paris")).lost[0]
    for bad in ("<presence xmlns='jabber:client' type='subscribe'/>", first.format("@")):
        assert take(host, bad).lost
    assert take(host, first.format("a").replace("subscribe", "unavailable")).lost
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    asking = {
        presence.from_.text for presence in juliet.received() if presence.type == "subscribe"
    }
    assert asking == {"romeo@montague.example", "mercutio@montague.example"}


def test_a_dry_run_writes_nothing(host):
    item = "<item jid='romeo@montague.example' subscription='both'/>"
    assert take(host, query(item), dry_run=True).kept == 1
    request = "<presence xmlns='jabber:client' type='subscribe' from='paris@a.example'/>"
    assert take(host, request, dry_run=True).kept == 1
    assert exported(host) == []


def test_a_large_roster_comes_out_in_parts(server):
    host = server.host(CAPULET, roster={})
    items = [f"<item jid='{number}@montague.example'/>" for number in range(450)]
    for begin in (0, 250):
        take(host, query(*items[begin : begin + 250]))
    parts = list(host.plugin("roster").stonechat_export_account(JULIET))
    assert [len(part.elements) for part in parts] == [200, 200, 50]
