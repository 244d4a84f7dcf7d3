"""Which messages are copied (XEP-0280, sections 6 and 9)."""

import pytest

from stonechat.namespaces import NS_CARBONS
from stonechat.stanza import Element, Message, Stanza
from stonechat_carbons import rules

ROMEO = "romeo@montague.example"
JULIET = "juliet@capulet.example/balcony"
ROOM = "verona@rooms.example"

BODY = "<body>I would not for the world they saw thee here</body>"
RECEIPT = "<received xmlns='urn:xmpp:receipts' id='1'/>"
REQUEST = "<request xmlns='urn:xmpp:receipts'/>"
STATE = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
MARKER = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"
OTHER = "<x xmlns='urn:example'/>"
PRIVATE = f"<private xmlns='{NS_CARBONS}'/>"
NO_COPY = "<no-copy xmlns='urn:xmpp:hints'/>"
INVITATION = f"<x xmlns='jabber:x:conference' jid='{ROOM}'/>"
NS_USER = "http://jabber.org/protocol/muc#user"
MEDIATED = f"<x xmlns='{NS_USER}'><invite from='{JULIET}'/></x>"
IN_ROOM = f"<x xmlns='{NS_USER}'/>"


def message(type_, content):
    written = f" type='{type_}'" if type_ else ""
    stanza = Stanza.from_bytes(f"<message{written}>{content}</message>".encode())
    assert isinstance(stanza, Message)
    return stanza


@pytest.mark.parametrize(
    ("type_", "content"),
    [
        ("chat", BODY),
        ("chat", OTHER),
        ("chat", ""),
        ("chat", STATE),
        ("", BODY),
        ("normal", BODY),
        ("nonsense", BODY),  # RFC 6121, 5.2.2: that is normal
        ("normal", RECEIPT),
        ("normal", REQUEST + OTHER),
        ("", STATE),
        ("", MARKER),
        ("headline", MARKER),
        ("", INVITATION),
        ("", MEDIATED),
        ("headline", MEDIATED),
        ("chat", "".join(f"<x xmlns='urn:example:{number}'/>" for number in range(40))),
    ],
)
def test_what_people_say_to_each_other_is_copied(type_, content):
    assert rules.is_eligible(message(type_, content))


@pytest.mark.parametrize(
    ("type_", "content"),
    [
        ("", ""),
        ("normal", OTHER),
        ("headline", BODY),
        ("headline", "<event xmlns='http://jabber.org/protocol/pubsub#event'/>"),
        ("groupchat", BODY),
        ("groupchat", STATE),
        ("groupchat", INVITATION),
        ("groupchat", MEDIATED),
        ("error", BODY),
        ("", IN_ROOM),
        ("chat", BODY + PRIVATE),
        ("chat", BODY + NO_COPY),
        ("chat", BODY + PRIVATE + NO_COPY),
        ("", INVITATION + PRIVATE),
        ("chat", BODY + f"<received xmlns='{NS_CARBONS}'/>"),
        ("chat", BODY + f"<sent xmlns='{NS_CARBONS}'/>"),
        ("chat", OTHER * 20 + PRIVATE),
    ],
)
def test_what_is_not_of_that_kind_or_is_private_is_not_copied(type_, content):
    assert not rules.is_eligible(message(type_, content))


# At work


@pytest.fixture
def host(server):
    return server.host("montague.example", carbons={})


@pytest.fixture
def juliet(server, host):
    juliet = server.host("capulet.example").connect(JULIET)
    juliet.available()
    return juliet


@pytest.fixture
def garden(host):
    return romeo_at(host, "garden")


@pytest.fixture
def home(host):
    return romeo_at(host, "home")


def romeo_at(host, resource):
    client = host.connect(f"{ROMEO}/{resource}")
    client.set(Element(NS_CARBONS, "enable"))
    client.available()
    client.received()
    return client


def copies(client):
    """The messages inside the copies that came."""
    found = []
    for item in client.received():
        if isinstance(item, Message):
            for direction in ("received", "sent"):
                if (wrapper := item.find(NS_CARBONS, direction)) is not None:
                    found.append(wrapper.first().first())
    return found


def test_a_private_message_stays_with_its_two_ends_and_keeps_its_mark(juliet, garden, home):
    """Version 1.0.1 lifted the removal: whoever gets it may see that others did not."""
    garden.send(f"<message to='{JULIET}' type='chat'>{BODY}{PRIVATE}{NO_COPY}</message>")
    (got,) = [item for item in juliet.received() if isinstance(item, Message)]
    assert got.has(NS_CARBONS, "private")
    assert got.has("urn:xmpp:hints", "no-copy")
    juliet.send(f"<message to='{garden.jid}' type='chat'>{BODY}{PRIVATE}{NO_COPY}</message>")
    (got,) = [item for item in garden.received() if isinstance(item, Message)]
    assert got.has(NS_CARBONS, "private")
    assert copies(home) == []


# Errors


def error_to(to, id_):
    return (
        f"<message to='{to}' type='error' id='{id_}'><error type='cancel'>"
        "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    )


def test_an_error_is_copied_if_what_it_answers_was(juliet, garden, home):
    garden.send(f"<message to='{JULIET}' type='chat' id='one'>{BODY}</message>")
    garden.send(f"<message to='{JULIET}' type='normal' id='two'>{OTHER}</message>")
    home.received()
    juliet.send(error_to(garden.jid, "one"))
    juliet.send(error_to(garden.jid, "two"))
    juliet.send(error_to(garden.jid, "three"))
    juliet.send(error_to(garden.jid, ""))
    assert [(copy.get("type"), copy.get("id")) for copy in copies(home)] == [("error", "one")]


def test_an_error_of_the_server_s_own_is_copied(juliet, garden, home):
    garden.send(f"<message to='rosaline@capulet.example' type='chat' id='one'>{BODY}</message>")
    sent, error = copies(home)
    assert (sent.get("type"), error.get("type")) == ("chat", "error")
    assert error.get("from") == "rosaline@capulet.example"


def test_somebody_else_s_error_is_none_for_it(host, juliet, garden, home):
    benvolio = host.connect("benvolio@montague.example/square")
    garden.send(f"<message to='{JULIET}' type='chat' id='one'>{BODY}</message>")
    home.received()
    benvolio.send(error_to(garden.jid, "one"))
    assert copies(home) == []


def test_an_error_that_a_client_sends_is_copied_if_what_it_answers_was(juliet, garden, home):
    juliet.send(f"<message to='{garden.jid}' type='chat' id='one'>{BODY}</message>")
    juliet.send(f"<message to='{garden.jid}' type='normal' id='two'>{OTHER}</message>")
    home.received()
    garden.send(error_to(JULIET, "one"))
    garden.send(error_to(JULIET, "two"))
    assert [(copy.get("type"), copy.get("id")) for copy in copies(home)] == [("error", "one")]


def test_so_many_messages_are_remembered_for_their_errors(juliet, garden, home):
    for number in range(300):
        garden.send(f"<message to='{JULIET}' type='chat' id='{number}'>{BODY}</message>")
    home.received()
    for number in (0, 43, 44, 299):
        juliet.send(error_to(garden.jid, number))
    assert [copy.get("id") for copy in copies(home)] == ["44", "299"]


# Rooms


class Rooms:
    """A service whose rooms send what they are told."""

    def __init__(self, host, options):
        self.host = host

    def start(self):
        self.host.register_route("rooms.example", lambda stanza: None)


@pytest.fixture
def rooms(host):
    return host.enable("rooms", plugin_class=Rooms).host


def enter(client, nick, room=ROOM):
    client.send(
        f"<presence to='{room}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
    )


def private(client, extra=IN_ROOM, to=f"{ROOM}/nurse"):
    client.send(f"<message to='{to}' type='chat'>{BODY}{extra}</message>")


def from_room(rooms, content, type_="normal", nick=""):
    head = f"to='{ROMEO}/garden' from='{ROOM}{nick}' type='{type_}'"
    rooms.route(Stanza.from_bytes(f"<message {head}>{content}</message>".encode()))


def test_invitations_are_copied(rooms, garden, home):
    for content in (INVITATION, MEDIATED):
        from_room(rooms, content)
    garden.send(f"<message to='{ROOM}'><x xmlns='{NS_USER}'><invite to='{JULIET}'/></x></message>")
    garden.send(f"<message to='{JULIET}'>{INVITATION}</message>")
    assert len(copies(home)) == 4


def test_what_an_occupant_says_in_private_is_not_copied(rooms, garden, home):
    enter(garden, "romeo")
    for extra in (IN_ROOM, ""):
        from_room(rooms, f"{BODY}{extra}", "chat", "/nurse")
    assert len([item for item in garden.received() if isinstance(item, Message)]) == 2
    assert copies(home) == []


def test_what_is_said_to_an_occupant_goes_to_who_has_the_same_name_there(
    rooms, host, garden, home
):
    square = romeo_at(host, "square")
    enter(garden, "romeo")
    enter(home, "romeo")
    enter(square, "montague")
    for extra in (IN_ROOM, ""):
        private(garden, extra)
    assert len(copies(home)) == 2
    assert copies(square) == []


def test_names_in_rooms_change_and_rooms_are_left(rooms, garden, home):
    enter(garden, "romeo")
    enter(home, "romeo")
    home.send(f"<presence to='{ROOM}/montague'/>")
    private(garden)
    assert copies(home) == []
    garden.send(f"<presence to='{ROOM}/montague'><show>away</show></presence>")
    private(garden)
    assert len(copies(home)) == 1
    home.send(f"<presence to='{ROOM}/montague' type='unavailable'/>")
    private(garden)
    assert copies(home) == []
    enter(home, "montague")
    private(garden)
    assert len(copies(home)) == 1
    home.unavailable()
    private(garden)
    assert copies(home) == []


def test_presence_to_a_contact_enters_no_room(juliet, garden, home):
    garden.send(f"<presence to='{JULIET}'/>")
    private(garden, "", to=JULIET)
    assert len(copies(home)) == 1


def test_who_entered_unseen_reaches_those_who_are_in_the_room(rooms, host, garden, home):
    square = romeo_at(host, "square")
    enter(home, "romeo")
    private(garden)
    assert len(copies(home)) == 1
    assert copies(square) == []


def test_of_too_many_rooms_it_is_not_known_who_is_there(rooms, host, garden, monkeypatch):
    monkeypatch.setattr("stonechat_carbons.rooms.MAX_ROOMS", 3)
    for number in range(5):
        enter(garden, "romeo", f"room{number}@rooms.example")
    session = host.kernel.session(garden.jid)
    assert len(host.plugin("carbons").stonechat_session_state(session)["carbons"]["rooms"]) == 3


def test_what_a_room_says_to_all_is_not_copied(rooms, garden, home):
    enter(garden, "romeo")
    from_room(rooms, BODY, "groupchat", "/nurse")
    assert copies(home) == []
