"""When anonymous users go, nothing is left of them."""

import base64
import hmac

from masker import (
    KEEPERS,
    backend_of,
    begin,
    by_name,
    log_in,
    traces,
)

from stonechat import hookimpl
from stonechat.errors import StorageError
from stonechat.options import PluginOptions
from stonechat.stanza import Element
from stonechat.testing import until
from stonechat_auth_anonymous import SWEEP_SECONDS, UNBOUND_SECONDS, Backend


def test_with_its_last_session_all_of_the_account_is_gone(server, capulet):
    host = capulet(**KEEPERS)
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.available()
    stranger = log_in(host)
    name = stranger.jid.localpart
    stranger.available()
    stranger.set(
        "<query xmlns='jabber:iq:private'><mask xmlns='urn:example:mask'>red</mask></query>"
    )
    stranger.set("<vCard xmlns='vcard-temp'><FN>A masker</FN></vCard>")
    stranger.set("<query xmlns='jabber:iq:roster'><item jid='juliet@capulet.example'/></query>")
    stranger.set("<block xmlns='urn:xmpp:blocking'><item jid='tybalt@capulet.example'/></block>")
    stranger.send("<presence type='subscribe' to='juliet@capulet.example'/>")
    stranger.message("juliet@capulet.example", "Have not saints lips?")
    assert {"auth_anonymous_accounts", "roster_item"} <= set(traces(host, name))
    juliet.disconnect()
    stranger.disconnect()
    server.settle()
    assert not host.kernel.accounts.exists(name)
    # One plugin after the other forgets him. What he has written to Juliet is hers.
    until(lambda: set(traces(host, name)) == {"mam_messages"}, "the end of all that was his")


def test_subscriptions_to_others_end_with_the_session(server, capulet):
    host = capulet(roster={})
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.get(Element("jabber:iq:roster", "query"))
    juliet.available()
    stranger = log_in(host)
    stranger.available()
    stranger.send("<presence type='subscribe' to='juliet@capulet.example'/>")
    juliet.send(f"<presence type='subscribed' to='{stranger.bare}'/>")
    juliet.received()
    stranger.disconnect()
    server.settle()
    subscriptions = [
        item.get("subscription")
        for item in juliet.get(Element("jabber:iq:roster", "query")).payload.find_all("item")
    ]
    assert "from" not in subscriptions


def test_an_account_stays_while_it_has_another_session(server, capulet):
    host = capulet(options={"protocol": "both", "multiple_connections": True})
    first, second = by_name(host, "masker"), by_name(host, "masker")
    first.disconnect()
    server.settle()
    assert host.kernel.accounts.exists("masker")
    second.drop()
    server.settle()
    assert not host.kernel.accounts.exists("masker")


def test_who_never_binds_a_resource_loses_the_account(server, capulet):
    host = capulet()
    backend = backend_of(host)
    stream = begin(host)
    assert stream.receive().name == "success"
    (name,) = backend._living.older_than(0)
    server.clock.advance(UNBOUND_SECONDS + SWEEP_SECONDS)
    assert not host.kernel.accounts.exists(name)
    assert traces(host, name) == []


def test_after_a_restart_nothing_is_left_of_those_who_were_here(server, capulet, monkeypatch):
    host = capulet(private={})
    stranger = log_in(host)
    stranger.set(
        "<query xmlns='jabber:iq:private'><mask xmlns='urn:example:mask'>red</mask></query>"
    )
    # As if the process were killed: nobody clears up.
    monkeypatch.setattr(Backend, "_remove_if_left", lambda self, localpart: None)
    monkeypatch.setattr(Backend, "stonechat_session_closed", lambda self, session: None)
    with monkeypatch.context() as patch:
        patch.setattr(type(host.kernel.hooks), "notify", lambda *arguments: [])
        server._stop()
    monkeypatch.undo()
    server._start()
    server.settle()
    assert traces(host, stranger.jid.localpart) == []
    assert not host.kernel.accounts.exists(stranger.jid.localpart)


def test_what_cannot_be_cleared_now_is_cleared_later(server, capulet, monkeypatch):
    host = capulet(private={})
    stranger = log_in(host)
    name = stranger.jid.localpart
    stranger.set(
        "<query xmlns='jabber:iq:private'><mask xmlns='urn:example:mask'>red</mask></query>"
    )
    server.expect_errors()

    def fail(*arguments, **options):
        raise StorageError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(host.kernel.storage, "write", fail)
        stranger.disconnect()
        server.settle()
    assert not host.kernel.accounts.exists(name)
    assert traces(host, name)
    server.clock.advance(SWEEP_SECONDS + 1)
    assert traces(host, name) == []


def test_an_administrator_can_remove_one(server, capulet):
    host = capulet()
    stranger = log_in(host)
    server.command("unregister", jid=str(stranger.bare))
    assert stranger.closed_with() == "not-authorized"
    assert traces(host, stranger.jid.localpart) == []


def test_a_reload_leaves_those_who_are_here_in_peace(server, capulet):
    host = capulet()
    stranger = log_in(host)
    kernel = server.kernel
    configuration = kernel.configuration.hosts["capulet.example"]
    accounts = kernel.make_accounts(host.kernel, configuration)
    latecomer = log_in(host)
    kernel.stop_accounts(kernel.exchange_accounts(host.kernel, accounts))
    for backend in kernel.backends_of(accounts):
        backend.ready()
    server.settle()
    for client in (stranger, latecomer):
        assert host.kernel.accounts.exists(client.jid.localpart)
        client.disconnect()
        server.settle()
        assert traces(host, client.jid.localpart) == []


def test_a_session_can_be_gone_on_with_by_a_token(server, capulet):
    host = capulet(sasl2={}, fast={}, sm={})
    agent = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>"
    stream = host.open_stream(tls=True)
    stream.send(
        f"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='ANONYMOUS'>{agent}"
        "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>"
        "<bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind>"
        "</authenticate>"
    )
    success = stream.receive()
    token = success.find("token", "urn:xmpp:fast:0").get("token")
    enabled = success.find("bound", "urn:xmpp:bind:0").find("enabled", "urn:xmpp:sm:3")
    name = success.find_text("authorization-identifier").partition("@")[0]
    stream.connection.hang_up()
    server.settle()
    assert host.kernel.accounts.exists(name)
    proof = hmac.digest(token.encode(), b"Initiator", "sha256")
    response = base64.b64encode(name.encode() + b"\0" + proof).decode()
    stream = host.open_stream(tls=True)
    stream.send(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'>"
        f"<initial-response>{response}</initial-response>{agent}<fast xmlns='urn:xmpp:fast:0'/>"
        f"<resume xmlns='urn:xmpp:sm:3' previd='{enabled.get('id')}' h='0'/></authenticate>"
    )
    success = stream.receive()
    assert success.name == "success"
    assert success.find("resumed", "urn:xmpp:sm:3") is not None
    stream.send("</stream:stream>")
    server.settle()
    assert traces(host, name) == []


class Quiet(PluginOptions):
    pass


def test_the_backend_waits_for_others_to_forget_before_it_strikes_an_account_out(server, capulet):
    seen = []

    class Witness:
        Options = Quiet

        def __init__(self, host, options):
            self.host = host

        @hookimpl
        def stonechat_account_removed(self, account):
            seen.append(traces(host, account.localpart))

    host = capulet()
    host.enable("witness", plugin_class=Witness)
    stranger = log_in(host)
    stranger.disconnect()
    server.settle()
    assert seen == [["auth_anonymous_accounts"]]
    assert traces(host, stranger.jid.localpart) == []
