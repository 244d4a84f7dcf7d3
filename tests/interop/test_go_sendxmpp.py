"""go-sendxmpp, a client in Go for scripts: sends and listens, and checks our certificate."""

import pytest
from witnesses.cast import PASSWORD
from witnesses.sendxmpp import SendXmpp

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"

SOFT = "But, soft! what light through yonder window breaks? 🌹 <&>"


@pytest.fixture
def sendxmpp(needs, cast, tmp_path):
    """go-sendxmpp for an account, which is made if need be."""
    needs("go-sendxmpp")
    listeners = []

    class KilledAtTheEnd(SendXmpp):
        def listen(self, *options):
            listener = super().listen(*options)
            listeners.append(listener)
            return listener

    def make(jid, *, direct_tls=False, trusted=None):
        cast.account(jid)
        port = cast.node.direct if direct_tls else cast.node.starttls
        trusted = trusted or cast.node.authority.file
        return KilledAtTheEnd(tmp_path, jid, PASSWORD, port, trusted)

    yield make
    for listener in listeners:
        listener.kill()


@pytest.mark.parametrize("direct_tls", [False, True], ids=["starttls", "direct"])
def test_a_script_sends_a_message_to_somebody_who_is_there(cast, sendxmpp, direct_tls):
    juliet = cast.login(f"{JULIET}/balcony")
    juliet.available()
    options = ("--tls",) if direct_tls else ()
    done = sendxmpp(ROMEO, direct_tls=direct_tls).send(JULIET, SOFT, *options)
    assert (done.returncode, done.stderr) == (0, "")
    message = juliet.message()
    assert message["body"].strip() == SOFT
    assert message["type"] == "chat"
    assert message["from"].bare == ROMEO
    assert message.xml.find("{urn:xmpp:delay}delay") is None


def test_a_script_sends_messages_to_somebody_who_is_away(cast, sendxmpp):
    cast.account(JULIET)
    script = sendxmpp(ROMEO)
    for number in range(3):
        assert script.send(JULIET, f"{number}: {SOFT}").returncode == 0
    juliet = cast.login(f"{JULIET}/balcony")
    juliet.available()
    for number in range(3):
        message = juliet.message()
        assert message["body"].strip() == f"{number}: {SOFT}"
        assert message["delay"]["from"] == "capulet.example"


def test_a_listener_hears_slixmpp_and_another_script(cast, sendxmpp):
    cast.befriend(JULIET, ROMEO)
    listener = sendxmpp(JULIET).listen()
    romeo = cast.login(f"{ROMEO}/orchard")
    romeo.available()
    romeo.presence(JULIET)
    romeo.say(JULIET, SOFT)
    listener.wait_for(SOFT)
    assert sendxmpp("nurse@capulet.example").send(JULIET, "Madam!").returncode == 0
    listener.wait_for("Madam!")


def test_a_listener_gets_what_was_sent_before_it_came(cast, sendxmpp):
    cast.account(JULIET)
    romeo = cast.login(f"{ROMEO}/orchard")
    for number in range(5):
        romeo.say(JULIET, f"{number}: {SOFT}")
    romeo.sync()
    listener = sendxmpp(JULIET).listen()
    for number in range(5):
        listener.wait_for(f"{number}: {SOFT}")


def test_a_listener_that_is_killed_is_unavailable(cast, sendxmpp):
    cast.befriend(JULIET, ROMEO)
    romeo = cast.login(f"{ROMEO}/orchard")
    romeo.available()
    listener = sendxmpp(JULIET).listen()
    jid = romeo.presence(JULIET)["from"].full
    listener.kill()
    assert romeo.presence(jid, "unavailable")["from"] == jid
    # What is for it waits.
    romeo.say(jid, SOFT)
    romeo.sync()
    assert cast.node.ask("offline-count", jid=JULIET) == 1


@pytest.mark.parametrize("direct_tls", [False, True], ids=["starttls", "direct"])
def test_a_certificate_of_an_unknown_authority_is_found_out(cast, sendxmpp, direct_tls):
    options = ("--tls",) if direct_tls else ()
    other = cast.node.client_authority.file
    script = sendxmpp(ROMEO, direct_tls=direct_tls, trusted=other)
    done = script.send(JULIET, SOFT, *options)
    assert done.returncode != 0
    assert "unknown authority" in done.stderr
    assert script.send(JULIET, SOFT, "--no-tls-verify", *options).returncode == 0
