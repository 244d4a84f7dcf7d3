"""slixmpp writes to many, by way of a server that is a process of its own (XEP-0033)."""

import pytest

NS_ADDRESS = "http://jabber.org/protocol/address"
ROMEO = "romeo@capulet.example"
PEOPLE = ["juliet@capulet.example", "nurse@capulet.example", "benvolio@montague.example"]


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}, "montague.example": {}},
            "plugins": {"roster": {}, "disco": {}, "multicast": {}},
        }
    )
    process.register(ROMEO, *PEOPLE)
    return process


def find_service(person):
    """As "Multicast service" describes it."""
    items = person.call("xep_0030", "get_items", jid="capulet.example")
    for jid, _, _ in items["disco_items"]["items"]:
        if NS_ADDRESS in person.features(jid):
            return jid
    raise AssertionError("there is no multicast service")


def test_one_stanza_reaches_many(process, slixmpp):
    romeo = slixmpp.available(process, f"{ROMEO}/orchard", "xep_0033")
    people = [slixmpp.available(process, f"{jid}/home", "xep_0033") for jid in PEOPLE]
    service = find_service(romeo)

    message = romeo.xmpp.make_message(mto=service, mbody="What light?", mtype="chat")
    for type_, jid in zip(("to", "bcc", "cc"), PEOPLE, strict=True):
        message["addresses"].add_address(atype=type_, jid=jid)
    romeo.run(message.send)
    for person in people:
        came = person.message("What light?")
        assert came["from"] == romeo.jid
        open_ = [came["addresses"][type_][0] for type_ in ("to", "cc")]
        assert [str(address["jid"]) for address in open_] == [PEOPLE[0], PEOPLE[2]]
        assert all(address["delivered"] for address in open_)
        blind = [str(address["jid"]) for address in came["addresses"]["bcc"]]
        assert blind == ([PEOPLE[1]] if person is people[1] else [])

    presence = romeo.xmpp.make_presence(pto=service)
    for jid in PEOPLE:
        presence["addresses"].add_address(atype="to", jid=jid)
    romeo.run(presence.send)
    for person in people:
        person.presence(romeo.jid)
    romeo.vanish()
    for person in people:
        person.presence(romeo.jid, "unavailable")
    assert process.faults == []
