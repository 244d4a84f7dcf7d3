"""What an inactive client is spared (XEP-0352), on the kernel in memory."""

import pytest

from stonechat.jid import JID
from stonechat.namespaces import NS_CARBONS, NS_STANZA_ID
from stonechat.plugin import hookimpl
from stonechat.stanza import Element, Message, Presence, Stanza
from stonechat.testing.client import TestClient

NS_CSI = "urn:xmpp:csi:0"
INACTIVE = f"<inactive xmlns='{NS_CSI}'/>"
ACTIVE = f"<active xmlns='{NS_CSI}'/>"
JULIET = "juliet@capulet.example/balcony"
ROOM = "verona@rooms.example"
STATES = "http://jabber.org/protocol/chatstates"
EVENTS = "http://jabber.org/protocol/pubsub#event"
SELF = "<x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x>"
OCCUPANT = "<x xmlns='http://jabber.org/protocol/muc#user'><item role='visitor'/></x>"


class Watcher:
    """Notes what is said to wait."""

    def __init__(self, host, options):
        self.waits = []

    @hookimpl
    def stonechat_stanza_waits(self, session, stanza):
        self.waits.append((session.jid.text, stanza))


@pytest.fixture
def make(server):
    return lambda **options: server.host(
        "capulet.example",
        csi=options,
        carbons={},
        ping={},
        sm={},
        plugin_classes={"watcher": Watcher},
    )


@pytest.fixture
def host(make):
    return make()


def inactive_juliet(host):
    juliet = host.connect(JULIET)
    juliet.available()
    juliet.send(INACTIVE)
    juliet.received()
    return juliet


def comes(host, xml, to=JULIET):
    """Something comes for Juliet from somewhere in the world."""
    stanza = Stanza.from_bytes(xml.encode())
    stanza.to = JID.parse(to)
    host.kernel.route(stanza)
    host.server.settle()


def presence(sender, content="", type_=""):
    written = f" type='{type_}'" if type_ else ""
    return f"<presence from='{sender}'{written}>{content}</presence>"


def show(text):
    return f"<show>{text}</show>"


def state(sender, name, beside="", type_="chat"):
    return f"<message from='{sender}' type='{type_}'><{name} xmlns='{STATES}'/>{beside}</message>"


def says(sender, body, beside=""):
    return f"<message from='{sender}' type='chat'><body>{body}</body>{beside}</message>"


def event(node, item, text="", sender="romeo@montague.example", beside="", items=""):
    items = items or f"<item id='{item}'><mood xmlns='urn:example'>{text}</mood></item>"
    return (
        f"<message from='{sender}' type='headline'><event xmlns='{EVENTS}'>"
        f"<items node='{node}'>{items}</items></event>{beside}</message>"
    )


def shown(client):
    """What has come, in short."""
    return [short(item) for item in client.received()]


def short(item):
    sender = item.attributes.get("from", "").partition("@")[0]
    if isinstance(item, Presence):
        return f"{sender} {item.type or item.show or 'available'}"
    assert isinstance(item, Message), item
    if (found := item.element.find("event", EVENTS)) is not None:
        return f"{sender}'s {found.first().get('node')}"
    return f"{sender}: {item.body or item.element.first().name}"


NURSE, ROMEO = "nurse@capulet.example/chamber", "romeo@montague.example/orchard"


# What is offered


def test_the_feature_is_offered_once_the_client_has_logged_in(host):
    host.create_account("juliet", "secret")
    stream = host.open_stream(tls=True)
    assert stream.features.find("csi", NS_CSI) is None
    stream.authenticate("juliet", "secret")
    assert stream.open().find("csi", NS_CSI) is not None


def test_a_client_is_active_until_it_says_otherwise(host):
    juliet = host.connect(JULIET)
    juliet.available()
    juliet.received()
    comes(host, presence(ROMEO))
    comes(host, state(ROMEO, "composing"))
    assert shown(juliet) == ["romeo available", "romeo: composing"]


def test_there_is_no_answer_to_either_element(host):
    juliet = inactive_juliet(host)
    for element in (INACTIVE, ACTIVE, ACTIVE, INACTIVE, ACTIVE):
        juliet.send(element)
    assert juliet.received() == []
    assert not juliet.is_closed


def test_a_client_may_say_so_before_it_has_a_resource(host):
    host.create_account("juliet", "secret")
    stream = host.open_stream(tls=True)
    stream.authenticate("juliet", "secret")
    stream.open()
    stream.send(ACTIVE)
    stream.send(INACTIVE)
    juliet = TestClient(stream, "balcony")
    juliet.available()
    juliet.received()
    comes(host, presence(ROMEO))
    assert juliet.received() == []


def test_but_not_before_it_has_logged_in(host):
    stream = host.open_stream(tls=True)
    stream.send(INACTIVE)
    assert stream.closed_with() == "not-authorized"


@pytest.mark.parametrize(("name", "rests"), [("inactive", True), ("active", False)])
def test_a_session_begins_in_the_state_that_was_asked_for_inline(host, name, rests):
    juliet = host.connect(JULIET)
    (feature,) = host.plugin("csi").stonechat_bind2_features()
    assert feature.namespace == NS_CSI
    # As the kernel does at a binding (XEP-0386).
    assert feature.handle(host.kernel.session(juliet.jid), Element(NS_CSI, name)) is None
    comes(host, presence(ROMEO))
    assert (juliet.received() == []) is rests


# Presence


def test_presence_is_held_and_of_each_sender_the_latest_sent(host):
    juliet = inactive_juliet(host)
    comes(host, presence(ROMEO))
    comes(host, presence(NURSE))
    comes(host, presence(ROMEO, show("away")))
    comes(host, presence(ROMEO, show("dnd")))
    assert juliet.received() == []
    juliet.send(ACTIVE)
    # Each where its latest stood.
    assert shown(juliet) == ["nurse available", "romeo dnd"]


def test_that_somebody_has_gone_takes_the_place_of_what_they_said(host):
    juliet = inactive_juliet(host)
    comes(host, presence(ROMEO, show("chat")))
    comes(host, presence(ROMEO, type_="unavailable"))
    comes(host, presence(ROMEO + "2", show("chat")))
    juliet.send(ACTIVE)
    assert shown(juliet) == ["romeo unavailable", "romeo chat"]


def test_a_client_that_is_active_again_gets_everything_at_once(host):
    juliet = inactive_juliet(host)
    comes(host, presence(ROMEO))
    juliet.send(ACTIVE)
    comes(host, presence(ROMEO, show("away")))
    assert shown(juliet) == ["romeo available", "romeo away"]
    assert host.plugin("csi").resting == {}


@pytest.mark.parametrize("type_", ["subscribe", "subscribed", "unsubscribed", "error"])
def test_presence_that_asks_or_answers_cannot_wait(host, type_):
    juliet = inactive_juliet(host)
    comes(host, presence(ROMEO))
    session = host.kernel.session(juliet.jid)
    # As the roster plugin does.
    session.send(Stanza.from_bytes(presence(NURSE, type_=type_).encode()))
    assert shown(juliet) == ["romeo available", f"nurse {type_}"]


def test_a_client_hears_at_once_that_it_is_in_a_room_or_out_of_it(host):
    juliet = inactive_juliet(host)
    for nick in ("romeo", "nurse"):
        comes(host, presence(f"{ROOM}/{nick}", OCCUPANT))
    assert juliet.received() == []
    comes(host, presence(f"{ROOM}/juliet", SELF))
    assert [item.from_.resource for item in juliet.received()] == ["romeo", "nurse", "juliet"]
    comes(host, presence(f"{ROOM}/juliet", SELF, "unavailable"))
    assert len(juliet.received()) == 1


def test_other_codes_in_a_room_can_wait(host):
    juliet = inactive_juliet(host)
    comes(host, presence(f"{ROOM}/romeo", SELF.replace("110", "307"), "unavailable"))
    assert juliet.received() == []


def test_its_own_presence_comes_back_to_a_client_at_once(host):
    juliet = inactive_juliet(host)
    host.kernel.session(juliet.jid).send(Presence(from_=juliet.jid, to=juliet.jid))
    assert shown(juliet) == ["juliet available"]


# Chat states


def test_of_each_sender_the_latest_chat_state_is_sent(host):
    juliet = inactive_juliet(host)
    comes(host, state(ROMEO, "composing", "<thread>1</thread>"))
    comes(host, state(NURSE, "composing", "<no-store xmlns='urn:xmpp:hints'/>"))
    comes(host, state(ROMEO, "paused", f"<origin-id xmlns='{NS_STANZA_ID}' id='1'/>"))
    occupant = "<occupant-id xmlns='urn:xmpp:occupant-id:0' id='1'/>"
    comes(host, state(f"{ROOM}/mercutio", "composing", occupant, type_="groupchat"))
    assert juliet.received() == []
    juliet.send(ACTIVE)
    assert shown(juliet) == ["nurse: composing", "romeo: paused", "verona: composing"]


def test_who_has_said_what_they_wrote_is_not_shown_as_writing(host):
    juliet = inactive_juliet(host)
    comes(host, state(ROMEO, "composing"))
    comes(host, state(NURSE, "composing"))
    comes(host, says(ROMEO, "But soft"))
    assert shown(juliet) == ["nurse: composing", "romeo: But soft"]
    comes(host, state(ROMEO, "composing"))
    comes(host, says(ROMEO, "What light", f"<active xmlns='{STATES}'/>"))
    assert shown(juliet) == ["romeo: What light"]


def test_chat_states_beside_something_else_cannot_wait(host):
    juliet = inactive_juliet(host)
    comes(host, state(ROMEO, "active", "<received xmlns='urn:xmpp:receipts' id='1'/>"))
    assert len(juliet.received()) == 1
    comes(host, state(ROMEO, "active", type_="error"))
    assert len(juliet.received()) == 1


def test_copies_of_chat_states_are_held_too(host):
    juliet = inactive_juliet(host)
    juliet.set(Element(NS_CARBONS, "enable"))
    chamber = host.connect("juliet@capulet.example/chamber")
    chamber.available()
    juliet.received()
    # The one who writes to the other client, and what the other client writes itself.
    for name in ("composing", "paused"):
        comes(host, state(ROMEO, name), to=chamber.jid.text)
        for friend in ("nurse@capulet.example", "paris@capulet.example"):
            chamber.send(
                f"<message to='{friend}' type='chat'><{name} xmlns='{STATES}'/></message>"
            )
    assert juliet.received() == []
    juliet.send(ACTIVE)
    assert [inside(item) for item in juliet.received()] == [
        ("received", "romeo", "juliet", "paused"),
        ("sent", "juliet", "nurse", "paused"),
        ("sent", "juliet", "paris", "paused"),
    ]


def inside(copy):
    wrapper = copy.element.first()
    message = wrapper.first().first()
    names = [message.get(name).partition("@")[0] for name in ("from", "to")]
    return (wrapper.name, *names, message.first().name)


def test_copies_of_messages_cannot_wait(host):
    juliet = inactive_juliet(host)
    juliet.set(Element(NS_CARBONS, "enable"))
    chamber = host.connect("juliet@capulet.example/chamber")
    comes(host, says(ROMEO, "But soft", f"<active xmlns='{STATES}'/>"), to=chamber.jid.text)
    comes(host, says(ROMEO, "What light"), to=chamber.jid.text)
    assert len(juliet.received()) == 2


def test_who_pretends_a_copy_is_not_taken_at_their_word(host):
    """Somebody else's wrapper is a message like any other, and goes out at once."""
    juliet = inactive_juliet(host)
    session = host.kernel.session(juliet.jid)
    forged = (
        f"<message from='{ROMEO}' type='chat'><received xmlns='{NS_CARBONS}'>"
        f"<forwarded xmlns='urn:xmpp:forward:0'>"
        f"<message xmlns='jabber:client' from='{NURSE}'><composing xmlns='{STATES}'/></message>"
        "</forwarded></received></message>"
    )
    session.send(Stanza.from_bytes(forged.encode()))
    assert len(juliet.received()) == 1


def test_strange_copies_do_no_harm(host):
    juliet = inactive_juliet(host)
    session = host.kernel.session(juliet.jid)
    for content in ("", "<forwarded xmlns='urn:xmpp:forward:0'/>"):
        copy = (
            f"<message from='{juliet.bare}'><received xmlns='{NS_CARBONS}'>{content}</received>"
            f"<x xmlns='urn:chatstates'/></message>"
        )
        session.send(Stanza.from_bytes(copy.encode()))
    assert len(juliet.received()) == 2


def test_chat_states_may_be_dropped(make):
    host = make(chat_states="drop")
    juliet = inactive_juliet(host)
    comes(host, state(ROMEO, "composing"))
    comes(host, says(NURSE, "Madam!"))
    juliet.send(ACTIVE)
    assert shown(juliet) == ["nurse: Madam!"]


def test_operators_choose_what_can_wait(make):
    host = make(presence=False, chat_states="send", events=False)
    juliet = inactive_juliet(host)
    comes(host, presence(ROMEO))
    comes(host, state(ROMEO, "composing"))
    comes(host, event("mood", "current", "in love"))
    assert shown(juliet) == ["romeo available", "romeo: composing", "romeo's mood"]


# Events


def test_of_each_item_the_latest_news_is_sent(host):
    juliet = inactive_juliet(host)
    comes(host, event("mood", "current", "sad"))
    comes(host, event("tune", "current", "a song"))
    comes(host, event("bookmarks", "one"))
    comes(host, event("bookmarks", "two"))
    comes(host, event("mood", "current", "in love", beside="<x xmlns='urn:xmpp:delay'/>"))
    comes(host, event("bookmarks", "", items="<retract id='one'/>"))
    assert juliet.received() == []
    juliet.send(ACTIVE)
    came = [
        (items.get("node"), items.first().name, items.first().get("id"))
        for items in (item.element.first().first() for item in juliet.received())
    ]
    assert came == [
        ("tune", "item", "current"),
        ("bookmarks", "item", "two"),
        ("mood", "item", "current"),
        ("bookmarks", "retract", "one"),
    ]


@pytest.mark.parametrize(
    "xml",
    [
        event("mood", "x", beside="<body>I am in love</body>"),
        event("mood", "x", beside="<store xmlns='urn:xmpp:hints'/>"),
        event("mood", "", items="<item id='1'/><item id='2'/>"),
        event("mood", "", items="<item/>"),
        event("mood", "", items=" "),
        event("mood", "", items="<other id='1'/>"),
        f"<message from='{ROMEO}'><event xmlns='{EVENTS}'><purge node='mood'/></event></message>",
        f"<message from='{ROMEO}'><event xmlns='{EVENTS}'/></message>",
        f"<message from='{ROMEO}' type='error'><event xmlns='{EVENTS}'/></message>",
    ],
    ids=["body", "hint", "two", "no id", "none", "other", "purge", "empty", "error"],
)
def test_other_news_cannot_wait(host, xml):
    juliet = inactive_juliet(host)
    comes(host, xml)
    assert len(juliet.received()) == 1


# What cannot wait


@pytest.mark.parametrize(
    "xml",
    [
        says(NURSE, "Madam!"),
        f"<message from='{NURSE}'><received xmlns='urn:xmpp:receipts' id='1'/></message>",
        f"<message from='{NURSE}'><displayed xmlns='urn:xmpp:chat-markers:0' id='1'/></message>",
        f"<iq from='{NURSE}' type='get' id='1'><query xmlns='jabber:iq:version'/></iq>",
    ],
    ids=["text", "receipt", "marker", "iq"],
)
def test_what_is_held_goes_out_before_what_cannot_wait(host, xml):
    juliet = inactive_juliet(host)
    comes(host, presence(ROMEO))
    comes(host, state(ROMEO, "composing"))
    comes(host, event("mood", "current"))
    comes(host, xml)
    came = juliet.received()
    assert [short(item) for item in came[:3]] == [
        "romeo available",
        "romeo: composing",
        "romeo's mood",
    ]
    assert len(came) == 4
    # And then it rests on.
    comes(host, presence(ROMEO))
    assert juliet.received() == []


def test_what_was_held_comes_before_the_answer_to_what_an_active_client_sends(host):
    juliet = inactive_juliet(host)
    comes(host, presence(ROMEO))
    juliet.send(
        ACTIVE
        + "<iq type='get' id='ping1' to='capulet.example'><ping xmlns='urn:xmpp:ping'/></iq>"
    )
    first, second = juliet.received()
    assert (first.name, second.name, second.id) == ("presence", "iq", "ping1")


def test_others_are_told_of_what_cannot_wait(host):
    juliet = inactive_juliet(host)
    waits = host.plugin("watcher").waits
    comes(host, presence(ROMEO))
    comes(host, state(ROMEO, "composing"))
    assert waits == []
    comes(host, says(ROMEO, "But soft"))
    ((jid, stanza),) = waits
    assert (jid, stanza.body) == (JULIET, "But soft")
    juliet.send(ACTIVE)
    comes(host, says(ROMEO, "What light"))
    assert len(waits) == 1


# Bounds


@pytest.mark.parametrize(
    ("options", "content"),
    [({"max_held": 10}, ""), ({"max_held_bytes": "1 KiB"}, f"<status>{'x' * 100}</status>")],
    ids=["number", "size"],
)
def test_of_too_much_all_is_sent(make, options, content):
    host = make(**options)
    juliet = inactive_juliet(host)
    came = 0
    for number in range(40):
        comes(host, presence(f"romeo@montague.example/{number}", content))
        came += len(juliet.received())
        assert number + 1 - came <= 10
    juliet.send(ACTIVE)
    assert came + len(juliet.received()) == 40


def test_what_takes_the_place_of_something_takes_no_more_room(make):
    host = make(max_held_bytes="1 KiB")
    juliet = inactive_juliet(host)
    for _ in range(40):
        comes(host, presence(ROMEO, f"<status>{'x' * 100}</status>"))
    assert juliet.received() == []


# Sessions and plugins come and go


def test_nothing_is_kept_of_sessions_that_are_gone(host):
    juliet = inactive_juliet(host)
    comes(host, presence(ROMEO))
    juliet.drop()
    assert host.plugin("csi").resting == {}


def test_nothing_is_kept_of_a_session_that_has_ended_while_it_was_bound(host):
    juliet = host.connect(JULIET)
    session = host.kernel.session(juliet.jid)
    juliet.drop()
    (feature,) = host.plugin("csi").stonechat_bind2_features()
    # As the kernel does at a binding: other plugins may have taken their time before.
    feature.handle(session, Element(NS_CSI, "inactive"))
    assert host.plugin("csi").resting == {}


def test_a_plugin_that_stops_leaves_everybody_active(host):
    juliet = inactive_juliet(host)
    comes(host, presence(ROMEO))
    host.disable("csi")
    assert shown(juliet) == ["romeo available"]
    comes(host, presence(NURSE))
    assert shown(juliet) == ["nurse available"]


# Stream management


def resting_client(host):
    juliet = host.connect(JULIET)
    juliet.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
    juliet.id = juliet.receive().get("id")
    juliet.available()
    juliet.send(INACTIVE)
    juliet.received()
    return juliet


def resume(host, client, h):
    stream = host.open_stream(tls=True)
    stream.authenticate("juliet", "Wherefore art thou?")
    stream.open()
    stream.send(f"<resume xmlns='urn:xmpp:sm:3' previd='{client.id}' h='{h}'/>")
    assert stream.receive_element().name == "resumed"
    return stream


def stanzas(stream):
    return [item for item in stream.received() if isinstance(item, Stanza)]


def test_what_is_held_is_not_counted_before_it_is_sent(host):
    juliet = resting_client(host)
    managed = host.kernel.session(juliet.jid).data["sm"]
    before = managed.acked + managed.waiting
    comes(host, presence(ROMEO))
    assert managed.acked + managed.waiting == before
    juliet.send(ACTIVE)
    assert managed.acked + managed.waiting == before + 1


def test_a_resumed_session_is_active_and_has_what_was_held(host):
    juliet = resting_client(host)
    managed = host.kernel.session(juliet.jid).data["sm"]
    h = managed.acked + managed.waiting
    comes(host, presence(ROMEO))
    juliet.drop()
    comes(host, presence(NURSE))
    comes(host, says(ROMEO, "But soft"))
    comes(host, presence(NURSE, show("away")))
    stream = resume(host, juliet, h)
    assert [short(item) for item in stanzas(stream)] == [
        "romeo available",
        "nurse available",
        "romeo: But soft",
        "nurse away",
    ]
    comes(host, presence(ROMEO))
    assert len(stanzas(stream)) == 1


def test_who_is_not_connected_is_said_to_wait_once(host):
    juliet = resting_client(host)
    juliet.drop()
    comes(host, says(ROMEO, "But soft"))
    assert len(host.plugin("watcher").waits) == 1


def test_a_session_is_active_after_a_restart_and_has_the_news_of_before(server, host):
    juliet = resting_client(host)
    managed = host.kernel.session(juliet.jid).data["sm"]
    h = managed.acked + managed.waiting
    comes(host, presence(ROMEO))
    comes(host, event("mood", "current"))
    server.restart()
    stream = resume(host, juliet, h)
    assert [short(item) for item in stanzas(stream)] == ["romeo's mood"]
    comes(host, presence(ROMEO))
    assert [short(item) for item in stanzas(stream)] == ["romeo available"]
