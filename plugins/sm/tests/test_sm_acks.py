"""Acknowledgements (XEP-0198, sections 3 and 4), on the kernel in memory."""

from itertools import pairwise

import pytest
from sm_clients import (
    ENABLE,
    JULIET,
    NS_STANZAS,
    REQUEST,
    ROMEO,
    ack,
    bodies,
    crash,
    first_client,
    managed_client,
    managed_of,
    nonzas,
)

from stonechat import timestamps
from stonechat.namespaces import NS_DELAY
from stonechat.stanza import Element, Message
from stonechat_sm.elements import NS_SM


@pytest.fixture
def host(server):
    return server.host("capulet.example", sm={}, offline={})


def test_the_feature_is_offered_once_the_client_has_logged_in(host):
    host.create_account("romeo", "secret")
    stream = host.open_stream(tls=True)
    assert stream.features.find("sm", NS_SM) is None
    stream.authenticate("romeo", "secret")
    assert stream.open().find("sm", NS_SM) is not None


def test_enabling_before_binding_fails_and_the_stream_goes_on(host):
    host.create_account("romeo", "secret")
    stream = host.open_stream(tls=True)
    stream.authenticate("romeo", "secret")
    stream.open()
    stream.send(ENABLE)
    assert stream.receive_element().find("unexpected-request", NS_STANZAS) is not None
    assert not stream.is_closed


def test_a_second_enable_ends_the_stream(host):
    romeo = managed_client(host, ROMEO)
    romeo.send(ENABLE)
    assert romeo.receive().find("unexpected-request", NS_STANZAS) is not None
    assert romeo.closed_with() == "policy-violation"


@pytest.mark.parametrize("element", [REQUEST, ack(0)])
def test_acks_without_management_are_refused_and_the_stream_goes_on(host, element):
    romeo = host.connect(ROMEO)
    romeo.send(element)
    assert romeo.receive().find("unexpected-request", NS_STANZAS) is not None
    assert not romeo.is_closed


@pytest.mark.parametrize("maximum", ["-1", "soon", "99999999999", "1.5"])
def test_a_maximum_that_is_no_number_of_seconds_is_refused(host, maximum):
    romeo = host.connect(ROMEO)
    romeo.send(f"<enable xmlns='{NS_SM}' resume='true' max='{maximum}'/>")
    assert romeo.receive().find("bad-request", NS_STANZAS) is not None


def test_stanzas_are_counted_from_enable_on(host):
    romeo = managed_client(host, ROMEO)
    romeo.send(REQUEST)
    assert romeo.receive() == Element(NS_SM, "a", {"h": "0"})
    for number in range(3):
        romeo.message(JULIET, f"{number}")
    romeo.received()
    romeo.send(REQUEST)
    assert nonzas(romeo) == [Element(NS_SM, "a", {"h": "3"})]


def test_refused_stanzas_count_too(host):
    romeo = managed_client(host, ROMEO)
    romeo.send("<iq type='get' id='1' to='nowhere@capulet.example'><x xmlns='urn:none'/></iq>")
    romeo.send("<message to='@'/>")
    romeo.received()
    romeo.send(REQUEST)
    assert nonzas(romeo) == [Element(NS_SM, "a", {"h": "2"})]


def test_who_acknowledges_more_than_was_sent_is_shown_the_door(host):
    juliet = managed_client(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    juliet.received()
    juliet.send(ack(2))
    error = juliet.stream.error
    assert juliet.closed_with() == "undefined-condition"
    assert error.find("handled-count-too-high", NS_SM).attributes == {"h": "2", "send-count": "1"}


@pytest.mark.parametrize("h", ["", "-1", "4294967296", "one", "1e3", "٣"])
def test_an_ack_without_a_number_ends_the_stream(host, h):
    juliet = managed_client(host, JULIET)
    juliet.send(ack(h))
    assert juliet.closed_with() == "bad-format"


def test_an_old_ack_again_changes_nothing(host):
    juliet = managed_client(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    juliet.send(ack(1))
    juliet.send(ack(1))
    assert not juliet.is_closed


def test_a_client_is_asked_soon_and_at_once_when_much_waits(server, host):
    juliet = managed_client(host, JULIET)
    romeo = host.connect(ROMEO)
    romeo.message(JULIET, "one")
    assert nonzas(juliet) == []
    server.clock.advance(1)
    assert nonzas(juliet) == [Element(NS_SM, "r")]
    juliet.send(ack(1))
    for number in range(8):
        romeo.message(JULIET, f"{number}")
    assert nonzas(juliet) == [Element(NS_SM, "r")]


def test_one_question_is_open_at_a_time(host):
    juliet = managed_client(host, JULIET)
    romeo = host.connect(ROMEO)
    for number in range(30):
        romeo.message(JULIET, f"{number}")
    assert nonzas(juliet) == [Element(NS_SM, "r")]


def test_the_sender_hears_that_a_message_is_safe_when_the_receiver_has_it(server, host):
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    romeo.message(JULIET, "Good night")
    romeo.send(REQUEST)
    # Asked at once, because somebody waits.
    assert nonzas(juliet)[-1:] == [Element(NS_SM, "r")]
    assert nonzas(romeo) == []
    juliet.send(ack(1))
    assert nonzas(romeo) == [Element(NS_SM, "a", {"h": "1"})]


def test_the_sender_hears_it_too_when_the_message_is_on_disk(server, host):
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    romeo.message(JULIET, "Good night")
    romeo.send(REQUEST)
    server.clock.advance(0.15)
    assert nonzas(romeo) == [Element(NS_SM, "a", {"h": "1"})]
    managed = managed_of(host, juliet)
    plugin = host.plugin("sm")
    assert len(plugin.spool.tables.stanzas(managed.token)) == 1
    juliet.send(ack(1))
    plugin.spool.flush()
    assert plugin.spool.tables.stanzas(managed.token) == []


def test_an_ack_covers_what_is_safe_and_stops_at_the_first_that_is_not(server, host):
    juliet = managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    romeo.send("<presence><show>away</show></presence>")
    romeo.message(JULIET, "Good night")
    romeo.send("<presence><show>xa</show></presence>")
    assert managed_of(host, romeo).safe == 1
    juliet.send(ack(juliet_received(juliet)))
    assert managed_of(host, romeo).safe == 3


def juliet_received(client):
    return len([item for item in client.received() if not isinstance(item, Element)])


def test_a_full_queue_sends_further_messages_to_the_spool(server):
    host = server.host("capulet.example", sm={"max_unacked": 10}, offline={})
    juliet = managed_client(host, JULIET)
    romeo = host.connect(ROMEO)
    for number in range(15):
        romeo.message("juliet@capulet.example", f"{number}")
    assert bodies(juliet) == [f"{number}" for number in range(10)]
    juliet.send(ack(10))
    assert [juliet.receive_message().body for _ in range(5)] == [
        f"{number}" for number in range(10, 15)
    ]


def test_what_was_not_acknowledged_goes_to_the_spool_in_order_and_with_its_time(server, host):
    juliet = managed_client(host, JULIET)
    romeo = host.connect(ROMEO)
    for number in range(20):
        romeo.message(JULIET, f"{number}")
    juliet.send(ack(5))
    sent_at = timestamps.written(server.kernel.now())
    server.clock.advance(30)
    juliet.drop()
    server.settle()
    again = host.connect("juliet@capulet.example/chamber")
    again.available()
    server.settle()
    came = [item for item in again.received() if isinstance(item, Message)]
    assert [message.body for message in came] == [f"{number}" for number in range(5, 20)]
    for message in came:
        first, *_ = message.element.find_all("delay", NS_DELAY)
        assert first.get("from") == "capulet.example"
        assert first.get("stamp")[:19] == sent_at[:19]


def delays(message):
    return [delay.get("from") for delay in message.element.find_all("delay", NS_DELAY)]


def test_what_is_delivered_once_more_is_stamped_once(server, host):
    romeo = host.connect(ROMEO)
    juliet = managed_client(host, JULIET)
    romeo.message(JULIET, "Good night")
    others = [managed_client(host, f"juliet@capulet.example/{number}") for number in range(2)]
    for other in others:
        other.available(priority=-1)
    for client, following in pairwise([juliet, *others]):
        following.available(priority=1)
        client.drop()
        server.settle()
        (message,) = [item for item in following.received() if isinstance(item, Message)]
        assert delays(message) == ["capulet.example"]


def test_what_somebody_else_has_delayed_is_stamped_by_us_too(server, host):
    romeo = host.connect(ROMEO)
    juliet = managed_client(host, JULIET)
    sent = {"from": "verona.example", "stamp": "2026-02-14T11:00:00Z"}
    romeo.message(JULIET, "Good night", Element(NS_DELAY, "delay", sent))
    other = first_client(host, "juliet@capulet.example/chamber")
    other.received()
    juliet.drop()
    server.settle()
    (message,) = [item for item in other.received() if isinstance(item, Message)]
    assert delays(message) == ["verona.example", "capulet.example"]


def test_what_was_not_acknowledged_goes_to_another_resource_at_once(server, host):
    juliet = managed_client(host, JULIET)
    other = host.connect("juliet@capulet.example/chamber")
    other.available(priority=-1)
    romeo = host.connect(ROMEO)
    romeo.message(JULIET, "Good night")
    other.available(priority=0)
    other.received()
    juliet.drop()
    server.settle()
    assert bodies(other) == ["Good night"]


def test_acknowledged_messages_do_not_come_again(server, host):
    juliet = managed_client(host, JULIET)
    romeo = host.connect(ROMEO)
    romeo.message(JULIET, "one")
    juliet.send(ack(1))
    juliet.drop()
    server.settle()
    again = host.connect(JULIET)
    again.available()
    server.settle()
    assert bodies(again) == []


def test_requests_that_a_lost_session_did_not_handle_are_answered(server, host):
    juliet = managed_client(host, JULIET)
    romeo = host.connect(ROMEO)
    romeo.send(f"<iq type='get' id='q' to='{JULIET}'><query xmlns='jabber:iq:version'/></iq>")
    juliet.drop()
    server.settle()
    assert romeo.answer_to("q").type == "error"


def test_offline_messages_stay_in_their_spool_until_they_are_acknowledged(server, host):
    host.create_account("juliet")
    romeo = host.connect(ROMEO)
    for number in range(5):
        romeo.message("juliet@capulet.example", f"{number}")
    juliet = host.connect(JULIET)
    juliet.send(ENABLE)
    juliet.available()
    server.settle()
    assert bodies(juliet) == ["0", "1", "2", "3", "4"]
    juliet.drop()
    server.settle()
    again = host.connect(JULIET)
    again.send(ENABLE)
    again.available()
    server.settle()
    assert bodies(again) == ["0", "1", "2", "3", "4"]
    again.send(ack(5))
    server.settle()
    again.drop()
    server.settle()
    third = host.connect(JULIET)
    third.available()
    server.settle()
    assert bodies(third) == []


def test_a_crash_loses_nothing_that_was_acknowledged_to_the_sender(server, host):
    managed_client(host, JULIET)
    romeo = managed_client(host, ROMEO)
    romeo.message(JULIET, "Good night")
    romeo.send(REQUEST)
    server.clock.advance(0.15)
    assert nonzas(romeo) == [Element(NS_SM, "a", {"h": "1"})]
    crash(server)
    assert bodies(first_client(host)) == ["Good night"]
    assert host.plugin("sm").spool.tables.orphans() == []


def test_the_plugin_may_stop_while_sessions_go_on(server, host):
    juliet = managed_client(host, JULIET)
    romeo = host.connect(ROMEO)
    romeo.message(JULIET, "one")
    host.disable("sm")
    romeo.message(JULIET, "two")
    assert bodies(juliet) == ["one", "two"]
    juliet.drop()
    server.settle()


def test_a_silent_client_has_lost_its_connection(server):
    host = server.host("capulet.example", sm={"ack_timeout": "20 s"}, offline={})
    juliet = managed_client(host, JULIET)
    host.connect(ROMEO).message(JULIET, "one")
    server.clock.advance(1)
    assert nonzas(juliet) == [Element(NS_SM, "r")]
    server.clock.advance(26)
    server.settle()
    assert host.kernel.session(juliet.jid) is None
    again = host.connect(JULIET)
    again.available()
    server.settle()
    assert bodies(again) == ["one"]
