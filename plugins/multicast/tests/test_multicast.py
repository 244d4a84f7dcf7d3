"""One message for many people of the host (XEP-0033)."""

from types import SimpleNamespace

import pytest

from stonechat.custody import Custody
from stonechat.forms import Form, find_form
from stonechat.namespaces import NS_DISCO_INFO, NS_DISCO_ITEMS
from stonechat.stanza import Element, Stanza

NS_ADDRESS = "http://jabber.org/protocol/address"
MULTICAST = "multicast.capulet.example"
JULIET = "juliet@capulet.example"
NURSE = "nurse@capulet.example"
TYBALT = "tybalt@capulet.example"


# Delivered


def test_all_get_the_message_from_its_sender(romeo, juliet, nurse, talk):
    talk.say(romeo, ("to", JULIET), ("cc", NURSE), body="What light?")
    for client, address in ((juliet, JULIET), (nurse, NURSE)):
        message = client.receive_message()
        assert (message.from_, message.to.text) == (romeo.jid, address)
        assert (message.body, message.type, message.id) == ("What light?", "chat", "m1")
        assert talk.listed(message) == [("to", JULIET, True), ("cc", NURSE, True)]
    assert romeo.received() == []


def test_a_full_address_gets_it_there(host, romeo, juliet, nurse, talk):
    chamber = host.connect(f"{JULIET}/chamber")
    chamber.available(10)
    juliet.received()
    chamber.received()
    talk.say(romeo, ("to", juliet.jid), ("to", NURSE))
    assert juliet.receive_message().to == juliet.jid
    assert chamber.received() == []
    assert nurse.receive_message()


def test_who_is_named_twice_gets_it_once(romeo, juliet, talk):
    talk.say(romeo, ("to", JULIET), ("cc", "JULIET@capulet.example"), ("bcc", JULIET))
    (message,) = juliet.received()
    assert talk.listed(message) == [("to", JULIET, True), ("cc", "JULIET@capulet.example", True)]


def test_oneself_may_be_among_them(romeo, juliet, talk):
    romeo.available()
    romeo.received()
    talk.say(romeo, ("to", JULIET), ("to", romeo.bare))
    assert romeo.receive_message().body == juliet.receive_message().body == "But soft!"


def test_all_else_in_the_message_is_passed_on(romeo, juliet, talk):
    romeo.send(
        f"<message to='{MULTICAST}' xml:lang='it'><subject>Love</subject>"
        f"<addresses xmlns='{NS_ADDRESS}'><address type='to' jid='{JULIET}' desc='My lady'"
        " node='heart'><group xmlns='urn:example:groups'>beauties</group></address>"
        "</addresses><body>But &amp; soft!</body><thread>t1</thread></message>"
    )
    message = juliet.receive_message()
    names = [element.name for element in message.element.elements]
    assert names == ["subject", "addresses", "body", "thread"]
    assert (message.lang, message.body) == ("it", "But & soft!")
    (address,) = message.find(NS_ADDRESS, "addresses").elements
    assert address.attributes == {
        "type": "to",
        "jid": JULIET,
        "desc": "My lady",
        "node": "heart",
        "delivered": "true",
    }
    assert address.first().text == "beauties"


def test_blind_copies_are_shown_to_nobody_else(host, romeo, juliet, nurse, talk):
    tybalt = host.connect(f"{TYBALT}/street")
    tybalt.available()
    tybalt.received()
    talk.say(romeo, ("bcc", NURSE), ("to", JULIET), ("bcc", TYBALT))
    assert talk.listed(juliet.receive_message()) == [("to", JULIET, True)]
    assert talk.listed(nurse.receive_message()) == [("bcc", NURSE, False), ("to", JULIET, True)]
    assert talk.listed(tybalt.receive_message()) == [("to", JULIET, True), ("bcc", TYBALT, False)]


def test_where_all_are_blind_each_sees_itself(romeo, juliet, nurse, talk):
    talk.say(romeo, ("bcc", JULIET), ("bcc", NURSE))
    assert talk.listed(juliet.receive_message()) == [("bcc", JULIET, False)]
    assert talk.listed(nurse.receive_message()) == [("bcc", NURSE, False)]


def test_remarks_are_kept_and_nothing_is_sent_there(romeo, juliet, nurse, talk):
    remarks = [
        ("replyto", NURSE),
        ("replyroom", "garden@conference.capulet.example"),
        ("noreply", ""),
        ("ofrom", "romeo@montague.example/orchard"),
    ]
    talk.say(romeo, ("to", JULIET), *remarks, ("replyto", "", ("uri", "mailto:r@example.org")))
    assert talk.listed(juliet.receive_message()) == [
        ("to", JULIET, True),
        ("replyto", NURSE, False),
        ("replyroom", "garden@conference.capulet.example", False),
        ("noreply", "", False),
        ("ofrom", "romeo@montague.example/orchard", False),
        ("replyto", "mailto:r@example.org", False),
    ]
    assert nurse.received() == romeo.received() == []


@pytest.mark.parametrize("value", ["true", "1"])
def test_who_has_it_already_gets_it_no_more(romeo, juliet, nurse, talk, value):
    talk.say(romeo, ("to", JULIET, ("delivered", value)), ("to", NURSE))
    message = nurse.receive_message()
    assert [jid for _, jid, _ in talk.listed(message)] == [JULIET, NURSE]
    delivered = [address.get("delivered") for address in message.element.elements[0].elements]
    assert delivered == [value, "true"]
    assert juliet.received() == []


def test_another_value_says_nothing_of_the_kind(romeo, juliet, talk):
    talk.say(romeo, ("to", JULIET, ("delivered", "false")))
    assert talk.listed(juliet.receive_message()) == [("to", JULIET, True)]


def test_a_blind_copy_that_was_delivered_is_shown_to_nobody(romeo, juliet, nurse, talk):
    talk.say(romeo, ("bcc", NURSE, ("delivered", "true")), ("to", JULIET))
    assert talk.listed(juliet.receive_message()) == [("to", JULIET, True)]
    assert nurse.received() == []


def test_where_all_have_it_nothing_happens(romeo, juliet, talk):
    talk.say(romeo, ("to", JULIET, ("delivered", "true")))
    assert juliet.received() == romeo.received() == []


@pytest.mark.parametrize("type", ["to", "bcc"])
def test_the_service_among_the_addresses_makes_no_circle(server, romeo, juliet, talk, type):
    below = [("to", f"{name}@{MULTICAST}") for name in ("a", "b")]
    talk.say(romeo, (type, MULTICAST), ("to", JULIET), *below)
    assert len(juliet.received()) == 1
    # There is nobody below the domain.
    assert talk.refusals(romeo) == [("item-not-found", f"{name}@{MULTICAST}") for name in "ab"]
    assert server.errors == []


def test_who_is_not_there_is_told_by_the_server(romeo, juliet, talk):
    talk.say(romeo, ("to", "nobody@capulet.example"), ("to", JULIET))
    assert juliet.receive_message()
    assert talk.refusals(romeo) == [("service-unavailable", "nobody@capulet.example")]


def test_people_of_another_host_of_the_node_get_it(server, host, romeo, juliet, talk):
    montague = server.host("montague.example", multicast={})
    benvolio = montague.connect("benvolio@montague.example/hall")
    benvolio.available()
    addresses = ("to", JULIET), ("to", benvolio.bare), ("bcc", "paris@montague.example")
    talk.say(romeo, *addresses)
    server.settle()
    listed = [("to", JULIET, True), ("to", "benvolio@montague.example", True)]
    for client in (juliet, benvolio):
        message = client.receive_message()
        assert message.from_ == romeo.jid
        assert talk.listed(message) == listed


# Refused


def refused(romeo, juliet, talk):
    """What the one error says; nobody has got anything."""
    assert juliet.received() == []
    (refusal,) = talk.refusals(romeo)
    condition, sender = refusal
    assert sender == MULTICAST
    return condition


@pytest.mark.parametrize(
    "address",
    [
        "",
        "type='to'",
        "type='cc' desc='My lady'",
        "type='to' node='heart'",
        "type='replyto'",
        "type='replyroom' desc='garden'",
        f"jid='{JULIET}'",
        f"type='through' jid='{JULIET}'",
        f"type='to' jid='{JULIET}' uri='sip:{JULIET}'",
        "type='to' uri='sip:juliet@example.org' node='heart'",
        f"type='replyto' jid='{JULIET}' uri='mailto:{JULIET}'",
    ],
)
def test_a_malformed_address_is_bad(romeo, juliet, talk, address):
    romeo.send(
        f"<message to='{MULTICAST}'><addresses xmlns='{NS_ADDRESS}'>"
        f"<address type='to' jid='{JULIET}'/><address {address}/></addresses></message>"
    )
    assert refused(romeo, juliet, talk) == "bad-request"


@pytest.mark.parametrize(
    "address",
    [
        "type='to' jid='ju liet@capulet.example'",
        "type='bcc' jid='@'",
        "type='replyto' jid='a b@c'",
        "type='to' uri='sip:juliet@example.org'",
        "type='bcc' uri='no uri'",
    ],
)
def test_an_address_that_is_none_is_a_malformed_jid(romeo, juliet, talk, address):
    romeo.send(
        f"<message to='{MULTICAST}'><addresses xmlns='{NS_ADDRESS}'>"
        f"<address type='to' jid='{JULIET}'/><address {address}/></addresses></message>"
    )
    assert refused(romeo, juliet, talk) == "jid-malformed"


@pytest.mark.parametrize(
    "inside",
    [
        "",
        f"<addresses xmlns='{NS_ADDRESS}'/>",
        f"<addresses xmlns='{NS_ADDRESS}'><address type='noreply'/></addresses>",
        2 * f"<addresses xmlns='{NS_ADDRESS}'><address type='to' jid='{JULIET}'/></addresses>",
    ],
)
def test_a_message_that_names_nobody_is_bad(romeo, juliet, talk, inside):
    romeo.send(f"<message to='{MULTICAST}'><body>!</body>{inside}</message>")
    assert refused(romeo, juliet, talk) == "bad-request"


@pytest.mark.parametrize("below", [f"somebody@{MULTICAST}", f"{MULTICAST}/somewhere"])
def test_only_the_service_itself_takes_them(romeo, juliet, talk, below):
    talk.say(romeo, ("to", JULIET), to=below)
    assert juliet.received() == []
    assert len(talk.refusals(romeo)) == 1


def test_a_request_is_not_for_many(romeo, juliet):
    payload = f"<addresses xmlns='{NS_ADDRESS}'><address type='to' jid='{JULIET}'/></addresses>"
    answer = romeo.request("set", payload, MULTICAST)
    assert answer.element.find("error").first().name == "service-unavailable"
    assert juliet.received() == []


def test_errors_go_nowhere(romeo, juliet, talk):
    talk.say(romeo, ("to", JULIET), type="error")
    assert juliet.received() == romeo.received() == []


# Limits


@pytest.mark.parametrize("options", [{"local_limits": {"message": 2, "presence": 1}}])
def test_there_are_so_many_addresses_at_most(romeo, juliet, nurse, talk):
    talk.say(romeo, ("to", JULIET), ("bcc", NURSE), ("to", TYBALT, ("delivered", "true")))
    assert len(juliet.received()) == len(nurse.received()) == 1
    talk.say(romeo, ("to", JULIET), ("cc", NURSE), ("bcc", NURSE))
    assert refused(romeo, juliet, talk) == "not-acceptable"
    assert nurse.received() == []
    # Remarks are none, and presence has a limit of its own.
    talk.say(romeo, ("to", JULIET), ("to", NURSE), ("replyto", NURSE), ("noreply", ""))
    assert len(juliet.received()) == 1
    talk.show(romeo, ("to", JULIET), ("to", NURSE))
    assert refused(romeo, juliet, talk) == "not-acceptable"


def test_others_have_their_turn_meanwhile(romeo, juliet, talk, monkeypatch):
    turns = []
    monkeypatch.setattr("stonechat_multicast.gevent", SimpleNamespace(sleep=turns.append))
    talk.say(romeo, *(("to", f"nobody{number}@capulet.example") for number in range(40)))
    assert turns == [0]


def test_the_usual_limit_is_what_the_xep_recommends(romeo, juliet, talk):
    many = [("to", JULIET)] * 50
    talk.say(romeo, *many)
    assert len(juliet.received()) == 1
    talk.say(romeo, *many, ("to", JULIET))
    assert refused(romeo, juliet, talk) == "not-acceptable"


# Who may


@pytest.mark.parametrize("options", [{"access": "heralds"}])
def test_who_may_is_the_operators_choice(host, romeo, juliet, talk):
    talk.say(romeo, ("to", JULIET))
    assert refused(romeo, juliet, talk) == "forbidden"
    talk.show(romeo, ("to", JULIET))
    assert refused(romeo, juliet, talk) == "forbidden"
    paris = host.connect("paris@capulet.example/hall")
    talk.say(paris, ("to", JULIET))
    assert juliet.receive_message().from_ == paris.jid


def abroad(*addresses, kind="message", sender="hamlet@elsewhere.example/elsinore"):
    inside = "".join(f"<address type='{type_}' jid='{jid}'/>" for type_, jid in addresses)
    return (
        f"<{kind} from='{sender}' to='{MULTICAST}'>"
        f"<addresses xmlns='{NS_ADDRESS}'>{inside}</addresses></{kind}>"
    )


def error_of(world):
    (stanza,) = world.came
    world.came.clear()
    assert (stanza.type, stanza.from_.text) == ("error", MULTICAST)
    return stanza.element.find("error").first().name


def test_another_server_reaches_people_of_the_host(world, juliet, nurse, talk):
    world.say(abroad(("to", JULIET), ("bcc", NURSE)))
    message = juliet.receive_message()
    assert message.from_.text == "hamlet@elsewhere.example/elsinore"
    assert talk.listed(message) == [("to", JULIET, True)]
    assert talk.listed(nurse.receive_message()) == [("to", JULIET, True), ("bcc", NURSE, False)]


def test_nothing_is_relayed_for_another_server(world, juliet):
    world.say(abroad(("to", JULIET), ("to", "ophelia@noheader.example")))
    assert error_of(world) == "forbidden"
    assert juliet.received() == []


@pytest.mark.parametrize("options", [{"inbound_access": "friends"}])
def test_whom_other_servers_reach_is_the_operators_choice(world, juliet):
    world.say(abroad(("to", JULIET)))
    assert error_of(world) == "forbidden"
    world.say(abroad(("to", JULIET), sender="a@header1.example"))
    assert len(juliet.received()) == 1


@pytest.mark.parametrize("options", [{"remote_limits": {"message": 1}}])
def test_other_servers_have_limits_of_their_own(world, juliet, nurse):
    world.say(abroad(("to", JULIET), ("to", NURSE)))
    assert error_of(world) == "not-acceptable"
    world.say(abroad(("to", JULIET), ("to", NURSE), kind="presence"))
    assert len(juliet.received()) == len(nurse.received()) == 1


# Discovery


def test_the_service_is_discovered(romeo):
    items = romeo.get(Element(NS_DISCO_ITEMS, "query"), "capulet.example").payload
    assert (MULTICAST, "Multicast") in [(i.get("jid"), i.get("name")) for i in items.elements]
    info = romeo.get(Element(NS_DISCO_INFO, "query"), MULTICAST).payload
    assert NS_ADDRESS in [feature.get("var") for feature in info.find_all("feature")]
    (identity,) = info.find_all("identity")
    assert (identity.get("category"), identity.get("type")) == ("service", "multicast")


@pytest.mark.parametrize(
    "options",
    [{"local_limits": {"message": 30}, "remote_limits": {"presence": 21}, "name": "Heralds"}],
)
def test_it_says_how_many_addresses_it_takes(server, romeo):
    paris = server.host("montague.example").connect("paris@montague.example")
    for client, message, presence in ((romeo, "30", "50"), (paris, "25", "21")):
        for _ in range(2):
            info = client.get(Element(NS_DISCO_INFO, "query"), MULTICAST).payload
            form = Form.read(find_form(info), form_type=NS_ADDRESS, type="result")
            assert form.form_type == NS_ADDRESS
            assert (form.get("message"), form.get("presence")) == (message, presence)
            assert info.find("identity").get("name") == "Heralds"


def test_a_node_of_it_does_not_exist(romeo):
    query = Element(NS_DISCO_INFO, "query", {"node": "x"})
    assert romeo.request("get", query, MULTICAST).type == "error"


@pytest.mark.parametrize("options", [{"domain": "heralds.@HOST@"}])
def test_the_domain_is_the_operators_choice(romeo, juliet, talk):
    talk.say(romeo, ("to", JULIET), to="heralds.capulet.example")
    assert juliet.receive_message()


# Together with stream management


def test_a_message_is_safe_when_all_of_it_is(host, romeo, juliet, nurse, monkeypatch):
    """The copies answer for the sender's stanza (XEP-0198): custody is theirs, too."""
    message = Stanza.from_bytes(abroad(("to", JULIET), sender=romeo.jid).encode())
    message.custody = Custody(lambda: None)
    sent = []
    monkeypatch.setattr(host.plugin("multicast").host, "route", sent.append)
    host.plugin("multicast").receive_message(message)
    (copy,) = sent
    assert copy.custody is message.custody


def test_a_stanza_that_runs_in_a_circle_is_stopped(host, romeo, monkeypatch):
    """Copies have come as far as what they are copies of."""
    message = Stanza.from_bytes(abroad(("to", JULIET), sender=romeo.jid).encode())
    message.hops = 7
    sent = []
    monkeypatch.setattr(host.plugin("multicast").host, "route", sent.append)
    host.plugin("multicast").receive_message(message)
    assert [copy.hops for copy in sent] == [7]
