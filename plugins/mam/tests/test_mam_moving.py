"""Archives that come from elsewhere (XEP-0227)."""

import pytest

from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.stanza import Message
from stonechat.storage import StorageFull
from stonechat.xml import parse

CAPULET = "capulet.example"
JULIET = JID.parse(f"juliet@{CAPULET}")
NS_MAM = "urn:xmpp:mam:2"


@pytest.fixture
def host(server):
    host = server.host(CAPULET, mam={})
    host.create_account("juliet", "secret")
    return host


def result(body, stamp, id_="28482-98726-73623", sender="romeo@montague.example/orchard"):
    return (
        f"<result xmlns='{NS_MAM}' id='{id_}'><forwarded xmlns='urn:xmpp:forward:0'>"
        f"<delay xmlns='urn:xmpp:delay' stamp='{stamp}'/>"
        f"<message xmlns='jabber:client' from='{sender}' to='{JULIET}/balcony' type='chat'>"
        f"<body>{body}</body></message></forwarded></result>"
    )
    host.create_account("juliet", "secret")
    return host


def take(host, *results, dry_run=False):
    xml = f"<archive xmlns='urn:xmpp:pie:0#mam'>{''.join(results)}</archive>"
    return host.plugin("mam").stonechat_import_account(JULIET, parse(xml.encode()), dry_run)


def archived(host, *fields):
    """(id, body) of what a client of Juliet's gets."""
    juliet = host.connect(f"{JULIET}/orchard")
    form = "".join(f"<field var='{name}'><value>{value}</value></field>" for name, value in fields)
    form = (
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
        f"<value>{NS_MAM}</value></field>{form}</x>"
    )
    juliet.set(parse(f"<query xmlns='{NS_MAM}'>{form}</query>".encode()))
    found = [
        message.find(NS_MAM, "result")
        for message in juliet.received()
        if isinstance(message, Message)
    ]
    juliet.disconnect()
    return [
        (
            one.get("id"),
            one.find("forwarded", "urn:xmpp:forward:0")
            .find("message", "jabber:client")
            .find_text("body"),
        )
        for one in found
    ]


def bodies(host, *fields):
    return [body for _, body in archived(host, *fields)]


def test_messages_of_the_same_second_stay_in_their_order(host):
    second = "2010-07-10T23:08:25Z"
    texts = [f"line {number}" for number in range(20)]
    assert take(host, *(result(text, second) for text in texts[:10])).kept == 10
    assert take(host, *(result(text, second) for text in texts[10:])).kept == 10
    assert bodies(host) == texts


def test_they_are_found_by_time_and_by_person(host):
    take(
        host,
        result("old", "2009-01-01T00:00:00Z"),
        result("mine", "2010-01-01T00:00:00Z", sender=f"{JULIET}/balcony"),
        result("new", "2011-01-01T00:00:00Z", sender="nurse@capulet.example"),
    )
    assert bodies(host, ("start", "2009-06-01T00:00:00Z")) == ["mine", "new"]
    assert bodies(host, ("end", "2009-06-01T00:00:00Z")) == ["old"]
    assert bodies(host, ("with", "nurse@capulet.example")) == ["new"]
    assert bodies(host, ("with", "romeo@montague.example")) == ["old"]


def test_the_same_message_is_there_once(host):
    one = result("Call me but love", "2010-07-10T23:08:25Z")
    assert take(host, one, one)[:2] == (1, 1)
    assert take(host, one)[:2] == (0, 1)
    assert len(archived(host)) == 1


def test_what_is_archived_here_is_known_when_it_comes_back_and_keeps_its_id(host):
    juliet = host.connect(f"{JULIET}/balcony")
    for text in ("1", "2"):
        juliet.send(f'<message to="romeo@montague.example"><body>{text}</body></message>')
    juliet.disconnect()
    before = archived(host)
    plugin = host.plugin("mam")
    parts = list(plugin.stonechat_export_account(JULIET))
    for part in parts:
        assert plugin.stonechat_import_account(JULIET, part, False)[:2] == (0, 2)
    plugin.archive.erase("juliet")
    for part in parts:
        assert plugin.stonechat_import_account(JULIET, part, False).kept == 2
    assert archived(host) == before


def test_old_messages_come_before_those_that_are_there(host):
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.send('<message to="romeo@montague.example"><body>now</body></message>')
    juliet.disconnect()
    take(host, result("then", "2010-07-10T23:08:25Z"))
    assert bodies(host) == ["then", "now"]


def test_what_is_malformed_is_lost_and_its_neighbours_are_kept(host):
    good = result("good", "2010-07-10T23:08:25Z")
    found = take(
        host,
        good.replace("2010-07-10T23:08:25Z", "yesterday"),
        good.replace("2010", "1469"),
        good.replace("romeo@", "@"),
        good.replace("urn:xmpp:forward:0", "urn:example:forward"),
        "<other/>",
        good,
    )
    assert (found.kept, len(found.lost)) == (1, 5)


def test_what_is_too_old_to_be_kept_is_lost(server):
    host = server.host(CAPULET, mam={"keep_for": "365 d"})
    found = take(host, result("old", "2001-01-01T00:00:00Z"))
    assert found.lost == ("an archived message that is older than they are kept here",)


def test_a_dry_run_writes_nothing(host):
    one = result("Call me but love", "2010-07-10T23:08:25Z")
    assert take(host, one, dry_run=True).kept == 1
    assert list(host.plugin("mam").stonechat_export_account(JULIET)) == []
    take(host, one)
    assert take(host, one, dry_run=True)[:2] == (0, 1)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_search_finds_what_came_late(server, restarted):
    """The full-text index goes by the order in which messages came; then it is not asked."""
    host = server.host(CAPULET, mam={"fulltext": "index"})
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.send('<message to="romeo@montague.example"><body>love now</body></message>')
    juliet.disconnect()
    take(host, result("love then", "2010-07-10T23:08:25Z"))
    if restarted:
        server.restart()
    assert bodies(host, ("{urn:xmpp:fulltext:0}fulltext", "love")) == ["love then", "love now"]


def test_preferences_come_along(host):
    plugin = host.plugin("mam")
    prefs = parse(
        f"<prefs xmlns='{NS_MAM}' default='roster'><always><jid>romeo@montague.example</jid>"
        "</always><never/></prefs>".encode()
    )
    assert plugin.stonechat_import_account(JULIET, prefs, True).kept == 1
    assert plugin.stonechat_import_account(JULIET, prefs, False).kept == 1
    assert plugin.stonechat_import_account(JULIET, prefs, False).known == 1
    other = prefs.copy()
    other.set("default", "never")
    assert plugin.stonechat_import_account(JULIET, other, False).lost
    other.set("default", "sometimes")
    assert plugin.stonechat_import_account(JULIET, other, False).lost
    assert list(plugin.stonechat_export_account(JULIET)) == [prefs]


def test_a_full_store_is_no_fault_of_the_plugin(host, monkeypatch):
    def full(*_arguments, **_options):
        raise StorageFull("the disk is full")

    monkeypatch.setattr(host.plugin("mam").archive.accounts, "get", full)
    with pytest.raises(StanzaError, match="the disk is full"):
        take(host, result("Call me but love", "2010-07-10T23:08:25Z"))
