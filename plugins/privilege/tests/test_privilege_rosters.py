"""Rosters that a component reads and changes, and the pushes that it gets."""

import pytest
from privilege_cast import NS_ROSTER

from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.stanza import Element, Iq

ROMEO = "romeo@montague.example"
JULIET = "juliet@capulet.example"
QUERY = Element(NS_ROSTER, "query")


def item(jid=ROMEO, *groups, **attributes):
    inner = (Element(NS_ROSTER, "group", None, group) for group in groups)
    child = Element(NS_ROSTER, "item", {"jid": jid, **attributes}, *inner)
    return Element(NS_ROSTER, "query", None, child)


@pytest.fixture
def make_host(make_host):
    def make(**options):
        host = make_host(plugins={"roster": {}}, **options)
        host.create_account("juliet")
        return host

    return make


@pytest.fixture
def host(make_host):
    return make_host(roster="both")


@pytest.fixture
def entity(host, join):
    entity = join(host)
    entity.permissions()
    return entity


@pytest.fixture
def roster(host):
    return host.kernel.service("roster")


def refusal(entity, type, payload=QUERY, to=JULIET):
    with pytest.raises(StanzaError) as refused:
        entity.get(payload, to=to) if type == "get" else entity.set(payload, to=to)
    return refused.value.condition


# Reading


def test_a_component_reads_a_roster(entity, roster):
    roster.set("juliet", JID.parse(ROMEO), name="Romeo", groups=["Lovers"], subscription="both")
    answer = entity.get(QUERY, to=JULIET)
    assert (answer.from_.text, answer.to) == (JULIET, entity.jid)
    assert answer.payload.get("ver")
    (found,) = answer.payload.elements
    assert found == item(ROMEO, "Lovers", name="Romeo", subscription="both").first()


def test_an_empty_roster_is_one(entity):
    assert entity.get(QUERY, to=JULIET).payload.elements == []


def test_a_roster_that_is_known_is_not_sent_again(entity, roster):
    roster.set("juliet", JID.parse(ROMEO))
    version = entity.get(QUERY, to=JULIET).payload.get("ver")
    known = Element(NS_ROSTER, "query", {"ver": version})
    assert entity.get(known, to=JULIET).payload is None
    roster.set("juliet", JID.parse("nurse@capulet.example"))
    assert len(entity.get(known, to=JULIET).payload.elements) == 2


def test_to_read_a_roster_for_somebody_makes_none_of_his_clients_interested(host, entity):
    juliet = host.connect(f"{JULIET}/balcony")
    entity.get(QUERY, to=JULIET)
    entity.set(item(), to=JULIET)
    assert juliet.received() == []


def test_there_is_no_roster_where_there_is_no_account(entity):
    assert refusal(entity, "get", to="rosaline@capulet.example") == "service-unavailable"
    assert refusal(entity, "set", item(), to="rosaline@capulet.example") == "service-unavailable"


def test_a_client_is_asked_as_any_entity_asks_it(host, entity):
    juliet = host.connect(f"{JULIET}/balcony")
    id_ = entity.ask("get", QUERY, f"{JULIET}/balcony")
    request = juliet.receive_iq()
    assert request.from_ == entity.jid
    juliet.send(request.error_reply(StanzaError("forbidden")))
    assert entity.answer_to(id_).type == "error"


# Changing


def test_a_component_changes_a_roster_and_the_user_s_clients_hear_of_it(host, entity, roster):
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.get(QUERY)
    answer = entity.set(item(ROMEO, "Rivals", name="My Romeo"), to=JULIET)
    assert (answer.type, answer.from_.text, answer.payload) == ("result", JULIET, None)
    push = juliet.receive_iq()
    assert "from" not in push.attributes
    assert push.payload.first().get("name") == "My Romeo"
    found = roster.item("juliet", JID.parse(ROMEO))
    assert (found.name, found.groups, found.subscription) == ("My Romeo", ("Rivals",), "none")
    entity.set(item(subscription="remove"), to=JULIET)
    assert juliet.receive_iq().payload.first().get("subscription") == "remove"
    assert roster.contacts("juliet") == ()


def test_it_may_no_more_than_the_user(entity, roster):
    entity.set(item(subscription="both"), to=JULIET)
    assert roster.item("juliet", JID.parse(ROMEO)).subscription == "none"
    assert refusal(entity, "set", item(JULIET)) == "not-allowed"
    assert refusal(entity, "set", item(ROMEO, "A", "A")) == "bad-request"
    assert refusal(entity, "set", QUERY) == "bad-request"
    gone = item("nurse@capulet.example", subscription="remove")
    assert refusal(entity, "set", gone) == "item-not-found"


def test_one_thing_is_done_after_the_other(entity):
    sent = [entity.ask("set", item(f"guest{n}@montague.example"), JULIET) for n in range(5)]
    sent.append(entity.ask("get", QUERY, JULIET))
    answers = [i for i in entity.received() if isinstance(i, Iq) and not i.is_request]
    assert [answer.id for answer in answers] == sent
    assert len(answers[-1].payload.elements) == 5


# Permissions


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [("none", ""), ("get", "get"), ("set", "set"), ("both", "get set")],
)
def test_only_what_is_granted_is_done(make_host, join, permission, allowed):
    entity = join(make_host(roster=permission))
    for type, payload in (("get", QUERY), ("set", item())):
        if type in allowed:
            assert entity.answer_to(entity.ask(type, payload, JULIET)).type == "result"
        else:
            assert refusal(entity, type, payload) == "forbidden"
            # As where there is no such account.
            assert refusal(entity, type, payload, "rosaline@capulet.example") == "forbidden"


def test_what_one_component_may_do_another_may_not(host, join):
    other = join(host, "filter.capulet.example")
    assert refusal(other, "get") == "forbidden"
    assert refusal(other, "set", item()) == "forbidden"


def test_users_still_see_their_own_roster_alone(host, entity):
    tybalt = host.connect("tybalt@capulet.example/street")
    assert refusal(tybalt, "get") == "forbidden"


def test_accounts_of_another_host_are_none_of_ours(server, entity):
    other = server.host("montague.example", roster={})
    other.create_account("romeo")
    assert refusal(entity, "get", to=ROMEO) == "forbidden"


# Pushes


def test_a_component_hears_of_changes_in_all_rosters(host, entity, roster):
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.set(item(name="Romeo"))
    roster.set("nurse", JID.parse(JULIET))
    roster.remove("juliet", JID.parse(ROMEO))
    assert entity.pushes() == [
        (JULIET, {"jid": ROMEO, "name": "Romeo", "subscription": "none"}),
        ("nurse@capulet.example", {"jid": JULIET, "subscription": "none"}),
        (JULIET, {"jid": ROMEO, "subscription": "remove"}),
    ]


def test_subscriptions_are_changes_too(host, entity):
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.send("<presence type='subscribe' to='nurse@capulet.example'/>")
    assert entity.pushes() == [
        (
            JULIET,
            {"jid": "nurse@capulet.example", "subscription": "none", "ask": "subscribe"},
        )
    ]


def test_what_it_answers_to_a_push_goes_nowhere(host, entity, roster):
    juliet = host.connect(f"{JULIET}/balcony")
    roster.set("juliet", JID.parse(ROMEO))
    push = entity.receive_iq_set()
    entity.answer(push)
    entity.refuse(push, "feature-not-implemented")
    assert juliet.received() == []
    assert entity.received() == []


def test_each_stream_gets_them(host, entity, roster, join):
    second = join(host)
    roster.set("juliet", JID.parse(ROMEO))
    assert len(entity.pushes()) == len(second.pushes()) == 1
    second.drop()
    roster.remove("juliet", JID.parse(ROMEO))
    assert len(entity.pushes()) == 1


@pytest.mark.parametrize(
    "options", [{}, {"roster": "set"}, {"roster": "both", "push": False}, {"roster": "none"}]
)
def test_who_may_not_have_pushes_gets_none(make_host, join, options):
    host = make_host(**options)
    entity = join(host)
    host.kernel.service("roster").set("juliet", JID.parse(ROMEO))
    assert entity.pushes() == []
