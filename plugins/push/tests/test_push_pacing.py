"""How often app servers are notified, and what becomes of those that refuse (XEP-0357, 7.1)."""

import pytest

from stonechat.errors import StanzaError, StorageError
from stonechat.forms import Form
from stonechat.jid import JID
from stonechat_push import devices

NS_PUSH = "urn:xmpp:push:0"
JULIET = "juliet@capulet.example"
ROMEO = "romeo@montague.example/orchard"
APP = "push.example"


class AppServer:
    """An app server within the same process: it notes what is published, and answers."""

    def __init__(self, host, options):
        self.host = host
        self.published = []
        self.open = []
        self.answer = None
        """An error, `silence`, or None for a result."""

    def start(self):
        self.host.register_route(APP, self.receive)

    def receive(self, iq):
        self.published.append(iq)
        if self.answer == "silence":
            self.open.append(iq)
        elif self.answer is not None:
            raise self.answer
        else:
            self.host.route(iq.result())

    def counts(self):
        """(node, message-count) of what was published since the last call."""
        published, self.published = self.published, []
        return [(iq.payload.find("publish").get("node"), _count(iq)) for iq in published]

    def release(self):
        """Answer what is open."""
        answered, self.open = self.open, []
        for iq in answered:
            self.host.route(iq.result())
        self.host.run_blocking(lambda: None)


def _count(iq):
    notification = iq.payload.find("publish").find("item").find("notification", NS_PUSH)
    return Form.read(notification.first()).get("message-count")


@pytest.fixture
def make(server):
    return lambda **options: server.host(
        "capulet.example",
        push={"interval": "10 s", **options},
        offline={},
        plugin_classes={"app": AppServer},
    )


@pytest.fixture
def host(make):
    return make()


@pytest.fixture
def app(host):
    return host.plugin("app")


@pytest.fixture
def romeo(server):
    return server.host("montague.example").connect(ROMEO)


def asleep(host, node="phone", account=JULIET, form=""):
    """A device that has enabled notifications and is gone."""
    phone = host.connect(f"{account}/{node}")
    enable(phone, node)
    phone.disconnect()
    return phone


def enable(client, node="phone"):
    client.set(f"<enable xmlns='{NS_PUSH}' jid='{APP}' node='{node}'/>")


def registered(host):
    return [row["node"] for row in host.plugin("push").registered(JID.parse(JULIET))]


def write(server, romeo, texts=1, to=JULIET):
    for _ in range(texts):
        romeo.message(to, "But soft")
    server.settle()


# How often


def test_the_first_message_is_told_at_once_and_more_of_them_together(server, host, app, romeo):
    asleep(host)
    write(server, romeo)
    assert app.counts() == [("phone", "1")]
    write(server, romeo, 5)
    server.clock.advance(9)
    assert app.counts() == []
    server.clock.advance(2)
    assert app.counts() == [("phone", "6")]
    # And again it is quiet for a while.
    write(server, romeo)
    assert app.counts() == []
    server.clock.advance(11)
    assert app.counts() == [("phone", "7")]
    server.clock.advance(60)
    assert app.counts() == []
    write(server, romeo)
    assert app.counts() == [("phone", "8")]


def test_what_comes_while_an_answer_is_due_is_told_afterwards(server, host, app, romeo):
    asleep(host)
    app.answer = "silence"
    write(server, romeo)
    write(server, romeo, 3)
    server.clock.advance(20)
    assert app.counts() == [("phone", "1")]
    app.answer = None
    app.release()
    server.settle()
    server.clock.advance(11)
    assert app.counts() == [("phone", "4")]


def test_devices_do_not_wait_for_each_other(server, host, app, romeo):
    asleep(host)
    asleep(host, "tablet")
    write(server, romeo)
    asleep(host, "watch")
    write(server, romeo)
    assert sorted(app.counts()) == [("phone", "1"), ("tablet", "1"), ("watch", "1")]


@pytest.mark.parametrize("how", ["bind", "enable"])
def test_who_was_there_is_counted_for_anew(server, host, app, romeo, how):
    asleep(host)
    write(server, romeo, 3)
    if how == "bind":
        host.connect(f"{JULIET}/phone").disconnect()
    else:
        asleep(host)
    server.clock.advance(60)
    assert app.counts() == [("phone", "1")]
    write(server, romeo)
    assert app.counts() == [("phone", "1")]


def test_who_comes_before_it_is_told_is_not_told(server, host, app, romeo):
    asleep(host)
    write(server, romeo, 2)
    phone = host.connect(f"{JULIET}/phone")
    server.clock.advance(60)
    assert app.counts() == [("phone", "1")]
    # Something still comes for the device while it is there already.
    phone.available(-1)
    write(server, romeo)
    server.clock.advance(60)
    assert app.counts() == []


def test_app_servers_are_asked_so_many_at_once(server, host, app, romeo, monkeypatch):
    monkeypatch.setattr(devices, "MAX_AT_ONCE", 2)
    accounts = [f"guest{number}@capulet.example" for number in range(5)]
    for account in accounts:
        asleep(host, account.partition("@")[0], account)
    app.answer = "silence"
    for account in accounts:
        write(server, romeo, to=account)
    assert len(app.counts()) == 2
    app.answer = None
    app.release()
    server.settle()
    assert len(app.counts()) == 3


# Refusals


@pytest.mark.parametrize(
    "error",
    [
        StanzaError("item-not-found"),
        StanzaError("not-allowed"),
        StanzaError("forbidden"),
        StanzaError("policy-violation"),
        StanzaError("feature-not-implemented"),
    ],
    ids=lambda error: error.condition,
)
def test_an_app_server_that_refuses_is_asked_no_more(server, host, app, romeo, error):
    asleep(host)
    asleep(host, "tablet")
    host.plugin("app").answer = error
    write(server, romeo)
    assert registered(host) == []
    app.counts()
    write(server, romeo, 3)
    server.clock.advance(100_000)
    assert app.counts() == []
    # The client may try again.
    app.answer = None
    asleep(host)
    write(server, romeo)
    assert app.counts() == [("phone", "1")]


@pytest.mark.parametrize(
    "error",
    [
        StanzaError("remote-server-not-found"),
        StanzaError("internal-server-error"),
        StanzaError("service-unavailable"),
        StanzaError("not-authorized", type="wait"),
    ],
    ids=lambda error: error.condition,
)
def test_an_app_server_that_cannot_just_now_is_asked_again_ever_later(
    server, host, app, romeo, error
):
    asleep(host)
    app.answer = error
    write(server, romeo)
    assert app.counts() == [("phone", "1")]
    for pause in (15, 30, 60, 120):
        write(server, romeo)
        server.clock.advance(pause - 1)
        assert app.counts() == []
        server.clock.advance(1)
        assert len(app.counts()) == 1
    (row,) = host.plugin("push").registered(JID.parse(JULIET))
    assert row["failures"] == 5
    app.answer = None
    server.clock.advance(241)
    assert app.counts() == [("phone", "5")]
    # From then on all is well.
    write(server, romeo)
    server.clock.advance(11)
    assert app.counts() == [("phone", "6")]
    (row,) = host.plugin("push").registered(JID.parse(JULIET))
    assert row["failures"] == 0


def test_an_app_server_that_does_not_answer_is_asked_again(server, host, app, romeo):
    asleep(host)
    app.answer = "silence"
    write(server, romeo)
    server.clock.advance(29)
    assert app.counts() == [("phone", "1")]
    server.clock.advance(20)
    assert app.counts() == [("phone", "1")]
    assert registered(host) == ["phone"]


def test_after_so_many_failures_a_registration_is_given_up(make, server, romeo):
    host = make(max_failures=3)
    app = host.plugin("app")
    asleep(host)
    app.answer = StanzaError("remote-server-timeout")
    write(server, romeo)
    server.clock.advance(16)
    assert registered(host) == ["phone"]
    server.clock.advance(31)
    assert len(app.counts()) == 3
    assert registered(host) == []
    server.clock.advance(100_000)
    assert app.counts() == []


def test_it_is_asked_every_hour_at_the_least(make, server, romeo):
    host = make(max_failures=100)
    app = host.plugin("app")
    asleep(host)
    app.answer = StanzaError("remote-server-timeout")
    write(server, romeo)
    server.clock.advance(15 * 2**8)
    app.counts()
    server.clock.advance(5 * 3600)
    assert len(app.counts()) == 5


def test_a_failure_is_forgotten_when_the_client_enables_it_again(server, host, app, romeo):
    asleep(host)
    app.answer = StanzaError("remote-server-timeout")
    write(server, romeo)
    asleep(host)
    (row,) = host.plugin("push").registered(JID.parse(JULIET))
    assert row["failures"] == 0
    app.counts()
    server.clock.advance(3600)
    assert app.counts() == []


def test_a_refusal_of_before_says_nothing_of_what_was_enabled_since(server, host, app, romeo):
    asleep(host)
    app.answer = "silence"
    write(server, romeo)
    phone = host.connect(f"{JULIET}/phone")
    enable(phone)
    (iq,) = app.open
    host.kernel.route(iq.error_reply(StanzaError("item-not-found")))
    server.settle()
    assert registered(host) == ["phone"]
    phone.disconnect()
    app.answer = None
    write(server, romeo)
    server.clock.advance(60)
    assert ("phone", "1") in app.counts()


def test_what_comes_after_a_refusal_of_before_is_told(server, host, app, romeo):
    asleep(host)
    app.answer = "silence"
    write(server, romeo)
    asleep(host)
    write(server, romeo, 2)
    (iq,) = app.open
    app.counts()
    app.answer = None
    host.kernel.route(iq.error_reply(StanzaError("item-not-found")))
    server.settle()
    server.clock.advance(11)
    assert app.counts() == [("phone", "2")]


def test_what_has_failed_is_not_told_to_who_has_come_meanwhile(server, host, app, romeo):
    asleep(host)
    app.answer = "silence"
    write(server, romeo)
    host.connect(f"{JULIET}/phone")
    (iq,) = app.open
    host.kernel.route(iq.error_reply(StanzaError("remote-server-timeout")))
    server.settle()
    app.counts()
    server.clock.advance(3600)
    assert app.counts() == []


def test_a_fault_of_ours_with_one_device_stops_no_other(server, host, app, romeo, monkeypatch):
    server.expect_errors()
    monkeypatch.setattr(devices, "MAX_AT_ONCE", 1)
    asleep(host)
    asleep(host, "nurse", "nurse@capulet.example")
    right = devices.notification

    def wrong(account, *rest):
        if account.localpart == "juliet":
            raise ValueError("a form that cannot be read")
        return right(account, *rest)

    monkeypatch.setattr(devices, "notification", wrong)
    write(server, romeo)
    write(server, romeo, to="nurse@capulet.example")
    assert app.counts() == [("nurse", "1")]
    monkeypatch.setattr(devices, "notification", right)
    write(server, romeo)
    assert app.counts() == [("phone", "2")]


@pytest.mark.parametrize("how", ["disable", "push-remove", "too many"])
def test_nothing_is_published_any_more_once_it_is_disabled(make, server, romeo, how):
    host = make(max_registrations=1)
    app = host.plugin("app")
    asleep(host)
    app.answer = StanzaError("remote-server-timeout")
    write(server, romeo)
    app.counts()
    if how == "disable":
        host.connect(f"{JULIET}/balcony").set(f"<disable xmlns='{NS_PUSH}' jid='{APP}'/>")
    elif how == "push-remove":
        server.command("push-remove", jid=JULIET)
    else:
        asleep(host, "tablet")
    server.clock.advance(100_000)
    assert app.counts() == []


def test_an_answer_that_comes_when_all_is_over_is_no_news(server, host, app, romeo):
    asleep(host)
    app.answer = "silence"
    write(server, romeo)
    server.command("push-remove", jid=JULIET)
    app.release()
    server.settle()
    server.clock.advance(60)
    assert app.counts() == [("phone", "1")]
    known = host.plugin("push").devices
    assert (known._count, known._devices, known._idle) == (0, {}, {})


# Bounds


def test_of_too_many_devices_the_first_idle_one_is_forgotten(make, server, romeo):
    host = make(max_devices=2)
    app = host.plugin("app")
    accounts = [f"guest{number}@capulet.example" for number in range(3)]
    for account in accounts:
        asleep(host, account.partition("@")[0], account)
    for account in accounts[:2]:
        write(server, romeo, 3, to=account)
    server.clock.advance(60)
    app.counts()
    write(server, romeo, to=accounts[2])
    assert app.counts() == [("guest2", "1")]
    # The first one is counted for anew, the second goes on.
    server.clock.advance(60)
    write(server, romeo, to=accounts[1])
    assert app.counts() == [("guest1", "4")]
    server.clock.advance(60)
    write(server, romeo, to=accounts[0])
    assert app.counts() == [("guest0", "1")]


def test_where_all_are_at_work_another_is_not_told(make, server, romeo):
    host = make(max_devices=1)
    app = host.plugin("app")
    asleep(host)
    asleep(host, "nurse", "nurse@capulet.example")
    app.answer = "silence"
    write(server, romeo)
    write(server, romeo, to="nurse@capulet.example")
    assert app.counts() == [("phone", "1")]
    assert server.logged("too many devices to be notified")


def test_only_so_many_accounts_are_kept_in_memory(make, server, romeo):
    host = make(cached_accounts=2)
    for number in range(4):
        asleep(host, f"guest{number}", f"guest{number}@capulet.example")
        write(server, romeo, to=f"guest{number}@capulet.example")
    assert len(host.plugin("push").registrations._cache) == 2
    assert len(host.plugin("app").counts()) == 4


def test_accounts_are_not_looked_up_again_and_again(server, host, app, romeo, monkeypatch):
    host.create_account("nurse")
    write(server, romeo, to="nurse@capulet.example")
    storage = host.plugin("push").registrations._storage
    monkeypatch.setattr(storage, "read", None)
    write(server, romeo, 10, to="nurse@capulet.example")


# The store fails


def test_news_waits_for_a_store_that_fails(server, host, app, romeo, monkeypatch):
    server.expect_errors()
    asleep(host)
    plugin = host.plugin("push")
    read = plugin.registrations.of

    def fail(localpart):
        raise StorageError("it does not answer")

    monkeypatch.setattr(plugin.registrations, "of", fail)
    write(server, romeo, 3)
    server.clock.advance(15)
    assert app.counts() == []
    monkeypatch.setattr(plugin.registrations, "of", read)
    server.clock.advance(10)
    assert app.counts() == [("phone", "3")]
    assert plugin.telling.looking == {}


def test_while_it_fails_only_so_much_waits(server, host, app, romeo, monkeypatch):
    server.expect_errors()
    monkeypatch.setattr("stonechat_push.telling.MAX_LOOKING", 2)
    monkeypatch.setattr("stonechat_push.telling.MAX_NEWS", 3)
    accounts = [f"guest{number}@capulet.example" for number in range(3)]
    for account in accounts:
        asleep(host, account.partition("@")[0], account)
    plugin = host.plugin("push")
    read = plugin.registrations.of

    def fail(localpart):
        raise StorageError("it does not answer")

    monkeypatch.setattr(plugin.registrations, "of", fail)
    for account in accounts:
        write(server, romeo, 5, to=account)
    monkeypatch.setattr(plugin.registrations, "of", read)
    server.clock.advance(30)
    assert sorted(app.counts()) == [("guest0", "3"), ("guest1", "3")]


def test_a_refusal_that_cannot_be_noted_is_heard_again(server, host, app, romeo, monkeypatch):
    server.expect_errors()
    asleep(host)
    plugin = host.plugin("push")
    give_up = plugin.registrations.give_up

    def fail(localpart, registration):
        raise StorageError("it does not answer")

    monkeypatch.setattr(plugin.registrations, "give_up", fail)
    app.answer = StanzaError("item-not-found")
    write(server, romeo)
    assert registered(host) == ["phone"]
    monkeypatch.setattr(plugin.registrations, "give_up", give_up)
    write(server, romeo)
    assert registered(host) == []


def test_what_is_given_up_is_what_was_refused_and_nothing_newer(host):
    asleep(host)
    registrations = host.plugin("push").registrations
    (known,) = registrations.of("juliet")
    registrations.give_up("juliet", known._replace(enabled_at=known.enabled_at - 1))
    assert registered(host) == ["phone"]
    registrations.give_up("juliet", known)
    assert registered(host) == []


def test_what_is_read_while_something_is_written_is_read_again(server, host, romeo):
    registrations = host.plugin("push").registrations
    asleep(host)
    read, reads = registrations._storage.read, []

    class Storage:
        @staticmethod
        def read(work):
            reads.append(work)
            found = read(work)
            if len(reads) < 3:
                registrations._forget("nurse")
            return found

    registrations._storage = Storage()
    assert [known.node for known in registrations.of("juliet")] == ["phone"]
    assert len(reads) == 3
    assert registrations.known("juliet") is not None
