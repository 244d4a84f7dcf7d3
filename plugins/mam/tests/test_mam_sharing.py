"""What goes from one account of a host to another is in the log once, and in both archives."""

import pytest
from sqlalchemy import func, select

from stonechat.namespaces import NS_CLIENT
from stonechat.plugin import Stage, hookimpl, stage
from stonechat.stanza import Message
from stonechat.xml import Element
from stonechat_mam.tables import MESSAGES

JULIET = "juliet@capulet.example"
ROMEO = "romeo@capulet.example"
NS_RETRACT = "urn:xmpp:message-retract:1"


def lines(server):
    return server.kernel.store.read(
        lambda connection: connection.execute(select(func.count(MESSAGES.c.id))).scalar_one()
    )


def know(host):
    """Make the accounts known to the archive: the first message of each would wait for that."""
    for localpart in ("juliet", "romeo"):
        host.plugin("mam").archive.accounts.get(localpart)


def retract(target):
    return Element(NS_RETRACT, "retract", {"id": target})


def is_tombstone(result):
    return result.message.find("retracted", NS_RETRACT) is not None


@pytest.fixture
def taken(monkeypatch):
    """A recorder's rows, one batch for each, as if each were in the hands of the store at once."""

    def take(recorder):
        add = recorder._batcher.add

        def adding(*row):
            add(*row)
            recorder._batcher.taken = recorder._batcher.added

        monkeypatch.setattr(recorder._batcher, "add", adding)

    return take


def test_a_message_between_two_accounts_is_written_once(server, capulet, juliet, romeo, ask):
    know(capulet)
    romeo.message(JULIET, "Have not saints lips?")
    hers, his = ask(juliet).results[0], ask(romeo).results[0]
    assert lines(server) == 1
    assert hers.body == his.body == "Have not saints lips?"
    assert hers.stamp == his.stamp
    assert hers.id != his.id


def test_each_finds_it_by_his_own_id_and_under_the_others_name(juliet, romeo, ask):
    romeo.message(f"{JULIET}/balcony", "1")
    juliet.message(f"{ROMEO}/orchard", "2")
    romeo.message(JULIET, "3")
    for somebody, other in ((juliet, f"{ROMEO}/orchard"), (romeo, f"{JULIET}/balcony")):
        answer = ask(somebody)
        assert answer.bodies == ["1", "2", "3"]
        assert ask(somebody, ids=[answer.ids[1]]).bodies == ["2"]
        assert ask(somebody, rsm={"after": answer.ids[0]}).bodies == ["2", "3"]
        assert ask(somebody, with_=other.partition("/")[0]).bodies == ["1", "2", "3"]
    assert ask(juliet, with_=f"{ROMEO}/orchard").bodies == ["1", "2", "3"]
    assert ask(romeo, with_=f"{JULIET}/balcony").bodies == ["1", "2"]


def test_what_is_changed_on_its_way_is_written_as_each_has_it(server, ask):
    class Postmark:
        def __init__(self, host, options):
            pass

        @hookimpl
        @stage(Stage.CHANGE)
        def stonechat_message_to_user(self, message):
            with message.edit() as element:
                element.add("postmark", namespace="urn:example:post")

    host = server.host("capulet.example", plugin_classes={"post": Postmark}, mam={})
    juliet, romeo = host.connect(f"{JULIET}/balcony"), host.connect(f"{ROMEO}/orchard")
    romeo.message(JULIET, "lips")
    marks = [
        ask(somebody).results[0].message.find("postmark", "urn:example:post") is not None
        for somebody in (juliet, romeo)
    ]
    assert marks == [True, False]
    assert lines(server) == 2


def test_what_the_store_has_taken_is_written_again(server, capulet, juliet, romeo, ask, taken):
    taken(capulet.plugin("mam").archive.recorder)
    romeo.message(JULIET, "lips")
    assert ask(juliet).bodies == ask(romeo).bodies == ["lips"]
    assert lines(server) == 2


def test_an_archive_has_the_order_in_which_messages_came(server, capulet, juliet, romeo, ask):
    """What was recorded between the sender's and the receiver's turn comes before it."""
    recorder = capulet.plugin("mam").archive.recorder
    accounts = capulet.plugin("mam").archive.accounts
    his, hers = accounts.get("romeo").number, accounts.get("juliet").number
    held, between = (
        Message(
            Element(NS_CLIENT, "body", None, text), from_=romeo.jid, to=juliet.jid, type="chat"
        )
        for text in ("held up", "between")
    )
    recorder.record(his, juliet.jid, romeo.jid, held)
    recorder.record(his, juliet.jid, romeo.jid, between)
    recorder.record(hers, romeo.jid, romeo.jid, between)
    recorder.record(hers, romeo.jid, romeo.jid, held)
    assert ask(romeo).bodies == ["held up", "between"]
    assert ask(juliet).bodies == ["between", "held up"]
    assert lines(server) == 3


@pytest.mark.parametrize("fulltext", ["scan", "index"])
@pytest.mark.parametrize("first", [JULIET, ROMEO])
def test_who_deletes_his_archive_takes_nothing_from_the_other(server, ask, first, fulltext):
    host = server.host("capulet.example", mam={"fulltext": fulltext})
    juliet, romeo = host.connect(f"{JULIET}/balcony"), host.connect(f"{ROMEO}/orchard")
    know(host)
    romeo.message(f"{JULIET}/balcony", "lips")
    juliet.message(f"{ROMEO}/orchard", "hands")
    clients = {JULIET: juliet, ROMEO: romeo}
    (second,) = clients.keys() - {first}
    ids = ask(clients[second]).ids
    assert server.command("mam-delete", jid=first) == 2
    assert ask(clients[first]).bodies == ask(clients[first], fulltext="lips").bodies == []
    assert lines(server) == 2
    left = ask(clients[second], with_=clients[first].jid)
    assert (left.bodies, left.ids) == (["lips", "hands"], ids)
    assert ask(clients[second], fulltext="hands").ids == ids[1:]
    assert server.command("mam-delete", jid=second) == 2
    assert lines(server) == 0


def test_what_only_the_sender_has_taken_back_stays_with_the_receiver(server, ask):
    """Somebody who blocks the other keeps what he was told."""
    host = server.host("capulet.example", mam={}, blocking={})
    juliet, romeo = host.connect(f"{JULIET}/balcony"), host.connect(f"{ROMEO}/orchard")
    know(host)
    romeo.message(JULIET, "I will be revenged", id="m1")
    romeo.message(JULIET, "on all of you", id="m2")
    ids = ask(juliet).ids, ask(romeo).ids
    juliet.set(f"<block xmlns='urn:xmpp:blocking'><item jid='{ROMEO}'/></block>")
    romeo.message(JULIET, "", retract("m1"), id="m3")
    assert ask(juliet).bodies == ["I will be revenged", "on all of you"]
    his = ask(romeo).results
    assert [is_tombstone(result) for result in his] == [True, False, False]
    assert (ask(juliet).ids, [result.id for result in his[:2]]) == ids
    # And all goes on from there.
    juliet.set(f"<unblock xmlns='urn:xmpp:blocking'><item jid='{ROMEO}'/></unblock>")
    romeo.message(JULIET, "sorry")
    assert ask(juliet).bodies == ["I will be revenged", "on all of you", "sorry"]
    assert ask(romeo).bodies == ["", "on all of you", "", "sorry"]
    # The receiver's side is his alone now.
    romeo.message(JULIET, "", retract("m1"), id="m4")
    assert ask(juliet).bodies[0] == ""


def test_what_only_the_receiver_sees_taken_back_stays_with_the_sender(server, capulet, ask):
    juliet, romeo = capulet.connect(f"{JULIET}/balcony"), capulet.connect(f"{ROMEO}/orchard")
    know(capulet)
    romeo.message(JULIET, "lips", id="m1")
    ask(juliet)
    romeo.set("<prefs xmlns='urn:xmpp:mam:2' default='never'><always/><never/></prefs>")
    romeo.message(JULIET, "", retract("m1"), id="m2")
    assert [is_tombstone(result) for result in ask(juliet).results] == [True, False]
    assert ask(romeo).bodies == ["lips"]


def test_who_talks_with_himself_finds_that_alone_among_his_own(server, ask):
    host = server.host("capulet.example", mam={"fulltext": "index"})
    juliet, romeo = host.connect(f"{JULIET}/balcony"), host.connect(f"{ROMEO}/orchard")
    romeo.message(JULIET, "my love")
    juliet.message(JULIET, "buy a gift for my love")
    assert ask(juliet, fulltext="love", with_=JULIET).bodies == ["buy a gift for my love"]
    assert ask(juliet, fulltext="love", with_=ROMEO).bodies == ["my love"]
    assert ask(romeo, fulltext="love").bodies == ["my love"]
