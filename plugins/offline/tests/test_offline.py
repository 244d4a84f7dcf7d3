"""Messages that wait for somebody, and how they are delivered (XEP-0160)."""

import pytest
from sqlalchemy import text

from stonechat import hookimpl, timestamps
from stonechat.errors import StorageError
from stonechat.jid import JID
from stonechat.stanza import Element, Message
from stonechat.storage import StorageFull
from stonechat_offline.deliveries import RETRY_SECONDS

JULIET = "juliet@capulet.example"
CHAT_STATE = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"


@pytest.fixture
def host(server):
    host = server.host("capulet.example", offline={})
    host.create_account("juliet")
    return host


@pytest.fixture
def romeo(host):
    return host.connect("romeo@capulet.example/orchard")


def bodies(stanzas):
    return [stanza.body for stanza in stanzas]


def arrive(host, resource="balcony", priority=0):
    client = host.connect(f"{JULIET}/{resource}")
    client.available(priority)
    return client


def count(host):
    return host.plugin("offline").count(JID.parse(JULIET))


def refusal(stanzas):
    (stanza,) = stanzas
    assert stanza.type == "error"
    return stanza.element.find("error").first().name


# Kept and delivered


def test_a_message_waits_until_somebody_is_there(host, romeo):
    romeo.message(JULIET, "O blessed, blessed night!")
    juliet = arrive(host)
    message = juliet.receive_message()
    assert message.body == "O blessed, blessed night!"
    assert (message.type, message.from_) == ("chat", romeo.jid)
    assert juliet.received() == romeo.received() == []


def test_the_message_says_when_it_was_kept_and_by_whom(server, host, romeo):
    before = server.clock.now()
    romeo.message(JULIET, "O blessed, blessed night!")
    after = server.clock.now()
    server.clock.advance(3600)
    delay = arrive(host).receive_message().find("urn:xmpp:delay", "delay")
    assert delay.get("from") == "capulet.example"
    assert before <= timestamps.read(delay.get("stamp")) <= after
    assert delay.text == "Offline Storage"


def test_messages_come_in_the_order_they_were_sent(host, romeo):
    sent = [f"line {number}" for number in range(250)]
    for line in sent:
        romeo.message(JULIET, line)
    assert bodies(arrive(host).received()) == sent


def test_messages_are_delivered_once(host, romeo):
    romeo.message(JULIET, "Once")
    assert bodies(arrive(host).received()) == ["Once"]
    assert arrive(host, "chamber").received() == []
    assert count(host) == 0


def test_a_message_to_a_resource_that_is_gone_waits_too(host, romeo):
    romeo.message(f"{JULIET}/balcony", "Art thou gone so?")
    assert bodies(arrive(host, "chamber").received()) == ["Art thou gone so?"]


def test_what_is_inside_comes_as_it_was_sent(host, romeo):
    romeo.send(
        f"<message to='{JULIET}' type='normal' id='m1' xml:lang='it'><subject>&lt;&amp;</subject>"
        "<body>♥</body><x:y xmlns:x='urn:x' x:a='1'>text<x:z/></x:y></message>"
    )
    message = arrive(host).receive_message()
    assert (message.id, message.lang, message.body) == ("m1", "it", "♥")
    assert message.element.find_text("subject") == "<&"
    other = message.find("urn:x", "y")
    assert other.get("urn:x a") == "1"
    assert other.text == "text"


def test_messages_outlive_a_restart(server, host, romeo):
    romeo.message(JULIET, "Parting is such sweet sorrow")
    server.restart()
    assert bodies(arrive(host).received()) == ["Parting is such sweet sorrow"]


def test_nothing_is_delivered_before_presence_is_sent(host, romeo):
    romeo.message(JULIET, "Hist! Juliet, hist!")
    juliet = host.connect(f"{JULIET}/balcony")
    assert juliet.received() == []
    juliet.available()
    assert bodies(juliet.received()) == ["Hist! Juliet, hist!"]


def test_nothing_is_delivered_at_negative_priority(host, romeo):
    juliet = arrive(host, priority=-1)
    romeo.message(JULIET, "Hist! Juliet, hist!")
    juliet.available(-1, "away")
    assert juliet.received() == []
    juliet.available(5)
    assert bodies(juliet.received()) == ["Hist! Juliet, hist!"]


def test_a_session_that_is_there_gets_its_messages_without_a_stop(host, romeo):
    juliet = arrive(host)
    romeo.message(JULIET, "Here I am")
    message = juliet.receive_message()
    assert not message.has("urn:xmpp:delay", "delay")
    assert count(host) == 0


def test_each_account_gets_its_own(host, romeo):
    host.create_account("nurse")
    romeo.message("nurse@capulet.example", "for the nurse")
    romeo.message(JULIET, "for Juliet")
    assert bodies(arrive(host).received()) == ["for Juliet"]


def test_hosts_do_not_share_their_messages(server, host, romeo):
    other = server.host("montague.example", offline={})
    other.create_account("juliet")
    romeo.message("juliet@montague.example", "elsewhere")
    assert arrive(host).received() == []
    juliet = other.connect("juliet@montague.example/balcony")
    juliet.available()
    assert bodies(juliet.received()) == ["elsewhere"]


def test_a_stamp_that_nobody_can_read_does_not_harm(host, romeo):
    stamp = Element("urn:xmpp:delay", "delay", {"from": "capulet.example", "stamp": "soon"})
    body = Element("jabber:client", "body", None, "Ay me!")
    message = Message(body, stamp, to=JID.parse(JULIET), from_=romeo.jid)
    assert host.plugin("offline").stonechat_message_undelivered(message)
    assert bodies(arrive(host).received()) == ["Ay me!"]


def test_a_mark_of_somebody_else_stays_and_ours_stands_beside_it(host, romeo):
    romeo.send(
        f"<message to='{JULIET}'><body>Ay me!</body><delay xmlns='urn:xmpp:delay'"
        " from='rooms.montague.example' stamp='2002-09-10T23:08:25Z'/></message>"
    )
    marks = arrive(host).receive_message().element.find_all("delay", "urn:xmpp:delay")
    assert [mark.get("from") for mark in marks] == ["rooms.montague.example", "capulet.example"]


# What is kept


def test_chat_states_alone_are_not_kept_and_not_answered(host, romeo):
    romeo.send(f"<message type='chat' to='{JULIET}'>{CHAT_STATE}<thread>t1</thread></message>")
    assert romeo.received() == []
    assert arrive(host).received() == []


def test_chat_states_beside_a_text_are_kept_with_it(host, romeo):
    romeo.send(f"<message type='chat' to='{JULIET}'><body>Ay me</body>{CHAT_STATE}</message>")
    message = arrive(host).receive_message()
    assert message.has("http://jabber.org/protocol/chatstates", "composing")


def test_a_message_without_a_text_is_kept_if_it_says_something(host, romeo):
    invitation = "<x xmlns='jabber:x:conference' jid='feast@rooms.capulet.example'/>"
    romeo.send(f"<message to='{JULIET}'>{invitation}</message>")
    assert arrive(host).receive_message().has("jabber:x:conference", "x")


def test_an_empty_message_is_not_kept(host, romeo):
    romeo.send(f"<message to='{JULIET}'/>")
    assert arrive(host).received() == []


@pytest.mark.parametrize("type", ["groupchat", "headline", "error"])
def test_other_types_are_not_kept(host, romeo, type):
    romeo.send(f"<message to='{JULIET}' type='{type}'><body>News</body></message>")
    assert count(host) == 0


def test_the_hint_no_store_is_obeyed_and_the_sender_told(host, romeo):
    hint = "<no-store xmlns='urn:xmpp:hints'/>"
    romeo.send(f"<message type='chat' to='{JULIET}'><body>Burn this</body>{hint}</message>")
    assert refusal(romeo.received()) == "service-unavailable"
    assert count(host) == 0


def test_a_signal_that_must_not_be_stored_goes_without_a_word(host, romeo):
    hint = "<no-store xmlns='urn:xmpp:hints'/>"
    romeo.send(f"<message to='{JULIET}'><ring xmlns='urn:x'/>{hint}</message>")
    assert romeo.received() == []
    assert count(host) == 0


def test_the_hint_against_archives_keeps_nothing_from_its_recipient(host, romeo):
    hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>"
    romeo.send(f"<message type='chat' to='{JULIET}'><body>Burn this</body>{hint}</message>")
    assert bodies(arrive(host).received()) == ["Burn this"]


def test_the_hint_store_keeps_what_would_not_be_kept(host, romeo):
    hint = "<store xmlns='urn:xmpp:hints'/>"
    romeo.send(f"<message type='chat' to='{JULIET}'>{CHAT_STATE}{hint}</message>")
    assert len(arrive(host).received()) == 1


def test_nothing_is_kept_for_an_account_that_does_not_exist(host, romeo):
    romeo.message("rosaline@capulet.example", "Art thou there?")
    assert refusal(romeo.received()) == "service-unavailable"
    host.create_account("rosaline")
    rosaline = host.connect("rosaline@capulet.example/garden")
    rosaline.available()
    assert rosaline.received() == []


def test_a_plugin_that_forwards_messages_is_asked_before(server):
    class Forwarder:
        def __init__(self, host, options):
            self.forwarded = []

        @hookimpl
        def stonechat_message_undelivered(self, message):
            self.forwarded.append(message.body)
            return True

    host = server.host("capulet.example", plugin_classes={"forwarder": Forwarder}, offline={})
    host.create_account("juliet")
    host.connect("romeo@capulet.example/orchard").message(JULIET, "To thy cell")
    assert host.plugin("forwarder").forwarded == ["To thy cell"]
    assert count(host) == 0


# Limits and failures


def test_beyond_so_many_messages_the_sender_is_told(server):
    host = server.host("capulet.example", offline={"max_messages": 2})
    host.create_account("juliet")
    romeo = host.connect("romeo@capulet.example/orchard")
    for line in ("one", "two", "three"):
        romeo.message(JULIET, line)
    assert refusal(romeo.received()) == "service-unavailable"
    assert bodies(arrive(host).received()) == ["one", "two"]
    romeo.message("juliet@capulet.example/none", "four")
    assert count(host) == 0


def test_beyond_so_many_bytes_the_sender_is_told(server):
    host = server.host("capulet.example", offline={"max_bytes": 2000})
    host.create_account("juliet")
    romeo = host.connect("romeo@capulet.example/orchard")
    romeo.message(JULIET, "x" * 1500)
    assert romeo.received() == []
    romeo.message(JULIET, "x" * 600)
    assert refusal(romeo.received()) == "service-unavailable"
    romeo.message(JULIET, "short enough")
    assert romeo.received() == []
    assert count(host) == 2


@pytest.mark.parametrize("error", [StorageFull("disk full"), StorageError("away")])
def test_a_message_that_cannot_be_stored_is_the_servers_fault(
    server, host, romeo, monkeypatch, error
):
    def write(work, **options):
        raise error

    server.expect_errors()
    with monkeypatch.context() as patch:
        patch.setattr(server.kernel.store, "write", write)
        romeo.message(JULIET, "Lost?")
        (answer,) = romeo.received()
    assert answer.type == "error"
    failure = answer.element.find("error")
    assert (failure.first().name, failure.get("type")) == ("resource-constraint", "wait")
    assert arrive(host).received() == []


def test_messages_that_could_not_be_read_come_a_little_later(server, host, romeo, monkeypatch):
    romeo.message(JULIET, "Patience")

    def first(localpart):
        raise StorageError("away")

    server.expect_errors()
    with monkeypatch.context() as patch:
        patch.setattr(host.plugin("offline").spool, "first", first)
        juliet = arrive(host)
        assert juliet.received() == []
        server.clock.advance(RETRY_SECONDS + 0.1)
        assert juliet.received() == []
    server.clock.advance(RETRY_SECONDS + 0.1)
    assert bodies(juliet.received()) == ["Patience"]


def test_however_often_reading_fails_it_is_tried_again_once(server, host, monkeypatch):
    attempts = []

    def first(localpart):
        attempts.append(localpart)
        raise StorageError("away")

    server.expect_errors()
    monkeypatch.setattr(host.plugin("offline").spool, "first", first)
    juliet = arrive(host)
    juliet.available(-1)
    juliet.available(0)
    assert len(attempts) == 2
    server.clock.advance(RETRY_SECONDS - 0.1)
    assert len(attempts) == 2
    server.clock.advance(0.2)
    assert len(attempts) == 3


def test_a_change_of_presence_reads_nothing(host, monkeypatch):
    juliet = arrive(host)

    def first(localpart):
        raise AssertionError("there is nothing new to deliver")

    monkeypatch.setattr(host.plugin("offline").spool, "first", first)
    juliet.available(0, "away")
    juliet.available(5)
    juliet.unavailable()


def test_a_damaged_message_does_not_hold_up_the_others(server, host, romeo):
    romeo.message(JULIET, "Hath death sucked")
    romeo.message(JULIET, "the honey")
    server.kernel.store.write(
        lambda connection: connection.execute(
            text("UPDATE offline_messages SET stanza = :stanza WHERE id = 1"),
            {"stanza": b"<message"},
        ).close()
    )
    server.expect_errors()
    assert bodies(arrive(host).received()) == ["the honey"]
    assert count(host) == 0


def test_what_was_not_deleted_comes_again_rather_than_never(server, host, romeo, monkeypatch):
    romeo.message(JULIET, "Twice is better")

    def delete(ids):
        raise StorageError("killed in between")

    server.expect_errors()
    monkeypatch.setattr(host.plugin("offline").spool, "delete", delete)
    assert bodies(arrive(host).received()) == ["Twice is better"]
    server.restart()
    assert bodies(arrive(host, "chamber").received()) == ["Twice is better"]


def test_expired_messages_are_not_delivered(server):
    host = server.host("capulet.example", offline={"expire_after": "30 min"})
    host.create_account("juliet")
    romeo = host.connect("romeo@capulet.example/orchard")
    romeo.message(JULIET, "too late")
    server.clock.advance(1200)
    romeo.message(JULIET, "in time")
    server.clock.advance(1200)
    assert bodies(arrive(host).received()) == ["in time"]


def test_expired_messages_are_deleted_within_an_hour(server, monkeypatch):
    monkeypatch.setattr("stonechat_offline.spool.EXPIRED_AT_ONCE", 2)
    host = server.host("capulet.example", offline={"expire_after": "30 min"})
    host.create_account("juliet")
    romeo = host.connect("romeo@capulet.example/orchard")
    for _ in range(5):
        romeo.message(JULIET, "too late")
    server.clock.advance(3000)
    romeo.message(JULIET, "in time")
    assert count(host) == 6
    server.clock.advance(601)
    assert count(host) == 1


def test_without_expiry_a_message_waits_for_ever(server, host, romeo):
    romeo.message(JULIET, "My bounty is as boundless as the sea")
    server.clock.advance(400 * 86400)
    assert count(host) == 1


# Accounts and commands


def test_a_removed_account_takes_its_messages_along(host, romeo):
    romeo.message(JULIET, "for thee alone")
    host.kernel.accounts.remove("juliet")
    host.create_account("juliet")
    assert arrive(host).received() == []


def test_commands_count_and_delete(host, romeo):
    plugin = host.plugin("offline")
    for line in ("one", "two"):
        romeo.message(JULIET, line)
    assert plugin.count(JID.parse(JULIET)) == 2
    assert plugin.delete(JID.parse(JULIET)) == 2
    assert plugin.count(JID.parse(JULIET)) == 0
    assert arrive(host).received() == []


@pytest.mark.parametrize("jid", ["rosaline@capulet.example", "capulet.example"])
def test_commands_want_an_account(host, jid):
    from stonechat.commands import CommandError

    for run in (host.plugin("offline").count, host.plugin("offline").delete):
        with pytest.raises(CommandError, match="no account"):
            run(JID.parse(jid))


def test_is_advertised(host):
    assert host.plugin("offline").stonechat_disco_features() == ["msgoffline"]
