"""Custody: who is told that a stanza is safe, and when."""

from stonechat.custody import Custody
from stonechat.jid import JID
from stonechat.stanza import Element, Message

JULIET = JID.parse("juliet@capulet.example")


def message(custody=None):
    made = Message(Element("jabber:client", "body", None, "Hello"), to=JULIET)
    made.custody = custody
    return made


def test_a_stanza_is_free_when_the_last_one_lets_go():
    told = []
    custody = Custody(lambda: told.append("free"))
    one, other = message(custody).hold(), message(custody).hold()
    assert custody.is_held
    one()
    assert told == []
    other()
    assert told == ["free"]
    assert not custody.is_held


def test_letting_go_twice_is_letting_go_once():
    told = []
    custody = Custody(lambda: told.append("free"))
    first, _second = message(custody).hold(), message(custody).hold()
    first()
    first()
    assert told == []


def test_holding_what_nobody_asks_about_does_nothing():
    message().hold()()


def test_copies_share_the_custody():
    told = []
    custody = Custody(lambda: told.append("free"))
    release = message(custody).copy_for(JID.parse("nurse@capulet.example")).hold()
    assert custody.is_held
    release()
    assert told == ["free"]


def test_whoever_holds_is_hurried_when_the_sender_asks():
    hurried = []
    custody = Custody(lambda: None)
    message(custody).hold(lambda: hurried.append("one"))
    custody.hurry()
    message(custody).hold(lambda: hurried.append("late"))
    custody.hurry()
    assert hurried == ["one", "late"]


def test_who_keeps_a_stanza_takes_it_back():
    told = []
    custody = Custody(lambda: told.append("free"), lambda: told.append("lost"))
    assert custody.is_kept
    custody.lose()
    assert told == ["lost"]
    assert not Custody(lambda: None).is_kept


def test_nobody_takes_back_what_nobody_keeps():
    Custody(lambda: None).lose()
