"""What comes while something else is under way, and what comes once more."""

import pytest
from push_cast import APP, JULIET, NS_PUSH, NS_SM, ROMEO, asleep, enable, registered

from stonechat.errors import StanzaError, StorageError
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT
from stonechat.stanza import Element, Message

# As long as a session waits for its client, and a little.
RESUME_SECONDS = 310


def texts(server, romeo, *ids, to=JULIET):
    for id_ in ids:
        romeo.message(to, "But soft", id=id_)
    server.settle()


def counts(app):
    """(node, message-count) of what was published since the last call."""
    return [
        (node, summary["message-count"])
        for node, summary in zip(
            [app.node_of(iq) for iq in app.published], app.summaries(), strict=True
        )
    ]


def lost(host, resource="phone"):
    """A phone whose connection is lost, and whose session waits for it."""
    phone = host.connect(f"{JULIET}/{resource}")
    phone.send(f"<enable xmlns='{NS_SM}' resume='true'/>")
    phone.receive()
    enable(phone, resource)
    phone.available()
    phone.drop()
    return phone


# Once more


def test_what_a_session_leaves_is_not_told_twice(server, host, app, romeo):
    lost(host)
    texts(server, romeo, "m1", "m2")
    server.clock.advance(10)
    assert counts(app)[-1] == ("phone", "2")
    server.clock.advance(RESUME_SECONDS)
    assert host.plugin("offline").count(JID.parse(JULIET)) == 2
    assert counts(app) == []
    # Clients that give all messages the same id are told of each all the same.
    texts(server, romeo, "m2")
    assert counts(app) == [("phone", "3")]


def test_what_a_session_leaves_is_told_to_who_has_not_heard_of_it(make, server):
    host = make(when_online=False)
    app = host.plugin("app")
    romeo = server.host("montague.example").connect(ROMEO)
    asleep(host, "tablet", "tablet")
    lost(host)
    texts(server, romeo, "m1")
    assert counts(app) == [("phone", "1")]
    server.clock.advance(RESUME_SECONDS)
    assert counts(app) == [("tablet", "1")]


def test_what_goes_from_session_to_session_each_device_is_told_once(server, host, app, romeo):
    phone = lost(host, "phone")
    server.clock.advance(60)
    lost(host, "tablet")
    texts(server, romeo, "m1", to=phone.jid)
    assert counts(app) == [("phone", "1")]
    server.clock.advance(RESUME_SECONDS - 60)
    assert counts(app) == [("tablet", "1")]
    server.clock.advance(60)
    assert host.plugin("offline").count(JID.parse(JULIET)) == 1
    assert counts(app) == []


def test_only_so_many_messages_are_known_again(server, host, app, romeo, monkeypatch):
    monkeypatch.setattr("stonechat_push.notification.MAX_KEYS", 2)
    lost(host)
    texts(server, romeo, "m1", "m2", "m3")
    server.clock.advance(10)
    assert counts(app)[-1] == ("phone", "3")
    server.clock.advance(RESUME_SECONDS)
    assert counts(app)[-1] == ("phone", "4")


def test_room_messages_that_others_have_got_wake_nobody(server, host, app, romeo):
    asleep(host)
    balcony = host.connect(f"{JULIET}/balcony")
    balcony.available()
    romeo.message(balcony.jid, "All hail", type="groupchat")
    server.clock.advance(60)
    assert balcony.receive_message().body == "All hail"
    assert counts(app) == []


# Meanwhile


class Store:
    """The store, with something that happens before a write is through."""

    def __init__(self, storage, meanwhile):
        self.storage = storage
        self.meanwhile = meanwhile

    def read(self, work):
        return self.storage.read(work)

    def write(self, work):
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return self.storage.write(work)


@pytest.fixture
def interfere(host, monkeypatch):
    def interfere(meanwhile):
        registrations = host.plugin("push").registrations
        monkeypatch.setattr(registrations, "_storage", Store(registrations._storage, meanwhile))

    return interfere


def arrives(host, text):
    """A message for Juliet, past all clients: for within the server."""
    body = Element(NS_CLIENT, "body", None, text)
    host.kernel.route(
        Message(body, from_=JID.parse(ROMEO), to=JID.parse(JULIET), type="chat", id=text)
    )


@pytest.mark.parametrize("how", ["push-remove", "one of them", "refused"])
def test_what_comes_while_a_registration_goes_makes_no_device_of_it(
    server, host, app, romeo, interfere, how
):
    asleep(host)
    texts(server, romeo, "m1")
    app.answer = StanzaError("remote-server-timeout")
    interfere(lambda: arrives(host, "What light"))
    if how == "push-remove":
        server.command("push-remove", jid=JULIET)
    elif how == "one of them":
        server.command("push-remove", jid=JULIET, service=APP)
    else:
        app.answer = StanzaError("item-not-found")
        server.clock.advance(10)
        texts(server, romeo, "m2")
    server.settle()
    counts(app)
    server.clock.advance(100_000)
    assert counts(app) == []
    devices = host.plugin("push").devices
    assert (devices._count, devices._devices) == (0, {})


def test_what_is_enabled_anew_while_it_goes_is_told_what_comes_then(
    server, host, app, romeo, interfere
):
    phone = asleep(host)
    plugin = host.plugin("push")

    def meanwhile():
        app.answer = None
        plugin.enable(phone.jid, Element(NS_PUSH, "enable", {"jid": APP, "node": "phone"}))
        plugin.registrations.of("juliet")
        arrives(host, "What light")

    interfere(meanwhile)
    app.answer = StanzaError("item-not-found")
    texts(server, romeo, "m1")
    assert registered(host) == [(APP, "phone")]
    counts(app)
    server.clock.advance(60)
    assert counts(app) == [("phone", "1")]


@pytest.mark.parametrize("how", ["comes", "disables"])
def test_whoever_comes_while_it_is_worked_out_is_told_nothing(
    server, host, app, romeo, monkeypatch, how
):
    asleep(host)
    plugin = host.plugin("push")

    def requests(localpart):
        if how == "comes":
            plugin.devices.reached(localpart, "phone")
        else:
            plugin.disable(localpart, Element(NS_PUSH, "disable", {"jid": APP}))
        return set()

    monkeypatch.setattr(host.plugin("people"), "requests", requests)
    texts(server, romeo, "m1")
    server.clock.advance(60)
    assert counts(app) == []


def test_a_write_that_may_have_been_made_is_looked_at_again(server, host, app, romeo, monkeypatch):
    server.expect_errors()
    asleep(host)
    texts(server, romeo, "m1")
    assert counts(app) == [("phone", "1")]
    registrations = host.plugin("push").registrations

    class Uncertain(Store):
        def write(self, work):
            super().write(work)
            raise StorageError("it had begun when its deadline passed")

    monkeypatch.setattr(registrations, "_storage", Uncertain(registrations._storage, lambda: None))
    with pytest.raises(StanzaError):
        host.connect(f"{JULIET}/balcony").set(f"<disable xmlns='{NS_PUSH}' jid='{APP}'/>")
    assert registrations.of("juliet") == ()


def test_what_others_ask_for_is_not_refused_while_a_required_plugin_is_away(host):
    """It looks at requests for subscription, but guards nobody against them."""
    hooks = host.kernel.hooks
    hooks.remove(host.plugin("push"), guarded=True)
    assert not hooks.is_closed("push")
