"""slixmpp writes privacy lists, on a server that is a process of its own."""

import pytest

from stonechat.errors import StanzaError

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"roster": {}, "disco": {}, "privacy": {}},
        }
    )
    process.register(JULIET, ROMEO)
    return process


@pytest.fixture
def login(process, slixmpp):
    return lambda jid: slixmpp.login(process, jid, "xep_0016")


def names(answer, kind):
    found = answer.xml.iter(f"{{jabber:iq:privacy}}{kind}")
    return sorted(element.get("name") for element in found)


def test_lists_are_written_used_and_outlive_a_kill(process, login):
    juliet, romeo = login(f"{JULIET}/balcony"), login(f"{ROMEO}/orchard")
    rules = [
        {"type": "jid", "value": ROMEO, "action": "deny", "order": "1", "message": True},
        {"type": "subscription", "value": "none", "action": "allow", "order": "2"},
    ]
    juliet.call("xep_0016", "edit_list", "closed", rules)
    juliet.call("xep_0016", "make_default", "closed")
    juliet.call("xep_0016", "edit_list", "open", rules[1:])
    listed = juliet.call("xep_0016", "get_list", "closed")
    items = [dict(item.attrib) for item in listed.xml.iter("{jabber:iq:privacy}item")]
    assert items[0] == {"type": "jid", "value": ROMEO, "action": "deny", "order": "1"}
    assert items[1]["type"] == "subscription"

    romeo.say(juliet.jid, "But soft!")
    assert romeo.error_of(romeo.message()).condition == "service-unavailable"
    juliet.call("xep_0016", "activate", "open")
    romeo.say(juliet.jid, "What light?")
    assert juliet.message()["body"] == "What light?"
    juliet.call("xep_0016", "deactivate")
    romeo.say(juliet.jid, "It is the east!")
    assert romeo.error_of(romeo.message()).condition == "service-unavailable"

    juliet.call("xep_0016", "remove_list", "open")
    with pytest.raises(StanzaError) as refused:
        juliet.call("xep_0016", "get_list", "open")
    assert refused.value.condition == "item-not-found"

    # Robustness promise R2.
    process.kill()
    process.start()
    answer = login(f"{JULIET}/balcony").call("xep_0016", "get_privacy_lists")
    assert (names(answer, "default"), names(answer, "list")) == (["closed"], ["closed"])
