"""The kit's clients: what a plugin's test sends, and what it gets to see."""

import gevent
import pytest

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.stanza import Element, Iq, Message, Presence

QUERY = "urn:example:query"


@pytest.fixture
def host(server):
    return server.host("capulet.example")


def test_a_client_is_bound_to_the_resource_it_asked_for(juliet, host):
    assert juliet.jid == JID.parse("juliet@capulet.example/balcony")
    assert juliet.bare == JID.parse("juliet@capulet.example")
    assert host.kernel.session(juliet.jid).is_secure
    assert juliet.received() == []


def test_a_client_without_a_resource_is_given_one(host):
    client = host.connect("juliet@capulet.example")
    assert client.jid.resource
    assert host.kernel.session(client.jid) is not None


def test_a_connected_client_is_not_available_until_it_says_so(juliet, host):
    (session,) = host.kernel.sessions("juliet")
    assert session.presence is None
    juliet.available(priority=5, show="away", status="on the balcony")
    assert (session.priority, session.presence.show) == (5, "away")
    assert session.presence.element.find_text("status") == "on the balcony"
    juliet.unavailable()
    assert session.presence is None


@pytest.mark.parametrize(
    "stanza",
    [
        "<message to='romeo@capulet.example/orchard'><body>Hi</body></message>",
        b"<message to='romeo@capulet.example/orchard'><body>Hi</body></message>",
        Element(
            "jabber:client",
            "message",
            {"to": "romeo@capulet.example/orchard"},
            Element("jabber:client", "body", None, "Hi"),
        ),
        Message(
            Element("jabber:client", "body", None, "Hi"),
            to=JID.parse("romeo@capulet.example/orchard"),
        ),
    ],
    ids=["text", "octets", "element", "stanza"],
)
def test_whatever_form_a_stanza_has_it_is_sent(juliet, romeo, stanza):
    juliet.send(stanza)
    message = romeo.receive_message()
    assert (message.body, message.from_) == ("Hi", juliet.jid)


def test_receive_gives_things_in_the_order_they_came_and_in_their_own_types(juliet, romeo):
    juliet.send(Message(to=romeo.jid, type="chat"))
    juliet.send(Presence(to=romeo.jid))
    juliet.send(Iq(Element(QUERY, "query"), to=romeo.jid, type="get", id="q1"))
    assert [type(romeo.receive()) for _ in range(3)] == [Message, Presence, Iq]
    assert romeo.received() == []


def test_receiving_one_kind_leaves_the_others_in_line(juliet, romeo):
    juliet.send(Message(to=romeo.jid, type="chat"))
    juliet.send(Presence(to=romeo.jid))
    juliet.send(Iq(Element(QUERY, "query"), to=romeo.jid, type="get", id="q1"))
    assert romeo.receive_iq().id == "q1"
    assert type(romeo.receive_presence()) is Presence
    assert [type(item) for item in romeo.received()] == [Message]


def test_what_was_shown_as_received_does_not_come_again(juliet, romeo):
    juliet.message(romeo.jid, "Hi")
    assert len(romeo.received()) == 1
    assert romeo.received() == []


def test_waiting_in_vain_says_what_was_said_so_far(juliet, romeo):
    juliet.message(romeo.jid, "Hi")
    with pytest.raises(AssertionError) as caught:
        romeo.receive_presence(timeout=0.01)
    text = str(caught.value)
    assert "a Presence did not come within 0.01 s" in text
    assert "romeo@capulet.example/orchard (open, 1 in line)" in text
    assert "<body>Hi</body>" in text


def test_waiting_for_a_client_that_is_gone_ends_at_once(juliet):
    juliet.drop()
    with pytest.raises(AssertionError, match="did not come before the end"):
        juliet.receive_message(timeout=3600)


def test_what_comes_later_is_waited_for(juliet, romeo):
    gevent.spawn_later(0.001, juliet.message, romeo.jid, "Hi")
    assert romeo.receive_message().body == "Hi"


# Requests


class Answering:
    """Answers what begins with `a`, refuses what begins with `r`."""

    def __init__(self, host, options):
        self.host = host

    @hookimpl
    def stonechat_iq_handlers(self):
        return {("get", QUERY): self.answer, ("set", QUERY): self.answer}

    def answer(self, iq):
        if iq.payload.name == "refuse":
            raise StanzaError("not-allowed", "No.", application=Element(QUERY, "why"))
        return Element(QUERY, iq.type)


@pytest.fixture
def answering(host):
    return host.enable("answering", plugin_class=Answering)


def test_a_request_gives_the_result(answering, juliet):
    result = juliet.get(Element(QUERY, "ask"), to="capulet.example")
    assert (result.type, result.payload.name) == ("result", "get")
    result = juliet.set(f"<ask xmlns='{QUERY}'/>", to=JID.parse("capulet.example"))
    assert (result.type, result.payload.name) == ("result", "set")


def test_an_error_is_raised_with_all_that_it_says(answering, juliet):
    with pytest.raises(StanzaError) as caught:
        juliet.get(Element(QUERY, "refuse"), to="capulet.example")
    error = caught.value
    assert (error.condition, error.text, error.type) == ("not-allowed", "No.", "cancel")
    assert error.application.name == "why"


def test_request_gives_an_error_as_it_came(answering, juliet):
    answer = juliet.request("set", Element(QUERY, "refuse"), "capulet.example")
    assert answer.type == "error"
    assert answer.has(QUERY, "refuse")


def test_a_request_leaves_all_else_in_line(answering, juliet, romeo):
    romeo.message(juliet.jid, "Hi")
    romeo.send(Iq(Element(QUERY, "query"), to=juliet.jid, type="get", id="request-2"))
    juliet.get(Element(QUERY, "ask"), to="capulet.example")
    assert [type(item) for item in juliet.received()] == [Message, Iq]


# Handling


class Asking:
    """Asks whoever sends it a message, and tells the sender what came back."""

    def __init__(self, host, options):
        self.host = host

    @hookimpl
    def stonechat_message_from_user(self, session, message):
        ping = Iq(
            Element("urn:xmpp:ping", "ping"), type="get", to=session.jid, from_=self.host.jid
        )
        try:
            answer = self.host.ask(ping, 10).type
        except StanzaError as error:
            answer = error.condition
        session.send(Message(type="headline", id=answer))


@pytest.fixture
def asking(host):
    return host.enable("asking", plugin_class=Asking)


def test_sending_returns_when_the_server_waits_for_the_client(asking, juliet):
    juliet.message("romeo@capulet.example", "Hi")
    (ping,) = juliet.received()
    assert ping.has("urn:xmpp:ping", "ping")
    # Its handler still waits, so this has to wait its turn, as in service.
    juliet.send(ping.result())
    assert juliet.received() == []


def test_sending_returns_when_the_server_waits_for_the_clock(server, asking, juliet, host):
    juliet.message("romeo@capulet.example", "Hi")
    assert len(juliet.received()) == 1
    server.clock.advance(9.9)
    assert juliet.received() == []
    server.clock.advance(0.1)
    assert juliet.receive_message().id == "remote-server-timeout"


class Spawning:
    """Does its work elsewhere: in a thread, in the store, in greenlets of greenlets."""

    def __init__(self, host, options):
        self.host = host
        self.done = []

    @hookimpl
    def stonechat_message_from_user(self, session, message):
        self.host.spawn(self.work, message.body)

    def work(self, body):
        self.host.storage.read(lambda connection: None)
        self.host.run_blocking(sum, [1, 2])
        self.host.storage.write(lambda connection: None)
        self.host.spawn(self.host.spawn, self.done.append, body)


def test_sending_returns_when_greenlets_threads_and_the_store_are_done(host, juliet):
    plugin = host.enable("spawning", plugin_class=Spawning)
    for number in range(20):
        juliet.message(juliet.bare, str(number))
    assert plugin.done == [str(number) for number in range(20)]


# The end


def test_a_client_that_disconnects_is_told_goodbye(juliet, host):
    juliet.disconnect()
    assert juliet.closed_with() == ""
    assert juliet.stream.has_ended
    assert host.kernel.sessions("juliet") == ()


def test_a_client_that_is_dropped_is_gone_without_a_word(juliet, host):
    juliet.drop()
    assert juliet.is_closed
    assert not juliet.stream.has_ended
    assert host.kernel.sessions("juliet") == ()


def test_a_stream_error_is_seen(juliet):
    juliet.send("<message from='romeo@capulet.example'/>")
    assert juliet.closed_with() == "invalid-from"


def test_waiting_in_vain_for_the_end_fails(juliet):
    with pytest.raises(AssertionError, match="the stream did not end"):
        juliet.closed_with(timeout=0.01)


def test_a_client_that_does_not_read_fills_the_servers_queue(server, host, juliet, romeo):
    romeo.stream.connection.stop_reading()
    (session,) = host.kernel.sessions("romeo")
    juliet.message(romeo.jid, "Hi")
    assert session.unsent > 0
    assert romeo.stream.connection.waiting == 1
    assert romeo.received() == []
    romeo.stream.connection.go_on_reading()
    assert session.unsent == 0
    assert romeo.receive_message().body == "Hi"


# Logging in


def test_the_account_is_made_if_it_is_missing(host):
    assert not host.kernel.accounts.exists("juliet")
    host.connect("juliet@capulet.example")
    assert host.kernel.accounts.exists("juliet")


def test_a_client_logs_in_with_the_password_of_its_account(host):
    host.create_account("juliet", "R0m30")
    assert host.connect("juliet@capulet.example").jid.localpart == "juliet"
    with pytest.raises(AssertionError, match="the login was refused"):
        host.connect("juliet@capulet.example", password="P4r1s")


def test_a_client_of_another_host_cannot_be_connected_here(host):
    with pytest.raises(ValueError, match="no account of capulet"):
        host.connect("romeo@montague.example")


def test_two_clients_may_have_one_account(host, juliet):
    chamber = host.connect("juliet@capulet.example/chamber")
    juliet.message(chamber.jid, "Hi")
    assert chamber.receive_message().body == "Hi"


def test_the_address_and_the_language_of_a_client_are_the_tests_to_choose(host):
    seen = []

    class Looking:
        def __init__(self, host, options):
            pass

        @hookimpl
        def stonechat_stream_features(self):
            return [lambda stream: seen.append((stream.address, stream.lang, stream.is_secure))]

    host.enable("looking", plugin_class=Looking)
    host.connect("juliet@capulet.example", address="192.0.2.7", lang="it", tls=True)
    assert seen == [("192.0.2.7", "it", True)] * 2


# Raw streams


def test_a_raw_stream_is_open_and_has_its_features(host):
    stream = host.open_stream(address="192.0.2.7")
    assert stream.header.attributes["from"] == "capulet.example"
    assert stream.features.find("starttls", "urn:ietf:params:xml:ns:xmpp-tls") is not None
    stream.send("<message/>")
    assert (
        stream.receive().find("not-authorized", "urn:ietf:params:xml:ns:xmpp-streams") is not None
    )
    assert stream.closed_with() == "not-authorized"


def test_a_raw_stream_may_be_left_unopened(host):
    stream = host.open_stream(header=False)
    assert stream.header is None
    stream.send("<nonsense>")
    assert stream.closed_with() == "bad-format"


def test_a_raw_stream_may_be_encrypted_on_the_way(host):
    stream = host.open_stream(starttls="required")
    assert not stream.is_secure
    features = stream.start_tls()
    assert stream.is_secure
    assert features.find("mechanisms", "urn:ietf:params:xml:ns:xmpp-sasl") is not None
