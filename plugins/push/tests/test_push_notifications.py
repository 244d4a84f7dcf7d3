"""Notifications (XEP-0357): what they say, and who is told of what."""

import pytest
from push_cast import (
    APP,
    JULIET,
    NS_PUBSUB,
    NS_PUSH,
    NS_SM,
    ROMEO,
    SECRET,
    asleep,
    enable,
    summary,
)

from stonechat.forms import Form
from stonechat.jid import JID
from stonechat.stanza import Element

# What a notification says


def test_a_notification_is_an_item_for_the_node(host, app, romeo):
    asleep(host)
    romeo.message(JULIET, "But soft")
    host.server.settle()
    (iq,) = app.published
    assert (iq.type, iq.from_.text, iq.to.text) == ("set", JULIET, APP)
    (publish,) = iq.payload.elements
    assert (publish.namespace, publish.name, publish.get("node")) == (
        NS_PUBSUB,
        "publish",
        "phone",
    )
    (item,) = publish.elements
    (notification,) = item.elements
    assert (notification.namespace, notification.name) == (NS_PUSH, "notification")
    # By default nothing of what was said, nor who said it.
    assert summary(iq) == {"message-count": "1", "pending-subscription-count": "0"}


def test_the_options_of_publishing_come_along(host, app, romeo):
    phone = host.connect(f"{JULIET}/phone")
    enable(phone, form=SECRET)
    phone.disconnect()
    romeo.message(JULIET, "But soft")
    host.server.settle()
    (iq,) = app.published
    form = Form.read(iq.payload.find("publish-options").first(), type="submit")
    assert form.form_type == "http://jabber.org/protocol/pubsub#publish-options"
    assert form.get("secret") == "eruio234vzxc2kla-91"


def test_a_registration_without_a_node_names_none(host, app, romeo):
    phone = host.connect(f"{JULIET}/phone")
    phone.set(f"<enable xmlns='{NS_PUSH}' jid='{APP}'/>")
    phone.disconnect()
    romeo.message(JULIET, "But soft")
    host.server.settle()
    (iq,) = app.published
    assert "node" not in iq.payload.find("publish").attributes


def test_operators_choose_what_is_said(make, server):
    host = make(last_sender=True, last_body=True, message_count=False, subscription_requests=False)
    romeo = server.host("montague.example").connect(ROMEO)
    asleep(host)
    romeo.message(JULIET, "x" * 1000)
    server.settle()
    assert host.plugin("app").summaries() == [
        {"last-message-sender": ROMEO, "last-message-body": "x" * 500}
    ]


def test_what_is_encrypted_is_not_told(make, server):
    host = make(last_body=True)
    romeo = server.host("montague.example").connect(ROMEO)
    asleep(host)
    romeo.message(JULIET, "This is encrypted", Element("urn:xmpp:openpgp:0", "openpgp"))
    server.settle()
    assert "last-message-body" not in host.plugin("app").summaries()[0]


# Who is told, and of what


def test_messages_that_are_kept_are_told(server, host, app, romeo):
    asleep(host, "phone")
    asleep(host, "tablet", "tablet")
    romeo.message(JULIET, "But soft")
    server.settle()
    assert sorted(app.nodes()) == ["phone", "tablet"]
    # And they are kept.
    assert host.connect(f"{JULIET}/balcony").received() == []
    assert host.plugin("offline").count(JID.parse(JULIET)) == 1


def test_a_device_that_is_connected_is_told_nothing(server, host, app, romeo):
    shy = host.connect(f"{JULIET}/phone")
    enable(shy)
    shy.available(-1)
    romeo.message(JULIET, "But soft")
    server.settle()
    assert app.nodes() == []


def test_a_device_without_a_session_hears_of_what_others_have_got(server, host, app, romeo):
    asleep(host)
    balcony = host.connect(f"{JULIET}/balcony")
    balcony.available()
    enable(balcony, "balcony")
    romeo.message(JULIET, "But soft")
    server.settle()
    assert app.nodes() == ["phone"]
    romeo.message(JULIET, "", Element("http://jabber.org/protocol/chatstates", "composing"))
    server.clock.advance(60)
    assert app.nodes() == []


def test_or_it_does_not_where_operators_choose_so(make, server):
    host = make(when_online=False)
    romeo = server.host("montague.example").connect(ROMEO)
    asleep(host)
    host.connect(f"{JULIET}/balcony").available()
    romeo.message(JULIET, "But soft")
    server.settle()
    assert host.plugin("app").nodes() == []


def test_what_one_says_oneself_one_need_not_be_told(server, host, app):
    asleep(host)
    balcony = host.connect(f"{JULIET}/balcony")
    balcony.available()
    balcony.message(JULIET, "Remember")
    server.settle()
    assert app.nodes() == []


def lost(host, resource="phone", node="phone", carbons=False):
    """A phone whose connection is lost, and whose session waits for it."""
    phone = host.connect(f"{JULIET}/{resource}")
    phone.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
    phone.id = phone.receive().get("id")
    if carbons:
        phone.set(Element("urn:xmpp:carbons:2", "enable"))
    enable(phone, node)
    phone.available()
    phone.drop()
    return phone


def resume(host, phone):
    stream = host.open_stream(tls=True)
    stream.authenticate("juliet", "Wherefore art thou?")
    stream.open()
    stream.send(f"<resume xmlns='{NS_SM}' previd='{phone.id}' h='0'/>")
    assert stream.receive_element().name == "resumed"
    return stream


def test_what_waits_for_a_lost_client_is_told_to_its_device(server, host, app, romeo):
    asleep(host, "tablet", "tablet")
    phone = lost(host)
    romeo.message(phone.jid, "But soft")
    server.settle()
    # The tablet has no session: it hears that the phone has got something.
    assert sorted(app.nodes()) == ["phone", "tablet"]
    balcony = host.connect(f"{JULIET}/balcony")
    balcony.available(5)
    romeo.message(balcony.jid, "What light")
    server.clock.advance(10)
    # The phone has a session, and nothing waits for it.
    assert app.nodes() == ["tablet"]


def test_copies_of_what_others_have_got_are_told_but_not_of_what_one_has_sent(
    server, host, app, romeo
):
    lost(host, carbons=True)
    balcony = host.connect(f"{JULIET}/balcony")
    balcony.available(5)
    balcony.message(ROMEO, "Ay me")
    server.clock.advance(10)
    assert app.nodes() == []
    romeo.message(balcony.jid, "She speaks")
    server.settle()
    assert app.nodes() == ["phone"]


def test_presence_and_the_like_are_not_told(server, host, app, romeo):
    phone = lost(host)
    romeo.send(f"<presence to='{phone.jid}'/>")
    romeo.send(f"<iq type='get' id='1' to='{phone.jid}'><query xmlns='jabber:iq:version'/></iq>")
    romeo.message(phone.jid, "", Element("urn:xmpp:receipts", "received"))
    server.settle()
    assert app.nodes() == []


@pytest.mark.parametrize("wanted", [False, True])
def test_who_looks_away_is_told_if_operators_choose_so(make, server, wanted):
    host = make(when_inactive=wanted)
    romeo = server.host("montague.example").connect(ROMEO)
    phone = host.connect(f"{JULIET}/phone")
    enable(phone)
    phone.available()
    phone.send("<inactive xmlns='urn:xmpp:csi:0'/>")
    romeo.message(JULIET, "But soft")
    server.settle()
    assert host.plugin("app").nodes() == (["phone"] if wanted else [])


def test_somebody_who_wants_to_be_a_contact_is_told(server, host, app, romeo):
    asleep(host)
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    server.clock.advance(2)
    assert app.summaries() == [{"message-count": "0", "pending-subscription-count": "1"}]


def test_somebody_who_is_a_contact_already_is_not_told(server, host, app, romeo):
    asleep(host)
    host.plugin("people").contacts.add(romeo.bare)
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    server.clock.advance(2)
    assert app.nodes() == []


def test_requests_are_told_if_wanted_if_they_are_known_and_if_nobody_is_there(make, server):
    host = make(subscription_requests=False)
    romeo = server.host("montague.example").connect(ROMEO)
    asleep(host)
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    server.clock.advance(2)
    assert host.plugin("app").nodes() == []
    host.disable("push")
    host.enable("push", {})
    host.plugin("people").fails = True
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    server.clock.advance(2)
    assert host.plugin("app").nodes() == []
    host.plugin("people").fails = False
    host.connect(f"{JULIET}/balcony").available()
    romeo.send(f"<presence to='{JULIET}' type='subscribe'/>")
    server.clock.advance(2)
    assert host.plugin("app").nodes() == []
    assert host.plugin("push").requests == 0
