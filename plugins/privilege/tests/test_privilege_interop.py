"""slixmpp as a privileged component (its XEP-0356); the server is a process of its own."""

import pytest

DOMAIN = "pubsub.capulet.example"
SECRET = "What's in a name?"
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


@pytest.fixture
def process(stonechat_process, tmp_path):
    secret_file = tmp_path / "pubsub.secret"
    secret_file.write_text(f"{SECRET}\n")
    privileges = {
        "domain": "pubsub.@HOST@",
        "roster": "both",
        "message": "outgoing",
        "presence": "roster",
        "iq": [{"namespace": "urn:xmpp:ping", "type": "get"}],
    }
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "listen": [{"type": "c2s", "starttls": "off"}, {"type": "component"}],
            "allow_plain_without_tls": True,
            "plugins": {
                "roster": {},
                "disco": {},
                "ping": {},
                "component": {
                    "components": [{"domains": ["pubsub.@HOST@"], "secret_file": str(secret_file)}]
                },
                "privilege": {"components": [privileges]},
            },
        }
    )
    process.register(JULIET, ROMEO)
    return process


@pytest.fixture
def entity(process, slixmpp):
    entity = slixmpp.component(process.ports[1], DOMAIN, SECRET, "xep_0356", "xep_0199")
    # What it is told right after it has connected.
    entity.take(
        "permissions",
        lambda stanza: stanza.xml.find("{urn:xmpp:privilege:2}privilege") is not None,
    )
    return entity


def test_slixmpp_is_privileged(process, slixmpp, entity):
    granted = entity.run(lambda: entity.xmpp.plugin["xep_0356"].granted_privileges)
    told = granted["capulet.example"]
    assert (told.roster, told.message, told.presence) == ("both", "outgoing", "roster")
    assert told.iq["urn:xmpp:ping"] == "get"

    # Rosters
    juliet = slixmpp.available(process, f"{JULIET}/balcony")
    romeo = slixmpp.available(process, f"{ROMEO}/orchard")
    assert entity.presence(f"{JULIET}/balcony")
    assert entity.presence(f"{ROMEO}/orchard")
    assert juliet.get_roster() == {}
    entity.call(
        "xep_0356", "set_roster", JULIET, {ROMEO: {"name": "My Romeo", "groups": ["Rivals"]}}
    )
    assert juliet.push(ROMEO)["name"] == "My Romeo"
    items = entity.call("xep_0356", "get_roster", JULIET)["roster"]["items"]
    assert [(str(jid), item["groups"]) for jid, item in items.items()] == [(ROMEO, ["Rivals"])]

    # Messages
    def send(sender):
        from slixmpp import Message

        message = Message()
        message["from"], message["to"], message["body"] = sender, f"{ROMEO}/orchard", "Hark!"
        entity.call("xep_0356", "send_privileged_message", message)

    send(JULIET)
    assert romeo.message("Hark!")["from"] == JULIET
    send(f"{JULIET}/balcony")
    assert entity.error_of(entity.message()).condition == "forbidden"

    # Requests
    def ping(to):
        from slixmpp.plugins.xep_0199.stanza import Ping

        iq = entity.xmpp.make_iq_get(ifrom=JULIET, ito=to)
        iq.append(Ping())
        return entity.xmpp.plugin["xep_0356"].send_privileged_iq(iq)

    answer = entity.run(lambda: ping("capulet.example"))
    assert (answer["type"], answer["from"], answer["to"]) == ("result", "capulet.example", JULIET)
    assert entity.run(lambda: ping(f"{ROMEO}/orchard"))["type"] == "result"
    assert entity.run(lambda: ping(f"{ROMEO}/elsewhere"))["type"] == "error"

    # Presence
    juliet.leave()
    assert entity.presence(f"{JULIET}/balcony", "unavailable")
    assert process.faults == []
