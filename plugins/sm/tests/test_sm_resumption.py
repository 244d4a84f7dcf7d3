"""Resumption (XEP-0198, section 5), on the kernel in memory."""

import pytest

from stonechat.jid import JID
from stonechat.stanza import Element, Iq, Message, Presence
from stonechat_sm.managed import NS_SM

ROMEO = "romeo@capulet.example/orchard"
JULIET = "juliet@capulet.example/balcony"
ENABLE = f"<enable xmlns='{NS_SM}' resume='true'/>"
REQUEST = f"<r xmlns='{NS_SM}'/>"
NS_STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
PASSWORD = "Wherefore art thou?"


def ack(h):
    return f"<a xmlns='{NS_SM}' h='{h}'/>"


@pytest.fixture
def host(server):
    return server.host("capulet.example", sm={}, offline={}, roster={})


def resumable_client(host, jid, enable=ENABLE):
    """A client that may come back; returns it and what it comes back with."""
    client = host.connect(jid)
    client.send(enable)
    enabled = client.receive()
    assert enabled.get("resume") == "true"
    client.available()
    host.server.settle()
    client.received()
    return client, enabled.get("id")


def logged_in(host, localpart="juliet"):
    stream = host.open_stream(tls=True)
    assert stream.authenticate(localpart, PASSWORD).name == "success"
    stream.open()
    return stream


def resume(host, id, h=0, localpart="juliet"):
    """A new stream of the account, and what the server says to its wish."""
    stream = logged_in(host, localpart)
    stream.send(f"<resume xmlns='{NS_SM}' previd='{id}' h='{h}'/>")
    return stream, stream.receive_element()


def bodies(stream):
    return [item.body for item in stream.received() if isinstance(item, Message)]


def test_a_client_comes_back_to_what_it_missed(server, host):
    juliet, id = resumable_client(host, JULIET)
    romeo = host.connect(ROMEO)
    romeo.message(JULIET, "one")
    juliet.drop()
    server.settle()
    romeo.message(JULIET, "two")
    stream, resumed = resume(host, id, h=1)
    assert resumed.name == "resumed"
    assert resumed.get("previd") == id
    assert bodies(stream) == ["one", "two"]


def test_what_was_acknowledged_does_not_come_again(server, host):
    juliet, id = resumable_client(host, JULIET)
    romeo = host.connect(ROMEO)
    romeo.message(JULIET, "one")
    romeo.message(JULIET, "two")
    juliet.drop()
    server.settle()
    stream, _ = resume(host, id, h=2)
    assert bodies(stream) == ["two"]


def test_the_server_says_how_many_stanzas_it_has_handled(server, host):
    juliet, id = resumable_client(host, JULIET)
    juliet.message(ROMEO, "one")
    juliet.message(ROMEO, "two")
    juliet.drop()
    server.settle()
    _, resumed = resume(host, id)
    assert resumed.get("h") == "3"


def test_counting_goes_on_after_a_resumption(server, host):
    juliet, id = resumable_client(host, JULIET)
    romeo = host.connect(ROMEO)
    romeo.message(JULIET, "one")
    juliet.drop()
    server.settle()
    stream, _ = resume(host, id, h=1)
    stream.received()
    romeo.message(JULIET, "two")
    stream.send(ack(3))
    assert not stream.is_closed
    stream.send("<presence><show>away</show></presence>")
    stream.received()
    stream.send(REQUEST)
    assert stream.receive_element() == Element(NS_SM, "a", {"h": "2"})


def test_nobody_hears_that_the_connection_was_lost(server, host):
    romeo = host.connect(ROMEO)
    romeo.available()
    juliet, id = resumable_client(host, JULIET)
    host.plugin("roster").service.set("juliet", romeo.bare, subscription="both")
    host.plugin("roster").service.set("romeo", juliet.bare, subscription="both")
    server.settle()
    romeo.received()
    juliet.drop()
    server.settle()
    resume(host, id)
    assert [item for item in romeo.received() if isinstance(item, Presence)] == []
    assert host.kernel.session(juliet.jid).presence is not None


def test_who_does_not_come_back_in_time_is_gone(server, host):
    juliet, id = resumable_client(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    juliet.drop()
    server.settle()
    server.clock.advance(299)
    assert host.kernel.session(juliet.jid) is not None
    server.clock.advance(2)
    server.settle()
    assert host.kernel.session(juliet.jid) is None
    stream, failed = resume(host, id, h=1)
    assert failed.find("item-not-found", NS_STANZAS) is not None
    assert failed.get("h") == "1"
    stream.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    stream.send("<presence/>")
    server.settle()
    assert bodies(stream) == ["one"]


def test_the_client_may_want_less_time(server, host):
    juliet, _ = resumable_client(host, JULIET, f"<enable xmlns='{NS_SM}' resume='1' max='10'/>")
    juliet.drop()
    server.settle()
    server.clock.advance(11)
    server.settle()
    assert host.kernel.session(juliet.jid) is None


def test_a_client_that_ends_its_stream_is_gone_at_once(server, host):
    juliet, id = resumable_client(host, JULIET)
    juliet.disconnect()
    server.settle()
    assert host.kernel.session(juliet.jid) is None
    assert resume(host, id)[1].name == "failed"


def test_without_the_wish_to_resume_a_lost_client_is_gone(server, host):
    juliet = host.connect(JULIET)
    juliet.send(f"<enable xmlns='{NS_SM}'/>")
    assert juliet.receive().attributes == {}
    juliet.drop()
    server.settle()
    assert host.kernel.session(juliet.jid) is None


def test_resumption_can_be_off(server):
    host = server.host("capulet.example", sm={"resume_for": "off"})
    juliet = host.connect(JULIET)
    juliet.send(ENABLE)
    assert juliet.receive().attributes == {}


def test_a_new_connection_takes_over_from_one_that_still_stands(server, host):
    juliet, id = resumable_client(host, JULIET)
    stream, resumed = resume(host, id, h=1)
    assert resumed.name == "resumed"
    assert juliet.closed_with() == "conflict"
    host.connect(ROMEO).message(JULIET, "one")
    assert bodies(stream) == ["one"]
    assert host.kernel.session(juliet.jid).is_connected


def test_of_two_who_resume_the_later_has_the_session(server, host):
    juliet, id = resumable_client(host, JULIET)
    juliet.drop()
    server.settle()
    first, _ = resume(host, id, h=1)
    second, resumed = resume(host, id, h=1)
    assert resumed.name == "resumed"
    assert first.closed_with() == "conflict"
    host.connect(ROMEO).message(JULIET, "one")
    assert bodies(second) == ["one"]


def test_another_account_cannot_resume_a_session(server, host):
    juliet, id = resumable_client(host, JULIET)
    host.create_account("tybalt", PASSWORD)
    juliet.drop()
    server.settle()
    _, failed = resume(host, id, localpart="tybalt")
    assert failed.find("item-not-found", NS_STANZAS) is not None
    assert failed.get("h") == ""
    assert resume(host, id)[1].name == "resumed"


@pytest.mark.parametrize("id", ["", "nonsense", "x" * 5000])
def test_an_id_that_nobody_has_resumes_nothing(host, id):
    host.create_account("juliet", PASSWORD)
    stream, failed = resume(host, id)
    assert failed.find("item-not-found", NS_STANZAS) is not None
    assert not stream.is_closed


@pytest.mark.parametrize("h", ["", "many", "-1", "4294967296"])
def test_a_resumption_without_a_number_fails(host, h):
    host.create_account("juliet", PASSWORD)
    _, failed = resume(host, "nonsense", h)
    assert failed.find("bad-request", NS_STANZAS) is not None


def test_a_resumption_beyond_what_was_sent_ends_the_stream_not_the_session(server, host):
    juliet, id = resumable_client(host, JULIET)
    juliet.drop()
    server.settle()
    stream = logged_in(host)
    stream.send(f"<resume xmlns='{NS_SM}' previd='{id}' h='77'/>")
    assert stream.closed_with() == "undefined-condition"
    assert resume(host, id, h=1)[1].name == "resumed"


def test_resuming_before_the_login_fails(host):
    stream = host.open_stream(tls=True)
    stream.send(f"<resume xmlns='{NS_SM}' previd='x' h='0'/>")
    assert stream.receive_element().name == "failed"


def test_resuming_on_a_bound_stream_fails(host):
    juliet, id = resumable_client(host, JULIET)
    juliet.send(f"<resume xmlns='{NS_SM}' previd='{id}' h='0'/>")
    assert juliet.receive().name == "failed"


def test_a_resumed_session_can_be_lost_and_resumed_again(server, host):
    juliet, id = resumable_client(host, JULIET)
    romeo = host.connect(ROMEO)
    juliet.drop()
    server.settle()
    for number in range(1, 6):
        stream, resumed = resume(host, id, h=number)
        assert resumed.name == "resumed"
        romeo.message(JULIET, f"{number}")
        assert bodies(stream) == [f"{number}"]
        stream.drop()
        server.settle()


# Over a restart


def test_a_session_outlives_a_restart(server, host):
    juliet, id = resumable_client(host, JULIET)
    romeo = host.connect(ROMEO)
    romeo.message(JULIET, "one")
    server.restart()
    stream, resumed = resume(host, id, h=1)
    assert (resumed.name, resumed.get("h")) == ("resumed", "1")
    server.settle()
    assert bodies(stream) == ["one"]
    session = host.kernel.session(juliet.jid)
    assert session.presence is not None
    host.connect(ROMEO).message(JULIET, "two")
    assert bodies(stream) == ["two"]


def test_a_session_hears_of_its_roster_after_a_restart_as_before(server, host):
    juliet, id = resumable_client(host, JULIET)
    juliet.get("<query xmlns='jabber:iq:roster'/>")
    server.restart()
    stream, _ = resume(host, id, h=2)
    host.plugin("roster").service.set("juliet", JID.parse("nurse@capulet.example"))
    (push,) = [item for item in stream.received() if isinstance(item, Iq)]
    assert push.has("jabber:iq:roster", "query")


def test_after_a_restart_too_it_is_its_accounts_alone(server, host):
    _, id = resumable_client(host, JULIET)
    host.create_account("tybalt", PASSWORD)
    server.restart()
    assert resume(host, id, localpart="tybalt")[1].name == "failed"
    assert resume(host, id, h=1)[1].name == "resumed"


def test_what_nobody_comes_back_for_after_a_restart_is_delivered_otherwise(server, host):
    juliet, _ = resumable_client(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    server.clock.advance(301)
    server.clock.advance(61)
    server.settle()
    again = host.connect(juliet.jid)
    again.available()
    server.settle()
    assert bodies(again) == ["one"]


def test_who_begins_anew_under_the_same_name_gets_what_is_left(server, host):
    juliet, id = resumable_client(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    again = host.connect(juliet.jid)
    again.available()
    _, failed = resume(host, id, h=1)
    assert failed.name == "failed"
    server.settle()
    assert bodies(again) == ["one"]


def test_sessions_need_not_be_kept_over_a_restart(server):
    host = server.host("capulet.example", sm={"keep_over_restart": False}, offline={}, roster={})
    juliet, id = resumable_client(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.restart()
    assert resume(host, id, h=1)[1].name == "failed"
    again = host.connect(juliet.jid)
    again.available()
    server.settle()
    assert bodies(again) == ["one"]


def test_the_id_is_not_in_the_database(server, host):
    _, id = resumable_client(host, JULIET)
    server.restart()
    for path in (server.directory / "data").rglob("*.db*"):
        assert id.encode() not in path.read_bytes()
