"""Presence to many, and its end (XEP-0033, "Directed Presence")."""

import pytest

from stonechat import hookimpl
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat_multicast.presence import Shown

JULIET = "juliet@capulet.example"
NURSE = "nurse@capulet.example"
H1, NO = "header1.example", "noheader.example"


def presences(client, sender):
    """The types of presence that came from somebody."""
    return [stanza.type for stanza in client.received() if stanza.from_ == sender.jid]


def test_presence_is_shown_to_all(romeo, juliet, nurse, talk):
    romeo.send(
        "<presence to='multicast.capulet.example'><show>dnd</show>"
        f"{talk.header(('to', JULIET), ('bcc', NURSE))}</presence>"
    )
    presence = juliet.receive_presence()
    assert (presence.from_, presence.show) == (romeo.jid, "dnd")
    assert talk.listed(presence) == [("to", JULIET, True)]
    assert talk.listed(nurse.receive_presence()) == [("to", JULIET, True), ("bcc", NURSE, False)]


@pytest.mark.parametrize("end", ["unavailable", "disconnect", "drop"])
@pytest.mark.parametrize("is_available", [True, False])
def test_who_has_seen_it_sees_its_end(
    server, romeo, juliet, nurse, world, talk, end, is_available
):
    if is_available:
        romeo.available()
    talk.show(romeo, ("to", JULIET), ("bcc", NURSE), ("to", f"a@{NO}"))
    assert presences(juliet, romeo) == presences(nurse, romeo) == [""]
    world.take()
    if end == "unavailable":
        if not is_available:
            romeo.send("<presence type='unavailable' to='multicast.capulet.example'/>")
        else:
            romeo.unavailable()
    else:
        getattr(romeo, end)()
        server.settle()
    for client in (juliet, nurse):
        (gone,) = [stanza for stanza in client.received() if stanza.from_ == romeo.jid]
        assert gone.type == "unavailable"
        # Nobody learns from it who else was told.
        assert talk.listed(gone) is None
    assert world.take() == [(f"a@{NO}", None)]


def test_the_end_says_what_its_sender_says(romeo, juliet, talk):
    romeo.available()
    talk.show(romeo, ("to", JULIET))
    juliet.received()
    romeo.unavailable("Parting is such sweet sorrow")
    (gone,) = juliet.received()
    assert gone.element.find_text("status") == "Parting is such sweet sorrow"


def test_the_end_comes_once(server, romeo, juliet, talk):
    romeo.available()
    talk.show(romeo, ("to", JULIET))
    talk.show(romeo, ("to", JULIET))
    romeo.unavailable()
    romeo.disconnect()
    server.settle()
    assert presences(juliet, romeo) == ["", "", "unavailable"]


def test_the_end_may_be_told_to_many(romeo, juliet, nurse, talk):
    talk.show(romeo, ("to", JULIET), type="unavailable")
    gone = juliet.receive_presence()
    assert gone.type == "unavailable"
    assert talk.listed(gone) == [("to", JULIET, True)]


def test_all_who_have_seen_it_see_the_end_named_or_not(romeo, juliet, nurse, talk):
    talk.show(romeo, ("to", JULIET), ("to", NURSE))
    juliet.received()
    nurse.received()
    talk.show(romeo, ("to", JULIET), type="unavailable")
    assert presences(juliet, romeo) == presences(nurse, romeo) == ["unavailable"]


def test_without_a_roster_the_end_is_told_all_the_same(server, talk):
    host = server.host("capulet.example", multicast={})
    romeo, juliet = host.connect("romeo@capulet.example/orchard"), host.connect(f"{JULIET}/x")
    juliet.available()
    talk.show(romeo, ("to", JULIET))
    assert presences(juliet, romeo) == [""]
    romeo.disconnect()
    server.settle()
    assert presences(juliet, romeo) == ["unavailable"]


@pytest.mark.parametrize("type", ["subscribe", "unsubscribed", "probe"])
def test_other_kinds_are_for_one(juliet, world, talk, type):
    world.say(
        f"<presence type='{type}' from='hamlet@elsewhere.example'"
        f" to='multicast.capulet.example'>{talk.header(('to', JULIET))}</presence>"
    )
    assert juliet.received() == []
    (refusal,) = world.came
    assert refusal.element.find("error").first().name == "bad-request"


@pytest.mark.parametrize("type", ["", "subscribe", "probe"])
def test_presence_without_addresses_is_nobodys(romeo, juliet, type):
    kind = f" type='{type}'" if type else ""
    romeo.send(f"<presence{kind} to='multicast.capulet.example'/>")
    assert juliet.received() == []


class Wall:
    """A plugin that lets an account's presence go nowhere near the nurse (XEP-0191)."""

    def __init__(self, host, options):
        self.asked = []

    @hookimpl
    def stonechat_may_send_presence(self, account, contact):
        self.asked.append((account.text, contact.text))
        return False if contact.localpart == "nurse" else None


def test_whom_a_user_shuts_out_does_not_see_it(host, romeo, juliet, nurse, world, talk):
    wall = host.enable("wall", plugin_class=Wall)
    talk.show(romeo, ("to", JULIET), ("to", f"{NURSE}/kitchen"))
    assert presences(juliet, romeo) == [""]
    assert nurse.received() == []
    assert wall.asked == [(romeo.jid.text, JULIET), (romeo.jid.text, NURSE)]


def test_who_is_gone_before_it_is_known_who_may_see_it_is_not_shown(
    host, romeo, juliet, talk, monkeypatch
):
    plugin = host.plugin("multicast")
    session = host.kernel.session(romeo.jid)

    def may_show(sender, address):
        session.end()
        return True

    monkeypatch.setattr(plugin, "may_show", may_show)
    talk.show(romeo, ("to", JULIET))
    assert presences(juliet, romeo) == []
    assert plugin.shown._senders == {}


# The service stops


def test_the_end_is_told_when_the_service_goes(host, romeo, juliet, world, talk, monkeypatch):
    plugin = host.plugin("multicast")
    send, sent = plugin.send, []

    def note(stanza, to):
        sent.append(to.text)
        send(stanza, to)

    talk.show(romeo, ("to", JULIET), ("to", NURSE), ("to", f"a@{NO}"))
    header = talk.header(("to", JULIET))
    hamlet = "from='hamlet@elsewhere.example/elsinore' to='multicast.capulet.example'"
    world.say(f"<presence {hamlet}>{header}</presence>")
    juliet.received()
    world.take()
    monkeypatch.setattr(plugin, "send", note)
    host.disable("multicast")
    gone = [(stanza.type, stanza.from_.text) for stanza in juliet.received()]
    assert gone == [
        ("unavailable", romeo.jid.text),
        ("unavailable", "hamlet@elsewhere.example/elsinore"),
    ]
    assert world.take() == [(f"a@{NO}", None)]
    # The nurse is not there to hear it.
    assert NURSE not in sent


# Limits


@pytest.mark.parametrize("options", [{"max_shown": 2}])
def test_a_client_is_shown_to_so_many_at_most(romeo, juliet, nurse, talk):
    talk.show(romeo, ("to", JULIET))
    talk.show(romeo, ("to", JULIET), ("to", NURSE))
    assert presences(juliet, romeo) == ["", ""]
    talk.show(romeo, ("to", JULIET), ("to", "tybalt@capulet.example"))
    assert talk.refusals(romeo) == [("resource-constraint", "multicast.capulet.example")]
    assert juliet.received() == []
    romeo.send("<presence type='unavailable' to='multicast.capulet.example'/>")
    talk.show(romeo, ("to", "tybalt@capulet.example"), ("to", JULIET))
    assert presences(juliet, romeo) == ["unavailable", ""]


def test_other_servers_cannot_fill_the_memory(monkeypatch):
    monkeypatch.setattr("stonechat_multicast.presence.MAX_OF_DOMAIN", 3)
    monkeypatch.setattr("stonechat_multicast.presence.MAX_REMOTE", 5)
    shown = Shown("capulet.example", 100)
    addresses = [JID.parse(f"a{number}@capulet.example") for number in range(4)]

    def sender(name, domain):
        return JID.parse(f"{name}@{domain}")

    shown.add(sender("a", "one.example"), addresses[:2])
    for jid in (sender("b", "one.example"), sender("a", "one.example")):
        with pytest.raises(StanzaError, match="too many"):
            shown.add(jid, addresses)
    shown.add(sender("b", "one.example"), addresses[:1])
    shown.add(sender("a", "two.example"), addresses[:2])
    with pytest.raises(StanzaError, match="too many"):
        shown.add(sender("a", "three.example"), addresses[:1])
    assert set(shown._remote) == {"one.example", "two.example"}
    # Our own people are counted each by themselves.
    shown.add(sender("juliet", "capulet.example"), addresses)
    assert len(shown.end(sender("a", "one.example"))) == 2
    shown.add(sender("a", "three.example"), addresses[:1])
    for jid in (
        sender("b", "one.example"),
        sender("a", "two.example"),
        sender("a", "three.example"),
        sender("juliet", "capulet.example"),
    ):
        assert shown.end(jid)
        assert shown.end(jid) == []
    assert (shown._senders, dict(shown._remote), shown._all_remote) == ({}, {}, 0)


# By way of other services


def test_another_service_hears_of_the_end_too(server, romeo, world, talk):
    talk.show(romeo, ("to", f"a@{H1}"), ("to", f"b@{H1}"))
    assert [to for to, _ in world.take()] == [H1]
    romeo.disconnect()
    server.settle()
    assert world.take() == [(f"a@{H1}", None), (f"b@{H1}", None), (H1, None)]


def test_who_is_gone_before_it_is_known_how_to_show_is_not_shown(server, romeo, world, talk):
    world.is_silent = True
    talk.show(romeo, ("to", f"a@{H1}"), ("to", f"b@{H1}"))
    romeo.disconnect()
    server.settle()
    world.came.clear()
    world.speak_up()
    server.settle()
    assert world.came == []


def test_a_message_by_another_service_shows_nothing(server, romeo, juliet, world, talk):
    talk.show(romeo, ("to", JULIET))
    talk.say(romeo, ("to", f"a@{H1}"), ("to", f"b@{H1}"))
    world.take()
    romeo.disconnect()
    server.settle()
    assert world.take() == []


def test_people_of_other_servers_are_seen_to_go(world, juliet, nurse, talk):
    header = talk.header(("to", JULIET), ("to", NURSE))
    hamlet = "from='hamlet@elsewhere.example/elsinore' to='multicast.capulet.example'"
    world.say(f"<presence {hamlet}>{header}</presence>")
    world.say(f"<presence type='unavailable' {hamlet}/>")
    for client in (juliet, nurse):
        assert [stanza.type for stanza in client.received()] == ["", "unavailable"]
