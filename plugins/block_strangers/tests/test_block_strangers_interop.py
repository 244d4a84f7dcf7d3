"""slixmpp meets a stranger, and then a contact, on a server that is a process of its own."""

import pytest

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}, "montague.example": {}},
            "plugins": {"roster": {}, "block_strangers": {}},
        }
    )
    process.register(JULIET, ROMEO)
    return process


def test_a_stranger_becomes_a_contact(process, slixmpp):
    juliet = slixmpp.login(process, f"{JULIET}/balcony")
    romeo = slixmpp.login(process, f"{ROMEO}/orchard")
    romeo.say(juliet.jid, "But soft!")
    assert romeo.error_of(romeo.message()).condition == "policy-violation"
    juliet.run(lambda: juliet.xmpp.update_roster(ROMEO, subscription="none"))
    romeo.say(juliet.jid, "What light?")
    assert juliet.message()["body"] == "What light?"
