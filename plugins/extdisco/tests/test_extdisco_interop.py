"""slixmpp is told of relays, and of new ones at a reload, by a server of its own."""

import asyncio
import base64
import hmac
from xml.etree import ElementTree

import pytest
from slixmpp import ClientXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
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
        "auth_options": {"internal": {"iterations": 4096}},
    }


@pytest.fixture
def process(stonechat_process, tmp_path):
    (tmp_path / "server-1").mkdir()
    (tmp_path / "server-1" / "turn.secret").write_text("a plague\n")
    process = stonechat_process(configuration(TURN))
    made = process.command("register", JULIET, "--password-stdin", stdin="Wherefore?\n")
    assert made.returncode == 0, made.stderr
    return process


async def ask_and_be_told(process):
    juliet = ClientXMPP(f"{JULIET}/balcony", "Wherefore?")
    juliet.enable_starttls = juliet.enable_direct_tls = False
    juliet.enable_plaintext = True
    # The connection is one within the machine.
    juliet.plugin["feature_mechanisms"].unencrypted_plain = True
    juliet.register_plugin("xep_0030")
    ready = asyncio.Event()
    pushes = asyncio.Queue()
    juliet.add_event_handler("session_start", lambda _: ready.set())
    matcher = MatchXPath(f"{{jabber:client}}iq/{{{NS}}}services")
    juliet.register_handler(Callback("services", matcher, pushes.put_nowait))
    juliet.connect(LOCALHOST, process.port)
    await asyncio.wait_for(ready.wait(), DEADLINE)

    info = await juliet.plugin["xep_0030"].get_info(jid="capulet.example", timeout=DEADLINE)
    assert NS in info["disco_info"]["features"]

    iq = juliet.make_iq_get(ito="capulet.example")
    iq.append(ElementTree.Element(f"{{{NS}}}services", {"type": "turn"}))
    answer = await iq.send(timeout=DEADLINE)
    service = answer.xml.find(f"{{{NS}}}services/{{{NS}}}service")
    assert service.get("host") == "relay.capulet.example"
    digest = hmac.digest(b"a plague", service.get("username").encode(), "sha1")
    assert service.get("password") == base64.b64encode(digest).decode()

    process.configure(configuration(TURN, {**TURN, "port": 5349}))
    reloaded = await asyncio.to_thread(process.command, "reload")
    assert reloaded.returncode == 0, reloaded.stderr
    while (push := await asyncio.wait_for(pushes.get(), DEADLINE))["type"] != "set":
        pass  # the answer to the request came by here, too
    (news,) = push.xml.findall(f"{{{NS}}}services/{{{NS}}}service")
    assert (news.get("action"), news.get("port")) == ("add", "5349")
    await juliet.disconnect()


def test_relays_are_told_and_new_ones_pushed(process):
    asyncio.run(ask_and_be_told(process))
