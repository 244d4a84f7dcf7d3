"""Copies of what is sent and received (XEP-0280, sections 7 and 8), on the kernel in memory."""

import pytest

from stonechat.errors import StanzaError
from stonechat.namespaces import NS_CARBONS, NS_CLIENT, NS_FORWARD
from stonechat.plugin import hookimpl
from stonechat.stanza import Element, Message

ROMEO = "romeo@montague.example"
JULIET = "juliet@capulet.example/balcony"
ENABLE = Element(NS_CARBONS, "enable")
DISABLE = Element(NS_CARBONS, "disable")
WHAT_MAN = "What man art thou that, thus bescreen'd in night?"


@pytest.fixture
def host(server):
    return server.host("montague.example", carbons={}, offline={}, disco={})


@pytest.fixture
def capulet(server, host):
    return server.host("capulet.example")


@pytest.fixture
def juliet(capulet):
    juliet = capulet.connect(JULIET)
    juliet.available()
    return juliet


def romeo_at(host, resource, priority=0, *, carbons=True, available=True):
    client = host.connect(f"{ROMEO}/{resource}")
    if carbons:
        client.set(ENABLE)
    if available:
        client.available(priority)
    client.received()
    return client


def messages(client):
    return [item for item in client.received() if isinstance(item, Message)]


def bodies(client):
    """What came: a body for a message, (direction, body) for a copy."""
    return [
        message.body if (copy := copied(message)) is None else (copy[0], copy[1].find_text("body"))
        for message in messages(client)
    ]


def copied(message):
    """(direction, the message inside) of a copy; None for any other message."""
    for direction in ("received", "sent"):
        if (wrapper := message.find(NS_CARBONS, direction)) is not None:
            assert len(message.children) == 1
            (forwarded,) = wrapper.elements
            assert (forwarded.namespace, forwarded.name) == (NS_FORWARD, "forwarded")
            (inner,) = forwarded.elements
            assert (inner.namespace, inner.name) == (NS_CLIENT, "message")
            return direction, inner
    return None


# Enabling


def test_the_host_says_that_it_copies_and_by_which_rules(host):
    info = host.connect(f"{ROMEO}/garden").get(
        Element("http://jabber.org/protocol/disco#info", "query"), to="montague.example"
    )
    features = {feature.get("var") for feature in info.payload.find_all("feature")}
    assert {"urn:xmpp:carbons:2", "urn:xmpp:carbons:rules:0"} <= features


def test_nobody_gets_copies_who_has_not_asked_for_them(host, juliet):
    garden = romeo_at(host, "garden")
    home = romeo_at(host, "home", carbons=False)
    juliet.message(garden.jid, WHAT_MAN)
    garden.message(JULIET, "Neither, fair saint")
    assert bodies(home) == []


def test_a_client_may_enable_and_disable_as_often_as_it_likes(host, juliet):
    garden = romeo_at(host, "garden", carbons=False)
    home = romeo_at(host, "home", carbons=False)
    for payload in (DISABLE, ENABLE, ENABLE):
        assert home.set(payload).payload is None
    juliet.message(garden.jid, "one")
    for payload in (DISABLE, DISABLE):
        home.set(payload)
    juliet.message(garden.jid, "two")
    home.set(ENABLE, to=ROMEO)
    juliet.message(garden.jid, "three")
    assert bodies(home) == [("received", "one"), ("received", "three")]


def test_the_answer_comes_from_the_account(host):
    answer = host.connect(f"{ROMEO}/garden").set(ENABLE, to=ROMEO)
    assert answer.from_.text == ROMEO


@pytest.mark.parametrize("payload", [ENABLE, DISABLE])
def test_nobody_switches_copies_for_somebody_else(host, capulet, juliet, payload):
    benvolio = host.connect("benvolio@montague.example/square")
    romeo_at(host, "garden")
    for stranger in (juliet, benvolio):
        # They do not learn either whether there is somebody.
        for somebody in (ROMEO, "rosaline@montague.example"):
            with pytest.raises(StanzaError) as refusal:
                stranger.set(payload, to=somebody)
            assert (refusal.value.condition, refusal.value.type) == ("not-allowed", "cancel")


def test_anything_but_enable_and_disable_is_a_bad_request(host):
    garden = host.connect(f"{ROMEO}/garden")
    with pytest.raises(StanzaError, match="enabled or disabled"):
        garden.set(Element(NS_CARBONS, "private"))


def test_both_at_once_is_a_bad_request_too(host):
    garden = host.connect(f"{ROMEO}/garden")
    garden.send(f"<iq type='set' id='both'>{ENABLE}{DISABLE}</iq>")
    assert garden.answer_to("both").element.find("error").first().name == "bad-request"


def test_nothing_is_kept_of_sessions_that_are_gone(host):
    garden = romeo_at(host, "garden")
    home = romeo_at(host, "home")
    garden.drop()
    assert host.plugin("carbons").accounts.keys() == {"romeo"}
    home.disconnect()
    assert host.plugin("carbons").accounts == {}


def test_binding_enables_copies_inline(host, juliet):
    (feature,) = host.plugin("carbons").stonechat_bind2_features()
    assert (feature.namespace, feature.name) == (NS_CARBONS, "enable")
    garden = romeo_at(host, "garden")
    home = romeo_at(host, "home", carbons=False)
    session = host.kernel.session(home.jid)
    # As the kernel does at a binding; XEP-0386 wants no answer.
    assert feature.handle(session, Element(NS_CARBONS, "enable")) is None
    juliet.message(garden.jid, WHAT_MAN)
    assert bodies(home) == [("received", WHAT_MAN)]


# Received


def test_a_directed_message_is_copied_to_the_other_clients(host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    juliet.send(
        f"<message to='{garden.jid}' type='chat' id='m1'><body>{WHAT_MAN}</body>"
        "<thread>0e3141</thread></message>"
    )
    assert bodies(garden) == [WHAT_MAN]
    (copy,) = messages(home)
    # Section 7: from the account itself, to the client, of the same type.
    assert (copy.from_.text, copy.to, copy.type) == (ROMEO, home.jid, "chat")
    direction, inner = copied(copy)
    assert direction == "received"
    assert inner.attributes == {
        "from": JULIET,
        "to": garden.jid.text,
        "type": "chat",
        "id": "m1",
    }
    assert [child.name for child in inner.elements] == ["body", "thread"]
    assert inner.find_text("body") == WHAT_MAN


def test_a_message_to_the_account_is_copied_to_those_who_did_not_get_it(host, juliet):
    garden, home = romeo_at(host, "garden", 5), romeo_at(host, "home", 1)
    juliet.message(ROMEO, WHAT_MAN)
    assert bodies(garden) == [WHAT_MAN]
    assert bodies(home) == [("received", WHAT_MAN)]


def test_who_got_the_message_itself_gets_no_copy(host, juliet):
    clients = [romeo_at(host, resource) for resource in ("garden", "home", "square")]
    juliet.message(ROMEO, WHAT_MAN)
    assert [bodies(client) for client in clients] == [[WHAT_MAN]] * 3


def test_clients_that_want_no_messages_to_the_account_get_copies_all_the_same(host, juliet):
    garden = romeo_at(host, "garden")
    shy = romeo_at(host, "shy", -5)
    silent = romeo_at(host, "silent", available=False)
    juliet.message(ROMEO, WHAT_MAN)
    assert bodies(garden) == [WHAT_MAN]
    assert bodies(shy) == bodies(silent) == [("received", WHAT_MAN)]


def test_what_is_kept_for_later_is_copied_to_who_is_there_without_priority(host, juliet):
    shy = romeo_at(host, "shy", -5)
    juliet.message(ROMEO, WHAT_MAN)
    assert bodies(shy) == [("received", WHAT_MAN)]
    assert juliet.received() == []
    # It waits for who comes.
    assert bodies(romeo_at_first(host)) == [WHAT_MAN]


class Keeper:
    """Keeps messages, and says so before anybody else does."""

    @hookimpl
    def stonechat_message_undelivered(self, message):
        return True

    def __init__(self, host, options):
        pass


def test_whoever_keeps_it(host, juliet):
    host.enable("a_keeper", plugin_class=Keeper)
    shy = romeo_at(host, "shy", -5)
    juliet.message(ROMEO, WHAT_MAN)
    assert bodies(shy) == [("received", WHAT_MAN)]


def romeo_at_first(host):
    client = host.connect(f"{ROMEO}/garden")
    client.available()
    return client


def test_a_message_from_another_server_needs_no_namespace_to_be_copied(host, juliet):
    """What leans on the stream's default namespace does not take that of <forwarded/>."""
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    for head in ("", " xmlns='jabber:client'", ' xmlns="jabber:client"', " id='a>b'"):
        juliet.send(
            f"<message{head} to='{garden.jid}' type='chat'><body>{WHAT_MAN}</body></message>"
        )
    juliet.send(f"<message id='>' xmlns='jabber:client' to='{garden.jid}' type='chat'/>")
    assert bodies(home) == [("received", WHAT_MAN)] * 4 + [("received", "")]


def test_a_message_that_the_server_makes_is_copied(host):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    body = Element(NS_CLIENT, "body", None, "Banished")
    host.kernel.route(Message(body, from_=host.jid, to=garden.jid, type="chat"))
    assert bodies(home) == [("received", "Banished")]


# Sent


def test_what_one_client_sends_the_others_see(host, juliet):
    home, garden = romeo_at(host, "home"), romeo_at(host, "garden")
    home.message(JULIET, "Neither, fair saint", id="s1")
    assert bodies(juliet) == ["Neither, fair saint"]
    (copy,) = messages(garden)
    assert (copy.from_.text, copy.to, copy.type) == (ROMEO, garden.jid, "chat")
    direction, inner = copied(copy)
    assert direction == "sent"
    assert inner.attributes == {"from": home.jid.text, "to": JULIET, "type": "chat", "id": "s1"}
    assert bodies(home) == []


def test_the_sender_need_not_have_enabled_copies_itself(host, juliet):
    home = romeo_at(host, "home", carbons=False)
    garden = romeo_at(host, "garden")
    home.message(JULIET, "Neither, fair saint")
    assert bodies(garden) == [("sent", "Neither, fair saint")]


def test_a_conversation_within_the_host_is_copied_on_both_sides(host):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    square = host.connect("benvolio@montague.example/square")
    street = host.connect("benvolio@montague.example/street")
    for client in (square, street):
        client.set(ENABLE)
        client.available()
        client.received()
    garden.message(square.jid, "Is the day so young?")
    assert bodies(home) == [("sent", "Is the day so young?")]
    assert bodies(street) == [("received", "Is the day so young?")]


def test_what_a_client_says_to_its_own_account_the_others_see_once(host):
    garden, home = romeo_at(host, "garden", 5), romeo_at(host, "home", 5)
    shy = romeo_at(host, "shy", -1)
    shy.send("<message type='chat'><body>Remember</body></message>")
    assert bodies(garden) == bodies(home) == ["Remember"]
    assert bodies(shy) == []
    garden.message(shy.jid, "The ring")
    assert bodies(shy) == ["The ring"]
    assert bodies(home) == [("sent", "The ring")]
    assert bodies(garden) == []


def test_notes_to_oneself_are_kept_where_no_client_takes_them(host):
    shy, silent = romeo_at(host, "shy", -1), romeo_at(host, "silent", available=False)
    shy.message(ROMEO, "Remember")
    assert bodies(silent) == [("sent", "Remember")]
    assert bodies(shy) == []
    assert bodies(romeo_at_first(host)) == ["Remember"]


def test_a_message_that_is_refused_was_sent_all_the_same(host, juliet):
    home, garden = romeo_at(host, "home"), romeo_at(host, "garden")
    home.message("rosaline@capulet.example", "I have forgot that name")
    assert bodies(garden)[0] == ("sent", "I have forgot that name")


# Forgeries


@pytest.mark.parametrize("direction", ["received", "sent"])
@pytest.mark.parametrize("to", [ROMEO, f"{ROMEO}/garden"])
def test_nobody_passes_something_off_as_a_copy(host, juliet, direction, to):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    tybalt = host.connect("tybalt@montague.example/home")
    for forger in (tybalt, juliet, home):
        forger.send(
            f"<message to='{to}' type='chat' id='f1'><body>x</body>"
            f"<{direction} xmlns='{NS_CARBONS}'><forwarded xmlns='{NS_FORWARD}'>"
            f"<message xmlns='jabber:client' from='{JULIET}' to='{garden.jid}' type='chat'>"
            "<body>Meet me tonight</body></message></forwarded>"
            f"</{direction}></message>"
        )
        (refusal,) = messages(forger)
        assert refusal.type == "error"
        assert refusal.element.find("error").first().name == "forbidden"
    assert bodies(garden) == []
    assert bodies(home) == []


def test_a_copy_that_a_client_sends_back_is_told_nobody(host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    square = romeo_at(host, "square")
    juliet.message(garden.jid, WHAT_MAN, id="m1")
    (copy,) = messages(home)
    messages(garden)
    messages(square)
    content = "".join(str(child) for child in copy.element.elements)
    error = (
        "<error type='cancel'><service-unavailable"
        " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    )
    for inside in (content, ""):
        for to in (copy.from_, f"{ROMEO}/garden"):
            home.send(f"<message type='error' to='{to}' id='m1'>{inside}{error}</message>")
    assert messages(square) == []
    assert messages(juliet) == []
    # Whoever is named gets an error like any other: of the copy nothing is left in it.
    assert [error.children for error in messages(garden)] == [(f"{NS_CLIENT} error",)] * 2


# Clients that read slowly


def test_copies_wait_in_order_for_a_client_that_reads_too_slowly(server, host, juliet):
    garden, home = romeo_at(host, "garden"), romeo_at(host, "home")
    home.stream.connection.stop_reading()
    for number in range(100):
        juliet.message(garden.jid, f"{number}")
    assert host.kernel.session(home.jid).is_open
    home.stream.connection.go_on_reading()
    juliet.message(garden.jid, "100")
    server.clock.advance(2)
    assert bodies(home) == [("received", f"{number}") for number in range(101)]
    # Then they go out at once again.
    juliet.message(garden.jid, "101")
    assert bodies(home) == [("received", "101")]
    assert host.plugin("carbons").backlogs._backlogs == {}


@pytest.mark.parametrize(
    "options", [{"max_waiting": 20}, {"max_waiting_bytes": "8 KiB"}], ids=["number", "size"]
)
def test_who_would_have_to_miss_a_copy_is_cut_off(server, juliet, options):
    host = server.host("verona.example", carbons=options)
    garden = host.connect("romeo@verona.example/garden")
    home = host.connect("romeo@verona.example/home")
    for client in (garden, home):
        client.set(ENABLE)
        client.available()
    garden.received()
    home.stream.connection.stop_reading()
    for number in range(150):
        juliet.message(garden.jid, f"{number}")
    home.stream.connection.go_on_reading()
    assert home.closed_with() == "policy-violation"
    assert len(bodies(garden)) == 150
    assert host.plugin("carbons").backlogs._backlogs == {}


def test_a_client_that_gets_what_was_kept_for_it_gets_no_copy_besides(server, host, juliet):
    garden = romeo_at(host, "garden")
    garden.stream.connection.stop_reading()
    for number in range(80):
        juliet.message(ROMEO, f"{number}")
    garden.stream.connection.go_on_reading()
    server.clock.advance(60)
    texts = [garden.receive_message().body for _ in range(80)]
    assert sorted(texts, key=int) == [f"{number}" for number in range(80)]
    assert messages(garden) == []
