"""Privacy lists that come from elsewhere (XEP-0227)."""

import pytest

from stonechat.jid import JID
from stonechat.xml import parse

CAPULET = "capulet.example"
JULIET = JID.parse(f"juliet@{CAPULET}")
PUBLIC = (
    "<list name='public'><item type='jid' value='tybalt@example.com' action='deny' order='1'/>"
    "<item type='group' value='Friends' action='allow' order='2'><message/></item></list>"
)


@pytest.fixture
def host(server):
    host = server.host(CAPULET, privacy={"max_lists": 2, "max_items": 3}, blocking={})
    host.create_account("juliet", "secret")
    return host


def take(host, *inside, dry_run=False):
    element = parse(f"<query xmlns='jabber:iq:privacy'>{''.join(inside)}</query>".encode())
    return host.plugin("privacy").stonechat_import_account(JULIET, element, dry_run)


def exported(host):
    return [str(each) for each in host.plugin("privacy").stonechat_export_account(JULIET)]


def test_lists_and_the_default_come_along_with_groups_that_are_not_there_yet(host):
    assert take(host, "<default name='public'/>", PUBLIC).kept == 1
    inside = f"<default name='public'/>{PUBLIC}"
    assert exported(host) == [f"<query xmlns='jabber:iq:privacy'>{inside}</query>"]
    assert host.plugin("blocking").commands.blocked("juliet") == {"tybalt@example.com"}


def test_what_is_there_stays_as_it_is(host):
    take(host, "<default name='public'/>", PUBLIC)
    assert take(host, "<default name='public'/>", PUBLIC) == (0, 1, ())
    other = "<list name='public'><item action='allow' order='1'/></list>"
    more = "<list name='more'><item action='allow' order='1'/></list>"
    found = take(host, "<default name='more'/>", other, more)
    assert (found.kept, sorted(found.lost)) == (
        1,
        ["a privacy list beside another one of that name", "which privacy list is the default"],
    )


def test_what_is_malformed_is_lost_and_its_neighbours_are_kept(host):
    found = take(
        host,
        "<list><item action='allow' order='1'/></list>",
        "<list name='a'><item action='allow'/></list>",
        "<list name='b'><item type='jid' value='@' action='deny' order='1'/></list>",
        "<other/>",
        "<list name='empty'/>",
        "<default name='nowhere'/>",
        PUBLIC,
    )
    assert (found.kept, len(found.lost)) == (1, 5)


def test_limits_hold(host):
    item = "<item action='allow' order='{}'/>"
    long = f"<list name='long'>{''.join(map(item.format, range(4)))}</list>"
    lists = [f"<list name='{name}'>{item.format(1)}</list>" for name in "abc"]
    found = take(host, long, *lists)
    assert (found.kept, len(found.lost)) == (2, 2)


def test_a_dry_run_writes_nothing(host):
    assert take(host, PUBLIC, dry_run=True).kept == 1
    assert exported(host) == []
