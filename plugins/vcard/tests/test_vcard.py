"""vCards: whose they are, who sees them, and what they may hold (XEP-0054)."""

import pytest

from stonechat.errors import StorageError
from stonechat.jid import JID
from stonechat.namespaces import NS_DISCO_INFO
from stonechat.stanza import Element, Iq
from stonechat.storage import StorageFull

JULIET = "juliet@capulet.example"
ASK = "<vCard xmlns='vcard-temp'/>"


@pytest.fixture
def host(server):
    return server.host("capulet.example", vcard={}, disco={})


@pytest.fixture
def juliet(host):
    return host.connect(f"{JULIET}/balcony")


@pytest.fixture
def romeo(host):
    return host.connect("romeo@capulet.example/orchard")


FULL = (
    "<FN>Juliet Capulet</FN><N><FAMILY>Capulet</FAMILY><GIVEN>Juliet</GIVEN><MIDDLE/></N>"
    "<NICKNAME>JuliC</NICKNAME><TEL><HOME/><VOICE/><NUMBER/></TEL>"
    "<EMAIL><INTERNET/><PREF/><USERID>juliet@shakespeare.lit</USERID></EMAIL>"
    "<SORT-STRING>Capulet</SORT-STRING><AGENT><vCard><FN>Nurse</FN></vCard></AGENT>"
    "<other xmlns='urn:example:other'>of another kind</other>"
)


# One's own


def test_what_is_set_comes_back_whole(juliet, talk):
    assert juliet.set(talk.card(FULL)).payload is None
    card = juliet.get(ASK).payload
    assert str(card) == talk.card(FULL)
    assert str(juliet.get(ASK, JULIET).payload) == talk.card(FULL)


def test_an_update_takes_the_place_of_all_that_was_there(juliet, talk):
    juliet.set(talk.card(FULL))
    juliet.set(talk.card("<FN>Juliet Montague</FN>"))
    assert str(juliet.get(ASK).payload) == talk.card("<FN>Juliet Montague</FN>")


def test_it_may_be_set_by_naming_oneself(juliet, talk):
    juliet.set(talk.card("<FN>Juliet</FN>"), JULIET)
    assert juliet.get(ASK).payload.find_text("FN") == "Juliet"


def test_who_has_none_gets_an_empty_one(juliet):
    answer = juliet.get(ASK)
    assert str(answer.payload) == ASK
    assert str(juliet.get(ASK, JULIET).payload) == ASK


def test_an_empty_one_deletes(juliet, romeo, talk):
    juliet.set(talk.card(FULL))
    juliet.set(ASK)
    assert str(juliet.get(ASK).payload) == ASK
    assert talk.refusal(romeo.get, ASK, JULIET) == ("service-unavailable", "cancel")


def test_it_is_there_after_a_restart(server, host, juliet, talk):
    juliet.set(talk.card(FULL))
    server.restart()
    assert str(host.connect(f"{JULIET}/balcony").get(ASK).payload) == talk.card(FULL)


# Those of others


def test_others_see_it(juliet, romeo, talk):
    juliet.set(talk.card(FULL))
    answer = romeo.get(ASK, JULIET)
    assert answer.from_ == juliet.bare
    assert str(answer.payload) == talk.card(FULL)
    # The server has answered for her.
    assert juliet.received() == []


def test_people_of_other_hosts_see_it(server, juliet, talk):
    romeo = server.host("montague.example").connect("romeo@montague.example/orchard")
    juliet.set(talk.card("<FN>Juliet</FN>"))
    assert romeo.get(ASK, JULIET).payload.find_text("FN") == "Juliet"


def test_who_has_none_looks_like_who_does_not_exist(host, romeo):
    host.create_account("juliet")
    answers = [romeo.request("get", ASK, f"{name}@capulet.example") for name in ("juliet", "x")]
    for answer in answers:
        assert answer.type == "error"
        answer.element.attributes = {}
    assert answers[0].element == answers[1].element
    assert condition_of(answers[0]) == "service-unavailable"


@pytest.mark.parametrize("type", ["get", "set"])
def test_whatever_else_is_asked_does_not_tell_whether_there_is_an_account(host, romeo, type):
    host.create_account("juliet")
    card = "<card xmlns='vcard-temp'/>"
    answers = [romeo.request(type, card, f"{name}@capulet.example") for name in ("juliet", "x")]
    assert [condition_of(answer) for answer in answers] == ["service-unavailable"] * 2


def condition_of(answer):
    return answer.element.find("error").first().name


@pytest.mark.parametrize("address", [JULIET, "nobody@capulet.example", f"{JULIET}/balcony"])
def test_nobody_sets_the_vcard_of_another(juliet, romeo, talk, address):
    juliet.set(talk.card(FULL))
    assert talk.refusal(romeo.set, talk.card("<FN>Rosaline</FN>"), address) == (
        "forbidden",
        "auth",
    )
    assert juliet.get(ASK).payload.find_text("FN") == "Juliet Capulet"
    assert str(romeo.get(ASK).payload) == ASK


def test_a_client_is_asked_itself_by_its_full_address(juliet, romeo):
    romeo.send(Iq(Element("vcard-temp", "vCard"), type="get", id="1", to=juliet.jid))
    asked = juliet.receive_iq()
    assert (asked.type, asked.from_) == ("get", romeo.jid)


# The host's own


def test_the_host_has_a_vcard(server, tmp_path, talk, rose):
    (tmp_path / "rose.png").write_bytes(rose)
    host = server.host(
        "capulet.example",
        vcard={
            "card": {
                "name": "The House of Capulet",
                "organization": "Capulet & Sons",
                "url": "https://capulet.example/",
                "email": "office@capulet.example",
                "locality": "Verona",
                "country": "Italy",
                "description": "An old house.",
                "photo": str(tmp_path / "rose.png"),
            }
        },
    )
    card = host.connect(JULIET).get(ASK, "capulet.example").payload
    assert card.find_text("FN") == "The House of Capulet"
    assert card.find("ORG").find_text("ORGNAME") == "Capulet & Sons"
    assert card.find_text("URL") == "https://capulet.example/"
    assert card.find("EMAIL").find_text("USERID") == "office@capulet.example"
    address = card.find("ADR")
    assert (address.find_text("LOCALITY"), address.find_text("CTRY")) == ("Verona", "Italy")
    assert address.find("REGION") is None
    assert card.find_text("DESC") == "An old house."
    assert str(card.find("PHOTO")).replace(" xmlns='vcard-temp'", "") == talk.photo(rose)


def test_without_options_it_says_which_host_it_is(juliet):
    card = juliet.get(ASK, "capulet.example").payload
    assert (card.find_text("FN"), card.find_text("JABBERID")) == ("capulet.example",) * 2
    assert [element.name for element in card.elements] == ["FN", "JABBERID"]


def test_nobody_sets_the_vcard_of_the_host(juliet, talk):
    assert talk.refusal(juliet.set, talk.card(FULL), "capulet.example") == ("forbidden", "auth")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a rose in words", "no PNG, JPEG or GIF"),
        (b"GIF89a" + b"x" * 65_536, "larger than 65536"),
    ],
)
def test_an_image_that_cannot_be_shown_stops_the_plugin(server, tmp_path, content, reason):
    (tmp_path / "rose").write_bytes(content)
    server.expect_errors()
    host = server.host("capulet.example", vcard={"card": {"photo": str(tmp_path / "rose")}})
    assert reason in host.kernel.plugins.quarantined["vcard"]


# Malformed, too large


@pytest.mark.parametrize(
    "payload",
    [
        "<vcard xmlns='vcard-temp'><FN>Juliet</FN></vcard>",
        "<VCARD xmlns='vcard-temp'/>",
        "<vCard xmlns='vcard-temp'>Juliet</vCard>",
        "<vCard xmlns='vcard-temp'><fn>Juliet</fn></vCard>",
        "<vCard xmlns='vcard-temp'><N><Given>Juliet</Given></N></vCard>",
        "<vCard xmlns='vcard-temp'><AGENT><vCard><fn/></vCard></AGENT></vCard>",
        "<vCard xmlns='vcard-temp'><PHOTO>cm9zZQ==</PHOTO></vCard>",
        "<vCard xmlns='vcard-temp'><PHOTO><BINVAL>a rose!</BINVAL></PHOTO></vCard>",
        "<vCard xmlns='vcard-temp'><PHOTO><BINVAL>cm9zZQ</BINVAL></PHOTO></vCard>",
        "<vCard xmlns='vcard-temp'><PHOTO><BINVAL>\U0001f339</BINVAL></PHOTO></vCard>",
    ],
)
def test_what_is_malformed_is_not_kept(juliet, talk, payload):
    assert talk.refusal(juliet.set, payload) == ("bad-request", "modify")
    assert str(juliet.get(ASK).payload) == ASK


@pytest.mark.parametrize("to", [None, JULIET, "capulet.example"])
def test_only_a_vcard_can_be_asked_for(juliet, talk, to):
    assert talk.refusal(juliet.get, "<card xmlns='vcard-temp'/>", to) == ("bad-request", "modify")


def test_a_photo_may_come_in_lines(juliet, talk, rose):
    lines = talk.photo(rose).replace("BINVAL>i", "BINVAL>\n  i\r\n ")
    juliet.set(talk.card(lines))
    assert juliet.get(ASK).payload.find("PHOTO") is not None


def test_a_vcard_has_a_largest_size(server, talk):
    host = server.host("capulet.example", vcard={"max_size": 1000})
    juliet = host.connect(JULIET)
    juliet.set(talk.card(f"<DESC>{'x' * 900}</DESC>"))
    large = talk.card(f"<DESC>{'y' * 1000}</DESC>")
    assert talk.refusal(juliet.set, large) == ("policy-violation", "modify")
    assert juliet.get(ASK).payload.find_text("DESC").startswith("xxx")


def test_a_photo_has_a_largest_size(server, talk):
    host = server.host("capulet.example", vcard={"max_photo_size": 1000})
    juliet = host.connect(JULIET)
    juliet.set(talk.card(talk.photo(b"x" * 1000)))
    for photos in (talk.photo(b"y" * 1001), talk.photo(b"y") + talk.photo(b"y" * 1001)):
        refused = talk.refusal(juliet.set, talk.card(photos))
        assert refused == ("policy-violation", "modify")


# The rest


def test_the_feature_is_advertised(juliet):
    for address in ("capulet.example", JULIET):
        info = juliet.get(Element(NS_DISCO_INFO, "query"), address).payload
        assert "vcard-temp" in [feature.get("var") for feature in info.find_all("feature")]


def test_all_goes_with_the_account(server, host, juliet, talk, rose):
    juliet.set(talk.card(FULL, talk.photo(rose)))
    host.kernel.accounts.remove("juliet")
    server.settle()
    juliet = host.connect(f"{JULIET}/balcony")
    assert str(juliet.get(ASK).payload) == ASK
    assert host.plugin("vcard").cards.photo_hash("juliet") == ""
    assert host.plugin("vcard").store.choice("juliet") == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (StorageError("gone"), ("internal-server-error", "wait")),
        (StorageFull("full"), ("resource-constraint", "wait")),
    ],
)
def test_a_store_that_fails_is_told(server, host, juliet, talk, monkeypatch, error, expected):
    server.expect_errors()

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(host.kernel.storage, "read", fail)
    monkeypatch.setattr(host.kernel.storage, "write", fail)
    assert talk.refusal(juliet.set, talk.card(FULL)) == expected
    assert talk.refusal(juliet.get, ASK) == expected


def test_other_plugins_read_and_set_vcards(server, host, talk, rose):
    cards = host.kernel.service("vcard")
    assert cards.get("juliet") is None
    assert cards.photo_hash("juliet") == ""
    host.create_account("juliet")
    card = Element("vcard-temp", "vCard")
    card.add("PHOTO").add("BINVAL", "cm9zZQ==")
    cards.set("juliet", card)
    server.settle()
    assert cards.get("juliet") == card
    assert cards.photo_hash("juliet") == talk.hash(b"rose")
    cards.delete("juliet")
    server.settle()
    assert cards.get("juliet") is None
    assert cards.photo_hash("juliet") == ""


def test_an_operator_deletes_a_vcard(server, juliet, romeo, talk):
    juliet.set(talk.card(FULL))
    server.command("vcard-delete", jid=JULIET)
    assert talk.refusal(romeo.get, ASK, JULIET) == ("service-unavailable", "cancel")
    with pytest.raises(Exception, match="There is no account"):
        server.command("vcard-delete", jid="nobody@capulet.example")


def test_a_former_owner_of_the_name_leaves_nothing(host, talk):
    plugin = host.plugin("vcard")
    plugin.cards.set("juliet", Element("vcard-temp", "vCard", None, Element("vcard-temp", "FN")))
    plugin.stonechat_account_removed(JID.parse(JULIET))
    assert plugin.cards.get("juliet") is None
