"""Reports of spam and abuse that come with a block (XEP-0377)."""

import pytest

from stonechat.commands import CommandError
from stonechat.errors import StanzaError, StorageError
from stonechat.stanza import Element, Message

JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example"
NURSE = "nurse@capulet.example"
OTHERS = "list@abuse.example"
NS_REPORTING = "urn:xmpp:reporting:1"
SPAM = "urn:xmpp:reporting:spam"
WORDS = "Never came trouble to my house like this."


class Abroad:
    """Answers for other servers: keeps what comes."""

    def __init__(self, host, options):
        self.host = host
        self.messages = []

    def start(self):
        for domain in ("abuse.example", "montague.example"):
            self.host.register_route(domain, self.messages.append)


def report(reason=SPAM, *, text=WORDS, ids=(), agreed=()):
    element = Element(NS_REPORTING, "report")
    if reason is not None:
        element.set("reason", reason)
    for id_ in ids:
        element.add("stanza-id", namespace="urn:xmpp:sid:0", by=JULIET, id=id_)
    if text:
        element.add("text", text).set("http://www.w3.org/XML/1998/namespace lang", "en")
    for name in agreed:
        element.add(name)
    return element


def block_with(client, *reports, jid=ROMEO):
    block = Element("urn:xmpp:blocking", "block")
    block.add("item", jid=jid).append(*reports)
    return client.set(block)


@pytest.fixture
def capulet(server):
    return server.host(
        "capulet.example",
        plugin_classes={"abroad": Abroad},
        blocking={
            "report_to": [NURSE],
            "third_parties": [OTHERS],
            "report_to_origin": True,
            "max_reports": 5,
            "max_reports_per_day": 4,
        },
    )


@pytest.fixture
def nurse(capulet):
    nurse = capulet.connect(f"{NURSE}/house")
    nurse.available()
    nurse.received()
    return nurse


def listed(server, **arguments):
    return server.command("blocking-reports", host="capulet.example", **arguments)


def test_a_report_is_kept_and_logged(server, juliet, talk):
    assert block_with(juliet, report(ids=["28482", "38383"])).type == "result"
    assert talk.blocked(juliet) == [ROMEO]
    (kept,) = listed(server)
    assert kept.pop("time").endswith("Z")
    assert kept == {
        "reporter": JULIET,
        "reported": ROMEO,
        "reason": SPAM,
        "text": WORDS,
        "stanza_ids": ["28482", "38383"],
        "report_origin": False,
        "third_party": False,
    }
    (line,) = server.logged("abuse reported")
    assert line["reporter"] == JULIET
    assert line["reported"] == ROMEO
    assert line["reason"] == SPAM
    assert line["stanzas"] == 2
    # What somebody writes is not for the log.
    assert WORDS not in str(line)


def test_the_people_of_the_service_hear_of_every_report(capulet, juliet, nurse):
    block_with(juliet, report(ids=["28482"], agreed=["third-party"]))
    message = nurse.receive_message()
    assert message.from_ == capulet.jid
    assert message.type == "normal"
    assert message.body == f"{JULIET} has blocked and reported {ROMEO} for spam. {WORDS}"
    block = message.find("urn:xmpp:blocking", "block")
    assert block.first().get("jid") == ROMEO
    assert block.first().first() == report(ids=["28482"], agreed=["third-party"])
    assert nurse.received() == []


def test_third_parties_hear_only_what_they_may(capulet, juliet):
    abroad = capulet.plugin("abroad")
    block_with(juliet, report())
    block_with(juliet, report(agreed=["report-origin"]))
    assert [message.to.text for message in abroad.messages] == ["montague.example"]
    abroad.messages.clear()
    block_with(juliet, report(ids=["28482"], agreed=["third-party"]))
    (message,) = abroad.messages
    assert isinstance(message, Message)
    assert message.to.text == OTHERS
    # Neither the reporter nor the reporter's archive is named.
    assert b"juliet" not in message.to_bytes()
    item = message.find("urn:xmpp:blocking", "block").first()
    assert item.get("jid") == ROMEO
    assert item.first() == report(agreed=["third-party"])


def test_the_server_of_the_reported_hears_of_it_where_that_is_agreed(capulet, juliet):
    abroad = capulet.plugin("abroad")
    block_with(juliet, report(agreed=["report-origin"]), jid=f"{ROMEO}/orchard")
    (message,) = abroad.messages
    assert message.to.text == "montague.example"
    assert message.from_ == capulet.jid
    assert b"juliet" not in message.to_bytes()
    # Of one of our own users we know already.
    block_with(juliet, report(agreed=["report-origin"]), jid="tybalt@capulet.example")
    assert len(abroad.messages) == 1


def test_nothing_is_passed_on_unless_told(server, montague):
    host = server.host("verona.example", blocking={})
    romeo = montague.connect(f"{ROMEO}/orchard")
    paris = host.connect("paris@verona.example/tomb")
    block_with(paris, report(agreed=["report-origin", "third-party"]))
    assert romeo.received() == []
    (kept,) = server.command("blocking-reports", host="verona.example")
    assert (kept["report_origin"], kept["third_party"]) == (True, True)


@pytest.fixture
def montague(server):
    return server.host("montague.example", roster={})


def test_each_item_has_its_own_report(server, juliet, talk):
    block = Element("urn:xmpp:blocking", "block")
    block.add("item", jid=ROMEO).append(report())
    block.add("item", jid="paris@verona.example")
    block.add("item", jid="tybalt@capulet.example").append(
        report("urn:xmpp:reporting:abuse", text="")
    )
    juliet.set(block)
    assert len(talk.blocked(juliet)) == 3
    assert [(r["reported"], r["reason"], r["text"]) for r in listed(server)] == [
        ("tybalt@capulet.example", "urn:xmpp:reporting:abuse", ""),
        (ROMEO, SPAM, WORDS),
    ]


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_a_report_without_a_reason_is_none_but_the_block_is_one(server, juliet, talk, reason):
    assert block_with(juliet, report(reason)).type == "result"
    assert talk.blocked(juliet) == [ROMEO]
    assert listed(server) == []
    assert server.logged("a report without a reason was ignored")


def test_a_report_of_another_kind_is_taken_too(server, juliet, nurse):
    # There is a registry for reasons.
    block_with(juliet, report("urn:example:threats", text=""))
    assert listed(server)[0]["reason"] == "urn:example:threats"
    assert nurse.receive_message().body == (
        f"{JULIET} has blocked and reported {ROMEO} for urn:example:threats."
    )


def test_a_report_with_a_refused_block_is_not_taken(server, juliet, nurse):
    with pytest.raises(StanzaError):
        block_with(juliet, report(), jid="@")
    assert listed(server) == []
    assert nurse.received() == []


def test_of_a_report_only_so_much_is_kept(server, juliet):
    long = report("x" * 5000, text="y" * 5000, ids=[str(n) * 300 for n in range(200)])
    for _ in range(50):
        long.add("text", "z")
    block_with(juliet, long)
    (kept,) = listed(server)
    assert len(kept["reason"]) == 256
    assert len(kept["text"]) == 2000 + 9 * 2
    assert len(kept["stanza_ids"]) == 100
    assert max(map(len, kept["stanza_ids"])) == 256


def test_one_account_cannot_flood_those_who_handle_reports(server, juliet, nurse, talk):
    for number in range(6):
        block_with(juliet, report(), jid=f"servant{number}@montague.example")
    assert len(listed(server)) == 4
    assert len([m for m in nurse.received() if isinstance(m, Message)]) == 4
    # They are blocked all the same.
    assert len(talk.blocked(juliet)) == 6
    server.clock.advance(86_401)
    block_with(juliet, report(), jid="servant6@montague.example")
    assert listed(server)[0]["reported"] == "servant6@montague.example"


def test_the_oldest_reports_make_room(server, capulet):
    for name in ("abram", "benvolio", "cesario"):
        client = capulet.connect(f"{name}@capulet.example/street")
        for number in range(3):
            block_with(client, report(), jid=f"{name}{number}@montague.example")
    assert [kept["reported"].partition("@")[0] for kept in listed(server)] == [
        "cesario2",
        "cesario1",
        "cesario0",
        "benvolio2",
        "benvolio1",
    ]
    assert len(listed(server, limit=2)) == 2


def test_reports_are_cleared(server, juliet):
    block_with(juliet, report())
    block_with(juliet, report())
    assert server.command("blocking-reports-clear", host="capulet.example") == 2
    assert listed(server) == []


def test_a_removed_account_takes_its_reports_along(server, capulet, juliet):
    block_with(juliet, report())
    capulet.kernel.accounts.remove("juliet")
    assert listed(server) == []


def test_a_report_that_cannot_be_kept_is_passed_on_all_the_same(
    server, capulet, juliet, nurse, monkeypatch, talk
):
    server.expect_errors()
    talk.block(juliet, ROMEO)  # so that there is nothing else to write

    def fail(self, work, **_):
        raise StorageError("the database is away")

    monkeypatch.setattr(type(capulet.kernel.storage), "write", fail)
    assert block_with(juliet, report()).type == "result"
    assert nurse.receive_message().body.startswith(f"{JULIET} has blocked")
    assert server.logged("abuse reported, but the report was not kept")


def test_a_host_may_take_no_reports(server):
    host = server.host("capulet.example", blocking={"reports": False}, disco={})
    juliet = host.connect(f"{JULIET}/balcony")
    info = juliet.get(
        Element("http://jabber.org/protocol/disco#info", "query"), to="capulet.example"
    )
    assert NS_REPORTING not in info.to_bytes().decode()
    assert block_with(juliet, report()).type == "result"
    for name in ("blocking-reports", "blocking-reports-clear"):
        with pytest.raises(CommandError):
            server.command(name, host="capulet.example")


@pytest.mark.parametrize("limit", [0, 1001, -1])
def test_a_list_of_reports_has_a_length(server, capulet, limit):
    with pytest.raises(CommandError):
        listed(server, limit=limit)


def test_the_faults_of_the_database_are_told_to_the_operator(server, capulet, monkeypatch):
    def fail(self, work, **_):
        raise StorageError("the database is away")

    for name in ("read", "write"):
        monkeypatch.setattr(type(capulet.kernel.storage), name, fail)
    for name in ("blocking-reports", "blocking-reports-clear"):
        with pytest.raises(CommandError, match="the database is away"):
            server.command(name, host="capulet.example")
