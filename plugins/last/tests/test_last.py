"""When somebody was last here, who may know, and how long the server has been up."""

import pytest

from stonechat import hookimpl
from stonechat.errors import StanzaError, StorageError
from stonechat.jid import JID
from stonechat.stanza import Element

LAST = Element("jabber:iq:last", "query")
JULIET = "juliet@capulet.example"


class Friends:
    """In place of a roster: Romeo may see everybody, Tybalt nobody."""

    def __init__(self, host, options):
        pass

    @hookimpl
    def stonechat_may_see_presence(self, account, watcher):
        return watcher.localpart == "romeo"


@pytest.fixture
def host(server):
    host = server.host("capulet.example", plugin_classes={"friends": Friends}, last={})
    host.create_account("juliet", "secret")
    return host


@pytest.fixture
def romeo(host):
    return host.connect("romeo@capulet.example/orchard")


def refusal(client, to):
    with pytest.raises(StanzaError) as refused:
        client.get(LAST, to=to)
    return refused.value.condition


def test_tells_how_long_the_server_has_been_up(server, romeo):
    server.clock.advance(903.5)
    query = romeo.get(LAST, to="capulet.example").payload
    assert query == Element("jabber:iq:last", "query", {"seconds": "903"})


def test_an_account_that_is_connected_was_active_right_now(server, host, romeo):
    host.connect(f"{JULIET}/balcony")
    server.clock.advance(60)
    assert romeo.get(LAST, to=JULIET).payload.attributes == {"seconds": "0"}


def test_tells_when_somebody_left_and_what_they_said(server, host, romeo):
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    juliet.send("<presence type='unavailable'><status>Heading home ♥</status></presence>")
    juliet.disconnect()
    server.clock.advance(903.5)
    query = romeo.get(LAST, to=JULIET).payload
    assert query.attributes == {"seconds": "903"}
    assert query.text == "Heading home ♥"


def test_who_loses_the_connection_says_nothing(server, host, romeo):
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available(status="On the balcony")
    juliet.drop()
    server.clock.advance(10.5)
    query = romeo.get(LAST, to=JULIET).payload
    assert (query.attributes, query.text) == ({"seconds": "10"}, "")


def test_the_last_of_several_sessions_counts(server, host, romeo):
    balcony = host.connect(f"{JULIET}/balcony")
    chamber = host.connect(f"{JULIET}/chamber")
    balcony.disconnect()
    server.clock.advance(100)
    assert romeo.get(LAST, to=JULIET).payload.get("seconds") == "0"
    chamber.disconnect()
    server.clock.advance(20.5)
    assert romeo.get(LAST, to=JULIET).payload.get("seconds") == "20"


def test_activity_is_still_known_after_a_restart(server, host):
    host.connect(f"{JULIET}/balcony").disconnect()
    server.clock.advance(60)
    server.restart()
    server.clock.advance(0.5)
    romeo = host.connect("romeo@capulet.example/orchard")
    assert romeo.get(LAST, to=JULIET).payload.get("seconds") == "60"


def test_a_clock_that_was_set_back_makes_nobody_leave_in_the_future(server, host):
    host.connect(f"{JULIET}/balcony").disconnect()
    server.clock.jump(-3600)
    server.restart()
    romeo = host.connect("romeo@capulet.example/orchard")
    assert romeo.get(LAST, to=JULIET).payload.get("seconds") == "0"


def test_a_store_that_is_away_is_the_servers_fault(server, host, romeo, monkeypatch):
    def read(work):
        raise StorageError("away")

    monkeypatch.setattr(server.kernel.store, "read", read)
    with pytest.raises(StanzaError) as refused:
        romeo.get(LAST, to=JULIET)
    assert (refused.value.condition, refused.value.type) == ("internal-server-error", "wait")


def test_of_who_never_was_here_nothing_is_known(romeo):
    assert refusal(romeo, JULIET) == "service-unavailable"


def test_a_long_status_is_cut(host, romeo):
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    juliet.send(f"<presence type='unavailable'><status>{'é' * 2000}</status></presence>")
    juliet.disconnect()
    assert romeo.get(LAST, to=JULIET).payload.text == "é" * 512


@pytest.mark.parametrize("is_connected", [True, False])
def test_who_may_not_see_presence_does_not_learn_that_there_is_an_account(host, is_connected):
    juliet = host.connect(f"{JULIET}/balcony")
    if not is_connected:
        juliet.disconnect()
    tybalt = host.connect("tybalt@capulet.example/street")
    known, unknown = (
        tybalt.request("get", LAST, to=to) for to in (JULIET, "rosaline@capulet.example")
    )
    assert known.element.find("error").first().name == "service-unavailable"
    assert known.element.elements == unknown.element.elements


def test_a_client_is_asked_for_friends_only(host, romeo):
    juliet = host.connect(f"{JULIET}/balcony")
    tybalt = host.connect("tybalt@capulet.example/street")
    assert refusal(tybalt, f"{JULIET}/balcony") == "forbidden"
    assert refusal(tybalt, f"{JULIET}/nowhere") == "forbidden"
    assert refusal(tybalt, "rosaline@capulet.example/nowhere") == "forbidden"
    assert juliet.received() == []
    question = f"<iq type='get' id='last2' to='{JULIET}/balcony'>{LAST}</iq>"
    romeo.send(question)
    assert juliet.receive_iq().id == "last2"


def test_a_removed_account_leaves_nothing_behind(host, romeo):
    host.connect(f"{JULIET}/balcony").disconnect()
    assert romeo.get(LAST, to=JULIET).payload.get("seconds") == "0"
    host.kernel.accounts.remove("juliet")
    host.create_account("juliet", "another")
    assert refusal(romeo, JULIET) == "service-unavailable"


def test_a_session_that_ends_with_its_account_is_not_recorded(server, host, romeo):
    juliet = host.connect(f"{JULIET}/balcony")
    host.kernel.accounts.remove("juliet")
    assert juliet.closed_with() == "not-authorized"
    rows = server.kernel.store.read(
        lambda connection: connection.exec_driver_sql(
            "SELECT count(*) FROM last_activity WHERE localpart = 'juliet'"
        ).scalar()
    )
    assert rows == 0


def test_removed_accounts_are_remembered_up_to_a_bound(host, monkeypatch):
    monkeypatch.setattr("stonechat_last.MAX_REMOVED", 2)
    plugin = host.plugin("last")
    for name in ("abram", "balthasar", "gregory"):
        plugin.stonechat_account_removed(JID.parse(f"{name}@capulet.example"))
    assert [jid.localpart for jid in plugin.removed] == ["balthasar", "gregory"]


def test_is_advertised(host):
    plugin = host.plugin("last")
    assert plugin.stonechat_disco_features() == ["jabber:iq:last"]
    assert plugin.stonechat_account_disco_features() == ["jabber:iq:last"]
