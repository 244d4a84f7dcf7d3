"""slixmpp announces by address on a server that is a process of its own."""

import pytest

HOST, OTHER = "capulet.example", "montague.example"
NURSE, JULIET, PARIS = (f"{name}@{HOST}" for name in ("nurse", "juliet", "paris"))
ROMEO = f"romeo@{OTHER}"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {HOST: {}, OTHER: {}},
            "plugins": {"announce": {}, "offline": {}, "ping": {}},
            "access": {"admin": {"users": [NURSE]}},
        }
    )
    process.register(NURSE, JULIET, PARIS, ROMEO)
    return process


def test_slixmpp_announces_and_who_comes_later_hears_it(process, slixmpp):
    nurse = slixmpp.available(process, f"{NURSE}/house")
    juliet = slixmpp.available(process, f"{JULIET}/balcony")
    romeo = slixmpp.available(process, f"{ROMEO}/orchard")
    juliet.say(f"{HOST}/announce/all", "Let me", "normal")
    assert juliet.error_of(juliet.message()).condition == "forbidden"

    nurse.say(f"{HOST}/announce/online", "Madam!", "normal")
    message = juliet.message()
    assert (message["type"], message["body"], message["from"]) == ("headline", "Madam!", HOST)
    nurse.say(f"{HOST}/announce/all-hosts/motd", "A feast", "normal")
    assert juliet.message()["body"] == "A feast"
    assert romeo.message()["body"] == "A feast"
    nurse.say(f"{HOST}/announce/all", "Old feuds are over", "normal")
    assert juliet.message()["body"] == "Old feuds are over"
    assert romeo.rest() == []

    process.restart()
    paris = slixmpp.available(process, f"{PARIS}/street")
    bodies = {paris.message()["body"], paris.message()["body"]}
    assert bodies == {"A feast", "Old feuds are over"}
    assert slixmpp.available(process, f"{JULIET}/chamber").rest() == []
    assert "feast" not in process.log
    assert process.run("motd-show", "--host", "*", "--json").count("A feast") == 2
