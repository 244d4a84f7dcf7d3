"""slixmpp keeps the log of a server that is a process of its own."""

import pytest

HOST = "capulet.example"
JULIET, NURSE, LOG = (f"{name}@{HOST}" for name in ("juliet", "nurse", "log"))


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {HOST: {}},
            "plugins": {"service_log": {"to": [LOG]}, "offline": {}, "ping": {}},
        }
    )
    process.register(JULIET, NURSE, LOG)
    return process


def test_slixmpp_reads_what_was_said_even_after_a_restart(process, slixmpp):
    juliet = slixmpp.available(process, f"{JULIET}/balcony")
    nurse = slixmpp.available(process, f"{NURSE}/house")
    juliet.say(NURSE, "What says he?")
    assert nurse.message()["body"] == "What says he?"
    nurse.say(JULIET, "Peace!")
    assert juliet.message()["body"] == "Peace!"

    process.restart()
    log = slixmpp.available(process, f"{LOG}/desk", "xep_0297")
    copies = [log.message() for _ in range(2)]
    assert [copy["from"] for copy in copies] == [HOST, HOST]
    inner = [copy["forwarded"]["stanza"] for copy in copies]
    assert [(str(m["from"]), str(m["to"]), m["body"]) for m in inner] == [
        (f"{JULIET}/balcony", NURSE, "What says he?"),
        (f"{NURSE}/house", JULIET, "Peace!"),
    ]
    assert all(copy["forwarded"]["delay"]["stamp"] for copy in copies)
