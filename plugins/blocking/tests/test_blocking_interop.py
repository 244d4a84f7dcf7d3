"""slixmpp blocks, reports and unblocks, on a server that is a process of its own."""

import pytest

from stonechat.errors import StanzaError

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"roster": {}, "disco": {}, "ping": {}, "blocking": {}},
        }
    )
    process.register(JULIET, ROMEO)
    return process


@pytest.fixture
def login(process, slixmpp):
    def login(jid):
        person = slixmpp.available(process, jid, "xep_0191", "xep_0377")
        person.collect("{jabber:client}iq/{urn:xmpp:blocking}block")
        person.collect("{jabber:client}iq/{urn:xmpp:blocking}unblock")
        return person

    return login


def befriend(one, other):
    for asking, answering in ((one, other), (other, one)):
        asking.send_presence(to=answering.bare, type="subscribe")
        answering.presence(asking.bare, "subscribe")
        answering.send_presence(to=asking.bare, type="subscribed")
        asking.presence(answering.jid)


def blocked(client):
    return client.call("xep_0191", "get_blocked_jids")


def push(client, name):
    """Whom a push is about."""
    iq = client.take(f"push of {name}", lambda stanza: stanza.get_plugin(name, check=True))
    return [str(item["jid"]) for item in iq[name]]


def test_blocking_and_unblocking(login):
    juliet = login(f"{JULIET}/balcony")
    chamber = login(f"{JULIET}/chamber")
    romeo = login(f"{ROMEO}/orchard")
    befriend(juliet, romeo)
    romeo.rest()

    features = juliet.features("capulet.example")
    assert {"urn:xmpp:blocking", "urn:xmpp:reporting:1"} <= features
    for client in (juliet, chamber):
        assert blocked(client) == set()

    juliet.call("xep_0191", "block", ROMEO)
    for client in (juliet, chamber):
        assert push(client, "block") == [ROMEO]
    assert blocked(chamber) == {ROMEO}
    romeo.presence(juliet.jid, "unavailable")

    romeo.say(JULIET, "But soft!")
    assert romeo.error_of(romeo.message()).condition == "service-unavailable"
    with pytest.raises(StanzaError) as refused:
        romeo.call("xep_0199", "send_ping", juliet.jid)
    assert refused.value.condition == "service-unavailable"
    juliet.say(ROMEO, "Romeo?")
    error = juliet.message()
    assert juliet.error_of(error).condition == "not-acceptable"
    assert error["error"].xml.find("{urn:xmpp:blocking:errors}blocked") is not None

    chamber.call("xep_0191", "unblock", ROMEO)
    assert push(juliet, "unblock") == [ROMEO]
    romeo.presence(juliet.jid)
    romeo.say(JULIET, "What light?")
    assert juliet.message()["body"] == "What light?"


def block_with_a_report(juliet):
    from slixmpp.plugins.xep_0377.stanza import Report

    block = juliet.xmpp.make_iq_set()
    block["block"]["item"]["jid"] = ROMEO
    report = Report()
    report["reason"] = "urn:xmpp:reporting:spam"
    report["text"] = "Never came trouble to my house like this."
    block["block"]["item"].append(report)
    juliet.run(block.send)


def test_what_was_confirmed_outlives_a_kill(process, login):
    # Robustness promise R2.
    block_with_a_report(login(f"{JULIET}/balcony"))
    process.kill()
    process.start()
    assert blocked(login(f"{JULIET}/balcony")) == {ROMEO}
    listed = process.run("blocking-reports")
    assert "Never came trouble" in listed
    assert ROMEO in listed
