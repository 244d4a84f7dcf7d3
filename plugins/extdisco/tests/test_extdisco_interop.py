"""slixmpp is told of relays, and of new ones at a reload, by a server of its own."""

import base64
import hmac
from xml.etree import ElementTree as ET

import pytest

NS = "urn:xmpp:extdisco:2"
JULIET = "juliet@capulet.example"
TURN = {
    "type": "turn",
    "host": "relay.capulet.example",
    "port": 3478,
    "secret_file": "turn.secret",
}


def configuration(*services):
    return {
        "hosts": {"capulet.example": {}},
        "plugins": {"disco": {}, "extdisco": {"services": list(services)}},
    }


@pytest.fixture
def process(stonechat_process, tmp_path):
    (tmp_path / "server-1").mkdir()
    (tmp_path / "server-1" / "turn.secret").write_text("a plague\n")
    process = stonechat_process(configuration(TURN))
    process.register(JULIET)
    return process


def test_relays_are_told_and_new_ones_pushed(process, slixmpp):
    juliet = slixmpp.login(process, f"{JULIET}/balcony")
    juliet.collect(f"{{jabber:client}}iq/{{{NS}}}services")
    assert NS in juliet.features("capulet.example")

    question = ET.Element(f"{{{NS}}}services", {"type": "turn"})
    answer = juliet.request("get", question, "capulet.example")
    service = answer.xml.find(f"{{{NS}}}services/{{{NS}}}service")
    assert service.get("host") == "relay.capulet.example"
    digest = hmac.digest(b"a plague", service.get("username").encode(), "sha1")
    assert service.get("password") == base64.b64encode(digest).decode()

    process.configure(configuration(TURN, {**TURN, "port": 5349}))
    process.run("reload")
    push = juliet.take("push", lambda stanza: stanza["type"] == "set")
    (news,) = push.xml.findall(f"{{{NS}}}services/{{{NS}}}service")
    assert (news.get("action"), news.get("port")) == ("add", "5349")
