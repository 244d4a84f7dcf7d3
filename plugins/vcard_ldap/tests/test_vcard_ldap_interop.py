"""slixmpp sees faces and finds people, on a server that is a process of its own."""

import hashlib

import pytest

from stonechat.errors import StanzaError
from stonechat.testing import until
from stonechat.testing.slapd import PASSWORD

HOST = "capulet.example"
JULIET, NURSE, ROMEO = (f"{name}@{HOST}" for name in ("juliet", "nurse", "romeo"))
VJUD = f"vjud.{HOST}"
UPDATE = "{vcard-temp:x:update}"


@pytest.fixture
def process(stonechat_process, slapd, options_for):
    return stonechat_process(
        {
            "hosts": {HOST: {}},
            "auth": ["ldap"],
            "auth_options": {"ldap": {**options_for(slapd), "timeout": "1 s"}},
            "plugins": {
                "roster": {},
                "disco": {},
                "ping": {},
                "vcard_ldap": {"remember": "off"},
            },
        }
    )


@pytest.fixture
def romeo(process, slixmpp):
    plugins = {"xep_0054": {}, "xep_0055": {"provide_search": False}}
    romeo = slixmpp.client(process, f"{ROMEO}/orchard", password=PASSWORD, plugins=plugins)
    romeo.connect()
    return romeo


def name_of(person, jid):
    answer = person.call("xep_0054", "get_vcard", jid, cached=False)
    return answer["vcard_temp"]["FN"]


def test_a_face_comes_from_the_directory(process, slixmpp, romeo, rose):
    process.run("roster-add", ROMEO, JULIET, "--subscription", "both")
    process.run("roster-add", JULIET, ROMEO, "--subscription", "both")
    answer = romeo.call("xep_0054", "get_vcard", JULIET, cached=False)
    assert answer["vcard_temp"]["FN"] == "Juliet of the House of Capulet"
    assert answer["vcard_temp"]["PHOTO"]["BINVAL"] == rose
    romeo.available()
    slixmpp.available(process, f"{JULIET}/balcony", password=PASSWORD)
    photo = romeo.presence(JULIET).xml.find(f"{UPDATE}x/{UPDATE}photo")
    assert photo.text == hashlib.sha1(rose, usedforsecurity=False).hexdigest()
    card = romeo.call("xep_0054", "make_vcard")
    with pytest.raises(StanzaError) as refused:
        romeo.call("xep_0054", "publish_vcard", card)
    assert refused.value.condition == "not-allowed"


def search(person, **wanted):
    query = person.call("xep_0055", "make_search_iq", ito=VJUD)
    for var, value in wanted.items():
        query["search"]["form"].add_field(var, value=value)
    return [dict(item) for item in person.run(query.send)["search"]["form"]["items"]]


def test_people_are_found_in_the_directory(romeo):
    assert VJUD in {
        item[0] for item in romeo.call("xep_0030", "get_items", jid=HOST)["disco_items"]["items"]
    }
    (found,) = search(romeo, last="cap*")
    assert (found["jid"], found["first"], found["last"]) == (JULIET, "Juliet", "Capulet")
    assert search(romeo, last="*)(uid=*") == []


def test_a_directory_that_hangs_holds_nobody_else_up(slapd, process, slixmpp, romeo):
    juliet = slixmpp.available(process, f"{JULIET}/balcony", password=PASSWORD)
    assert name_of(romeo, NURSE) == "Angelica"
    slapd.pause()
    for _ in range(2):
        with pytest.raises(StanzaError) as refused:
            name_of(romeo, NURSE)
        assert (refused.value.condition, refused.value.type) == ("internal-server-error", "wait")
        juliet.say(f"{JULIET}/balcony", "Nurse!")
        assert juliet.message()["body"] == "Nurse!"
    slapd.resume()

    def found():
        try:
            return name_of(romeo, NURSE)
        except StanzaError:
            return None

    assert until(found, "answer") == "Angelica"
