"""What is taken back leaves a tombstone (XEP-0424)."""

import pytest

from stonechat import timestamps
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT
from stonechat.stanza import Message
from stonechat.xml import Element
from stonechat_mam import recorder, retraction

NS_RETRACT = "urn:xmpp:message-retract:1"
JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"
ROOM = "hall@conference.verona.example"


def retract(target):
    return Element(NS_RETRACT, "retract", {"id": target})


def is_tombstone(result):
    return result.message.find("retracted", NS_RETRACT) is not None


def test_a_retracted_message_becomes_a_tombstone_in_both_archives(server, juliet, romeo, ask):
    romeo.message(JULIET, "Have not saints lips?", Element("urn:example:hint", "lips"), id="m1")
    before = ask(juliet).results[0]
    server.clock.advance(92)
    romeo.message(JULIET, "/me has taken something back", retract("m1"), id="m2")
    for somebody in (juliet, romeo):
        stone, taken_back = ask(somebody).results
        assert stone.message.elements == [
            Element(
                NS_RETRACT,
                "retracted",
                {"id": "m2", "stamp": timestamps.written(taken_back.stamp)},
            )
        ]
        assert stone.message.get("id") == "m1"
        assert stone.message.get("from") == "romeo@capulet.example/orchard"
        assert stone.message.get("to") == JULIET
        assert stone.message.get("type") == "chat"
        # The retraction itself stays.
        assert taken_back.message.find("retract", NS_RETRACT).get("id") == "m1"
    after = ask(juliet).results[0]
    assert (after.id, after.stamp) == (before.id, before.stamp)


def test_it_may_be_sent_from_another_client_of_the_same_sender(capulet, juliet, romeo, ask):
    tomb = capulet.connect(f"{ROMEO}/tomb")
    romeo.message(JULIET, "lips", id="m1")
    tomb.message(JULIET, "", retract("m1"), id="m2")
    assert is_tombstone(ask(juliet).results[0])


@pytest.mark.parametrize("hint", ["", "no-store", "no-permanent-store"])
def test_it_need_not_have_a_body(juliet, romeo, ask, hint):
    hints = [Element("urn:xmpp:hints", hint)] if hint else []
    romeo.message(JULIET, "lips", id="m1")
    romeo.message(JULIET, "", retract("m1"), *hints, id="m2")
    stone, taken_back = ask(juliet).results
    assert is_tombstone(stone)
    assert taken_back.message.get("id") == "m2"


def test_another_sender_s_retraction_changes_nothing(capulet, juliet, romeo, ask):
    tybalt = capulet.connect("tybalt@capulet.example/street")
    romeo.message(JULIET, "lips", id="m1")
    tybalt.message(JULIET, "lips", id="m1")
    tybalt.message(JULIET, "", retract("m1"), id="m2")
    juliet.message(ROMEO, "", retract("m1"), id="m3")
    romeos, tybalts, *_ = ask(juliet).results
    assert not is_tombstone(romeos)
    assert is_tombstone(tybalts)


def test_an_id_in_another_conversation_is_another_id(capulet, juliet, romeo, ask):
    capulet.connect("nurse@capulet.example/kitchen")
    romeo.message(JULIET, "to her", id="m1")
    romeo.message("nurse@capulet.example", "", retract("m1"), id="m2")
    assert ask(juliet).bodies == ["to her"]
    assert ask(romeo).bodies[0] == "to her"


def test_of_several_messages_of_one_id_the_last_before_it_is_meant(juliet, romeo, ask):
    for text in ("1", "2"):
        romeo.message(JULIET, text, id="m1")
    romeo.message(JULIET, "", retract("m1"), id="m2")
    romeo.message(JULIET, "3", id="m1")
    assert ask(juliet).bodies == ["1", "", "", "3"]


def test_messages_with_the_same_bits_are_told_apart(juliet, romeo, ask, monkeypatch):
    for module in (recorder, retraction):
        monkeypatch.setattr(module, "origin_of", lambda sender, stanza_id: 7)
    romeo.message(JULIET, "lips", id="m1")
    juliet.message(ROMEO, "hers", id="m1")
    romeo.message(JULIET, "hands", id="m2")
    romeo.message(JULIET, "", retract("m1"), id="m3")
    assert ask(juliet).bodies == ["", "hers", "hands", ""]


def test_neither_a_retraction_nor_a_tombstone_is_retracted(juliet, romeo, ask):
    romeo.message(JULIET, "lips", id="m1")
    romeo.message(JULIET, "", retract("m1"), id="m2")
    romeo.message(JULIET, "", retract("m2"), id="m3")
    romeo.message(JULIET, "", retract("m1"), id="m4")
    stone, first, second, third = ask(juliet).results
    assert stone.message.find("retracted", NS_RETRACT).get("id") == "m2"
    for result, target in ((first, "m1"), (second, "m2"), (third, "m1")):
        assert result.message.find("retract", NS_RETRACT).get("id") == target


@pytest.mark.parametrize("target", ["", "m0", "x" * 10_000])
def test_what_means_nothing_takes_nothing_back(juliet, romeo, ask, target):
    romeo.message(JULIET, "lips", id="m1")
    romeo.message(JULIET, "no id", id="")
    romeo.message(JULIET, "", retract(target), id="m2")
    assert ask(juliet).bodies == ["lips", "no id", ""]


def test_a_retraction_without_an_id_cannot_be_named_by_a_tombstone(juliet, romeo, ask):
    romeo.message(JULIET, "lips", id="m1")
    romeo.message(JULIET, "", retract("m1"))
    assert ask(juliet).bodies == ["lips", ""]


def private(nick, text, *payload, id, marked=True):
    """What somebody in a room says to Juliet alone, as it comes from the room."""
    mark = [Element("http://jabber.org/protocol/muc#user", "x")] if marked else []
    body = [Element(NS_CLIENT, "body", None, text)] if text else []
    return Message(
        *body,
        *mark,
        *payload,
        from_=JID.parse(f"{ROOM}/{nick}"),
        to=JID.parse(f"{JULIET}/balcony"),
        type="chat",
        id=id,
    )


def test_behind_the_address_of_a_room_are_many_people(capulet, juliet, ask):
    route = capulet.kernel.router.route
    route(private("romeo", "lips", id="m1"))
    route(private("tybalt", "", retract("m1"), id="m2", marked=False))
    assert ask(juliet).bodies == ["lips", ""]
    route(private("romeo", "", retract("m1"), id="m3"))
    assert is_tombstone(ask(juliet).results[0])


def test_it_reaches_back_so_far_and_no_farther(juliet, romeo, ask, monkeypatch):
    monkeypatch.setattr(retraction, "MAX_LOOKED_THROUGH", 3)
    for number in range(4):
        romeo.message(JULIET, "lips", id=f"m{number}")
    romeo.message(JULIET, "", retract("m0"), id="r0")
    romeo.message(JULIET, "", retract("m3"), id="r3")
    assert ask(juliet).bodies == ["lips", "lips", "lips", "", "", ""]


def test_what_was_retracted_is_not_found_by_its_text_any_more(juliet, romeo, ask):
    romeo.message(JULIET, "lips", id="m1")
    assert len(ask(juliet, fulltext="lips").results) == 1
    romeo.message(JULIET, "", retract("m1"), id="m2")
    assert ask(juliet, fulltext="lips").results == []


def test_a_message_that_is_retracted_before_it_is_written_is_retracted(
    capulet, juliet, romeo, ask
):
    """Both in one batch."""
    plugin = capulet.plugin("mam")
    account = plugin.archive.accounts.get("juliet").number
    body = Element(NS_CLIENT, "body", None, "lips")
    rows = [
        plugin.archive.recorder.row(account, romeo.jid, romeo.jid, message)
        for message in (
            Message(body, from_=romeo.jid, to=juliet.bare, id="m1"),
            Message(retract("m1"), from_=romeo.jid, to=juliet.bare, id="m2"),
        )
    ]
    for _ in range(2):
        # Also when it is written once more.
        capulet.kernel.storage.write(
            lambda connection: plugin.archive.recorder.write_rows(connection, rows)
        )
    assert [is_tombstone(result) for result in ask(juliet).results] == [True, False]
