"""A bound session whose client is silent, or does not read (robustness, promise R8)."""

import gc
import sys

import pytest

from stonechat import hookimpl
from stonechat.core.client_wire import MOST_WAITING
from stonechat.testing import error_of
from stonechat.xml import Element

MEGABYTE = 1024 * 1024


@pytest.fixture
def capulet(server):
    return server.host("capulet.example")


@pytest.fixture
def romeo(capulet):
    return capulet.connect("romeo@capulet.example/orchard")


@pytest.fixture
def juliet(capulet):
    client = capulet.connect("juliet@capulet.example/balcony")
    client.available()
    return client


def flood(sender, recipient, octets):
    for _ in range(octets // 50_000 + 1):
        sender.message(recipient.bare, "x" * 50_000)


def session_of(capulet, client):
    return capulet.kernel.session(client.jid)


class Spool:
    """Takes every message that found no session."""

    def __init__(self, host, options):
        self.kept = []

    @hookimpl
    def stonechat_message_undelivered(self, message):
        self.kept.append(message.body)
        return True


@pytest.fixture
def kept(capulet):
    return capulet.enable("spool", plugin_class=Spool).kept


def say(sender, to, numbers, type="chat"):
    for number in numbers:
        sender.message(to, str(number), type=type)


def lines(numbers):
    return [str(number) for number in numbers]


def bodies(stanzas):
    return [stanza.body for stanza in stanzas]


# Silence


def test_a_client_that_was_silent_for_long_gets_white_space(server):
    server.configure(limits={"idle_timeout": "60 s"})
    host = server.host("capulet.example")
    juliet = host.connect("juliet@capulet.example/balcony")
    connection = juliet.stream.connection
    connection.stop_reading()
    server.clock.advance(50)
    assert connection.unsent == 0
    server.clock.advance(20)
    assert connection.unsent > 0
    connection.go_on_reading()
    server.clock.advance(3600)
    assert not juliet.is_closed
    assert juliet.received() == []


def test_a_client_that_is_silent_and_does_not_read_is_gone(server):
    server.configure(limits={"idle_timeout": "60 s"})
    host = server.host("capulet.example")
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.stream.connection.stop_reading()
    server.clock.advance(140)
    assert juliet.is_closed
    assert host.kernel.sessions("juliet") == ()


def test_a_client_that_speaks_gets_no_white_space(server):
    server.configure(limits={"idle_timeout": "60 s"})
    host = server.host("capulet.example")
    juliet = host.connect("juliet@capulet.example/balcony")
    connection = juliet.stream.connection
    connection.stop_reading()
    for _ in range(10):
        server.clock.advance(30)
        juliet.send(" ")
    assert connection.unsent == 0


# Not reading


def test_past_the_bound_messages_go_where_those_for_nobody_go(capulet, juliet, romeo, kept):
    juliet.stream.connection.stop_reading()
    flood(romeo, juliet, 3 * MEGABYTE)
    session = session_of(capulet, juliet)
    assert MEGABYTE < session.unsent < MEGABYTE + 60_000
    assert not session.takes_messages
    assert len(kept) > 30
    juliet.stream.connection.go_on_reading()
    kept.clear()
    romeo.message(juliet.bare, "Canst thou hear me?")
    assert kept == []
    assert juliet.received()[-1].body == "Canst thou hear me?"


def test_who_reads_again_in_time_keeps_the_session(server, capulet, juliet, romeo):
    server.expect_errors()
    juliet.stream.connection.stop_reading()
    flood(romeo, juliet, 2 * MEGABYTE)
    server.clock.advance(29)
    juliet.stream.connection.go_on_reading()
    server.clock.advance(3600)
    assert not juliet.is_closed


def test_who_does_not_read_for_half_a_minute_loses_the_session(server, capulet, juliet, romeo):
    juliet.stream.connection.stop_reading()
    flood(romeo, juliet, 2 * MEGABYTE)
    server.clock.advance(31)
    assert juliet.is_closed
    assert capulet.kernel.sessions("juliet") == ()
    romeo.message(juliet.bare, "Hist!")
    assert romeo.received()[-1].type == "error"


def test_presence_past_twice_the_bound_ends_the_session(capulet, juliet, romeo):
    juliet.stream.connection.stop_reading()
    status = "x" * 100_000
    for _ in range(40):
        romeo.send(f"<presence to='{juliet.jid}'><status>{status}</status></presence>")
        if juliet.is_closed:
            break
    assert juliet.is_closed
    assert capulet.kernel.sessions("juliet") == ()


def test_a_client_that_sends_too_fast_is_read_slower(server):
    server.configure(limits={"rate": "10 KiB/s"})
    host = server.host("capulet.example")
    romeo = host.connect("romeo@capulet.example/orchard")
    romeo.message(romeo.jid, "x" * 40_000)
    romeo.message(romeo.jid, "last")
    assert [len(message.body) for message in romeo.received()] == [40_000]
    server.clock.advance(2)
    assert romeo.received() == []
    server.clock.advance(3)
    assert romeo.receive_message().body == "last"


# Not reading: the bound on stanzas


@pytest.mark.parametrize("type_", ["normal", "chat"])
@pytest.mark.parametrize("address", ["bare", "full"])
def test_64_wait_and_what_comes_then_goes_where_messages_for_nobody_go(
    capulet, juliet, romeo, kept, type_, address
):
    to = juliet.bare if address == "bare" else juliet.jid
    juliet.stream.connection.stop_reading()
    say(romeo, to, range(70), type_)
    assert juliet.stream.connection.waiting == MOST_WAITING == 64
    assert kept == lines(range(64, 70))
    assert romeo.received() == []
    juliet.stream.connection.go_on_reading()
    say(romeo, to, range(70, 140), type_)
    assert kept == lines(range(64, 70))
    assert bodies(juliet.received()) == lines([*range(64), *range(70, 140)])


def test_nothing_slips_in_before_the_client_has_read_all(juliet, romeo, kept):
    connection = juliet.stream.connection
    connection.stop_reading()
    say(romeo, juliet.jid, range(65))
    connection.read(63)
    say(romeo, juliet.jid, [65])
    assert kept == lines([64, 65])
    connection.read(1)
    say(romeo, juliet.jid, [66])
    connection.go_on_reading()
    assert kept == lines([64, 65])
    assert bodies(juliet.received()) == lines([*range(64), 66])


@pytest.mark.parametrize("type_", ["normal", "chat"])
def test_what_a_client_reads_too_slowly_for_goes_to_its_other_session(
    capulet, juliet, romeo, kept, type_
):
    chamber = capulet.connect("juliet@capulet.example/chamber")
    chamber.available(-1)
    juliet.stream.connection.stop_reading()
    say(romeo, juliet.jid, range(65), type_)
    assert kept == ["64"]
    chamber.available(1)
    say(romeo, juliet.jid, range(65, 70), type_)
    assert kept == ["64"]
    assert bodies(item for item in chamber.received() if item.name == "message") == lines(
        range(65, 70)
    )


def test_a_groupchat_message_past_the_bound_comes_back_and_a_headline_is_dropped(
    juliet, romeo, kept
):
    juliet.stream.connection.stop_reading()
    say(romeo, juliet.jid, range(64))
    say(romeo, juliet.jid, ["news"], "headline")
    assert romeo.received() == []
    say(romeo, juliet.jid, ["all"], "groupchat")
    assert error_of(romeo.receive_message()).condition == "service-unavailable"
    assert kept == []
    juliet.stream.connection.go_on_reading()
    assert bodies(juliet.received()) == lines(range(64))


def test_without_a_plugin_that_keeps_it_the_sender_gets_the_65th_back(juliet, romeo):
    juliet.stream.connection.stop_reading()
    say(romeo, juliet.jid, range(65), "normal")
    (answer,) = romeo.received()
    assert error_of(answer).condition == "service-unavailable"


def test_presence_and_answers_count_but_are_sent_all_the_same(juliet, romeo, kept):
    juliet.stream.connection.stop_reading()
    for number in range(80):
        romeo.send(f"<presence to='{juliet.jid}' id='{number}'/>")
    say(romeo, juliet.jid, [80])
    assert kept == ["80"]
    juliet.stream.connection.go_on_reading()
    assert [stanza.id for stanza in juliet.received()] == lines(range(80))


def test_who_leaves_64_stanzas_for_half_a_minute_loses_the_session(
    server, capulet, juliet, romeo, kept
):
    juliet.stream.connection.stop_reading()
    say(romeo, juliet.jid, range(65))
    server.clock.advance(29)
    assert not juliet.is_closed
    server.clock.advance(2)
    assert juliet.is_closed
    assert capulet.kernel.sessions("juliet") == ()


def test_who_fetches_some_of_64_stanzas_each_half_a_minute_keeps_the_session(
    server, juliet, romeo, kept
):
    connection = juliet.stream.connection
    connection.stop_reading()
    say(romeo, juliet.jid, range(65))
    for _ in range(10):
        connection.read(1)
        server.clock.advance(30)
    assert not juliet.is_closed
    server.clock.advance(30)
    assert juliet.is_closed


def test_who_has_read_64_stanzas_in_time_has_all_the_time_again(server, juliet, romeo, kept):
    connection = juliet.stream.connection
    connection.stop_reading()
    say(romeo, juliet.jid, range(65))
    connection.go_on_reading()
    server.clock.advance(20)
    connection.stop_reading()
    say(romeo, juliet.jid, range(65))
    server.clock.advance(29)
    assert not juliet.is_closed
    connection.go_on_reading()
    server.clock.advance(3600)
    assert not juliet.is_closed


def test_who_has_read_64_stanzas_and_gets_nothing_more_keeps_the_session(
    server, juliet, romeo, kept
):
    connection = juliet.stream.connection
    connection.stop_reading()
    say(romeo, juliet.jid, range(65))
    connection.read(64)
    server.clock.advance(3600)
    assert not juliet.is_closed


# The end


class Watching:
    """Writes down what it is told of sessions, in order."""

    def __init__(self, host, options):
        self.host = host
        self.told = []

    @hookimpl
    def stonechat_session_bound(self, session):
        self.told.append(("bound", session.jid.resource))

    @hookimpl
    def stonechat_presence_changed(self, session, presence, previous):
        self.told.append((presence.type or "available", previous is not None))

    @hookimpl
    def stonechat_session_closed(self, session):
        gone = self.host.session(session.jid) is None
        self.told.append(("closed", gone, session.is_open))


@pytest.mark.parametrize("end", ["disconnect", "drop", "replaced", "removed"])
@pytest.mark.parametrize("was_available", [True, False])
def test_however_a_session_ends_plugins_are_told_once_and_in_order(
    server, capulet, end, was_available
):
    plugin = capulet.enable("watching", plugin_class=Watching)
    juliet = capulet.connect("juliet@capulet.example/balcony")
    if was_available:
        juliet.available()
    if end == "replaced":
        capulet.connect("juliet@capulet.example/balcony")
    elif end == "removed":
        capulet.kernel.accounts.remove("juliet")
        assert juliet.closed_with() == "not-authorized"
    else:
        getattr(juliet, end)()
    told = [("bound", "balcony")]
    if was_available:
        told += [("available", False), ("unavailable", True)]
    told.append(("closed", True, False))
    if end == "replaced":
        told.append(("bound", "balcony"))
    assert plugin.told == told


def test_a_client_that_said_it_was_gone_is_not_said_to_be_gone_again(capulet):
    plugin = capulet.enable("watching", plugin_class=Watching)
    juliet = capulet.connect("juliet@capulet.example/balcony")
    juliet.available()
    juliet.unavailable()
    juliet.unavailable()
    juliet.drop()
    assert [event[0] for event in plugin.told] == ["bound", "available", "unavailable", "closed"]


def test_what_a_client_sent_before_it_left_is_delivered(capulet, juliet, romeo):
    romeo.send(f"<message to='{juliet.bare}'><body>Farewell</body></message></stream:stream>")
    assert juliet.receive_message().body == "Farewell"
    assert romeo.closed_with() == ""


def test_marks_that_only_the_server_makes_are_taken_off_before_any_hook_sees_them(
    capulet, juliet, romeo
):
    romeo.send(
        f"<message to='{juliet.bare}'>"
        "<stanza-id xmlns='urn:xmpp:sid:0' by='capulet.example' id='1'/>"
        "<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@capulet.example' id='2'/>"
        "<stanza-id xmlns='urn:xmpp:sid:0' by='montague.example' id='3'/>"
        "<delay xmlns='urn:xmpp:delay' from='juliet@capulet.example' stamp='x'/>"
        "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='x'/><body>Hi</body></message>"
    )
    message = juliet.receive_message()
    assert [e.get("by") for e in message.element.find_all("stanza-id", "urn:xmpp:sid:0")] == [
        "montague.example"
    ]
    assert not message.has("urn:xmpp:delay", "delay")
    assert not message.has("urn:xmpp:occupant-id:0", "occupant-id")
    assert message.body == "Hi"


def test_a_mark_that_names_another_host_of_this_node_is_taken_off_too(server, capulet, romeo):
    verona = server.host("verona.example")
    nurse = verona.connect("nurse@verona.example/hall")
    romeo.send(
        "<message to='nurse@verona.example/hall'>"
        "<stanza-id xmlns='urn:xmpp:sid:0' by='nurse@verona.example' id='1'/>"
        "<delay xmlns='urn:xmpp:delay' from='verona.example' stamp='x'/><body>Hi</body></message>"
    )
    message = nurse.receive_message()
    assert not message.has("urn:xmpp:sid:0", "stanza-id")
    assert not message.has("urn:xmpp:delay", "delay")


def test_white_space_comes_once_for_each_long_silence(server, monkeypatch):
    server.configure(limits={"idle_timeout": 60})
    juliet = server.host("capulet.example").connect("juliet@capulet.example/balcony")
    sent = []
    monkeypatch.setattr(juliet.stream.connection.peer, "octets_came", sent.append)
    for _ in range(30):
        server.clock.advance(10)
    assert 4 <= sent.count(b" ") <= 6


def test_a_plugin_that_exits_does_not_end_the_server(server):
    class Quitter:
        def __init__(self, host, options):
            self.host = host

        @hookimpl
        def stonechat_message_from_user(self, session, message):
            if message.body == "Quit":
                raise SystemExit(3)
            self.host.spawn(sys.exit, 3)

    server.expect_errors()
    capulet = server.host("capulet.example", plugin_classes={"quitter": Quitter}, quitter={})
    juliet = capulet.connect("juliet@capulet.example/balcony")
    juliet.message("juliet@capulet.example/balcony", "Quit")
    assert error_of(juliet.receive_message()).condition == "internal-server-error"
    juliet.message("juliet@capulet.example/balcony", "Hello")
    assert juliet.receive_message().body == "Hello"


def test_what_was_handled_is_let_go_before_what_came_with_it(server):
    """So that only one stanza of a read has its tree (robustness rule 2)."""

    class Reader:
        def __init__(self, host, options):
            self.alive = []

        @hookimpl
        def stonechat_message_from_user(self, session, message):
            gc.collect()
            trees = (tree for tree in gc.get_objects() if isinstance(tree, Element))
            self.alive.append(sum(tree.name == "sigh" for tree in trees))
            assert message.element is not None

    capulet = server.host("capulet.example", plugin_classes={"reader": Reader}, reader={})
    juliet = capulet.connect("juliet@capulet.example")
    juliet.send("<message to='nobody@capulet.example'><sigh xmlns='urn:s'/></message>" * 5)
    assert capulet.plugin("reader").alive == [0] * 5
