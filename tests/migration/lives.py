"""What people do at a server before they move, and what they find again afterwards."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from elders import CAPULET, MONTAGUE

from stonechat.testing.event_loop import EventLoop
from stonechat.testing.slixmpp_peers import SlixmppClient

JULIET, ROMEO, NURSE = f"juliet@{CAPULET}", f"romeo@{CAPULET}", f"nurse@{CAPULET}"
PASSWORDS = {
    JULIET: "Wherefore art thou?",
    ROMEO: "But, soft! what light\u2026",
    NURSE: "Anon, anon! <&'\">",
    f"benvolio@{MONTAGUE}": "Part, fools!",
}

_CARD = (
    "<vCard xmlns='vcard-temp'><FN>Julia Capulet \u2665</FN><N><GIVEN>Juliet</GIVEN></N></vCard>"
)
_PRIVATE = (
    "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'>"
    "<defaultnick>Juliet</defaultnick></exodus></query>"
)


_NICK = (
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'>"
    "<publish node='http://jabber.org/protocol/nick'><item id='current'>"
    "<nick xmlns='http://jabber.org/protocol/nick'>Julie</nick></item></publish></pubsub>"
)


def xml(text: str) -> ET.Element:
    """What slixmpp takes for the payload of a request."""
    return ET.fromstring(text)  # noqa: S314 - our own text


def client(
    loop: EventLoop, port: int, account: str, resource: str, **options: Any
) -> SlixmppClient:
    person = SlixmppClient(loop, f"{account}/{resource}", PASSWORDS[account], port=port, **options)
    # The connection is one within the machine.
    person.xmpp.plugin["feature_mechanisms"].unencrypted_scram = True
    person.connect()
    return person


def live(loop: EventLoop, port: int, *, blocking: str) -> None:
    """Let people live; `blocking` is the request by which Juliet blocks Tybalt."""
    juliet = client(loop, port, JULIET, "balcony")
    romeo = client(loop, port, ROMEO, "orchard")
    nurse = client(loop, port, NURSE, "kitchen")
    for person in (juliet, romeo, nurse):
        person.get_roster()
        person.send_presence()
        person.sync()
    juliet.run(
        lambda: juliet.xmpp.update_roster(ROMEO, name="My Romeo", groups=["Friends", "B\u00e4lle"])
    )
    befriend(juliet, romeo, JULIET, ROMEO)
    befriend(romeo, juliet, ROMEO, JULIET)
    nurse.send_presence(to=JULIET, type="subscribe")
    juliet.presence(NURSE, "subscribe")
    juliet.request("set", xml(_CARD))
    juliet.request("set", xml(_PRIVATE))
    juliet.request("set", xml(_NICK))
    for request in blocking.split("\n"):
        juliet.request("set", xml(request))
    juliet.say(ROMEO, "Wherefore art thou Romeo?")
    romeo.message("Wherefore art thou Romeo?")
    romeo.say(JULIET, 'I take thee at thy word: <Call me but "love">\n\u2764')
    juliet.message()
    juliet.leave()
    romeo.presence(JULIET, "unavailable")
    # Each is sent once the one before is there: who has sent it is another matter.
    romeo.say(JULIET, "Lady, by yonder blessed moon I swear")
    romeo.sync()
    nurse.say(JULIET, "Madam!")
    nurse.sync()
    for person in (romeo, nurse):
        person.leave()


def befriend(one: SlixmppClient, other: SlixmppClient, one_jid: str, other_jid: str) -> None:
    """The one sees the other's presence from now on."""
    one.send_presence(to=other_jid, type="subscribe")
    other.presence(one_jid, "subscribe")
    other.send_presence(to=one_jid, type="subscribed")
    one.presence(other_jid, "subscribed")


def find_again(loop: EventLoop, port: int, mechanism: str = "SCRAM-SHA-1") -> None:
    """All that Juliet has left behind is at the new server."""
    juliet = client(loop, port, JULIET, "tomb", sasl_mech=mechanism, plugins=("xep_0313",))
    roster = juliet.get_roster()
    romeo = roster[ROMEO]
    assert (romeo["name"], romeo["subscription"]) == ("My Romeo", "both")
    assert set(romeo["groups"]) == {"Friends", "B\u00e4lle"}
    card = juliet.request("get", xml("<vCard xmlns='vcard-temp'/>"))
    assert card.xml.find(".//{vcard-temp}FN").text == "Julia Capulet \u2665"
    private = juliet.request(
        "get",
        xml("<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'/></query>"),
    )
    assert private.xml.find(".//{exodus:prefs}defaultnick").text == "Juliet"
    blocked = juliet.request("get", xml("<blocklist xmlns='urn:xmpp:blocking'/>"))
    items = blocked.xml.findall(".//{urn:xmpp:blocking}item")
    assert [item.get("jid") for item in items] == [f"tybalt@{CAPULET}"]
    juliet.send_presence()
    for body in ("Lady, by yonder blessed moon I swear", "Madam!"):
        message = juliet.message(body)
        assert message.xml.find("{urn:xmpp:delay}delay") is not None
    juliet.presence(NURSE, "subscribe")
    archived = [body for _, _, body in archive_of(juliet)]
    assert archived == [
        "Wherefore art thou Romeo?",
        'I take thee at thy word: <Call me but "love">\n\u2764',
        "Lady, by yonder blessed moon I swear",
        "Madam!",
    ]
    juliet.leave()
    # Both ends of a subscription have moved.
    romeo = client(loop, port, ROMEO, "tomb", sasl_mech=mechanism)
    assert romeo.get_roster()[JULIET]["subscription"] == "both"
    romeo.leave()


def archive_of(person: SlixmppClient) -> list[tuple[str, str, str]]:
    """(sender, recipient, text) of all archived messages."""

    async def collect() -> list[tuple[str, str, str]]:
        found = []
        results = person.xmpp.plugin["xep_0313"].iterate(rsm={"max": 10})
        async for message in results:
            forwarded = message["mam_result"]["forwarded"]["stanza"]
            found.append((str(forwarded["from"]), str(forwarded["to"]), forwarded["body"]))
        return found

    return person.run(collect)
