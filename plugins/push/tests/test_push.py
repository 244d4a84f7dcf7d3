"""Registrations and notifications (XEP-0357), on the kernel in memory."""

import pytest

from stonechat.errors import StanzaError, StorageError
from stonechat.forms import Form
from stonechat.jid import JID
from stonechat.plugin import HANDLED, concerns, hookimpl
from stonechat.stanza import Element, Iq, Stanza
from stonechat.storage import StorageFull

NS_PUSH = "urn:xmpp:push:0"
NS_PUBSUB = "http://jabber.org/protocol/pubsub"
NS_SM = "urn:xmpp:sm:3"
JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example/orchard"
APP = "push.example"
SECRET = (
    "<x xmlns='jabber:x:data' type='submit'>"
    "<field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value>"
    "</field><field var='secret'><value>eruio234vzxc2kla-91</value></field></x>"
)


class AppServer:
    """An app server within the same process: it notes what is published, and answers."""

    def __init__(self, host, options):
        self.host = host
        self.published = []
        self.answer = None
        """The error for the next notification, `silence`, or None for a result."""
        self.answers = {}

    def start(self):
        for domain in (APP, "other.example"):
            self.host.register_route(domain, self.receive)

    def receive(self, stanza):
        assert isinstance(stanza, Iq), stanza
        if stanza.type != "set":
            return
        self.published.append(stanza)
        answer = self.answers.get(self.node_of(stanza), self.answer)
        if answer == "silence":
            return
        if isinstance(answer, StanzaError):
            raise answer
        self.host.route(stanza.result())

    @staticmethod
    def node_of(iq):
        return iq.payload.find("publish").get("node")

    def nodes(self):
        """The nodes published to since the last call."""
        published, self.published = self.published, []
        return [self.node_of(iq) for iq in published]

    def summaries(self):
        """What the forms have said since the last call."""
        published, self.published = self.published, []
        return [summary(iq) for iq in published]


def summary(iq):
    notification = iq.payload.find("publish").find("item").find("notification", NS_PUSH)
    form = Form.read(notification.first(), form_type="urn:xmpp:push:summary", type="submit")
    return {field.var: field.value for field in form.fields}


class Roster:
    """A roster as far as requests go."""

    def __init__(self, host, options):
        host.provide("roster", self)
        self.waiting = set()
        self.contacts = set()
        self.fails = False

    @hookimpl
    @concerns("type:subscribe")
    def stonechat_presence_to_user(self, presence):
        if presence.from_.bare not in self.contacts:
            self.waiting.add(presence.from_.bare)
        return HANDLED

    def requests(self, localpart):
        if self.fails:
            raise StanzaError("internal-server-error", type="wait")
        return self.waiting


@pytest.fixture
def make(server):
    def make(**options):
        return server.host(
            "capulet.example",
            push=options,
            carbons={},
            csi={},
            disco={},
            offline={},
            sm={},
            plugin_classes={"app": AppServer, "people": Roster},
        )

    return make


@pytest.fixture
def host(make):
    return make()


@pytest.fixture
def app(host):
    return host.plugin("app")


@pytest.fixture
def romeo(server, host):
    return server.host("montague.example").connect(ROMEO)


def enable(client, node="phone", service=APP, form=""):
    client.set(f"<enable xmlns='{NS_PUSH}' jid='{service}' node='{node}'>{form}</enable>")


def asleep(host, node="phone", resource="phone"):
    """A phone that has enabled notifications and is gone."""
    phone = host.connect(f"{JULIET}/{resource}")
    phone.available()
    enable(phone, node)
    phone.disconnect()
    return phone


def registered(host, jid=JULIET):
    return [
        (row["service"], row["node"]) for row in host.plugin("push").registered(JID.parse(jid))
    ]


# Enabling and disabling


def test_the_account_says_that_it_can_be_pushed(host):
    juliet = host.connect(f"{JULIET}/balcony")
    info = juliet.get(Element("http://jabber.org/protocol/disco#info", "query"), to=JULIET)
    assert NS_PUSH in {feature.get("var") for feature in info.payload.find_all("feature")}


def test_a_client_enables_nodes_of_app_servers(server, host):
    phone = host.connect(f"{JULIET}/phone")
    enable(phone, "one")
    enable(phone, "two")
    enable(phone, "one", "Other.Example")
    phone.set(f"<enable xmlns='{NS_PUSH}' jid='bare@push.example'/>", to=JULIET)
    expected = [(APP, "one"), (APP, "two"), ("other.example", "one"), ("bare@push.example", "")]
    assert registered(host) == expected
    server.restart()
    assert registered(host) == expected


def test_enabling_again_takes_the_last_options_and_the_last_session(host, app, romeo):
    phone = host.connect(f"{JULIET}/phone")
    enable(phone, form=SECRET.replace("eruio", "old"))
    tablet = host.connect(f"{JULIET}/tablet")
    enable(tablet, form=SECRET)
    (row,) = host.plugin("push").registered(JID.parse(JULIET))
    assert row["resource"] == "tablet"
    for client in (phone, tablet):
        client.disconnect()
    romeo.message(JULIET, "But soft")
    host.server.settle()
    (published,) = app.published
    assert "eruio234vzxc2kla-91" in str(published.payload)


def test_disabling_is_of_one_node_or_of_all_of_an_app_server(host):
    phone = host.connect(f"{JULIET}/phone")
    for node in ("one", "two", "three", ""):
        enable(phone, node)
    enable(phone, "one", "other.example")
    phone.set(f"<disable xmlns='{NS_PUSH}' jid='{APP}' node='two'/>")
    phone.set(f"<disable xmlns='{NS_PUSH}' jid='{APP}' node=''/>")
    phone.set(f"<disable xmlns='{NS_PUSH}' jid='{APP}' node='unknown'/>")
    assert registered(host) == [(APP, "one"), (APP, "three"), ("other.example", "one")]
    phone.set(f"<disable xmlns='{NS_PUSH}' jid='{APP}'/>")
    assert registered(host) == [("other.example", "one")]


@pytest.mark.parametrize(
    ("payload", "condition"),
    [
        (f"<enable xmlns='{NS_PUSH}' node='x'/>", "bad-request"),
        (f"<disable xmlns='{NS_PUSH}'/>", "bad-request"),
        (f"<enable xmlns='{NS_PUSH}' jid='@' node='x'/>", "jid-malformed"),
        (f"<notification xmlns='{NS_PUSH}' jid='{APP}'/>", "bad-request"),
        (f"<enable xmlns='{NS_PUSH}' jid='{APP}' node='{'x' * 256}'/>", "not-acceptable"),
        (f"<enable xmlns='{NS_PUSH}' jid='{'x' * 256}@{APP}' node='x'/>", "not-acceptable"),
        (
            f"<enable xmlns='{NS_PUSH}' jid='{APP}' node='x'>"
            + SECRET.replace("eruio", "x" * 5000)
            + "</enable>",
            "not-acceptable",
        ),
        (
            f"<enable xmlns='{NS_PUSH}' jid='{APP}' node='x'>"
            + SECRET.replace("publish-options", "node_config")
            + "</enable>",
            "not-acceptable",
        ),
        (
            f"<enable xmlns='{NS_PUSH}' jid='{APP}' node='x'>"
            + SECRET.replace("FORM_TYPE", "OTHER")
            + "</enable>",
            "not-acceptable",
        ),
        (
            f"<enable xmlns='{NS_PUSH}' jid='{APP}' node='x'>"
            + SECRET.replace("submit", "result")
            + "</enable>",
            "bad-request",
        ),
        (
            f"<enable xmlns='{NS_PUSH}' jid='{APP}' node='x'>"
            + SECRET.replace("secret", "FORM_TYPE")
            + "</enable>",
            "bad-request",
        ),
    ],
    ids=[
        "no address",
        "no address to disable",
        "address",
        "name",
        "long node",
        "long address",
        "large form",
        "other form",
        "no form type",
        "type of form",
        "malformed form",
    ],
)
def test_what_is_malformed_is_refused(host, payload, condition):
    phone = host.connect(f"{JULIET}/phone")
    with pytest.raises(StanzaError) as refusal:
        phone.set(payload)
    assert refusal.value.condition == condition
    assert registered(host) == []


def test_nobody_registers_for_somebody_else(host, romeo):
    phone = host.connect(f"{JULIET}/phone")
    nurse = host.connect("nurse@capulet.example/chamber")
    enable(phone)
    for stranger in (nurse, romeo):
        for name in ("enable", "disable"):
            # They do not learn either whether there is somebody.
            for somebody in (JULIET, "rosaline@capulet.example"):
                with pytest.raises(StanzaError) as refusal:
                    stranger.set(f"<{name} xmlns='{NS_PUSH}' jid='{APP}'/>", to=somebody)
                assert refusal.value.condition == "forbidden"
    assert registered(host) == [(APP, "phone")]


def test_of_too_many_registrations_the_oldest_goes(make, server):
    host = make(max_registrations=3)
    phone = host.connect(f"{JULIET}/phone")
    for node in ("one", "two", "three", "one", "four"):
        enable(phone, node)
    assert registered(host) == [(APP, "three"), (APP, "one"), (APP, "four")]


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (StorageError("the disk is gone"), "internal-server-error"),
        (StorageFull("the disk is full"), "resource-constraint"),
    ],
)
def test_what_the_store_refuses_can_be_tried_again(server, host, error, condition, monkeypatch):
    server.expect_errors()
    phone = host.connect(f"{JULIET}/phone")

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(host.plugin("push").registrations._storage, "write", fail)
    for name in ("enable", "disable"):
        with pytest.raises(StanzaError) as refusal:
            phone.set(f"<{name} xmlns='{NS_PUSH}' jid='{APP}'/>")
        assert (refusal.value.condition, refusal.value.type) == (condition, "wait")


def test_an_account_that_is_removed_takes_its_registrations_along(server, host, app, romeo):
    asleep(host)
    app.answer = StanzaError("remote-server-timeout")
    romeo.message(JULIET, "But soft")
    server.settle()
    assert app.nodes() == ["phone"]
    host.kernel.accounts.remove("juliet")
    server.clock.advance(3600)
    host.create_account("juliet")
    romeo.message(JULIET, "What light")
    server.clock.advance(3600)
    assert app.nodes() == []
    assert registered(host) == []


# Remote disabling


def refuses(account=JULIET, node="phone", affiliation="none", jid=JULIET, type_="normal"):
    return (
        f"<message to='{account}' type='{type_}'><pubsub xmlns='{NS_PUBSUB}' node='{node}'>"
        f"<affiliation jid='{jid}' affiliation='{affiliation}'/></pubsub></message>"
    )


def comes_from(host, sender, xml):
    stanza = Stanza.from_bytes(xml.encode())
    stanza.from_ = JID.parse(sender)
    host.kernel.route(stanza)
    host.server.settle()


def test_an_app_server_says_that_it_wants_no_more(server, host, app, romeo):
    phone = host.connect(f"{JULIET}/phone")
    phone.available()
    phone.received()
    for node in ("phone", "tablet"):
        enable(phone, node)
    comes_from(host, APP, refuses())
    assert registered(host) == [(APP, "tablet")]
    # The client has nothing to do with it.
    assert phone.received() == []


@pytest.mark.parametrize(
    ("sender", "xml"),
    [
        ("other.example", refuses()),
        (ROMEO, refuses()),
        (APP, refuses(node="tablet")),
        (APP, refuses(affiliation="publish-only")),
        (APP, refuses(jid="nurse@capulet.example")),
        (APP, refuses(type_="error")),
        (APP, f"<message to='{JULIET}'><pubsub xmlns='{NS_PUBSUB}'/></message>"),
    ],
    ids=["server", "person", "node", "affiliation", "account", "error", "empty"],
)
def test_nobody_else_can_say_so_nor_anything_else(host, sender, xml):
    phone = host.connect(f"{JULIET}/phone")
    enable(phone)
    phone.available()
    phone.received()
    comes_from(host, sender, xml)
    assert registered(host) == [(APP, "phone")]


def test_an_app_server_hears_where_its_word_cannot_be_kept(server, host, app, monkeypatch):
    server.expect_errors()
    enable(host.connect(f"{JULIET}/phone"))
    heard = []
    monkeypatch.setattr(app, "receive", heard.append)

    def fail(*arguments, **options):
        raise StorageError("the disk is gone")

    host.kernel.router.remove_route(APP)
    host.kernel.router.add_route(APP, heard.append, "app")
    monkeypatch.setattr(host.plugin("push").registrations._storage, "read", fail)
    comes_from(host, APP, refuses())
    (answer,) = heard
    assert answer.element.find("error").get("type") == "wait"


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


# Commands


def test_administrators_list_and_remove_registrations(server, host):
    phone = host.connect(f"{JULIET}/phone")
    for node in ("one", "two"):
        enable(phone, node)
        enable(phone, node, "other.example")
    rows = server.command("push-list", jid=JULIET)
    assert rows[0] == {
        "service": APP,
        "node": "one",
        "resource": "phone",
        "enabled": rows[0]["enabled"],
        "failures": 0,
    }
    assert server.command("push-remove", jid=JULIET, service=APP, node="two") == 1
    assert server.command("push-remove", jid=JULIET, service="OTHER.example") == 2
    assert registered(host) == [(APP, "one")]
    assert server.command("push-remove", jid=JULIET) == 1
    assert registered(host) == []


@pytest.mark.parametrize(
    ("command", "arguments", "reason"),
    [
        ("push-list", {"jid": "rosaline@capulet.example"}, "no account"),
        ("push-remove", {"jid": "capulet.example"}, "no account"),
        ("push-remove", {"jid": JULIET, "node": "x"}, "A node is one"),
        ("push-remove", {"jid": JULIET, "service": "@"}, "service"),
    ],
)
def test_they_are_told_what_is_wrong(server, host, command, arguments, reason):
    host.create_account("juliet")
    with pytest.raises(Exception, match=reason):
        server.command(command, **arguments)
