"""slixmpp asks too often, on a server that is a process of its own."""

import pytest

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}, "montague.example": {}},
            "plugins": {"roster": {}, "pres_counter": {"count": 2, "interval": "1 h"}},
        }
    )
    process.register(JULIET, ROMEO)
    return process


def test_too_many_requests(process, slixmpp):
    juliet = slixmpp.available(process, f"{JULIET}/balcony")
    romeo = slixmpp.login(process, f"{ROMEO}/orchard")
    romeo.send_presence(to=JULIET, type="subscribe")
    juliet.presence(ROMEO, "subscribe")
    for number in range(2):
        romeo.send_presence(to=f"servant{number}@capulet.example", type="subscribe")
    error = romeo.error_of(romeo.presence("servant1@capulet.example", "error"))
    assert (error.condition, error.type) == ("policy-violation", "wait")
    (line,) = [line for line in process.log.splitlines() if "too much presence" in line]
    assert ROMEO in line
