"""profanity, a client in C for the terminal: logs in, chats, and keeps a roster."""

import pytest
from witnesses.cast import PASSWORD
from witnesses.profanity import Profanity

from stonechat.testing import until

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"


@pytest.fixture
def profanity(needs, cast):
    """Starts profanity; it trusts the authority of the tests alone."""
    needs("profanity", "tmux")
    started = []

    def start(trusted=None):
        started.append(Profanity(trusted or cast.node.authority.file))
        return started[-1]

    yield start
    for client in started:
        client.close()


@pytest.fixture
def juliet(cast, profanity):
    """Juliet at her terminal."""
    cast.account(JULIET)
    juliet = profanity()
    juliet.log_in(JULIET, PASSWORD, cast.node.starttls)
    return juliet


def roster(cast, account):
    return {row["jid"]: row for row in cast.node.ask("roster-list", account=account)}


@pytest.mark.parametrize("tls", ["force", "legacy"])
def test_logs_in_over_tls(cast, profanity, tls):
    cast.account(JULIET)
    port = cast.node.direct if tls == "legacy" else cast.node.starttls
    client = profanity()
    client.log_in(JULIET, PASSWORD, port, tls)
    client.see(r"\[TLS\]")
    (session,) = until(lambda: cast.node.sessions(JULIET), "session of Juliet")
    assert session["secure"] is True
    client.type("/disconnect")
    client.see(f"{JULIET}.* logged out successfully")
    until(lambda: not cast.node.sessions(JULIET), "end of Juliet's session")


def test_a_wrong_password_is_told(cast, profanity):
    account = cast.account("peter@capulet.example")
    client = profanity()
    client.connect(account, "a rose by any other", cast.node.starttls)
    client.see("Login failed")
    assert cast.node.sessions(account) == []


def test_a_certificate_of_an_unknown_authority_is_shown_to_the_user(cast, profanity):
    cast.account(JULIET)
    client = profanity(trusted=cast.node.client_authority.file)
    client.connect(JULIET, PASSWORD, cast.node.starttls)
    client.see("TLS certificate verification failed")
    client.type("/tls allow")
    client.see(f"{JULIET}.* logged in successfully")


def test_registers_an_account(cast, profanity):
    # It looks for the server where the DNS says, so the host is called localhost.
    client = profanity()
    client.type(f"/register nurse localhost port {cast.node.starttls} tls force")
    client.see("Enter password:")
    client.type(PASSWORD)
    client.see("Confirm password:")
    client.type(PASSWORD)
    client.see("Registration successful")
    cast.removes("nurse@localhost")
    # Not the same one: after it has registered, profanity 0.13.1 forgets to log in.
    profanity().log_in("nurse@localhost", PASSWORD, cast.node.starttls)


def test_two_chat_one_with_profanity_and_one_with_slixmpp(cast, juliet):
    romeo = cast.login(f"{ROMEO}/orchard")
    romeo.available()
    juliet.type(f"/msg {ROMEO} O Romeo, Romeo! wherefore art thou Romeo? 🌹")
    message = romeo.message()
    assert message["body"] == "O Romeo, Romeo! wherefore art thou Romeo? 🌹"
    assert message["from"].bare == JULIET
    romeo.say(message["from"].full, "Shall I hear more, <or> shall I speak at this? ❤")
    juliet.see("Shall I hear more, <or> shall I speak at this\\? ❤")
    juliet.type("What's in a name?")
    assert romeo.message("What's in a name?")["from"] == message["from"]


def test_what_came_while_nobody_was_there_is_shown(cast, profanity):
    cast.account(JULIET)
    romeo = cast.login(f"{ROMEO}/orchard")
    for number in range(3):
        romeo.say(JULIET, f"Lady, by yonder blessed moon I swear {number}")
    romeo.sync()
    juliet = profanity()
    juliet.log_in(JULIET, PASSWORD, cast.node.starttls)
    juliet.see(f"{ROMEO}.*win 2")
    juliet.type("/win 2")
    juliet.see("(?s)I swear 0.*I swear 1.*I swear 2")
    until(lambda: cast.node.ask("offline-count", jid=JULIET) == 0, "end of what waits")


def test_a_roster_is_kept(cast, juliet):
    juliet.type(f'/roster add {ROMEO} "Young Romeo"')
    juliet.see(f"Roster item added: {ROMEO}")
    assert roster(cast, JULIET)[ROMEO]["name"] == "Young Romeo"
    juliet.type('/roster group add Verona "Young Romeo"')
    until(lambda: roster(cast, JULIET)[ROMEO]["groups"] == ["Verona"], "group")
    # Another client of hers sees the same, and what it changes she sees.
    other = cast.login(f"{JULIET}/chamber")
    assert other.get_roster()[ROMEO]["groups"] == ["Verona"]
    changed = {"name": "Montague", "subscription": "none", "groups": []}
    other.run(lambda: other.xmpp.update_roster(ROMEO, **changed))
    juliet.see("Montague")
    juliet.type(f"/roster remove {ROMEO}")
    other.push(ROMEO, "remove")
    assert roster(cast, JULIET) == {}


def test_two_subscribe_to_each_other(cast, juliet):
    romeo = cast.login(f"{ROMEO}/orchard")
    romeo.get_roster()
    romeo.available()
    juliet.type(f"/sub request {ROMEO}")
    romeo.presence(JULIET, "subscribe")
    romeo.send_presence(to=JULIET, type="subscribed")
    until(lambda: roster(cast, JULIET).get(ROMEO, {}).get("subscription") == "to", "to")

    romeo.send_presence(to=JULIET, type="subscribe")
    juliet.see(f"Received authorization request from {ROMEO}")
    juliet.type(f"/sub allow {ROMEO}")
    romeo.presence(JULIET, "subscribed")
    romeo.push(JULIET, "both")
    romeo.presence(JULIET)

    juliet.type('/status set dnd "Nurse is here"')
    presence = romeo.take("dnd", lambda stanza: stanza["type"] == "dnd")
    assert presence["status"] == "Nurse is here"
    assert presence["from"].bare == JULIET


def test_a_client_that_is_killed_is_unavailable(cast, juliet):
    cast.befriend(JULIET, ROMEO)
    romeo = cast.login(f"{ROMEO}/orchard")
    romeo.available()
    jid = romeo.presence(JULIET)["from"].full
    juliet.close()
    assert romeo.presence(jid, "unavailable")["from"] == jid
