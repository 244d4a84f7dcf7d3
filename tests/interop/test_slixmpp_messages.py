"""slixmpp users talk: to whom a message goes, and what waits for who is away."""

from datetime import UTC, datetime, timedelta

import pytest

from stonechat.testing import until

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"

SOFT = "But, soft! what light through yonder window breaks?"


@pytest.fixture
def romeo(cast):
    romeo = cast.login(f"{ROMEO}/orchard")
    romeo.available()
    return romeo


@pytest.fixture
def juliet(cast):
    juliet = cast.login(f"{JULIET}/balcony")
    juliet.available()
    return juliet


# What is in them


@pytest.mark.parametrize("to", [JULIET, f"{JULIET}/balcony"], ids=["bare", "full"])
def test_a_chat_message_arrives_as_it_was_sent(romeo, juliet, to):
    romeo.say(to, SOFT, msubject="It is the east")
    message = juliet.message()
    assert message["from"] == romeo.jid
    assert message["to"] == to
    assert message["type"] == "chat"
    assert message["body"] == SOFT
    assert message["subject"] == "It is the east"
    juliet.say(message["from"].full, "Ay me!")
    assert romeo.message()["body"] == "Ay me!"


@pytest.mark.parametrize(
    "body",
    [
        "🌹👩‍❤️‍👨🏽🇮🇹",
        "Джульетта — это солнце",
        "朱麗葉是太陽",
        "<body>&amp;</body> ]]> \"'",
        "two\nlines\tand a tab",
        "\u202eright to left\u202c",
        "x" * 100_000,
    ],
    ids=["emoji", "cyrillic", "chinese", "markup", "white space", "bidi", "long"],
)
def test_every_text_survives(romeo, juliet, body):
    romeo.say(JULIET, body)
    assert juliet.message()["body"] == body


def test_a_text_may_come_in_several_languages(romeo, juliet):
    romeo.send_raw(
        f"<message to='{JULIET}' type='chat' xml:lang='en'><body>the sun</body>"
        "<body xml:lang='it'>il sole</body><body xml:lang='ru'>солнце</body></message>"
    )
    message = juliet.message()
    assert message.get_lang() == "en"
    # slixmpp gives them all where it is asked for all.
    assert dict(message["body|*"]) == {"en": "the sun", "it": "il sole", "ru": "солнце"}


def test_a_message_is_in_the_language_of_its_sender_s_stream(cast, juliet):
    paris = cast.login("paris@capulet.example/chiesa", lang="it")
    paris.send_raw(f"<message to='{JULIET}'><body>Buongiorno</body></message>")
    assert juliet.message()["body|it"] == "Buongiorno"


def test_people_with_names_in_other_scripts_talk(cast):
    juliet = cast.login("юлия@capulet.example/балкон")
    romeo = cast.login("roméo@vérone.example/verger")
    juliet.available()
    romeo.say(juliet.bare, "Qui parle ?")
    message = juliet.message()
    assert message["from"].full == "roméo@vérone.example/verger"
    juliet.say(message["from"].full, "Это я")
    assert romeo.message()["from"].full == "юлия@capulet.example/балкон"


def test_one_sender_s_messages_keep_their_order(romeo, juliet):
    for number in range(300):
        romeo.say(JULIET, str(number))
    assert [juliet.message()["body"] for _ in range(300)] == [str(n) for n in range(300)]


# To whom they go


def test_a_bare_address_means_the_client_with_the_highest_priority(cast, romeo, juliet):
    chamber = cast.login(f"{JULIET}/chamber")
    chamber.available(priority=5)
    romeo.say(JULIET, SOFT)
    assert chamber.message()["body"] == SOFT
    assert not [stanza for stanza in juliet.rest() if stanza.name == "message"]
    # Presence may change that at any time.
    juliet.available(priority=10)
    romeo.say(JULIET, "again")
    assert juliet.message()["body"] == "again"
    assert not [stanza for stanza in chamber.rest() if stanza.name == "message"]


def test_clients_of_the_same_priority_all_get_it(cast, romeo, juliet):
    chamber = cast.login(f"{JULIET}/chamber")
    chamber.available(priority=0)
    romeo.say(JULIET, SOFT)
    assert juliet.message()["body"] == chamber.message()["body"] == SOFT


def test_a_full_address_means_that_client_whatever_its_priority(cast, romeo, juliet):
    chamber = cast.login(f"{JULIET}/chamber")
    chamber.available(priority=-1)
    romeo.say(chamber.jid, SOFT)
    assert chamber.message()["body"] == SOFT
    assert juliet.rest()[-1].name == "presence"  # the chamber's, and no message


def test_a_full_address_of_nobody_means_the_others(romeo, juliet):
    romeo.say(f"{JULIET}/tomb", SOFT)
    assert juliet.message()["body"] == SOFT


def test_a_headline_goes_to_every_client_that_wants_messages(cast, romeo, juliet):
    chamber = cast.login(f"{JULIET}/chamber")
    chamber.available(priority=9)
    garden = cast.login(f"{JULIET}/garden")
    garden.available(priority=-1)
    romeo.say(JULIET, "News", type="headline")
    assert juliet.message()["body"] == chamber.message()["body"] == "News"
    assert not [stanza for stanza in garden.rest() if stanza.name == "message"]


def test_the_sender_hears_that_nobody_has_this_address(romeo):
    romeo.say("rosaline@capulet.example", SOFT)
    error = romeo.message()
    assert error["type"] == "error"
    assert error["from"] == "rosaline@capulet.example"
    assert error["error"]["condition"] == "service-unavailable"


def test_a_domain_that_nobody_can_reach_is_an_error(romeo):
    romeo.say("rosaline@mantua.example", SOFT)
    error = romeo.message()
    assert error["type"] == "error"
    assert error["error"]["condition"] == "remote-server-not-found"


# Who is away


def test_messages_wait_in_order_and_say_when_they_came(cast, romeo):
    cast.account(JULIET)
    before = datetime.now(UTC) - timedelta(seconds=1)
    texts = [f"{number}: {SOFT}" for number in range(20)]
    for text in texts:
        romeo.say(JULIET, text)
    romeo.sync()
    after = datetime.now(UTC) + timedelta(seconds=1)
    assert cast.node.ask("offline-count", jid=JULIET) == 20
    juliet = cast.login(f"{JULIET}/balcony")
    juliet.available()
    for text in texts:
        message = juliet.message()
        assert message["body"] == text
        assert message["from"] == romeo.jid
        assert message["delay"]["from"] == "capulet.example"
        assert before <= message["delay"]["stamp"] <= after
    romeo.say(JULIET, "now")
    live = juliet.message()
    assert live["body"] == "now"
    assert live.xml.find("{urn:xmpp:delay}delay") is None
    until(lambda: cast.node.ask("offline-count", jid=JULIET) == 0, "end of what waits")
    # Each is given once.
    chamber = cast.login(f"{JULIET}/chamber")
    chamber.available()
    assert not [stanza for stanza in chamber.rest() if stanza.name == "message"]


def test_a_client_with_negative_priority_is_as_good_as_away(cast, romeo):
    juliet = cast.login(f"{JULIET}/balcony")
    juliet.available(priority=-5)
    romeo.say(JULIET, SOFT)
    romeo.sync()
    assert juliet.rest() == []
    juliet.available(priority=1)
    message = juliet.message()
    assert message["body"] == SOFT
    assert message["delay"]["stamp"]


def test_what_was_sent_to_a_lost_client_waits_for_the_next(cast, romeo, juliet):
    juliet.vanish()
    romeo.say(f"{JULIET}/balcony", SOFT)
    romeo.sync()
    again = cast.login(f"{JULIET}/balcony")
    again.available()
    assert again.message()["body"] == SOFT


def test_messages_wait_over_a_restart(cast, romeo):
    cast.account(JULIET)
    romeo.say(JULIET, "🌹 kept")
    romeo.sync()
    cast.node.process.restart()
    _, error = romeo.wait_event("stream_error")
    assert error["condition"] == "system-shutdown"
    juliet = cast.login(f"{JULIET}/balcony")
    juliet.available()
    assert juliet.message()["body"] == "🌹 kept"


def test_messages_wait_over_a_crash(cast, romeo):
    cast.account(JULIET)
    for number in range(10):
        romeo.say(JULIET, str(number))
    romeo.sync()
    cast.node.process.kill()
    cast.node.process.start()
    romeo.wait_event("disconnected")
    juliet = cast.login(f"{JULIET}/balcony")
    juliet.available()
    assert [juliet.message()["body"] for _ in range(10)] == [str(n) for n in range(10)]
