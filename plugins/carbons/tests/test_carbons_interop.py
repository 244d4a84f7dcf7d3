"""slixmpp on several devices, on a server that is a process of its own."""

import pytest

from stonechat.errors import StanzaError

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"roster": {}, "disco": {}, "ping": {}, "carbons": {}},
        }
    )
    process.register(JULIET, ROMEO)
    return process


@pytest.fixture
def login(process, slixmpp):
    def login(jid, *, carbons=True):
        device = slixmpp.login(process, jid, "xep_0280", "xep_0334")
        if carbons:
            device.call("xep_0280", "enable")
        device.available()
        return device

    return login


def next_of(device):
    """The next message or copy: which of them, the sender, and the text."""
    message = device.message()
    directions = ("carbon_received", "carbon_sent")
    found = [name for name in directions if message.get_plugin(name, check=True)]
    direction = found[0] if found else ""
    inner = message[direction] if direction else message
    return direction, inner["from"].full, inner["body"]


def test_slixmpp_sees_both_sides_on_every_device(process, login):
    orchard = login(f"{ROMEO}/orchard")
    home = login(f"{ROMEO}/home")
    balcony = login(f"{JULIET}/balcony")
    chamber = login(f"{JULIET}/chamber")
    old = login(f"{JULIET}/old", carbons=False)
    devices = (home, orchard, balcony, chamber, old)
    for device in devices:
        device.rest()

    features = orchard.features("capulet.example")
    assert {"urn:xmpp:carbons:2", "urn:xmpp:carbons:rules:0"} <= features

    lines = [(orchard, balcony, "She speaks"), (balcony, orchard, "O Romeo"), (home, chamber, "I")]
    for sender, receiver, body in lines:
        sender.say(receiver.jid, body)
        here, there = (
            ((orchard, home), (balcony, chamber))
            if sender in (orchard, home)
            else ((balcony, chamber), (orchard, home))
        )
        for device in there:
            direction = "" if device is receiver else "carbon_received"
            assert next_of(device) == (direction, sender.jid, body)
        for device in here:
            if device is not sender:
                assert next_of(device) == ("carbon_sent", sender.jid, body)

    secret = orchard.xmpp.make_message(balcony.jid, "Lady", mtype="chat")
    secret["carbon_private"] = True
    secret.enable("no-copy")
    orchard.run(secret.send)
    assert next_of(balcony) == ("", orchard.jid, "Lady")

    home.call("xep_0280", "disable")
    orchard.say(balcony.jid, "by yonder")
    assert next_of(balcony) == ("", orchard.jid, "by yonder")
    assert next_of(chamber) == ("carbon_received", orchard.jid, "by yonder")
    forged = home.xmpp.make_iq_set(ito=JULIET)
    forged.enable("carbon_enable")
    with pytest.raises(StanzaError) as refused:
        home.run(forged.send)
    assert refused.value.condition == "not-allowed"
    for device in devices:
        assert device.rest() == []
    assert process.faults == []
