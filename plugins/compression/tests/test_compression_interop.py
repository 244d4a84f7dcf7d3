"""slixmpp compresses its stream, on a server that is a process of its own."""

import pytest

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"roster": {}, "ping": {}, "disco": {}, "sm": {}, "compression": {}},
        }
    )
    process.register(JULIET, ROMEO)
    return process


@pytest.fixture
def compressed(process, slixmpp):
    """Makes clients that compress, with other plugins of slixmpp's besides."""
    import slixmpp_compression  # noqa: F401 - makes it known; where there is slixmpp

    return lambda jid, *plugins: slixmpp.available(process, jid, "xep_0138", *plugins)


def test_slixmpp_compresses_its_stream(process, slixmpp, compressed):
    juliet = compressed(f"{JULIET}/balcony")
    romeo = slixmpp.available(process, f"{ROMEO}/orchard")
    for number in range(200):
        romeo.say(juliet.jid, f"{number}: But soft! what light through yonder window breaks?")
    for number in range(200):
        body = f"{number}: But soft! what light through yonder window breaks?"
        assert juliet.message()["body"] == body
    line = juliet.xmpp.plugin["xep_0138"].line
    # Of each of them some 150 octets are the text and its addresses.
    assert 200 < line.octets < 200 * 75
    juliet.say(romeo.jid, "Ay me! " * 10_000)
    assert len(romeo.message()["body"]) == 70_000
    assert "urn:xmpp:ping" in juliet.features("capulet.example")
    juliet.leave()
    assert process.faults == []


def test_slixmpp_comes_back_to_its_session_compressed(process, slixmpp, compressed):
    juliet = compressed(f"{JULIET}/balcony", "xep_0198")
    romeo = slixmpp.available(process, f"{ROMEO}/orchard")
    romeo.say(juliet.jid, "It is my lady")
    juliet.message("It is my lady")
    line = juliet.xmpp.plugin["xep_0138"].line
    juliet.vanish()
    romeo.say(JULIET, "O it is my love")
    romeo.sync()
    juliet.run(lambda: juliet.note("session_resumed"))
    juliet.run(lambda: juliet._connect() and None)
    juliet.wait_event("session_resumed")
    assert juliet.message()["body"] == "O it is my love"
    assert juliet.xmpp.plugin["xep_0138"].line is not line
    assert process.faults == []
