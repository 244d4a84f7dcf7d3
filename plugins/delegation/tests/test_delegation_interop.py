"""slixmpp as the manager of a namespace; the server is a process of its own.

slixmpp has no word for XEP-0355, so what the component does is said here, in its own XML.
"""

from xml.etree import ElementTree

import pytest

from stonechat.errors import StanzaError
from stonechat.testing import until

DOMAIN = "vcards.capulet.example"
SECRET = "What's in a name?"
JULIET = "juliet@capulet.example"
NS = "urn:xmpp:delegation:2"
NS_VCARD = "vcard-temp"


@pytest.fixture
def process(stonechat_process, tmp_path):
    secret_file = tmp_path / "vcards.secret"
    secret_file.write_text(f"{SECRET}\n")
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "listen": [{"type": "c2s", "starttls": "off"}, {"type": "component"}],
            "allow_plain_without_tls": True,
            "plugins": {
                "disco": {},
                "vcard": {},
                "component": {
                    "components": [{"domains": ["vcards.@HOST@"], "secret_file": str(secret_file)}]
                },
                "delegation": {
                    "components": [
                        {"domain": "vcards.@HOST@", "namespaces": [{"namespace": NS_VCARD}]}
                    ]
                },
            },
        }
    )
    process.register(JULIET)
    return process


@pytest.fixture
def manager(process, slixmpp):
    """A component that gives whoever asks a card with his own address in it."""
    from slixmpp.xmlstream.handler import Callback
    from slixmpp.xmlstream.matcher import MatchXPath

    manager = slixmpp.component(process.ports[1], DOMAIN, SECRET)

    def answer(request):
        inner = request.xml.find(f"{{{NS}}}delegation/{{urn:xmpp:forward:0}}forwarded/*")
        assert inner.tag == "{jabber:client}iq"
        reply = request.reply()
        reply.append(
            ElementTree.fromstring(  # noqa: S314 - our own
                f"<delegation xmlns='{NS}'><forwarded xmlns='urn:xmpp:forward:0'>"
                f"<iq xmlns='jabber:client' type='result' id='{inner.get('id')}'"
                f" to='{inner.get('from')}'>"
                f"<vCard xmlns='{NS_VCARD}'><FN>{inner.get('from')}</FN></vCard>"
                "</iq></forwarded></delegation>"
            )
        )
        reply.send()

    xpath = f"{{jabber:component:accept}}iq/{{{NS}}}delegation"
    manager.run(
        lambda: manager.xmpp.register_handler(Callback("delegated", MatchXPath(xpath), answer))
    )
    return manager


def test_slixmpp_answers_for_the_server(process, slixmpp, manager):
    told = manager.message().xml.find(f"{{{NS}}}delegation")
    assert [each.get("namespace") for each in told] == [NS_VCARD]
    juliet = slixmpp.login(process, f"{JULIET}/balcony", "xep_0054")

    def name(jid=None):
        return juliet.call("xep_0054", "get_vcard", jid, local=False)["vcard_temp"]["FN"]

    assert name() == name(JULIET) == f"{JULIET}/balcony"
    with pytest.raises(StanzaError, match="service-unavailable"):
        name("nobody@capulet.example")

    # What it can do is what the server can do; slixmpp has nothing to say at first.
    assert NS in juliet.features("capulet.example")
    assert NS_VCARD not in juliet.features("capulet.example")
    for node in (f"{NS}::{NS_VCARD}", f"{NS}:bare:{NS_VCARD}"):
        for feature in (NS_VCARD, f"{NS_VCARD}#better"):
            manager.call("xep_0030", "add_feature", feature, node=node, jid=DOMAIN)
    manager.leave()
    with pytest.raises(StanzaError, match="service-unavailable"):
        name()
    manager.connect()
    for jid in ("capulet.example", JULIET):
        until(lambda jid=jid: f"{NS_VCARD}#better" in juliet.features(jid), "nested feature")
    assert name() == f"{JULIET}/balcony"
    assert process.faults == []
