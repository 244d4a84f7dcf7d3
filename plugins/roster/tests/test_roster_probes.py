"""Probes: asking for somebody's presence (RFC 6121, 4.3 and 4.6.6)."""

from stonechat.jid import JID
from stonechat.stanza import Presence

ROMEO = "romeo@capulet.example"
JULIET = "juliet@capulet.example"
ORCHARD = f"{ROMEO}/orchard"
BALCONY = f"{JULIET}/balcony"


def probe(sender, to):
    return Presence(type="probe", from_=JID.parse(sender), to=JID.parse(to))


def test_a_probe_is_answered_with_the_presence_of_all_resources(capulet, juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    garden = capulet.connect(f"{ROMEO}/garden")
    romeo.available(show="dnd")
    garden.available()
    juliet.received()
    capulet.kernel.route(probe(BALCONY, ROMEO))
    assert sorted(talk.presences(juliet)) == [("", f"{ROMEO}/garden"), ("", ORCHARD)]


def test_a_probe_of_one_resource_is_told_only_that_it_is_there(capulet, juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    garden = capulet.connect(f"{ROMEO}/garden")
    romeo.send("<presence id='p1'><show>dnd</show><status>Busy.</status></presence>")
    garden.available()
    juliet.received()
    capulet.kernel.route(probe(BALCONY, ORCHARD))
    (seen,) = juliet.received()
    assert (seen.type, seen.from_.text, seen.id, seen.children) == ("", ORCHARD, "p1", ())
    capulet.kernel.route(probe(BALCONY, f"{ROMEO}/gone"))
    assert talk.presences(juliet) == [("unavailable", f"{ROMEO}/gone")]


def test_probes_go_from_bare_jid_to_bare_jid(juliet, montague, talk):
    romeo = montague.connect("romeo@montague.example/orchard")
    talk.say(juliet, "subscribe", romeo.bare)
    talk.say(romeo, "subscribed", JULIET)
    romeo.received()
    juliet.available()
    (asked,) = romeo.received()
    assert (asked.type, asked.from_.text, asked.to) == ("probe", JULIET, romeo.bare)


def test_an_answer_has_the_id_of_the_presence_or_else_of_the_probe(capulet, juliet, romeo, talk):
    """4.3.2.1."""
    ask = Presence(type="probe", id="probe1", from_=juliet.bare, to=romeo.bare)
    juliet.available()
    juliet.received()
    capulet.kernel.route(ask)
    # The refusal reaches Juliet's server; to show it, she has a subscription at that end.
    capulet.kernel.service("roster").set("juliet", romeo.bare, subscription="to")
    talk.get(juliet)
    capulet.kernel.route(ask.copy_for(romeo.bare))
    refused = juliet.receive_presence()
    assert (refused.type, refused.id) == ("unsubscribed", "probe1")
    capulet.kernel.service("roster").set("romeo", juliet.bare, subscription="from")
    juliet.received()
    capulet.kernel.route(ask.copy_for(romeo.bare))
    absent = juliet.receive_presence()
    assert (absent.type, absent.id) == ("unavailable", "probe1")
    romeo.send("<presence id='pres1'><show>away</show></presence>")
    juliet.received()
    capulet.kernel.route(ask.copy_for(romeo.bare))
    here = juliet.receive_presence()
    assert (here.type, here.id, here.show) == ("", "pres1", "away")


def test_a_client_may_probe_though_it_should_not(juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    romeo.available()
    talk.say(juliet, "probe", ROMEO)
    assert talk.presences(juliet) == [("", ORCHARD)]


def test_a_probe_of_an_absent_contact_is_answered_unavailable(capulet, juliet, romeo, talk):
    talk.befriend(juliet, romeo)
    capulet.kernel.route(probe(BALCONY, ROMEO))
    assert talk.presences(juliet) == [("unavailable", ROMEO)]


def test_a_probe_without_permission_is_answered_like_one_of_no_account(montague, romeo):
    tybalt = montague.connect("tybalt@montague.example/street")
    romeo.available()
    got = []
    for asked in (ROMEO, "nobody@capulet.example"):
        montague.kernel.route(probe("tybalt@montague.example/street", asked))
        answer = tybalt.receive_presence()
        assert answer.from_.text == asked
        got.append((answer.type, answer.to.text, answer.children))
    assert got == [("unsubscribed", "tybalt@montague.example", ())] * 2


def test_a_probe_of_ones_own_account_is_answered(capulet, juliet, talk):
    juliet.available()
    juliet.received()
    capulet.kernel.route(probe(BALCONY, JULIET))
    assert talk.presences(juliet) == [("", BALCONY)]
