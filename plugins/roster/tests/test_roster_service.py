"""What other plugins and operators do with rosters."""

import pytest

from stonechat.commands import CommandError, commands_of
from stonechat.errors import StanzaError
from stonechat.jid import JID

JULIET = JID.parse("juliet@capulet.example")
ROMEO = JID.parse("romeo@capulet.example")
NURSE = JID.parse("nurse@capulet.example")


@pytest.fixture
def service(capulet):
    return capulet.kernel.service("roster")


@pytest.fixture
def run(capulet):
    """Carry out a command as its faces do."""
    commands = {command.name: (command, f) for command, f in commands_of(capulet.plugin("roster"))}

    def run(command_name, **arguments):
        command, function = commands[command_name]
        return function(**command.read(arguments))

    return run


# The service


def test_the_service_reads_rosters(service, juliet, romeo, talk):
    talk.set(juliet, ROMEO, "Romeo", ["Friends"])
    talk.say(juliet, "subscribe", ROMEO)
    assert service.requests("romeo") == {JULIET}
    talk.say(romeo, "subscribed", JULIET)
    item = service.item("juliet", JID.parse("romeo@capulet.example/orchard"))
    assert (item.jid, item.name, item.groups) == (ROMEO, "Romeo", ("Friends",))
    assert service.contacts("juliet") == (item,)
    assert service.subscription("juliet", ROMEO) == "to"
    assert service.subscription("romeo", JULIET) == "from"
    assert service.subscription("juliet", NURSE) == "none"
    assert service.sources("juliet") == (ROMEO,)
    assert service.watchers("juliet") == ()
    assert service.watchers("romeo") == (JULIET,)
    assert service.requests("romeo") == frozenset()
    assert service.item("juliet", NURSE) is None


def test_what_the_service_sets_is_pushed(service, juliet, talk):
    talk.get(juliet)
    service.set("juliet", ROMEO, name="Romeo", groups=["Friends"], subscription="both")
    assert talk.push(juliet).attributes == {
        "jid": ROMEO.text,
        "name": "Romeo",
        "subscription": "both",
    }


def test_presence_follows_what_the_service_sets(service, juliet, romeo, talk):
    juliet.available()
    romeo.available()
    juliet.received()
    romeo.received()
    service.set("juliet", ROMEO, subscription="both")
    assert talk.presences(romeo) == [("", "juliet@capulet.example/balcony")]
    assert talk.presences(juliet) == []
    service.set("romeo", JULIET, subscription="both")
    assert ("", "romeo@capulet.example/orchard") in talk.presences(juliet)
    romeo.received()
    service.set("juliet", ROMEO, subscription="none")
    assert talk.presences(romeo) == [("unavailable", "juliet@capulet.example/balcony")]
    assert talk.presences(juliet) == [("unavailable", "romeo@capulet.example/orchard")]


def test_a_subscription_that_the_service_gives_answers_a_request(service, capulet, juliet, talk):
    capulet.create_account("romeo", "secret")
    talk.say(juliet, "subscribe", ROMEO)
    service.set("romeo", JULIET, subscription="from")
    romeo = capulet.connect("romeo@capulet.example/orchard")
    romeo.available()
    assert "subscribe" not in [kind for kind, _ in talk.presences(romeo)]


def test_the_service_keeps_what_it_is_not_told(service, juliet, romeo, talk):
    talk.say(juliet, "subscribe", ROMEO)
    talk.say(juliet, "subscribed", NURSE)
    service.set("juliet", ROMEO, name="Romeo", subscription="from")
    service.set("juliet", NURSE, subscription="to")
    items = talk.items(juliet)
    assert (items[ROMEO.text]["subscription"], items[ROMEO.text]["ask"]) == ("from", "subscribe")
    assert items[NURSE.text]["approved"] == "true"


def test_a_full_roster_is_full_for_the_service_too(server):
    capulet = server.host("capulet.example", roster={"max_items": 1})
    service = capulet.kernel.service("roster")
    service.set("juliet", ROMEO)
    with pytest.raises(StanzaError) as excinfo:
        service.set("juliet", NURSE)
    assert excinfo.value.condition == "policy-violation"


# Commands


def test_commands_list_add_and_remove(run, juliet, talk):
    added = run(
        "roster-add",
        account="juliet@capulet.example",
        contact="Romeo@Capulet.Example/orchard",
        name="Romeo",
        groups="Friends, Lovers,, Friends",
        subscription="to",
    )
    assert added == {
        "jid": "romeo@capulet.example",
        "name": "Romeo",
        "groups": ["Friends", "Lovers"],
        "subscription": "to",
        "ask": False,
        "approved": False,
    }
    run("roster-add", account=JULIET.text, contact=NURSE.text)
    assert [item["jid"] for item in run("roster-list", account=JULIET.text)] == [
        NURSE.text,
        ROMEO.text,
    ]
    assert run("roster-remove", account=JULIET.text, contact=NURSE.text) is None
    assert list(talk.items(juliet)) == [ROMEO.text]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("roster-list", {"account": "nobody@capulet.example"}),
        ("roster-list", {"account": "juliet@montague.example"}),
        ("roster-add", {"account": JULIET.text, "contact": "@"}),
        ("roster-add", {"account": JULIET.text, "contact": JULIET.text}),
        ("roster-add", {"account": JULIET.text, "contact": ROMEO.text, "subscription": "all"}),
        ("roster-remove", {"account": JULIET.text, "contact": NURSE.text}),
    ],
)
def test_commands_say_what_is_wrong(run, juliet, name, arguments):
    with pytest.raises(CommandError):
        run(name, **arguments)
