"""slixmpp as the phone, as the app server and as whoever writes; the server is a process."""

import json
from xml.etree import ElementTree as ET

import pytest

from stonechat.errors import StanzaError
from stonechat.testing import until

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"
APP = "app@capulet.example/service"
PUBLISH = "http://jabber.org/protocol/pubsub#publish-options"
PUSH = "{urn:xmpp:push:0}"
PUBSUB = "{http://jabber.org/protocol/pubsub}"
FORM = "{jabber:x:data}"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {
                "disco": {},
                "offline": {},
                "ping": {},
                "push": {"interval": "100 ms", "last_sender": True},
            },
        }
    )
    process.register(JULIET, ROMEO, APP.partition("/")[0])
    return process


@pytest.fixture
def app_server(process, slixmpp):
    """A client in the place of a pubsub service of push notifications."""

    def come():
        app = slixmpp.available(process, APP)
        app.collect(f"{{jabber:client}}iq/{PUBSUB}pubsub")
        return app

    return come


def enable(phone, **attributes):
    """slixmpp has no words of its own for it."""
    form = phone.call("xep_0004", "make_form", ftype="submit")
    form.add_field(var="FORM_TYPE", ftype="hidden", value=PUBLISH)
    form.add_field(var="secret", value="eruio234vzxc2kla-91")
    payload = ET.Element(f"{PUSH}enable", attributes)
    payload.append(form.xml)
    phone.request("set", payload)


def fields(form):
    return {
        field.get("var"): field.findtext(f"{FORM}value") for field in form.iter(f"{FORM}field")
    }


def answer(app, *, refuses=False):
    """Take the next notification: who it is from, the node, the summary and the options."""
    iq = app.take("notification", lambda stanza: stanza["type"] == "set")
    reply = iq.reply()
    if refuses:
        reply.error()
        reply["error"]["type"] = "cancel"
        reply["error"]["condition"] = "item-not-found"
    app.run(reply.send)
    publish = iq.xml.find(f"{PUBSUB}pubsub/{PUBSUB}publish")
    summary = publish.find(f"{PUBSUB}item/{PUSH}notification/{FORM}x")
    options = iq.xml.find(f"{PUBSUB}pubsub/{PUBSUB}publish-options/{FORM}x")
    return iq["from"].full, publish.get("node"), fields(summary), fields(options)


def registered(process):
    return json.loads(process.run("push-list", JULIET, "--json"))


def test_slixmpp_is_woken(process, slixmpp, app_server):
    app = app_server()
    romeo = slixmpp.available(process, f"{ROMEO}/orchard")
    phone = slixmpp.available(process, f"{JULIET}/phone", "xep_0004")
    assert "urn:xmpp:push:0" in phone.features(JULIET)
    enable(phone, jid=APP, node="yxs32uqsflafdk3iuqo")
    with pytest.raises(StanzaError) as refused:
        enable(phone, node="nowhere")
    assert refused.value.condition == "bad-request"
    phone.leave()

    romeo.say(JULIET, "But soft!")
    sender, node, summary, options = answer(app)
    assert (sender, node) == (JULIET, "yxs32uqsflafdk3iuqo")
    assert summary == {
        "FORM_TYPE": "urn:xmpp:push:summary",
        "message-count": "1",
        "last-message-sender": f"{ROMEO}/orchard",
    }
    assert options == {"FORM_TYPE": PUBLISH, "secret": "eruio234vzxc2kla-91"}

    # The registration is as good after a restart of the server.
    assert len(registered(process)) == 1
    process.restart()
    app = app_server()
    romeo = slixmpp.available(process, f"{ROMEO}/orchard")
    romeo.say(JULIET, "What light?")
    answer(app, refuses=True)
    until(lambda: not registered(process), "end of the registration")
    assert process.faults == []
