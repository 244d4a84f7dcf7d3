"""vCards made of entries, for whom, and who may say otherwise."""

from base64 import b64decode
from hashlib import sha1

import pytest

from stonechat.errors import StanzaError
from stonechat.stanza import Element
from stonechat_ldap import Entry
from stonechat_vcard_ldap import Options
from stonechat_vcard_ldap.cards import Card, Cards
from stonechat_vcard_ldap.fields import MAX_VALUES, Sources

HOST = "capulet.example"
JULIET, ROMEO, NURSE = (f"{name}@{HOST}" for name in ("juliet", "romeo", "nurse"))
NS_UPDATE = "vcard-temp:x:update"


def vcard(*parts):
    card = Element("vcard-temp", "vCard")
    for name, text in parts:
        card.add(name, text)
    return card


def get(client, to=None):
    return client.get(vcard(), to=to).payload


def at(card, *path):
    for name in path:
        card = card.find(name)
        if card is None:
            return None
    return card.text


def refused(call, *arguments, **options):
    with pytest.raises(StanzaError) as caught:
        call(*arguments, **options)
    return caught.value.condition, caught.value.type


def told(client, sender):
    """What the next presence from somebody says of the photo; None for nothing."""
    while True:
        presence = client.receive_presence()
        if presence.from_ == sender.jid:
            update = presence.find(NS_UPDATE, "x")
            return None if update is None else update.find_text("photo")


# What a card says


def test_a_card_says_what_the_directory_knows(capulet, login, verona, rose):
    romeo = login(capulet(verona), "romeo")
    card = get(romeo, JULIET)
    assert at(card, "FN") == "Juliet of the House of Capulet"
    assert (at(card, "N", "FAMILY"), at(card, "N", "GIVEN")) == ("Capulet", "Juliet")
    assert at(card, "NICKNAME") == "juliet"
    assert at(card, "EMAIL", "USERID") == "juliet@mail.capulet.example"
    assert at(card, "TEL", "NUMBER") == "+39 45 1597"
    assert at(card, "ADR", "LOCALITY") == "Verona"
    assert at(card, "ORG", "ORGNAME") == "House of Capulet"
    assert at(card, "URL") == "https://capulet.example"
    assert at(card, "JABBERID") == JULIET
    assert at(card, "PHOTO", "TYPE") == "image/jpeg"
    assert b64decode(at(card, "PHOTO", "BINVAL")) == rose
    names = [child.name for child in card.elements]
    assert names[:2] == ["FN", "N"]


def test_ones_own_card_is_asked_for_without_an_address(capulet, login, verona):
    romeo = login(capulet(verona), "romeo")
    assert at(get(romeo), "FN") == "Romeo Montague"
    assert at(get(romeo, ROMEO), "FN") == "Romeo Montague"


def test_fields_come_from_where_the_administrator_says(capulet, login, verona):
    fields = {
        "FN": "{sn}, {givenName}",
        "TITLE": ["title", "departmentNumber"],
        "N.FAMILY": None,
        "PHOTO": None,
        "NOTE": "%u of %d",
        "ROLE": "{title} of {o}",
    }
    romeo = login(capulet(verona, {"fields": fields}), "romeo")
    card = get(romeo, JULIET)
    assert at(card, "FN") == "Capulet, Juliet"
    assert at(card, "TITLE") == "Capulets"
    assert at(card, "N", "FAMILY") is None
    assert at(card, "N", "GIVEN") == "Juliet"
    assert at(card, "PHOTO") is None
    assert at(card, "NOTE") == f"juliet of {HOST}"
    # Half of it is nothing.
    assert at(card, "ROLE") is None
    # Whoever lacks something has a name all the same.
    assert at(get(romeo, NURSE), "FN") == "nurse"


@pytest.mark.parametrize(
    "fields", [{"F.N": "cn"}, {"FN": "c n"}, {"FN": []}, {"FN": 1}, {"FN": "{c n}"}, ["FN"]]
)
def test_a_slip_in_the_fields_is_told_at_the_start(fields):
    with pytest.raises(ValueError, match=r"must be|is no field"):
        Options(fields=fields)


def test_what_no_xml_can_carry_is_left_out():
    entry = Entry(
        "cn=x", {"cn": [b"\xff\xfe", b"a\x00b\x1f\xef\xbf\xbe c", b" "], "mail": [b"m"] * 9}
    )
    assert Sources.parse("cn").texts(entry, "x", HOST) == ["ab c"]
    assert len(Sources.parse("mail").texts(entry, "x", HOST)) == MAX_VALUES


@pytest.mark.parametrize("option", [{"max_photo_size": 5}, {"fields": {"PHOTO": "cn"}}])
def test_a_photo_that_is_too_large_or_none_is_left_out(capulet, login, verona, option):
    romeo = login(capulet(verona, option), "romeo")
    assert get(romeo, JULIET).find("PHOTO") is None


# Who may say otherwise


def test_nobody_changes_what_the_directory_says(capulet, login, verona):
    romeo = login(capulet(verona), "romeo")
    assert refused(romeo.set, vcard(("FN", "Montague"))) == ("not-allowed", "cancel")
    for other in (JULIET, f"tybalt@{HOST}"):
        assert refused(romeo.set, vcard(("FN", "Capulet")), to=other) == ("forbidden", "auth")
    assert at(get(romeo), "FN") == "Romeo Montague"


def test_with_the_plugin_vcard_the_directory_comes_first(capulet, login, verona):
    host = capulet(verona, vcard={"search_domain": None})
    romeo = login(host, "romeo")
    assert refused(romeo.set, vcard(("FN", "Montague"))) == ("not-allowed", "cancel")
    assert at(get(romeo), "FN") == "Romeo Montague"
    # The host's own card is none of ours.
    assert at(get(romeo, HOST), "FN") == HOST


def test_whoever_is_not_in_the_directory_has_the_plugin_vcard(server, login, verona, options_for):
    server.configure(
        auth=["testing"],
    )
    host = server.host(
        HOST, vcard={"search_domain": None}, vcard_ldap={"directory": options_for(verona)}
    )
    tybalt = host.connect(f"tybalt@{HOST}/street")
    tybalt.set(vcard(("FN", "Prince of Cats")))
    assert at(get(tybalt), "FN") == "Prince of Cats"
    host.create_account("juliet")
    assert at(get(tybalt, JULIET), "FN") == "Juliet of the House of Capulet"


def test_without_that_plugin_he_has_none(server, verona, options_for):
    host = server.host(HOST, vcard_ldap={"directory": options_for(verona)})
    tybalt = host.connect(f"tybalt@{HOST}/street")
    host.create_account("mercutio")
    assert get(tybalt).children == ()
    # As where there is no such account.
    for nobody in ("mercutio", "balthasar"):
        assert refused(get, tybalt, f"{nobody}@{HOST}") == ("service-unavailable", "cancel")
    assert refused(tybalt.set, vcard(("FN", "x")))[0] == "not-allowed"


def test_where_users_count_the_directory_helps_out(capulet, login, verona):
    host = capulet(verona, {"prefer": "user"}, vcard={"search_domain": None})
    romeo, nurse = login(host, "romeo"), login(host, "nurse")
    assert at(get(nurse, ROMEO), "FN") == "Romeo Montague"
    romeo.set(vcard(("FN", "Pilgrim")))
    assert at(get(nurse, ROMEO), "FN") == "Pilgrim"
    romeo.set(vcard())
    assert at(get(nurse, ROMEO), "FN") == "Romeo Montague"


def test_that_needs_the_plugin_vcard(server, capulet, login, verona):
    host = capulet(verona, {"prefer": "user"})
    assert server.logged("`prefer: user` has no effect without the plugin vcard")
    romeo = login(host, "romeo")
    assert refused(romeo.set, vcard(("FN", "Pilgrim")))[0] == "not-allowed"


# Presence


@pytest.mark.parametrize("others", [{}, {"vcard": {"search_domain": None}}])
def test_presence_tells_of_the_photo(capulet, login, verona, rose, others):
    host = capulet(verona, roster={}, **others)
    juliet = login(host, "juliet")
    chamber = login(host, "juliet", "chamber")
    chamber.available()
    chamber.received()
    rose_hash = sha1(rose, usedforsecurity=False).hexdigest()
    says = {
        "": rose_hash,
        f"<x xmlns='{NS_UPDATE}'/>": rose_hash,
        f"<x xmlns='{NS_UPDATE}'><photo>{'0' * 40}</photo></x>": rose_hash,
        f"<x xmlns='{NS_UPDATE}'><photo>{rose_hash}</photo></x>": rose_hash,
        # What the client said itself, the plugin vcard does not leave to be seen.
        f"<x xmlns='{NS_UPDATE}'><photo/></x>": rose_hash if others else "",
        f"<x xmlns='{NS_UPDATE}'/><x xmlns='{NS_UPDATE}'/>": rose_hash,
    }
    for said, wanted in says.items():
        juliet.send(f"<presence>{said}</presence>")
        assert told(chamber, juliet) == wanted
    juliet.send(f"<presence to='{chamber.jid}'/>")
    assert told(chamber, juliet) == rose_hash


def test_presence_says_nothing_of_no_photo_and_nothing_if_told_so(capulet, login, verona):
    host = capulet(verona, {"presence_hash": False}, roster={})
    chamber, juliet = login(host, "juliet", "chamber"), login(host, "juliet")
    chamber.available()
    juliet.available()
    assert told(chamber, juliet) is None


def test_a_false_hash_is_corrected_where_there_is_no_photo(capulet, login, verona):
    host = capulet(verona, roster={})
    street, romeo = login(host, "romeo", "street"), login(host, "romeo")
    street.available()
    romeo.available()
    assert told(street, romeo) is None
    romeo.send(f"<presence><x xmlns='{NS_UPDATE}'><photo>{'0' * 40}</photo></x></presence>")
    assert told(street, romeo) == ""


# The directory is away, or another one


def test_cards_are_remembered_for_as_long_as_told(server, capulet, login, slapd):
    romeo = login(capulet(slapd, {"remember": "1 min"}), "romeo")
    assert at(get(romeo, JULIET), "N", "GIVEN") == "Juliet"
    slapd.modify(
        f"dn: uid=Juliet,ou=people,{slapd.base}\nchangetype: modify\nreplace: givenName\n"
        "givenName: Giulietta\n"
    )
    assert at(get(romeo, JULIET), "N", "GIVEN") == "Juliet"
    server.clock.advance(61)
    assert at(get(romeo, JULIET), "N", "GIVEN") == "Giulietta"


def test_while_the_directory_is_away_requests_are_answered(server, capulet, login, slapd):
    host = capulet(slapd, {"remember": "1 min"}, roster={})
    romeo = login(host, "romeo")
    romeo.available()
    assert at(get(romeo, JULIET), "FN")
    # That she exists is known, and no more.
    assert host.kernel.accounts.exists("nurse")
    slapd.stop()
    assert refused(get, romeo, NURSE) == ("internal-server-error", "wait")
    assert at(get(romeo, JULIET), "FN")
    romeo.available(status="banished")
    slapd.start()
    server.clock.advance(2)
    assert at(get(romeo, NURSE), "FN") == "Angelica"


def test_what_is_remembered_has_a_bound_in_octets():
    class Directory:
        def find(self, localpart, attributes):
            return Entry(f"uid={localpart}", {"cn": [b"x" * 500]})

    class Link:
        directory = Directory()

    class Host:
        name = HOST

        def monotonic(self):
            return 0.0

    fields = {"FN": Sources.parse("cn")}
    cards = Cards(Host(), lambda: Link, fields, max_photo_size=1, remember=60.0, memory=10_000)
    for number in range(1000):
        assert isinstance(cards.of(f"servant{number}"), Card)
    assert 5 < len(cards) < 20
    assert cards._weight <= 10_000


def test_there_has_to_be_a_directory(server):
    server.expect_errors()
    host = server.host(HOST, vcard_ldap={})
    assert "name `ldap` among the auth backends" in host.kernel.plugins.quarantined["vcard_ldap"]


def test_two_directories_cannot_have_one_address(server, verona, options_for):
    server.expect_errors()
    host = server.host(HOST, vcard={}, vcard_ldap={"directory": options_for(verona)})
    reason = host.kernel.plugins.quarantined["vcard_ldap"]
    assert "search_domain" in reason
    assert "set one of the two to null" in reason


def test_a_directory_of_its_own_is_closed_with_it(server, verona, options_for):
    host = server.host(HOST, vcard_ldap={"directory": options_for(verona)})
    tybalt = host.connect(f"tybalt@{HOST}/street")
    get(tybalt)
    directory = host.plugin("vcard_ldap").link.directory
    assert directory.open_connections == 1
    host.disable("vcard_ldap")
    assert directory.open_connections == 0
