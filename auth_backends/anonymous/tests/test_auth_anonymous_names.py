"""Anonymous users by a name of their choice, and other servers, which they do not reach."""

import gevent
import pytest
from gevent.event import Event
from masker import (
    NS_SASL,
    backend_of,
    begin,
    by_name,
    log_in,
)

from stonechat.auth import AuthBackend, AuthUnavailable

# By a name (login_anon)


def test_any_free_name_opens_with_any_password(capulet):
    host = capulet(options={"protocol": "login_anon"})
    masker = by_name(host, "masker")
    assert masker.jid.localpart == "masker"
    names = host.open_stream(tls=True).features.find("mechanisms", NS_SASL)
    assert [name.text for name in names.find_all("mechanism")] == ["PLAIN"]
    assert begin(host).receive().find("invalid-mechanism") is not None


def test_both_ways_may_be_open(capulet):
    host = capulet(options={"protocol": "both"})
    assert by_name(host, "masker").jid.localpart == "masker"
    assert log_in(host)


def test_nobody_comes_in_under_the_name_of_an_account(capulet):
    host = capulet(options={"protocol": "both"})
    host.create_account("juliet", "R0m30")
    assert by_name(host, "juliet", "wrong") == "not-authorized"
    assert by_name(host, "juliet", "R0m30").jid.localpart == "juliet"


class Opaque(AuthBackend):
    """Like PAM at times: it checks passwords, and cannot tell who is there."""

    def check_password(self, localpart, password):
        return (localpart, password) == ("juliet", "R0m30")


class Absent(AuthBackend):
    def check_password(self, localpart, password):
        raise AuthUnavailable("away")

    def user_exists(self, localpart):
        raise AuthUnavailable("away")


@pytest.mark.parametrize(
    ("backend", "condition"), [(Opaque, "not-authorized"), (Absent, "temporary-auth-failure")]
)
def test_nobody_comes_in_while_another_backend_cannot_tell_whose_the_name_is(
    server, capulet, backend, condition
):
    server._give("auth", "other", backend)
    host = capulet(also=("other",), options={"protocol": "login_anon"})
    assert by_name(host, "juliet", "wrong") == condition
    assert not backend_of(host).user_exists("juliet")


def test_a_name_in_use_is_not_to_be_had(capulet):
    host = capulet(options={"protocol": "login_anon"})
    masker = by_name(host, "masker")
    assert by_name(host, "masker") == "not-authorized"
    masker.disconnect()
    assert by_name(host, "masker").jid.localpart == "masker"


def test_of_two_who_ask_for_a_name_at_once_one_gets_it(capulet, monkeypatch):
    host = capulet(options={"protocol": "login_anon"})
    backend = backend_of(host)
    both_ask = Event()
    asked = []

    def may_exist(localpart):
        # Another backend takes its time.
        asked.append(localpart)
        if len(asked) == 2:
            both_ask.set()
        assert both_ask.wait(5)
        return False

    monkeypatch.setattr(host.kernel.accounts, "may_exist", may_exist)
    logins = [gevent.spawn(backend.check_password, "masker", "x") for _ in range(2)]
    gevent.joinall(logins, timeout=5)
    assert sorted(login.value for login in logins) == [False, True]


def test_who_takes_a_name_does_not_find_what_another_left_under_it(capulet):
    host = capulet(options={"protocol": "login_anon"}, private={})
    host.create_account("mercutio", "a plague")
    mercutio = by_name(host, "mercutio", "a plague")
    kept = "<query xmlns='jabber:iq:private'><q xmlns='urn:example:q'>Mab</q></query>"
    mercutio.set(kept)
    mercutio.disconnect()
    # Removed past the server, as by a directory's administrator.
    testing = host.server.kernel.backends_of(host.kernel.accounts)[0]
    testing.remove_user("mercutio")
    host.kernel.accounts._known.clear()
    other = by_name(host, "mercutio", "x")
    answer = other.get("<query xmlns='jabber:iq:private'><q xmlns='urn:example:q'/></query>")
    assert "Mab" not in str(answer.payload)


# Other servers


@pytest.fixture
def with_montague(server, capulet):
    montague = server.remote("montague.example")
    return capulet, montague


@pytest.mark.parametrize(
    "stanza",
    [
        "<message to='romeo@montague.example' type='chat'><body>Hello</body></message>",
        "<presence to='romeo@montague.example'/>",
        "<presence to='romeo@montague.example' type='subscribe'/>",
        "<iq to='romeo@montague.example' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    ],
)
def test_anonymous_users_reach_no_other_server(with_montague, stanza):
    capulet, montague = with_montague
    stranger = log_in(capulet(roster={}))
    stranger.send(stanza)
    answer = stranger.receive()
    assert answer.type == "error"
    assert b"<not-allowed " in answer.to_bytes()
    assert not montague._opened


def test_anonymous_users_reach_no_other_server_by_a_service_of_ours(with_montague):
    capulet, montague = with_montague
    host = capulet(multicast={})
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.available()
    juliet.received()
    stranger = log_in(host)

    def send(*jids):
        addresses = "".join(f"<address type='to' jid='{jid}'/>" for jid in jids)
        stranger.send(
            "<message to='multicast.capulet.example'><body>Hello</body>"
            f"<addresses xmlns='http://jabber.org/protocol/address'>{addresses}</addresses>"
            "</message>"
        )

    send("juliet@capulet.example", "romeo@montague.example")
    assert b"<not-allowed " in stranger.receive().to_bytes()
    assert not montague._opened
    assert juliet.received() == []
    send("juliet@capulet.example")
    assert juliet.receive_message().body == "Hello"


def test_accounts_of_the_same_host_reach_other_servers(with_montague):
    capulet, montague = with_montague
    juliet = capulet().connect("juliet@capulet.example/balcony")
    juliet.message("romeo@montague.example", "Wherefore art thou?")
    assert montague.admit().receive().body == "Wherefore art thou?"


def test_other_servers_do_not_reach_anonymous_users(with_montague):
    capulet, montague = with_montague
    host = capulet()
    stranger = log_in(host)
    stranger.available()
    stranger.received()
    stream = montague.join(host)
    stream.send(
        f"<message from='romeo@montague.example/orchard' to='{stranger.jid}' type='chat'>"
        "<body>Hello</body></message>"
    )
    assert stranger.received() == []
    refused = montague.admit().receive()
    assert refused.type == "error"
    assert b"<service-unavailable " in refused.to_bytes()


def test_federation_can_be_allowed(server):
    montague = server.remote("montague.example")
    server.configure(auth=["anonymous"], auth_options={"anonymous": {"federation": True}})
    stranger = log_in(server.host("capulet.example"))
    stranger.message("romeo@montague.example", "Hello")
    assert montague.admit().receive().from_ == stranger.jid
