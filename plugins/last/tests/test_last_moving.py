"""When somebody was last at another server."""

import pytest

from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.storage import StorageFull
from stonechat.xml import parse

CAPULET = "capulet.example"
JULIET = JID.parse(f"juliet@{CAPULET}")


@pytest.fixture
def host(server):
    host = server.host(CAPULET, last={})
    host.create_account("juliet", "secret")
    return host


def activity(stamp):
    return (
        "<query xmlns='jabber:iq:last'>Gone to bed"
        f"<delay xmlns='urn:xmpp:delay' stamp='{stamp}'/></query>"
    )


def take(host, xml, dry_run=False):
    element = parse(xml.encode())
    return host.plugin("last").stonechat_import_account(JULIET, element, dry_run)


def exported(host):
    return [str(query) for query in host.plugin("last").stonechat_export_account(JULIET)]


def test_the_later_one_counts(host):
    assert exported(host) == []
    old, new = activity("2001-01-01T00:00:00Z"), activity("2002-01-01T00:00:00Z")
    assert take(host, old).kept == 1
    assert take(host, new).kept == 1
    assert take(host, new).known == take(host, old).known == 1
    assert exported(host) == [new]


def test_without_a_time_it_says_nothing(host):
    for xml in (activity("yesterday"), "<query xmlns='jabber:iq:last' seconds='5'/>"):
        assert take(host, xml).lost == ("an activity without a time",)
    assert take(host, "<other xmlns='jabber:iq:last'/>") is None


def test_a_dry_run_writes_nothing(host):
    assert take(host, activity("2001-01-01T00:00:00Z"), dry_run=True).kept == 1
    assert exported(host) == []


def test_a_full_store_is_no_fault_of_the_plugin(host, monkeypatch):
    def full(*_arguments, **_options):
        raise StorageFull("the disk is full")

    monkeypatch.setattr(host.plugin("last"), "_find", full)
    with pytest.raises(StanzaError, match="the disk is full"):
        take(host, activity("2001-01-01T00:00:00Z"))
