"""slixmpp looks away and comes back, on a server that is a process of its own."""

import pytest

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"roster": {}, "ping": {}, "csi": {}},
        }
    )
    process.register(JULIET, ROMEO)
    for account, contact in ((JULIET, ROMEO), (ROMEO, JULIET)):
        process.run("roster-add", account, contact, "--subscription", "both")
    return process


def test_slixmpp_looks_away(process, slixmpp):
    juliet = slixmpp.available(process, f"{JULIET}/phone", "xep_0352")
    romeo = slixmpp.available(process, f"{ROMEO}/orchard", "xep_0085")
    assert juliet.xmpp.plugin["xep_0352"].enabled
    juliet.presence(romeo.jid)
    juliet.rest()

    juliet.call("xep_0352", "send_inactive")
    juliet.sync()
    for show in ("away", "xa", "dnd"):
        romeo.send_presence(show=show)
        state = romeo.xmpp.make_message(JULIET, mtype="chat")
        state["chat_state"] = "composing"
        romeo.run(state.send)
    romeo.sync()
    # The answer to her ping cannot wait, and what came before it comes first.
    came = [stanza for stanza in juliet.rest() if stanza.name == "presence"]
    assert [stanza["type"] for stanza in came] == ["dnd"]

    romeo.send_presence(show="chat")
    romeo.sync()
    romeo.say(JULIET, "But soft!")
    presence = juliet.take("anything", lambda stanza: True)
    assert (presence.name, presence["type"]) == ("presence", "chat")
    juliet.message("But soft!")

    romeo.send_presence(show="away")
    romeo.sync()
    juliet.call("xep_0352", "send_active")
    juliet.presence(romeo.jid, "away")
    romeo.send_presence(show="xa")
    juliet.presence(romeo.jid, "xa")
    assert process.faults == []
