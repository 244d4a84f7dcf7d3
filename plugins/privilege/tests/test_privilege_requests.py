"""Requests in the name of users: who may send which, and how their answers come back."""

import pytest
from privilege_cast import DOMAIN, NS_PRIVILEGE, NS_PUBSUB, NS_ROSTER, NS_VERSION, request

from stonechat.auth import AuthUnavailable
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT
from stonechat.stanza import Element, Iq
from stonechat.testing import error_of

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example/orchard"
VERSION = Element(NS_VERSION, "query")
GRANTED = [
    {"namespace": NS_PUBSUB, "type": "set"},
    {"namespace": NS_VERSION, "type": "get"},
    {"namespace": NS_ROSTER, "type": "both"},
    {"namespace": "urn:example:none", "type": "none"},
]


@pytest.fixture
def host(make_host):
    host = make_host(iq=GRANTED, plugins={"version": {}}, options={"max_requests": 3})
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


# There and back


def test_a_request_is_sent_in_the_name_of_a_user(entity, romeo):
    subscribe = Element(NS_PUBSUB, "pubsub", None, Element(NS_PUBSUB, "subscribe", {"node": "x"}))
    id_ = entity.ask_for(JULIET, request(subscribe, to=ROMEO))
    iq = romeo.receive_iq()
    assert (iq.type, iq.from_.text, iq.payload) == ("set", JULIET, subscribe)
    romeo.send(iq.result(subscribe))
    answer = entity.answer_for(id_)
    assert answer.attributes == {"type": "result", "id": "sub_1", "from": ROMEO, "to": JULIET}
    assert answer.elements == [subscribe]


def test_the_answer_comes_from_the_account(entity, romeo):
    id_ = entity.ask_for(JULIET, request(to=ROMEO))
    romeo.send(romeo.receive_iq().result())
    answer = entity.answer_to(id_)
    assert (answer.type, answer.from_.text, answer.to.text) == ("result", JULIET, DOMAIN)


def test_an_error_is_an_answer_and_comes_whole(entity, romeo):
    id_ = entity.ask_for(JULIET, request(to=ROMEO))
    closed = Element("http://jabber.org/protocol/pubsub#errors", "closed-node")
    romeo.send(romeo.receive_iq().error_reply(StanzaError("not-allowed", application=closed)))
    answer = entity.answer_for(id_)
    assert (answer.get("type"), answer.get("id")) == ("error", "sub_1")
    error = answer.find("error", NS_CLIENT)
    assert error.find("closed-node", closed.namespace) is not None


def test_a_request_without_an_address_is_to_the_account_itself(host, entity):
    id_ = entity.ask_for(JULIET, request(VERSION, type="get"), type="get")
    answer = entity.answer_for(id_)
    assert (answer.get("type"), answer.get("from")) == ("error", JULIET)
    host.enable("roster", {})
    query = Element(NS_ROSTER, "query")
    id_ = entity.ask_for(JULIET, request(query, type="get"), type="get")
    answer = entity.answer_for(id_)
    assert (answer.get("type"), answer.get("to")) == ("result", JULIET)
    assert answer.elements[0].qualified_name == f"{NS_ROSTER} query"


def test_a_request_may_be_to_the_server(entity):
    id_ = entity.ask_for(JULIET, request(VERSION, type="get", to="capulet.example"), type="get")
    answer = entity.answer_for(id_)
    assert answer.get("from") == "capulet.example"
    assert answer.elements[0].find_text("name") == "Stonechat"


@pytest.mark.parametrize("sender", [JULIET, "Juliet@Capulet.example", None])
def test_it_may_say_whom_it_is_from(entity, romeo, sender):
    entity.ask_for(JULIET, request(to=ROMEO, from_=sender))
    assert romeo.receive_iq().from_.text == JULIET


def test_somebody_who_cannot_be_reached_is_an_error_in_the_answer(entity):
    id_ = entity.ask_for(JULIET, request(to="nobody@capulet.example/x"))
    answer = entity.answer_for(id_)
    assert answer.get("type") == "error"
    assert answer.get("from") == "nobody@capulet.example/x"


def test_answers_come_to_the_stream_that_has_asked(host, join, romeo):
    entities = [join(host), join(host)]
    for entity in entities:
        entity.received()
        id_ = entity.ask_for(JULIET, request(to=ROMEO))
        romeo.send(romeo.receive_iq().result())
        assert entity.answer_for(id_)


def test_the_component_waits_for_no_answer(entity, romeo):
    first = entity.ask_for(JULIET, request(to=ROMEO, id="1"))
    second = entity.ask_for(JULIET, request(to=ROMEO, id="2"))
    one, two = romeo.receive_iq(), romeo.receive_iq()
    romeo.send(two.result())
    assert entity.answer_for(second).get("id") == "2"
    romeo.send(one.result())
    assert entity.answer_for(first).get("id") == "1"


# Refused


@pytest.mark.parametrize(
    ("account", "inner", "type"),
    [
        # "the 'to' attribute ... is not a bare JID of a managed entity"
        (f"{JULIET}/balcony", request(to=ROMEO), "set"),
        ("capulet.example", request(to=ROMEO), "set"),
        ("rosaline@capulet.example", request(to=ROMEO), "set"),
        ("juliet@montague.example", request(to=ROMEO), "set"),
        (DOMAIN, request(to=ROMEO), "set"),
        # "has not the permission granted for the namespace"
        (JULIET, request(Element("urn:example:other", "x"), to=ROMEO), "set"),
        (JULIET, request(Element(f"{NS_PUBSUB}#owner", "pubsub"), to=ROMEO), "set"),
        (JULIET, request(Element("", "x"), to=ROMEO), "set"),
        # "... for the type of IQ request"
        (JULIET, request(to=ROMEO, type="get"), "get"),
        (JULIET, request(VERSION, to=ROMEO), "set"),
        (JULIET, request(Element("urn:example:none", "x"), to=ROMEO, type="get"), "get"),
        # "the namespace of the encapsulated IQ stanza"
        (JULIET, Element("jabber:server", "iq", {"type": "set", "id": "1"}), "set"),
        (JULIET, Element(NS_PRIVILEGE, "iq", {"type": "set", "id": "1"}), "set"),
        (JULIET, Element(NS_CLIENT, "message", {"type": "set", "id": "1"}), "set"),
        # "the 'from' attribute ... doesn't match"
        (JULIET, request(to=ROMEO, from_="nurse@capulet.example"), "set"),
        (JULIET, request(to=ROMEO, from_=f"{JULIET}/balcony"), "set"),
        (JULIET, request(to=ROMEO, from_="capulet.example"), "set"),
        (JULIET, request(to=ROMEO, from_="@"), "set"),
        (JULIET, request(to=ROMEO, from_=""), "set"),
        # "the 'type' attribute ... does not match"
        (JULIET, request(to=ROMEO), "get"),
        (JULIET, request(VERSION, type="get", to=ROMEO), "set"),
        (JULIET, request(to=ROMEO, type="result"), "set"),
        (JULIET, request(to=ROMEO, type=None), "set"),
    ],
)
def test_what_is_not_granted_is_forbidden(entity, romeo, account, inner, type):
    assert entity.refusal(entity.ask_for(account, inner, type=type)) == "forbidden"
    assert romeo.received() == []


@pytest.mark.parametrize(
    ("inner", "condition"),
    [
        ((), "forbidden"),
        ((request(to=ROMEO), request(to=ROMEO)), "forbidden"),
        ((request(to=ROMEO, id=None),), "bad-request"),
        ((request(to="@"),), "jid-malformed"),
        ((Element(NS_CLIENT, "iq", {"type": "set", "id": "1", "to": ROMEO}),), "bad-request"),
        (
            (
                Element(
                    NS_CLIENT,
                    "iq",
                    {"type": "set", "id": "1", "to": ROMEO},
                    Element(NS_PUBSUB, "pubsub"),
                    Element(NS_PUBSUB, "pubsub"),
                ),
            ),
            "bad-request",
        ),
    ],
)
def test_what_is_no_request_is_refused(entity, romeo, inner, condition):
    assert entity.refusal(entity.ask_for(JULIET, *inner)) == condition
    assert romeo.received() == []


def test_no_request_goes_to_the_user_s_own_clients_as_if_from_the_server(host, entity):
    juliet = host.connect(f"{JULIET}/balcony")
    push = Element(NS_ROSTER, "query", None, Element(NS_ROSTER, "item", {"jid": ROMEO}))
    id_ = entity.ask_for(JULIET, request(push, to=f"{JULIET}/balcony"))
    assert entity.refusal(id_) == "forbidden"
    assert juliet.received() == []


def test_nothing_goes_to_whom_the_user_has_blocked(host, entity, romeo):
    host.enable("blocking", {})
    juliet = host.connect(f"{JULIET}/balcony")
    item = Element("urn:xmpp:blocking", "item", {"jid": "romeo@montague.example"})
    juliet.set(Element("urn:xmpp:blocking", "block", None, item))
    error = error_of(entity.answer_to(entity.ask_for(JULIET, request(to=ROMEO))))
    assert (error.condition, error.application.name) == ("not-acceptable", "blocked")
    assert romeo.received() == []


def test_another_component_may_not(host, join, romeo):
    other = join(host, "filter.capulet.example")
    assert other.refusal(other.ask_for(JULIET, request(to=ROMEO))) == "forbidden"
    assert romeo.received() == []


@pytest.mark.parametrize("account", [JULIET, "rosaline@capulet.example", f"{JULIET}/balcony"])
@pytest.mark.parametrize("type", ["get", "set"])
def test_nor_may_a_user(host, account, type):
    tybalt = host.connect("tybalt@capulet.example/street")
    wrapper = Element(NS_PRIVILEGE, "privileged_iq", None, request(to=ROMEO, type=type))
    error = error_of(tybalt.request(type, wrapper, to=account))
    assert error.condition == "forbidden"


def test_without_the_account_backend_nobody_is_spoken_for(host, entity, monkeypatch):
    def exists(localpart):
        raise AuthUnavailable("it is down")

    monkeypatch.setattr(host.kernel.accounts, "exists", exists)
    error = error_of(entity.answer_to(entity.ask_for(JULIET, request(to=ROMEO))))
    assert (error.condition, error.type) == ("internal-server-error", "wait")


# Answers that are none


def test_only_who_was_asked_can_answer(server, host, entity, romeo):
    tybalt = host.connect("tybalt@capulet.example/street")
    id_ = entity.ask_for(JULIET, request(to=ROMEO))
    iq = romeo.receive_iq()
    for forger in (tybalt, server.kernel and romeo):
        to = JID.parse("nurse@capulet.example") if forger is romeo else iq.from_
        forger.send(Iq(type="result", id=iq.id, to=to))
    assert entity.received() == []
    romeo.send(iq.result())
    romeo.send(iq.result())
    assert entity.answer_for(id_)
    assert entity.received() == []


def test_who_does_not_answer_is_not_waited_for(server, entity, romeo):
    id_ = entity.ask_for(JULIET, request(to=ROMEO))
    iq = romeo.receive_iq()
    server.clock.advance(29)
    assert entity.received() == []
    server.clock.advance(2)
    error = error_of(entity.answer_to(id_))
    assert (error.condition, error.type) == ("remote-server-timeout", "wait")
    romeo.send(iq.result())
    assert entity.received() == []


def test_so_many_may_wait(entity, romeo):
    sent = [entity.ask_for(JULIET, request(to=ROMEO, id=str(n))) for n in range(4)]
    assert entity.refusal(sent[3]) == "resource-constraint"
    romeo.send(romeo.receive_iq().result())
    assert entity.answer_for(sent[0])
    entity.ask_for(JULIET, request(to=ROMEO, id="again"))
    assert len(romeo.received()) == 3


def test_what_waits_is_refused_when_the_plugin_stops(host, entity, romeo):
    id_ = entity.ask_for(JULIET, request(to=ROMEO))
    host.disable("privilege")
    assert entity.refusal(id_) == "service-unavailable"


def test_what_is_answered_leaves_nothing_behind(host, entity, romeo):
    ledger = host.kernel.plugins.running["privilege"].ledger
    before = len(ledger)
    entity.ask_for(JULIET, request(to=ROMEO))
    assert len(ledger) > before
    romeo.send(romeo.receive_iq().result())
    assert len(ledger) == before


def test_other_answers_go_their_way(host, entity):
    juliet = host.connect(f"{JULIET}/balcony")
    nurse = host.connect("nurse@capulet.example/house")
    juliet.send(Iq(VERSION, type="get", id="1", to=nurse.jid))
    nurse.send(nurse.receive_iq().result())
    assert juliet.answer_to("1").type == "result"
