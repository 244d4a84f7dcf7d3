"""Announcements: who may, whom they reach, and the message of the day."""

import pytest

from stonechat.commands import CommandError
from stonechat.core.access import AccessRule, AccessRules
from stonechat.errors import StanzaError
from stonechat.plugin import hookimpl
from stonechat.stanza import Element, Message, Presence
from stonechat.testing.client import error_of

HOST, OTHER = "capulet.example", "montague.example"
NURSE = "nurse@capulet.example"


class Watcher:
    """Takes down who was away, and how many came in a row before others had their turn."""

    def __init__(self, host, options) -> None:
        self.host = host
        self.undelivered = []
        self.seen = 0
        self.turn = None

    @hookimpl
    def stonechat_message_to_user(self, message):
        self.seen += 1
        if self.seen == 1:
            self.host.spawn(self.take_turn)

    def take_turn(self):
        self.turn = self.seen

    @hookimpl
    def stonechat_message_undelivered(self, message):
        self.undelivered.append((message.to.text, message.body, message.type))
        return True


@pytest.fixture
def capulet(server):
    """The nurse may announce here, and on the other host."""
    server.configure(access={"admin": {"users": [NURSE]}})
    return server.host(HOST, announce={}, plugin_classes={"watcher": Watcher})


@pytest.fixture
def nurse(capulet):
    return capulet.connect(f"{NURSE}/house")


@pytest.fixture
def juliet(capulet):
    juliet = capulet.connect("juliet@capulet.example/balcony")
    juliet.available()
    return juliet


@pytest.fixture
def romeo(server, capulet):
    """On the other host."""
    montague = server.host(OTHER, announce={})
    romeo = montague.connect("romeo@montague.example/orchard")
    romeo.available()
    return romeo


def say(client, path, body="The feast begins.", *payload, host=HOST, type="normal"):
    client.message(f"{host}/announce/{path}", body, *payload, type=type, id="a1")


def heard(client) -> list[tuple[str, str, str]]:
    return [
        (item.from_.text, item.type, item.body)
        for item in client.received()
        if isinstance(item, Message) and item.type != "error"
    ]


def refusal(client) -> str:
    return error_of(client.receive_message()).condition


FEAST = "The feast begins."


# To those who are online


def test_an_announcement_reaches_all_who_are_online(capulet, nurse, juliet):
    tybalt = capulet.connect("tybalt@capulet.example/hall")  # not available
    second = capulet.connect("juliet@capulet.example/chamber")
    second.available(priority=1)
    say(nurse, "online")
    assert heard(juliet) == heard(second) == [(HOST, "headline", FEAST)]
    assert heard(tybalt) == heard(nurse) == []


def test_a_subject_goes_with_it(capulet, nurse, juliet):
    say(nurse, "online", FEAST, Element("jabber:client", "subject", None, "Tonight"))
    message = juliet.receive_message()
    assert message.element.find_text("subject") == "Tonight"
    assert message.id
    assert message.to.text == "juliet@capulet.example"


def test_nobody_gets_later_what_is_for_those_online(capulet, nurse):
    capulet.create_account("paris")
    say(nurse, "online")
    assert capulet.plugin("watcher").undelivered == []


def test_it_reaches_the_users_of_one_host(server, nurse, juliet, romeo):
    say(nurse, "online")
    assert heard(juliet)
    assert heard(romeo) == []


def test_it_reaches_the_users_of_all_hosts(nurse, juliet, romeo):
    say(nurse, "all-hosts/online")
    assert heard(juliet) == [(HOST, "headline", FEAST)]
    assert heard(romeo) == [(OTHER, "headline", FEAST)]


def test_the_other_host_is_announced_to_by_its_own_address(nurse, juliet, romeo):
    say(nurse, "online", host=OTHER)
    assert heard(romeo) == [(OTHER, "headline", FEAST)]
    assert heard(juliet) == []


# To all accounts


def test_those_who_are_away_get_it_as_any_message(capulet, nurse, juliet):
    capulet.create_account("paris")
    say(nurse, "all")
    assert heard(juliet) == [(HOST, "normal", FEAST)]
    away = {to for to, _, _ in capulet.plugin("watcher").undelivered}
    assert away == {"nurse@capulet.example", "paris@capulet.example"}


def test_it_waits_for_them_with_the_offline_messages(server):
    server.configure(access={"admin": {"users": [NURSE]}})
    host = server.host(HOST, announce={}, offline={})
    host.create_account("paris")
    server.command("announce-all", announcement="Come soon", subject="Wedding")
    paris = host.connect("paris@capulet.example/street")
    paris.available()
    message = paris.receive_message()
    assert (message.body, message.from_.text) == ("Come soon", HOST)


def test_all_accounts_of_all_hosts_get_it(server, capulet, nurse, juliet, romeo):
    say(nurse, "all-hosts/all")
    assert heard(romeo) == [(OTHER, "normal", FEAST)]
    assert heard(juliet) == [(HOST, "normal", FEAST)]


def test_one_who_cannot_get_it_keeps_it_from_nobody(server):
    server.configure(access={"admin": {"users": [NURSE]}})
    host = server.host(HOST, announce={})
    for number in range(150):
        host.create_account(f"guest{number:03}")
    last = host.connect("zoe@capulet.example/hall")
    last.available()
    server.command("announce-all", announcement=FEAST)
    assert heard(last) == [(HOST, "normal", FEAST)]
    assert server.logged("announced")[-1]["accounts"] == 151
    assert server.logged("announced")[-1]["complete"]


# Who may


@pytest.mark.parametrize(
    "path",
    [
        f"{place}{what}"
        for place in ("", "all-hosts/")
        for what in ("all", "online", "motd", "motd/update", "motd/delete")
    ],
)
def test_without_the_right_nothing_is_announced(server, capulet, juliet, romeo, path):
    tybalt = capulet.connect("tybalt@capulet.example/hall")
    say(tybalt, path)
    assert refusal(tybalt) == "forbidden"
    assert heard(juliet) == heard(romeo) == []
    assert server.command("motd-show", host=HOST) == {}


def test_somebody_of_one_host_does_not_speak_to_all(server, capulet, nurse, juliet, romeo):
    server.kernel.hosts[OTHER].access = AccessRules()
    for path in ("all-hosts/online", "all-hosts/all", "all-hosts/motd"):
        say(nurse, path)
        assert refusal(nurse) == "forbidden"
    assert heard(juliet) == heard(romeo) == []
    say(nurse, "online", host=OTHER)
    assert refusal(nurse) == "forbidden"
    say(nurse, "online")
    assert heard(juliet)


def test_the_rule_is_an_option(server):
    host = server.host(HOST, announce={"access": "heralds"})
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.available()
    host.kernel.access = AccessRules(
        {
            "admin": AccessRule(users=[NURSE]),
            "heralds": AccessRule(users=["peter@capulet.example"]),
        }
    )
    nurse = host.connect(f"{NURSE}/house")
    say(nurse, "online")
    assert refusal(nurse) == "forbidden"
    say(host.connect("peter@capulet.example/street"), "online")
    assert heard(juliet) == [(HOST, "headline", FEAST)]


def test_what_is_said_is_not_logged(server, nurse, juliet):
    say(nurse, "online", "A secret feast")
    assert "secret feast" not in repr(server.logged())
    (record,) = server.logged("command")
    assert (record["command"], record["caller"]) == ("announce-online", f"{NURSE}/house")


# What is no announcement


def test_another_address_below_the_host_is_not_ours(nurse):
    for resource in ("announce", "announce/", "announce/everybody", "Announce/online", "x"):
        nurse.message(f"{HOST}/{resource}", FEAST, type="normal")
        assert refusal(nurse) == "service-unavailable"
    nurse.send(Presence(to=nurse.jid))
    nurse.send(f"<presence to='{HOST}/announce/online'/>")


def test_an_announcement_says_something(nurse, juliet):
    for body in ("", " \n"):
        nurse.send(
            f"<message to='{HOST}/announce/online' type='normal'><body>{body}</body></message>"
        )
        assert refusal(nurse) == "not-acceptable"
    assert heard(juliet) == []


def test_errors_do_not_go_round(nurse, juliet):
    say(nurse, "online", type="error")
    assert nurse.received() == []
    assert heard(juliet) == []


def test_an_announcement_has_a_size(server, capulet):
    with pytest.raises(CommandError, match="65536 octets"):
        server.command("announce-online", announcement="x" * 65_537)
    with pytest.raises(CommandError, match="65536 octets"):
        server.command("motd-update", motd="é" * 32_768, subject="é")


def test_so_many_announcements_are_sent_at_a_time(server, capulet, juliet):
    plugin = capulet.plugin("announce")
    plugin.under_way = 10
    for name, arguments in (
        ("announce-online", {"announcement": FEAST}),
        ("announce-all", {"announcement": FEAST}),
        ("motd-set", {"motd": FEAST}),
    ):
        with pytest.raises(CommandError, match="wait for them"):
            server.command(name, **arguments)
    assert server.command("motd-show") == {}
    plugin.under_way = 0
    server.command("announce-online", announcement=FEAST)
    assert plugin.under_way == 0


# The message of the day


def test_the_message_of_the_day_reaches_those_online_now_and_others_when_they_come(
    capulet, nurse, juliet
):
    say(nurse, "motd")
    assert heard(juliet) == [(HOST, "headline", FEAST)]
    paris = capulet.connect("paris@capulet.example/street")
    assert heard(paris) == []
    paris.available()
    assert heard(paris) == [(HOST, "headline", FEAST)]


def test_each_account_gets_it_once(server, capulet, nurse, juliet):
    say(nurse, "motd")
    juliet.received()
    juliet.unavailable()
    juliet.available()
    again = capulet.connect("juliet@capulet.example/chamber")
    again.available(priority=-1)
    again.available(show="away")
    assert heard(juliet) == heard(again) == []
    server.restart()
    capulet.connect("juliet@capulet.example/balcony").available()
    assert heard(juliet) == []


def test_it_outlives_a_restart(server, capulet):
    server.command("motd-set", motd="Ŝiru, juna!\nTwo lines", subject="Ŝ")
    server.restart()
    assert server.command("motd-show") == {"motd": "Ŝiru, juna!\nTwo lines", "subject": "Ŝ"}
    paris = capulet.connect("paris@capulet.example/street")
    paris.available(priority=-5)
    message = paris.receive_message()
    assert (message.body, message.element.find_text("subject")) == ("Ŝiru, juna!\nTwo lines", "Ŝ")


def test_a_new_one_goes_to_everybody_again(server, nurse, juliet):
    say(nurse, "motd")
    say(nurse, "motd", "Another feast")
    assert [body for _, _, body in heard(juliet)] == [FEAST, "Another feast"]


def test_an_updated_one_waits_for_the_next_time(capulet, nurse, juliet):
    say(nurse, "motd")
    juliet.received()
    say(nurse, "motd/update", "A later feast")
    assert heard(juliet) == []
    juliet.unavailable()
    juliet.available()
    assert heard(juliet) == [(HOST, "headline", "A later feast")]


def test_a_deleted_one_is_shown_to_nobody(server, capulet, nurse, juliet):
    say(nurse, "motd")
    nurse.received()
    nurse.message(f"{HOST}/announce/motd/delete", type="normal")
    assert nurse.received() == []
    paris = capulet.connect("paris@capulet.example/street")
    paris.available()
    assert heard(paris) == []
    assert server.command("motd-delete") == "there is no message of the day"
    server.restart()
    capulet.connect("romeo@capulet.example/orchard").available()
    assert server.command("motd-show") == {}


def test_the_one_after_a_deletion_is_a_new_one(server, capulet, nurse, juliet):
    say(nurse, "motd")
    server.command("motd-delete")
    juliet.received()
    say(nurse, "motd")
    assert heard(juliet) == [(HOST, "headline", FEAST)]


def test_who_saw_it_is_forgotten_with_it(server, capulet):
    for number in range(3):
        capulet.connect(f"guest{number}@capulet.example/hall").available()
    server.command("motd-set", motd=FEAST)
    assert seen(server) == 3
    server.command("motd-delete")
    assert seen(server) == 0


def test_a_removed_account_leaves_nothing(server, capulet, juliet):
    server.command("motd-set", motd=FEAST)
    assert seen(server) == 1
    server.command("unregister", jid="juliet@capulet.example")
    assert seen(server) == 0
    again = capulet.connect("juliet@capulet.example/balcony")
    again.available()
    assert heard(again) == [(HOST, "headline", FEAST)]


def test_each_host_has_its_own(server, nurse, juliet, romeo):
    say(nurse, "motd")
    assert heard(romeo) == []
    say(nurse, "all-hosts/motd/update", "For all")
    hosts = server.command("motd-show", host="*")
    assert {name: motd["motd"] for name, motd in hosts.items()} == {
        HOST: "For all",
        OTHER: "For all",
    }
    nurse.message(f"{HOST}/announce/all-hosts/motd/delete", type="normal")
    assert server.command("motd-show", host="*") == {HOST: {}, OTHER: {}}


def test_many_who_are_online_get_it_once_each_and_others_have_their_turn(server, capulet):
    guests = [capulet.connect(f"guest{number}@capulet.example/hall") for number in range(70)]
    for guest in guests:
        guest.available()
    for command in ("motd-set", "announce-online"):
        watcher = capulet.plugin("watcher")
        watcher.seen, watcher.turn = 0, None
        server.command(command, **{"motd" if command == "motd-set" else "announcement": FEAST})
        assert all(heard(guest) == [(HOST, "headline", FEAST)] for guest in guests)
        assert watcher.turn == 64
    assert seen(server) == 70


def seen(server) -> int:
    from sqlalchemy import func, select

    from stonechat_announce.motd import _seen

    statement = select(func.count()).select_from(_seen)
    return server.kernel.store.read(lambda connection: connection.execute(statement).scalar())


def test_a_store_that_fails_is_told_to_who_announces(server, capulet, nurse, monkeypatch):
    from stonechat.errors import StorageError

    server.expect_errors()

    def fail(motd):
        raise StorageError("away")

    monkeypatch.setattr(capulet.plugin("announce").store, "put", fail)
    say(nurse, "motd")
    error = error_of(nurse.receive_message())
    assert (error.condition, error.type) == ("internal-server-error", "wait")
    with pytest.raises(StanzaError):
        capulet.kernel.run_command("motd-update", {"motd": "x"}, nurse.jid)
