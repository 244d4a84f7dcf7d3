"""A vCard that comes from elsewhere (XEP-0227)."""

import pytest

from stonechat.jid import JID
from stonechat.xml import parse

CAPULET = "capulet.example"
JULIET = JID.parse(f"juliet@{CAPULET}")
CARD = "<vCard xmlns='vcard-temp'><FN>Juliet Capulet</FN></vCard>"


@pytest.fixture
def host(server):
    host = server.host(CAPULET, vcard={"max_size": 300})
    host.create_account("juliet", "secret")
    return host


def take(host, xml, dry_run=False):
    element = parse(xml.encode())
    return host.plugin("vcard").stonechat_import_account(JULIET, element, dry_run)


def exported(host):
    return [str(card) for card in host.plugin("vcard").stonechat_export_account(JULIET)]


def test_it_is_there_and_can_be_found(host):
    assert take(host, CARD).kept == 1
    assert exported(host) == [CARD]
    juliet = host.connect(f"{JULIET}/balcony")
    assert str(juliet.get(parse(b"<vCard xmlns='vcard-temp'/>")).payload) == CARD


def test_the_one_that_is_there_stays(host):
    take(host, CARD)
    assert take(host, CARD) == (0, 1, ())
    assert take(host, CARD.replace("Juliet", "Rosaline")).lost == ("a vCard beside another one",)
    assert exported(host) == [CARD]


@pytest.mark.parametrize(
    "xml",
    [
        "<vCard xmlns='vcard-temp'><fn>x</fn></vCard>",
        CARD.replace("Juliet", "J" * 300),
        "<vCard xmlns='vcard-temp'><PHOTO><BINVAL>!</BINVAL></PHOTO></vCard>",
    ],
)
def test_one_that_could_not_be_set_is_lost(host, xml):
    assert len(take(host, xml).lost) == 1
    assert exported(host) == []


def test_an_empty_one_is_none_and_what_is_else_is_somebody_else_s(host):
    assert take(host, "<vCard xmlns='vcard-temp'/>") == (0, 0, ())
    assert take(host, "<query xmlns='vcard-temp'/>") is None


def test_a_dry_run_writes_nothing(host):
    assert take(host, CARD, dry_run=True).kept == 1
    assert exported(host) == []
