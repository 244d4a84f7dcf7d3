"""Offline messages that come from elsewhere (XEP-0227)."""

import pytest

from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.storage import StorageFull
from stonechat.xml import parse

CAPULET = "capulet.example"
JULIET = JID.parse(f"juliet@{CAPULET}")


@pytest.fixture
def host(server):
    host = server.host(CAPULET, offline={"max_messages": 3})
    host.create_account("juliet", "secret")
    return host


def message(body, stamp="1469-07-21T00:32:29Z", by=CAPULET, **attributes):
    given = {"from": "romeo@montague.example/orchard", "to": JULIET.text, **attributes}
    written = " ".join(f"{name}='{value}'" for name, value in given.items())
    delay = f"<delay xmlns='urn:xmpp:delay' from='{by}' stamp='{stamp}'/>" if stamp else ""
    return f"<message xmlns='jabber:client' {written}><body>{body}</body>{delay}</message>"


def take(host, *messages, dry_run=False):
    xml = f"<offline-messages xmlns='urn:xmpp:pie:0'>{''.join(messages)}</offline-messages>"
    return host.plugin("offline").stonechat_import_account(JULIET, parse(xml.encode()), dry_run)


def exported(host):
    return [
        child
        for part in host.plugin("offline").stonechat_export_account(JULIET)
        for child in part.elements
    ]


def test_messages_are_kept_by_their_time_and_come_with_it(host):
    assert take(host, message("2", "2001-01-02T00:00:00Z"), message("1", "2001-01-01T00:00:00Z"))
    assert [found.find_text("body") for found in exported(host)] == ["1", "2"]
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    first = juliet.receive_message()
    assert first.element.find_text("body") == "1"
    assert first.find("urn:xmpp:delay", "delay").get("stamp") == "2001-01-01T00:00:00Z"
    assert take(host, message("1", "2001-01-01T00:00:00Z")).kept == 1


@pytest.mark.parametrize("stamp", ["2001-01-01T00:00:00Z", "", "yesterday"])
def test_the_same_message_is_there_once(host, stamp):
    assert take(host, message("Hark!", stamp), message("Hark!", stamp))[:2] == (1, 1)
    assert take(host, message("Hark!", stamp)).known == 1
    assert take(host, message("Hark! What?", stamp)).kept == 1


def test_what_waits_here_is_known_when_it_comes_back(host):
    romeo = host.connect(f"romeo@{CAPULET}/orchard")
    inside = '<body>"</body><a:x xmlns:a="urn:example:a"/>'
    romeo.send(f'<message to="{JULIET}" type="chat">{inside}</message>')
    (out,) = exported(host)
    assert take(host, str(out))[:2] == (0, 1)
    assert len(exported(host)) == 1


def test_what_is_malformed_is_lost_and_its_neighbours_are_kept(host):
    found = take(
        host,
        "<presence xmlns='jabber:client'/>",
        message("1", **{"from": "@"}),
        message("2", to="@"),
        message("3", to="paris@padua.example"),
        "<message xmlns='jabber:client'><body>4</body></message>",
    )
    assert (found.kept, len(found.lost)) == (2, 3)
    assert {child.get("to") for child in exported(host)} == {JULIET.text}
    assert CAPULET in {child.get("from") for child in exported(host)}


def test_limits_hold(host):
    found = take(host, *(message(number) for number in range(5)))
    assert found.kept == 3
    assert found.lost == ("a message for which there is no room",) * 2


def test_a_dry_run_writes_nothing(host):
    assert take(host, message("1"), dry_run=True).kept == 1
    assert exported(host) == []


def test_what_is_else_is_somebody_else_s(host):
    element = parse(b"<query xmlns='jabber:iq:private'/>")
    assert host.plugin("offline").stonechat_import_account(JULIET, element, False) is None


def test_a_full_spool_comes_out_page_by_page(server):
    host = server.host(CAPULET, offline={})
    for begin in (0, 150):
        take(host, *(message(number) for number in range(begin, begin + 150)))
    assert [found.find_text("body") for found in exported(host)] == list(map(str, range(300)))


def test_a_full_store_is_no_fault_of_the_plugin(host, monkeypatch):
    def full(*_arguments, **_options):
        raise StorageFull("the disk is full")

    monkeypatch.setattr(host.plugin("offline").spool, "add", full)
    with pytest.raises(StanzaError, match="the disk is full"):
        take(host, message("1"))
