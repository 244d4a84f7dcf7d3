"""Resumption (XEP-0198, section 5), on the kernel in memory."""

import pytest
from sm_clients import (
    ENABLE_RESUMPTION,
    JULIET,
    NS_STANZAS,
    PASSWORD,
    REQUEST,
    ROMEO,
    ack,
    bodies,
    logged_in,
    resumable_client,
    resume,
    resume_element,
)

from stonechat import hookimpl
from stonechat.stanza import Element, Presence
from stonechat_sm.elements import NS_SM


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


def test_whoever_wants_to_know_is_told_what_waits_for_a_lost_client(server):
    class Watcher:
        def __init__(self, host, options):
            self.waiting = []

        @hookimpl
        def stonechat_stanza_waits(self, session, stanza):
            self.waiting.append((session.jid.text, stanza.body))

    host = server.host("capulet.example", sm={}, plugin_classes={"watcher": Watcher}, watcher={})
    juliet, _ = resumable_client(host, JULIET)
    romeo = host.connect(ROMEO)
    for text in ("1", "2"):
        romeo.message(JULIET, text)
    juliet.send(ack(1))
    waiting = host.plugin("watcher").waiting
    assert waiting == []
    juliet.drop()
    server.settle()
    romeo.message(JULIET, "3")
    assert waiting == [(JULIET, "2"), (JULIET, "3")]


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
    juliet.send(ENABLE_RESUMPTION)
    assert juliet.receive().attributes == {}
    _, failed = resume(host, "nonsense")
    assert failed.find("feature-not-implemented", NS_STANZAS) is not None


@pytest.mark.parametrize("wanted", ["0", "1"])
def test_the_longest_wait_is_a_positive_number(host, wanted):
    juliet = host.connect(JULIET)
    juliet.send(f"<enable xmlns='{NS_SM}' resume='true' max='{wanted}'/>")
    assert juliet.receive().get("max") == "1"


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
    stream.send(resume_element(id, 77))
    assert stream.closed_with() == "undefined-condition"
    assert resume(host, id, h=1)[1].name == "resumed"


def test_resuming_before_the_login_fails(host):
    stream = host.open_stream(tls=True)
    stream.send(resume_element("x"))
    assert stream.receive_element().name == "failed"


def test_resuming_on_a_bound_stream_fails(host):
    juliet, id = resumable_client(host, JULIET)
    juliet.send(resume_element(id))
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
