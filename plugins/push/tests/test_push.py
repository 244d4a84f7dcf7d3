"""Registrations (XEP-0357): made, removed and looked at, on the kernel in memory."""

import pytest
from push_cast import APP, JULIET, NS_PUBSUB, NS_PUSH, ROMEO, SECRET, asleep, enable, registered

from stonechat.errors import StanzaError, StorageError
from stonechat.jid import JID
from stonechat.stanza import Element, Stanza
from stonechat.storage import StorageFull

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
