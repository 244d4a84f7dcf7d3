"""slixmpp shows its face, and looks for others, on a server that is a process of its own."""

import asyncio
import hashlib

import pytest
from slixmpp import ClientXMPP
from slixmpp.exceptions import IqError

from stonechat.testing.process import LOCALHOST

DEADLINE = 30
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"
VJUD = "vjud.capulet.example"
ROSE = b"\x89PNG\r\n\x1a\n a rose"


class Person(ClientXMPP):
    """A client that keeps the presence that comes until somebody asks for it."""

    def __init__(self, jid, *plugins):
        super().__init__(jid, "Wherefore art thou?")
        self.enable_starttls = self.enable_direct_tls = False
        self.enable_plaintext = True
        # The connection is one within the machine.
        self.plugin["feature_mechanisms"].unencrypted_plain = True
        for plugin in ("xep_0030", "xep_0054", *plugins):
            self.register_plugin(plugin)
        self.came = asyncio.Queue()
        self.ready = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.ready.set())
        self.add_event_handler("presence_available", self.came.put_nowait)

    async def told_by(self, jid):
        """What the next presence from there says of the photo; None for nothing."""
        while True:
            presence = await asyncio.wait_for(self.came.get(), DEADLINE)
            if str(presence["from"].bare) == jid:
                photo = presence.xml.find("{vcard-temp:x:update}x/{vcard-temp:x:update}photo")
                return None if photo is None else photo.text or ""


@pytest.fixture
def process(stonechat_process):
    process = stonechat_process(
        {
            "hosts": {"capulet.example": {}},
            "plugins": {"roster": {}, "disco": {}, "vcard": {}},
            "auth_options": {"internal": {"iterations": 4096}},
        }
    )
    for jid in (JULIET, ROMEO):
        made = process.command("register", jid, "--password-stdin", stdin="Wherefore art thou?\n")
        assert made.returncode == 0, made.stderr
    for account, contact in ((JULIET, ROMEO), (ROMEO, JULIET)):
        added = process.command("roster-add", account, contact, "--subscription", "both")
        assert added.returncode == 0, added.stderr
    return process


async def login(process, jid, *plugins):
    person = Person(jid, *plugins)
    person.connect(LOCALHOST, process.port)
    await asyncio.wait_for(person.ready.wait(), DEADLINE)
    person.send_presence()
    return person


async def publish_and_fetch(process):
    juliet = await login(process, f"{JULIET}/balcony", "xep_0153")
    romeo = await login(process, f"{ROMEO}/orchard")
    info = await romeo.plugin["xep_0030"].get_info(jid="capulet.example", timeout=DEADLINE)
    assert "vcard-temp" in info["disco_info"]["features"]

    with pytest.raises(IqError) as refused:
        await romeo.plugin["xep_0054"].get_vcard(JULIET, timeout=DEADLINE)
    assert refused.value.condition == "service-unavailable"

    card = juliet.plugin["xep_0054"].make_vcard()
    card["FN"] = "Juliet Capulet"
    card["N"]["FAMILY"], card["N"]["GIVEN"] = "Capulet", "Juliet"
    await juliet.plugin["xep_0054"].publish_vcard(card, timeout=DEADLINE)
    await juliet.plugin["xep_0153"].set_avatar(avatar=ROSE, mtype="image/png", timeout=DEADLINE)
    rose = hashlib.sha1(ROSE, usedforsecurity=False).hexdigest()
    while await romeo.told_by(JULIET) != rose:
        pass
    answer = await romeo.plugin["xep_0054"].get_vcard(JULIET, cached=False, timeout=DEADLINE)
    assert answer["vcard_temp"]["FN"] == "Juliet Capulet"
    assert answer["vcard_temp"]["PHOTO"]["BINVAL"] == ROSE

    theirs = romeo.plugin["xep_0054"].make_vcard()
    with pytest.raises(IqError) as refused:
        await romeo.plugin["xep_0054"].publish_vcard(theirs, jid=JULIET, timeout=DEADLINE)
    assert refused.value.condition == "forbidden"

    # A client that knows nothing of photos is spoken for.
    chamber = await login(process, f"{JULIET}/chamber")
    assert await romeo.told_by(JULIET) == rose
    for person in (juliet, romeo, chamber):
        await person.disconnect()


def test_a_face_is_published_and_fetched(process):
    asyncio.run(publish_and_fetch(process))


async def search(person, **wanted):
    query = person.plugin["xep_0055"].make_search_iq(ito=VJUD)
    for var, value in wanted.items():
        query["search"]["form"].add_field(var, value=value)
    answer = await query.send(timeout=DEADLINE)
    return [dict(item) for item in answer["search"]["form"]["items"]]


async def register_and_search(process):
    juliet = await login(process, f"{JULIET}/balcony")
    romeo = await login(process, f"{ROMEO}/orchard")
    for person in (juliet, romeo):
        # It answers searches of others, too, unless it is told not to.
        person.register_plugin("xep_0055", {"provide_search": False})
        person.register_plugin("xep_0077", {"create_account": False})
    card = juliet.plugin["xep_0054"].make_vcard()
    card["N"]["FAMILY"], card["N"]["GIVEN"] = "Capulet", "Juliet"
    await juliet.plugin["xep_0054"].publish_vcard(card, timeout=DEADLINE)
    assert await search(romeo, last="Capulet") == []

    wish = juliet.make_iq_set(ito=VJUD)
    wish.enable("register")
    await wish.send(timeout=DEADLINE)
    (found,) = await search(romeo, last="cap*")
    assert found["jid"] == JULIET
    assert (found["first"], found["last"]) == ("Juliet", "Capulet")

    await juliet.plugin["xep_0077"].cancel_registration(jid=VJUD, timeout=DEADLINE)
    assert await search(romeo, last="Capulet") == []
    for person in (juliet, romeo):
        await person.disconnect()


def test_who_registers_is_found(process):
    asyncio.run(register_and_search(process))


async def set_card(process):
    juliet = await login(process, f"{JULIET}/balcony")
    card = juliet.plugin["xep_0054"].make_vcard()
    card["FN"] = "Juliet Capulet"
    await juliet.plugin["xep_0054"].publish_vcard(card, timeout=DEADLINE)


async def get_card(process):
    romeo = await login(process, f"{ROMEO}/orchard")
    answer = await romeo.plugin["xep_0054"].get_vcard(JULIET, timeout=DEADLINE)
    return answer["vcard_temp"]["FN"]


def test_what_was_confirmed_outlives_a_kill(process):
    # Robustness promise R2.
    asyncio.run(set_card(process))
    process.kill()
    process.start()
    assert asyncio.run(get_card(process)) == "Juliet Capulet"
