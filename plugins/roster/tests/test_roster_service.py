"""What other plugins and operators do with rosters."""

import pytest

from stonechat import hookimpl
from stonechat.commands import CommandError, commands_of
from stonechat.errors import StanzaError
from stonechat.jid import JID
from stonechat.namespaces import NS_ROSTER
from stonechat.stanza import Element, Iq

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


class Listening:
    """Hears of changes in rosters."""

    def __init__(self, host, options):
        self.heard = []

    @hookimpl
    def stonechat_roster_changed(self, account, query):
        item = query.first()
        self.heard.append((account.text, item.get("jid"), item.get("subscription")))
        self.version = query.get("ver")


def test_plugins_hear_of_changes_whether_a_client_does_or_not(capulet, service, juliet, talk):
    listening = capulet.enable("listening", plugin_class=Listening)
    service.set("nurse", JULIET, subscription="from")
    talk.set(juliet, ROMEO)
    assert listening.version == talk.get(juliet).get("ver")
    talk.say(juliet, "subscribe", ROMEO)
    service.remove("juliet", ROMEO)
    assert listening.heard == [
        ("nurse@capulet.example", "juliet@capulet.example", "from"),
        ("juliet@capulet.example", "romeo@capulet.example", "none"),
        ("juliet@capulet.example", "romeo@capulet.example", "none"),
        ("juliet@capulet.example", "romeo@capulet.example", "remove"),
    ]


def test_who_got_the_roster_from_elsewhere_gets_pushes(capulet, service, juliet, talk):
    other = capulet.connect("juliet@capulet.example/chamber")
    service.has_roster(capulet.kernel.session(juliet.jid))
    service.set("juliet", ROMEO)
    assert talk.push(juliet).get("jid") == ROMEO.text
    assert other.received() == []


class Asking:
    """Asks for the roster of an account in its name, from no session of it."""

    def __init__(self, host, options):
        self.host = host

    def ask(self, account, payload, type="get"):
        iq = Iq(payload, type=type, from_=account, to=account)
        return self.host.ask(iq).payload


def test_the_roster_is_there_for_the_account_itself_too(capulet, service, juliet, talk):
    asking = capulet.enable("asking", plugin_class=Asking)
    service.set("juliet", ROMEO, name="Romeo")
    query = asking.ask(JULIET, Element(NS_ROSTER, "query"))
    assert [item.get("name") for item in query.elements] == ["Romeo"]
    known = Element(NS_ROSTER, "query", {"ver": query.get("ver")})
    assert asking.ask(JULIET, known) is None
    service.set("juliet", NURSE)
    assert len(asking.ask(JULIET, known).elements) == 2
    asking.ask(JULIET, talk.query(ROMEO, subscription="remove"), type="set")
    assert [item.jid for item in service.contacts("juliet")] == [NURSE]
    # None of its clients has asked.
    assert juliet.received() == []


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
