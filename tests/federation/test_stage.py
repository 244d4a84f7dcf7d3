"""The others speak to each other here: what fails between them and us is not the stage."""

import pytest
from peers.stage import CREDENTIALS


@pytest.fixture
def romeos(prosody, ejabberd, people):
    """Romeo of one host of Prosody's, and Romeo of one of ejabberd's."""

    def make(one, other):
        return people.client(prosody, f"romeo@{one}"), people.client(ejabberd, f"romeo@{other}")

    return make


def speak(one, other):
    one.say(other.jid, f"To {other.jid} from {one.jid}")
    assert other.message(f"To {other.jid} from {one.jid}")["from"] == one.jid


def test_by_certificates(prosody, ejabberd, romeos):
    one, other = romeos(f"strict.{prosody.domain}", f"strict.{ejabberd.domain}")
    speak(one, other)
    speak(other, one)
    assert "Accepting SASL EXTERNAL identity from strict.verona.example" in prosody.log


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_by_dialback(prosody, ejabberd, romeos, credential):
    one, other = romeos(prosody.host(credential), ejabberd.host(credential))
    speak(one, other)
    speak(other, one)


def test_presence(prosody, ejabberd, romeos):
    one, other = romeos(prosody.domain, ejabberd.domain)
    one.send_presence(to=other.bare, type="subscribe")
    other.presence(one.bare, "subscribe")
    other.send_presence(to=one.bare, type="subscribed")
    one.presence(other.bare, "subscribed")
    one.presence(other.jid)
