"""Many people of another server: by one stanza, if it has a multicast service (XEP-0033)."""

import gevent
import pytest

from stonechat.custody import Custody
from stonechat.forms import Field, Form
from stonechat.jid import JID
from stonechat.stanza import Message, Stanza
from stonechat_multicast.header import Header
from stonechat_multicast.parcel import Parcel

NS_ADDRESS = "http://jabber.org/protocol/address"
H1, H2, NO = "header1.example", "header2.example", "noheader.example"
MULTICAST2 = f"multicast.{H2}"


def test_the_example_flow_of_the_xep(romeo, juliet, world, talk):
    juliet_ = "juliet@capulet.example"
    addresses = [
        (type_, jid)
        for domain in (H2, NO)
        for type_, jid in (
            ("to", f"to@{domain}"),
            ("cc", f"cc@{domain}"),
            ("bcc", f"bcc@{domain}"),
        )
    ]
    talk.say(romeo, ("to", juliet_), *addresses)
    open_ = [(type_, jid, True) for type_, jid in addresses if type_ != "bcc"]
    assert talk.listed(juliet.receive_message()) == [("to", juliet_, True), *open_]
    assert sorted(world.take()) == sorted(
        [
            (
                MULTICAST2,
                [
                    ("to", juliet_, True),
                    ("to", f"to@{H2}", False),
                    ("cc", f"cc@{H2}", False),
                    ("bcc", f"bcc@{H2}", False),
                    ("to", f"to@{NO}", True),
                    ("cc", f"cc@{NO}", True),
                ],
            ),
            (f"to@{NO}", [("to", juliet_, True), *open_]),
            (f"cc@{NO}", [("to", juliet_, True), *open_]),
            (f"bcc@{NO}", [("to", juliet_, True), *open_, ("bcc", f"bcc@{NO}", False)]),
        ]
    )
    assert [asked for asked in world.asked if H2 in asked[0]] == [
        (H2, "info"),
        (H2, "items"),
        ("conference.header2.example", "info"),
        (MULTICAST2, "info"),
    ]


def test_a_server_may_be_its_own_service(romeo, world, talk):
    talk.say(romeo, ("to", f"a@{H1}"), ("to", f"b@{H1}"))
    assert world.take() == [(H1, [("to", f"a@{H1}", False), ("to", f"b@{H1}", False)])]
    assert world.asked == [(H1, "info")]


def test_the_sender_stays_the_sender(romeo, world, talk):
    talk.say(romeo, ("to", f"a@{H1}"), ("to", f"b@{H1}"), body="Hold, Tybalt!")
    (message,) = world.came
    assert (message.from_, message.body) == (romeo.jid, "Hold, Tybalt!")


def test_who_is_named_openly_too_is_not_named_blindly(romeo, world, talk):
    talk.say(romeo, ("bcc", f"a@{H1}"), ("to", f"a@{H1}"), ("to", f"b@{H1}"))
    assert world.take() == [(H1, [("to", f"a@{H1}", False), ("to", f"b@{H1}", False)])]


def test_for_one_address_nobody_is_asked(romeo, world, talk):
    talk.say(romeo, ("to", f"a@{H1}"), ("to", f"b@{NO}"))
    listed = [("to", f"a@{H1}", True), ("to", f"b@{NO}", True)]
    assert world.take() == [(f"a@{H1}", listed), (f"b@{NO}", listed)]
    assert world.asked == []


def test_what_was_found_is_remembered_for_some_hours(server, romeo, world, talk):
    for _ in range(2):
        talk.say(romeo, ("to", f"a@{H1}"), ("to", f"b@{H1}"))
        talk.say(romeo, ("to", f"a@{NO}"), ("to", f"b@{NO}"))
    assert world.asked == [(H1, "info"), (NO, "info"), (NO, "items")]
    server.clock.advance(24 * 3600)
    talk.say(romeo, ("to", f"a@{H1}"), ("to", f"b@{H1}"))
    assert world.asked[3:] == [(H1, "info")]


def test_what_was_not_found_is_looked_for_again(server, romeo, world, talk):
    talk.say(romeo, ("to", f"a@{NO}"), ("to", f"b@{NO}"))
    world.take()
    world.features[NO] = [NS_ADDRESS]
    server.clock.advance(3600)
    talk.say(romeo, ("to", f"a@{NO}"), ("to", f"b@{NO}"))
    assert [to for to, _ in world.take()] == [NO]


def test_meanwhile_what_goes_there_waits_in_order(server, romeo, juliet, world, talk):
    world.is_silent = True
    talk.say(romeo, ("to", "juliet@capulet.example"), ("to", f"a@{NO}"), ("to", f"b@{NO}"))
    talk.say(romeo, ("to", f"a@{NO}"), body="2")
    talk.say(romeo, ("to", f"a@{NO}"), ("to", f"b@{NO}"), body="3")
    # Nobody here has to wait for that.
    assert juliet.receive_message()
    assert world.came == []
    world.speak_up()
    server.settle()
    found = [(stanza.to.text, stanza.body) for stanza in world.came]
    assert found == [
        (f"a@{NO}", "But soft!"),
        (f"b@{NO}", "But soft!"),
        (f"a@{NO}", "2"),
        (f"a@{NO}", "3"),
        (f"b@{NO}", "3"),
    ]


def test_a_server_that_does_not_answer_is_not_waited_for_long(server, romeo, world, talk):
    world.is_silent = True
    talk.say(romeo, ("to", f"a@{H1}"), ("to", f"b@{H1}"))
    assert world.came == []
    server.clock.advance(30)
    server.settle()
    assert [to for to, _ in world.take()] == [f"a@{H1}", f"b@{H1}"]


def test_what_waits_goes_when_the_plugin_stops(server, host, romeo, world, talk):
    world.is_silent = True
    talk.say(romeo, ("to", f"a@{H1}"), ("to", f"b@{H1}"))
    host.disable("multicast")
    assert [to for to, _ in world.take()] == [f"a@{H1}", f"b@{H1}"]


def test_what_waits_goes_when_a_stop_comes_in_the_middle_of_it(server, host, world, talk):
    plugin = host.plugin("multicast")
    world.is_silent = True
    sent = []

    def send(stanza, to):
        sent.append(to.text)
        if len(sent) == 2:
            raise gevent.GreenletExit

    for letter in "abc":
        header = talk.header(("to", f"{letter}1@{NO}"), ("to", f"{letter}2@{NO}"))
        stanza = Message(header, to=plugin.service.jid, from_=JID.parse("romeo@capulet.example"))
        read = Header.of(stanza)
        plugin.targets.send(NO, Parcel(stanza, read, read.receivers, send, print))
    world.speak_up()
    server.settle()
    assert sent == [f"{letter}{number}@{NO}" for letter in "abc" for number in "12"]
    assert plugin.targets._waiting == {}


def test_a_sender_is_not_told_that_it_is_safe_before_it_has_left(server, host, world, talk):
    freed = []
    world.is_silent = True
    header = talk.header(("to", f"a@{H1}"), ("to", f"b@{H1}"))
    message = Stanza.from_bytes(
        f"<message from='romeo@capulet.example/orchard' to='multicast.capulet.example'>"
        f"{header}</message>".encode()
    )
    message.custody = Custody(lambda: freed.append(True))
    host.plugin("multicast").receive_message(message)
    server.settle()
    assert freed == []
    world.speak_up()
    server.settle()
    assert freed == [True]


def test_what_is_too_much_to_wait_goes_by_itself(server, romeo, world, talk, monkeypatch):
    monkeypatch.setattr("stonechat_multicast.targets.MAX_WAITING", 1)
    monkeypatch.setattr("stonechat_multicast.targets.MAX_LOOKUPS", 1)
    world.is_silent = True
    talk.say(romeo, ("to", f"a@{H1}"), ("to", f"b@{H1}"))
    talk.say(romeo, ("to", f"a@{H1}"), ("to", f"b@{H1}"), body="2")
    talk.say(romeo, ("to", f"a@{H2}"), ("to", f"b@{H2}"), body="3")
    assert [(stanza.to.text, stanza.body) for stanza in world.came] == [
        (f"a@{H1}", "2"),
        (f"b@{H1}", "2"),
        (f"a@{H2}", "3"),
        (f"b@{H2}", "3"),
    ]
    assert len(world.asked) == 1


def test_few_domains_are_remembered(romeo, world, host, talk, monkeypatch):
    monkeypatch.setattr("stonechat_multicast.targets.MAX_CACHED", 2)
    for domain in (H1, NO, H2):
        talk.say(romeo, ("to", f"a@{domain}"), ("to", f"b@{domain}"))
    assert list(host.plugin("multicast").targets._known) == [NO, H2]


# How much other services take


def form(**fields):
    fields = [Field(name, values=value) for name, value in fields.items()]
    return Form("result", NS_ADDRESS, fields=fields).to_element()


def many(count, domain=H1):
    return [("to", f"n{number}@{domain}") for number in range(count)]


def sizes(world):
    """How many undelivered addresses each stanza has."""
    return [
        (to, sum(1 for _, _, delivered in addresses if not delivered))
        for to, addresses in world.take()
    ]


def test_no_more_than_a_service_is_sure_to_take(romeo, world, talk):
    talk.say(romeo, *many(41))
    assert sizes(world) == [(H1, 20), (H1, 20), (f"n40@{H1}", 0)]


def test_as_much_as_a_service_says_it_takes(romeo, world, talk):
    world.forms[H1] = form(message="30", presence="2")
    talk.say(romeo, *many(41))
    assert sizes(world) == [(H1, 30), (H1, 11)]
    talk.show(romeo, *many(4))
    assert sizes(world) == [(H1, 2), (H1, 2)]


@pytest.mark.parametrize(
    "form_",
    [
        form(message="many"),
        form(message="0"),
        form(message="-5"),
        form(other="5"),
        Form("result", "urn:example:other", fields=[Field("message", values="5")]).to_element(),
        Form("form", NS_ADDRESS, fields=[Field("message", values="5")]).to_element(),
    ],
)
def test_nonsense_about_that_says_nothing(romeo, world, talk, form_):
    world.forms[H1] = form_
    talk.say(romeo, *many(22))
    assert sizes(world) == [(H1, 20), (H1, 2)]


def test_a_service_that_says_it_takes_everything_is_not_believed(romeo, world, talk, server):
    world.forms[H1] = form(message="1000000")
    talk.say(romeo, *many(50))
    assert sizes(world) == [(H1, 50)]


# What other servers may not do


@pytest.mark.parametrize(
    "items",
    [
        ["multicast.capulet.example"],
        ["elsewhere.example"],
        ["notheader2.example"],
        [f"user@multicast.{H2}", f"multicast.{H2}/x", "", "a b"],
        [f"s{number}.{H2}" for number in range(10)] + [MULTICAST2],
    ],
)
def test_services_of_others_are_not_taken(romeo, world, talk, items):
    """What a blind copy says is not for everybody whom a server may name."""
    world.items[H2] = items
    world.features["elsewhere.example"] = [NS_ADDRESS]
    talk.say(romeo, ("to", f"a@{H2}"), ("bcc", f"b@{H2}"))
    assert [to for to, _ in world.take()] == [f"a@{H2}", f"b@{H2}"]


def test_we_are_not_the_service_of_a_domain_above_us(romeo, world, talk):
    world.items["example"] = ["multicast.capulet.example"]
    talk.say(romeo, ("to", "a@example"), ("to", "b@example"))
    assert [to for to, _ in world.take()] == ["a@example", "b@example"]
    assert world.asked == [("example", "info"), ("example", "items")]


def test_a_service_that_sends_it_back_is_answered_by_nobody(romeo, juliet, world, talk):
    talk.say(romeo, ("to", "juliet@capulet.example"), ("to", f"a@{H1}"), ("to", f"b@{H1}"))
    juliet.received()
    (stanza,) = world.came
    world.came.clear()
    # A stanza from somebody of ours does not come from another server; one of theirs may.
    world.say(
        stanza.to_bytes()
        .decode()
        .replace(str(romeo.jid), f"a@{H1}")
        .replace(f"to='{H1}'", "to='multicast.capulet.example'")
    )
    (error,) = world.came
    assert error.element.find("error").first().name == "forbidden"
    assert juliet.received() == []
