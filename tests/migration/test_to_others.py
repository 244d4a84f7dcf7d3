"""Accounts of ours move to a real ejabberd and a real Prosody, by the file that we write."""

import pytest
from elders import CAPULET, Ejabberd, Prosody
from lives import JULIET, NURSE, PASSWORDS, ROMEO, client, xml

BEFORE = f"""\
<server-data xmlns='urn:xmpp:pie:0'><host jid='{CAPULET}'>
<user name='juliet' password='{PASSWORDS[JULIET]}'>
<query xmlns='jabber:iq:roster'><item jid='{ROMEO}' name='Romeo' subscription='both'>
<group>Friends</group></item></query>
<presence xmlns='jabber:client' type='subscribe' from='{NURSE}'/>
<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'>x</exodus></query>
<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>
<query xmlns='jabber:iq:privacy'><default name='a'/><list name='a'>
<item type='jid' value='tybalt@a.example' action='deny' order='1'/></list></query>
<offline-messages><message xmlns='jabber:client' from='{ROMEO}/orchard' to='{JULIET}' type='chat'>
<body>Lady!</body><delay xmlns='urn:xmpp:delay' from='{CAPULET}' stamp='2020-01-01T00:00:00Z'/>
</message></offline-messages>
</user></host></server-data>
"""


@pytest.fixture
def exported(stonechat_process, tmp_path):
    """`exported(path, plain=...)`: what we write of Juliet, with her password or its hashes."""

    def exported(target, *, plain):
        names = ("migrate", "offline", "privacy", "private", "roster", "vcard")
        process = stonechat_process(
            {
                "hosts": {CAPULET: {}},
                "plugins": {name: {} for name in names},
                "auth_options": {"internal": {"store": "plain" if plain else "scram"}},
            }
        )
        source = tmp_path / "before.xml"
        source.write_text(BEFORE)
        process.run("db", "import", str(source))
        process.run("db", "export", str(target), *(["--passwords"] if plain else []))
        assert (PASSWORDS[JULIET] in target.read_text()) is plain

    return exported


@pytest.fixture
def elder(tmp_path, needs):
    needs(*Ejabberd.programs)
    (tmp_path / "ejabberd").mkdir()
    elder = Ejabberd(tmp_path / "ejabberd", new_schema=True, plain=False)
    elder.start()
    yield elder
    elder.stop()


def test_ejabberd_takes_what_we_write(elder, loop, exported, tmp_path):
    # Hashes this version of ejabberd only takes as it writes them: encoded twice.
    exported(tmp_path / "after.xml", plain=True)
    elder.call("import_piefxis", file=str(tmp_path / "after.xml"))
    juliet = client(loop, elder.port, JULIET, "tomb", sasl_mech="SCRAM-SHA-256")
    romeo = juliet.get_roster()[ROMEO]
    assert (romeo["name"], romeo["subscription"], romeo["groups"]) == (
        "Romeo",
        "both",
        ["Friends"],
    )
    card = juliet.request("get", xml("<vCard xmlns='vcard-temp'/>"))
    assert card.xml.find(".//{vcard-temp}FN").text == "Juliet"
    asked = "<query xmlns='jabber:iq:private'><exodus xmlns='exodus:prefs'/></query>"
    assert juliet.request("get", xml(asked)).xml.find(".//{exodus:prefs}exodus").text == "x"
    lists = juliet.request("get", xml("<query xmlns='jabber:iq:privacy'/>"))
    assert lists.xml.find(".//{jabber:iq:privacy}default").get("name") == "a"
    juliet.send_presence()
    message = juliet.message("Lady!")
    assert message.xml.find("{urn:xmpp:delay}delay").get("stamp").startswith("2020-01-01T00:00:00")
    juliet.presence(NURSE, "subscribe")
    juliet.leave()


def test_prosody_works_on_what_we_write(loop, exported, needs, tmp_path):
    """It can keep its data in files of XEP-0227."""
    needs(*Prosody.programs)
    (tmp_path / "prosody").mkdir()
    prosody = Prosody(tmp_path / "prosody", "xep0227")
    exported(prosody.data / f"{JULIET}.xml", plain=False)
    prosody.start()
    try:
        juliet = client(loop, prosody.port, JULIET, "tomb", sasl_mech="SCRAM-SHA-1")
        romeo = juliet.get_roster()[ROMEO]
        assert (romeo["name"], romeo["groups"]) == ("Romeo", ["Friends"])
        card = juliet.request("get", xml("<vCard xmlns='vcard-temp'/>"))
        assert card.xml.find(".//{vcard-temp}FN").text == "Juliet"
        juliet.leave()
    finally:
        prosody.stop()
