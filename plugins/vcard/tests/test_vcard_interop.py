"""slixmpp shows its face, and looks for others, on a server that is a process of its own."""

import hashlib

import pytest

from stonechat.errors import StanzaError

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"
VJUD = "vjud.capulet.example"
ROSE = b"\x89PNG\r\n\x1a\n a rose"
UPDATE = "{vcard-temp:x:update}"


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"roster": {}, "disco": {}, "vcard": {}},
        }
    )
    process.register(JULIET, ROMEO)
    for account, contact in ((JULIET, ROMEO), (ROMEO, JULIET)):
        process.run("roster-add", account, contact, "--subscription", "both")
    return process


@pytest.fixture
def login(process, slixmpp):
    return lambda jid, *plugins: slixmpp.available(process, jid, "xep_0054", *plugins)


def publish(person, **names):
    card = person.call("xep_0054", "make_vcard")
    for name, value in names.items():
        (card if name == "FN" else card["N"])[name] = value
    person.call("xep_0054", "publish_vcard", card)


def told_by(person, jid):
    """What the next presence from there says of the photo; None for nothing."""
    photo = person.presence(jid).xml.find(f"{UPDATE}x/{UPDATE}photo")
    return None if photo is None else photo.text or ""


def test_a_face_is_published_and_fetched(login):
    juliet = login(f"{JULIET}/balcony", "xep_0153")
    romeo = login(f"{ROMEO}/orchard")
    assert "vcard-temp" in romeo.features("capulet.example")

    with pytest.raises(StanzaError) as refused:
        romeo.call("xep_0054", "get_vcard", JULIET)
    assert refused.value.condition == "service-unavailable"

    publish(juliet, FN="Juliet Capulet", FAMILY="Capulet", GIVEN="Juliet")
    juliet.call("xep_0153", "set_avatar", avatar=ROSE, mtype="image/png")
    rose = hashlib.sha1(ROSE, usedforsecurity=False).hexdigest()
    while told_by(romeo, JULIET) != rose:
        pass
    answer = romeo.call("xep_0054", "get_vcard", JULIET, cached=False)
    assert answer["vcard_temp"]["FN"] == "Juliet Capulet"
    assert answer["vcard_temp"]["PHOTO"]["BINVAL"] == ROSE

    theirs = romeo.call("xep_0054", "make_vcard")
    with pytest.raises(StanzaError) as refused:
        romeo.call("xep_0054", "publish_vcard", theirs, jid=JULIET)
    assert refused.value.condition == "forbidden"

    # A client that knows nothing of photos is spoken for.
    chamber = login(f"{JULIET}/chamber")
    assert told_by(romeo, chamber.jid) == rose


def search(person, **wanted):
    query = person.call("xep_0055", "make_search_iq", ito=VJUD)
    for var, value in wanted.items():
        query["search"]["form"].add_field(var, value=value)
    return [dict(item) for item in person.run(query.send)["search"]["form"]["items"]]


def test_who_registers_is_found(process, slixmpp):
    plugins = {
        "xep_0054": {},
        # It answers searches of others, too, unless it is told not to.
        "xep_0055": {"provide_search": False},
        "xep_0077": {"create_account": False},
    }
    juliet = slixmpp.client(process, f"{JULIET}/balcony", plugins=plugins)
    romeo = slixmpp.client(process, f"{ROMEO}/orchard", plugins=plugins)
    for person in (juliet, romeo):
        person.connect()
    publish(juliet, FAMILY="Capulet", GIVEN="Juliet")
    assert search(romeo, last="Capulet") == []

    wish = juliet.xmpp.make_iq_set(ito=VJUD)
    wish.enable("register")
    juliet.run(wish.send)
    (found,) = search(romeo, last="cap*")
    assert found["jid"] == JULIET
    assert (found["first"], found["last"]) == ("Juliet", "Capulet")

    juliet.call("xep_0077", "cancel_registration", jid=VJUD)
    assert search(romeo, last="Capulet") == []


def test_what_was_confirmed_outlives_a_kill(process, login):
    # Robustness promise R2.
    publish(login(f"{JULIET}/balcony"), FN="Juliet Capulet")
    process.kill()
    process.start()
    answer = login(f"{ROMEO}/orchard").call("xep_0054", "get_vcard", JULIET)
    assert answer["vcard_temp"]["FN"] == "Juliet Capulet"
