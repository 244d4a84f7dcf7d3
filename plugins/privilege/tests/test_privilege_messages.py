"""Messages that a component sends in the name of the server and of its accounts."""

import pytest
from privilege_cast import DOMAIN, NS_PRIVILEGE, message

from stonechat.jid import JID
from stonechat.namespaces import NS_CARBONS, NS_CLIENT, NS_DELAY, NS_FORWARD, NS_STANZA_ID
from stonechat.stanza import Element, Message

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example/orchard"


@pytest.fixture
def host(make_host):
    host = make_host(message="outgoing")
    host.create_account("juliet")
    return host


@pytest.fixture
def entity(host, join):
    entity = join(host)
    entity.permissions()
    return entity


@pytest.fixture
def romeo(server, host):
    """A client on another host of the same server."""
    return server.host("montague.example").connect(ROMEO)


# Sent


@pytest.mark.parametrize("sender", [JULIET, "capulet.example"])
def test_a_message_is_sent_in_the_name_of_an_account_or_the_server(entity, romeo, sender):
    event = Element("http://jabber.org/protocol/pubsub#event", "event")
    delay = Element(NS_DELAY, "delay", {"stamp": "2014-11-25T14:34:32Z"})
    inner = message(event, delay, from_=sender, to=ROMEO, id="foo", type="headline")
    assert entity.forward(inner) is None
    came = romeo.receive_message()
    assert (came.from_.text, came.to.text, came.id, came.type) == (
        sender,
        ROMEO,
        "foo",
        "headline",
    )
    assert came.element.elements == [event, delay]


def test_a_message_to_nobody_is_to_the_account_itself(host, entity):
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    assert entity.forward(message(from_=JULIET)) is None
    came = juliet.receive_message()
    assert (came.from_.text, came.to.text, came.body) == (JULIET, JULIET, "Hark!")


def test_a_user_s_own_clients_get_messages_too(host, entity):
    juliet = host.connect(f"{JULIET}/balcony")
    assert entity.forward(message(from_=JULIET, to=f"{JULIET}/balcony")) is None
    assert juliet.receive_message().from_.text == JULIET


def test_to_where_nobody_is_it_is_as_any_message(host, entity):
    assert entity.forward(message(from_=JULIET, to="rosaline@capulet.example")) is None
    assert entity.received() == []


def test_ids_that_only_servers_set_are_taken_away(entity, romeo):
    marks = [
        Element(NS_STANZA_ID, "stanza-id", {"id": "1", "by": "romeo@montague.example"}),
        Element(NS_STANZA_ID, "stanza-id", {"id": "2", "by": JULIET}),
        Element(NS_STANZA_ID, "stanza-id", {"id": "3", "by": "@"}),
        Element("urn:xmpp:occupant-id:0", "occupant-id", {"id": "4"}),
    ]
    own = Element(NS_STANZA_ID, "stanza-id", {"id": "5", "by": f"room@{DOMAIN}"})
    assert entity.forward(message(*marks, own, from_=JULIET, to=ROMEO)) is None
    assert romeo.receive_message().element.elements == [own]


# Refused


@pytest.mark.parametrize(
    "sender",
    [
        f"{JULIET}/balcony",
        "capulet.example/x",
        "juliet@montague.example",
        "montague.example",
        DOMAIN,
        "rosaline@capulet.example",
        "@",
        "",
        None,
    ],
)
def test_a_message_is_from_a_bare_jid_of_the_server(entity, romeo, sender):
    assert entity.forward(message(from_=sender, to=ROMEO)) == "forbidden"
    assert romeo.received() == []


@pytest.mark.parametrize("permission", [{}, {"message": "none"}])
def test_without_the_permission_it_is_forbidden(make_host, join, permission):
    host = make_host(**permission)
    juliet = host.connect(f"{JULIET}/balcony")
    entity = join(host)
    assert entity.forward(message(from_=JULIET, to=f"{JULIET}/balcony")) == "forbidden"
    assert juliet.received() == []


def test_another_component_may_not(host, join, romeo):
    other = join(host, "filter.capulet.example")
    assert other.forward(message(from_=JULIET, to=ROMEO)) == "forbidden"
    assert romeo.received() == []


def test_nor_may_a_user(host, romeo):
    tybalt = host.connect("tybalt@capulet.example/street")
    forwarded = Element(NS_FORWARD, "forwarded", None, message(from_=JULIET, to=ROMEO))
    privilege = Element(NS_PRIVILEGE, "privilege", None, forwarded)
    tybalt.send(Message(privilege, to=JID.parse("capulet.example"), id="1"))
    assert tybalt.receive_message().type == "error"
    assert romeo.received() == []


@pytest.mark.parametrize(
    ("inner", "condition"),
    [
        ((), "bad-request"),
        ((message(from_=JULIET, to=ROMEO), message(from_=JULIET, to=ROMEO)), "bad-request"),
        ((Element(NS_CLIENT, "presence", {"from": JULIET, "to": ROMEO}),), "bad-request"),
        ((Element("jabber:server", "message", {"from": JULIET, "to": ROMEO}),), "bad-request"),
        ((message(from_="capulet.example"),), "bad-request"),
        ((message(from_=JULIET, to="@"),), "jid-malformed"),
    ],
)
def test_what_is_no_message_is_refused(entity, romeo, inner, condition):
    assert entity.forward(*inner) == condition
    assert romeo.received() == []


def test_something_has_to_be_forwarded(entity):
    privilege = Element(NS_PRIVILEGE, "privilege")
    entity.send(Message(privilege, to=JID.parse("capulet.example"), from_=entity.jid, id="1"))
    (answer,) = entity.received()
    assert answer.type == "error"


@pytest.mark.parametrize(
    "payload",
    [
        Element(NS_CARBONS, "sent"),
        Element(NS_CARBONS, "received"),
        Element(NS_PRIVILEGE, "privilege"),
        Element("urn:xmpp:delegation:2", "delegation"),
    ],
)
def test_what_is_believed_of_servers_only_is_not_sent(host, entity, payload):
    juliet = host.connect(f"{JULIET}/balcony")
    inner = message(payload, from_=JULIET, to=f"{JULIET}/balcony")
    assert entity.forward(inner) == "forbidden"
    assert juliet.received() == []


def test_nothing_goes_to_whom_the_user_has_blocked(host, entity, romeo):
    host.enable("blocking", {})
    juliet = host.connect(f"{JULIET}/balcony")
    item = Element("urn:xmpp:blocking", "item", {"jid": "romeo@montague.example"})
    juliet.set(Element("urn:xmpp:blocking", "block", None, item))
    assert entity.forward(message(from_=JULIET, to=ROMEO)) == "not-acceptable"
    assert romeo.received() == []
    assert entity.forward(message(from_="capulet.example", to=ROMEO)) is None
    assert romeo.receive_message().body == "Hark!"


def test_an_error_is_not_taken_for_a_message_to_be_sent(entity, romeo):
    forwarded = Element(NS_FORWARD, "forwarded", None, message(from_=JULIET, to=ROMEO))
    privilege = Element(NS_PRIVILEGE, "privilege", None, forwarded)
    to = JID.parse("capulet.example")
    entity.send(Message(privilege, to=to, from_=entity.jid, type="error"))
    assert romeo.received() == []
    assert entity.received() == []


def test_what_is_to_a_user_is_not_for_us(host, entity):
    juliet = host.connect(f"{JULIET}/balcony")
    assert entity.forward(message(from_=JULIET, to=ROMEO), to=f"{JULIET}/balcony") is None
    came = juliet.receive_message()
    assert came.from_ == entity.jid
