"""slixmpp shows presence to those who may see it (RFC 6121, section 4)."""

import pytest

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
TYBALT = "tybalt@capulet.example"


@pytest.fixture
def lovers(cast):
    """Juliet and Romeo, who see each other."""
    cast.befriend(JULIET, ROMEO)
    juliet, romeo = cast.login(f"{JULIET}/balcony"), cast.login(f"{ROMEO}/orchard")
    juliet.available()
    romeo.available()
    juliet.presence(romeo.jid)
    romeo.presence(juliet.jid)
    # To her first question where he was, the answer was "nowhere".
    juliet.presence(ROMEO, "unavailable")
    return juliet, romeo


def test_who_comes_later_hears_who_is_there(cast, lovers):
    _, romeo = lovers
    chamber = cast.login(f"{JULIET}/chamber")
    chamber.available()
    chamber.presence(romeo.jid)
    # An account's own clients see each other.
    chamber.presence(f"{JULIET}/balcony")


def test_a_change_of_presence_reaches_contacts_and_own_clients(cast, lovers):
    juliet, romeo = lovers
    chamber = cast.login(f"{JULIET}/chamber")
    chamber.available()
    chamber.presence(juliet.jid)
    juliet.send_presence(show="dnd", status="Нянечка здесь 🤫", priority=7)
    for watcher in (romeo, chamber):
        presence = watcher.take(
            "dnd",
            lambda stanza: stanza["from"] == juliet.jid and stanza["type"] == "dnd",
        )
        assert presence["status"] == "Нянечка здесь 🤫"
        assert presence["priority"] == 7
    (session,) = cast.node.sessions(juliet.jid)
    assert session["priority"] == 7


def test_strangers_see_nothing(cast, lovers):
    juliet, _ = lovers
    tybalt = cast.login(f"{TYBALT}/street")
    tybalt.available()
    juliet.available(priority=3)
    assert tybalt.rest() == []
    # Asking does not help.
    tybalt.send_presence(to=JULIET, type="probe")
    tybalt.send_presence(to=juliet.jid, type="probe")
    assert tybalt.rest() == []


def test_whoever_ends_the_stream_is_unavailable(lovers):
    juliet, romeo = lovers
    juliet.leave()
    romeo.presence(juliet.jid, "unavailable")


def test_whoever_says_goodbye_is_unavailable_with_a_last_word(lovers):
    juliet, romeo = lovers
    juliet.send_presence(type="unavailable", status="Good night, good night!")
    assert romeo.presence(juliet.jid, "unavailable")["status"] == "Good night, good night!"
    # Still logged in, but she hears no more of him.
    romeo.available(priority=2)
    juliet.presence(juliet.jid, "unavailable")
    assert juliet.rest() == []


def test_whoever_is_cut_off_is_unavailable(cast, lovers):
    juliet, romeo = lovers
    juliet.vanish()
    romeo.presence(juliet.jid, "unavailable")
    assert cast.node.sessions(JULIET) == []


def test_presence_can_be_shown_to_one_alone_who_hears_of_the_end_too(cast, lovers):
    juliet, romeo = lovers
    friar = cast.login("friar@capulet.example/cell")
    friar.available()
    juliet.send_presence(to=friar.jid, show="away", status="at confession")
    assert friar.presence(juliet.jid, "away")["status"] == "at confession"
    juliet.sync()
    assert romeo.rest() == []
    juliet.vanish()
    friar.presence(juliet.jid, "unavailable")
    romeo.presence(juliet.jid, "unavailable")


def test_presence_that_was_shown_to_one_can_be_taken_back(cast, lovers):
    juliet, romeo = lovers
    friar = cast.login("friar@capulet.example/cell")
    friar.available()
    juliet.send_presence(to=friar.jid)
    friar.presence(juliet.jid)
    juliet.send_presence(to=friar.jid, type="unavailable")
    friar.presence(juliet.jid, "unavailable")
    juliet.leave()
    romeo.presence(juliet.jid, "unavailable")
    assert friar.rest() == []
