"""slixmpp keeps private data on a server that is a process of its own (XEP-0049)."""

import pytest

from stonechat.errors import StanzaError

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {"hosts": {"capulet.example": {}}, "plugins": {"disco": {}, "private": {}}}
    )
    process.register(JULIET, ROMEO)
    return process


@pytest.fixture
def prefs(slixmpp):
    """A kind of private data."""
    from slixmpp import ElementBase

    class Prefs(ElementBase):
        name = "exodus"
        namespace = "exodus:prefs"
        plugin_attrib = "prefs"
        interfaces = sub_interfaces = frozenset({"defaultnick"})

    return Prefs


@pytest.fixture
def login(process, slixmpp, prefs):
    def login(jid):
        person = slixmpp.login(process, jid, "xep_0049")
        person.call("xep_0049", "register", prefs)
        return person

    return login


def nick_of(person):
    return person.call("xep_0049", "retrieve", "prefs")["private"]["prefs"]["defaultnick"]


def test_what_was_confirmed_outlives_a_kill(process, login, prefs):
    juliet, romeo = login(f"{JULIET}/balcony"), login(f"{ROMEO}/orchard")
    assert "jabber:iq:private" in juliet.features("capulet.example")
    assert nick_of(juliet) == ""
    data = prefs()
    data["defaultnick"] = "Juliet"
    juliet.call("xep_0049", "store", data)
    assert nick_of(juliet) == "Juliet"
    assert nick_of(romeo) == ""

    theirs = romeo.xmpp.make_iq_get(ito=JULIET)
    theirs["private"].enable("prefs")
    with pytest.raises(StanzaError) as refused:
        romeo.run(theirs.send)
    assert refused.value.condition == "forbidden"

    # Robustness promise R2.
    process.kill()
    process.start()
    assert nick_of(login(f"{JULIET}/chamber")) == "Juliet"
