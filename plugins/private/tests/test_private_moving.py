"""Private data that comes from elsewhere (XEP-0227)."""

import pytest

from stonechat.jid import JID
from stonechat.xml import parse

CAPULET = "capulet.example"
JULIET = JID.parse(f"juliet@{CAPULET}")


@pytest.fixture
def host(server):
    host = server.host(CAPULET, private={"max_elements": 2, "max_element_size": 400})
    host.create_account("juliet", "secret")
    return host


def take(host, *inside, dry_run=False):
    element = parse(f"<query xmlns='jabber:iq:private'>{''.join(inside)}</query>".encode())
    return host.plugin("private").stonechat_import_account(JULIET, element, dry_run)


def data(name, text="x"):
    return f"<exodus xmlns='urn:example:{name}'>{text}</exodus>"


def exported(host):
    parts = host.plugin("private").stonechat_export_account(JULIET)
    return sorted(str(child) for part in parts for child in part.elements)


def test_what_was_kept_elsewhere_is_kept_here(host):
    assert take(host, data("a"), data("a", "y"), data("b")) == (3, 0, ())
    assert exported(host) == sorted([data("a"), data("a", "y"), data("b")])
    juliet = host.connect(f"{JULIET}/balcony")
    asked = parse(f"<query xmlns='jabber:iq:private'>{data('b', '')}</query>".encode())
    assert juliet.get(asked).payload.find_text("exodus", "urn:example:b") == "x"


def test_what_is_there_stays_as_it_is(host):
    take(host, data("a"))
    assert take(host, data("a")) == (0, 1, ())
    found = take(host, data("a", "z"), data("b"))
    assert (found.kept, found.lost) == (1, ("private data beside other data of that name",))
    assert exported(host) == [data("a"), data("b")]


def test_what_cannot_be_kept_is_lost_and_its_neighbours_are_kept(host):
    found = take(host, "<a/>", data("large", "x" * 400), data("empty", ""), data("good"))
    assert (found.kept, len(found.lost)) == (1, 2)


@pytest.mark.parametrize("dry_run", [True, False])
def test_limits_hold(host, dry_run):
    found = take(host, data("a"), data("b"), data("c"), dry_run=dry_run)
    assert (found.kept, len(found.lost)) == (0, 3)
    assert exported(host) == []


def test_a_dry_run_writes_nothing(host):
    assert take(host, data("a"), dry_run=True).kept == 1
    assert exported(host) == []
