"""Block lists that come from elsewhere."""

import pytest

from stonechat.jid import JID
from stonechat.xml import parse

CAPULET = "capulet.example"
JULIET = JID.parse(f"juliet@{CAPULET}")


@pytest.fixture(params=[{}, {"privacy": {}}], ids=["alone", "with privacy lists"])
def host(request, server):
    host = server.host(CAPULET, blocking={"max_items": 2}, **request.param)
    host.create_account("juliet", "secret")
    return host


def take(host, *jids, dry_run=False):
    items = "".join(f"<item jid='{jid}'/>" for jid in jids)
    element = parse(f"<blocklist xmlns='urn:xmpp:blocking'>{items}</blocklist>".encode())
    return host.plugin("blocking").stonechat_import_account(JULIET, element, dry_run)


def exported(host):
    parts = host.plugin("blocking").stonechat_export_account(JULIET)
    return [item.get("jid") for part in parts for item in part.elements]


def test_who_was_blocked_elsewhere_is_blocked_here(host):
    assert take(host, "tybalt@a.example", "b.example") == (2, 0, ())
    assert exported(host) == ["b.example", "tybalt@a.example"]
    assert take(host, "tybalt@a.example", "b.example") == (0, 2, ())
    tybalt = JID.parse("tybalt@a.example/street")
    assert host.plugin("blocking").service.is_blocked("juliet", tybalt)


def test_addresses_that_are_none_and_those_beyond_the_limit_are_lost(host):
    found = take(host, "@", "a.example", "b.example", "c.example")
    assert (found.kept, len(found.lost)) == (2, 2)
    assert take(host, "c.example", "a.example") == (
        0,
        1,
        ("a blocked address beyond the 2 that there may be",),
    )


def test_a_dry_run_writes_nothing(host):
    assert take(host, "a.example", dry_run=True).kept == 1
    assert exported(host) == []


def test_clients_that_are_there_see_it_at_once(host):
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.get(parse(b"<blocklist xmlns='urn:xmpp:blocking'/>"))
    take(host, "a.example")
    pushes = [iq for iq in juliet.received() if iq.payload.namespace == "urn:xmpp:blocking"]
    assert [push.payload.name for push in pushes] == ["block"]
