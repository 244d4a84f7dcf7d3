"""Users without an account (XEP-0175): how they come in, and what they are while here."""

import base64
import uuid

import pytest
from masker import (
    NS_DISCO_INFO,
    NS_SASL,
    backend_of,
    begin,
    by_name,
    log_in,
)

from stonechat.errors import StanzaError, StorageError
from stonechat.stanza import Element
from stonechat.testing import AuthBackendContract
from stonechat_auth_anonymous import Backend, Options

# The contract


class Bystander:
    def __init__(self, host, options):
        self.host = host


@pytest.fixture
def backend(server):
    host = server.host("capulet.example", plugin_classes={"bystander": Bystander})
    face = host.plugin("bystander").host
    face.storage.ensure(Backend.schema)
    backend = Backend(face, Options())
    backend.start()
    return backend


class TestAnonymous(AuthBackendContract):
    @pytest.fixture
    def backend(self, backend):
        return backend

    @pytest.fixture
    def account(self, backend):
        (make,) = backend.mechanisms().values()
        return make(None).step(b"").account.localpart


# Coming in


def test_the_mechanism_is_offered_beside_those_for_accounts(capulet):
    features = capulet().open_stream(tls=True).features
    names = [name.text for name in features.find("mechanisms", NS_SASL).find_all("mechanism")]
    assert names[-2:] == ["PLAIN", "ANONYMOUS"]
    assert "SCRAM-SHA-512" in names


def test_it_is_all_that_is_offered_on_a_host_without_accounts(capulet):
    features = capulet(also=()).open_stream(tls=True).features
    names = [name.text for name in features.find("mechanisms", NS_SASL).find_all("mechanism")]
    assert names == ["ANONYMOUS"]


def test_it_is_not_offered_where_the_backend_is_not_configured(server):
    stream = begin(server.host("capulet.example"))
    assert stream.receive().find("invalid-mechanism") is not None


def test_an_empty_request_is_answered_with_success_at_once(capulet):
    assert begin(capulet()).receive().name == "success"


@pytest.mark.parametrize("response", ["=", base64.b64encode(b"juliet@capulet.example").decode()])
def test_who_comes_anonymously_is_named_by_a_random_uuid(capulet, response):
    host = capulet()
    host.create_account("juliet", "R0m30")
    names = {log_in(host, response).jid.localpart for _ in range(3)}
    assert len(names) == 3
    for name in names:
        assert uuid.UUID(name).version == 4
        assert str(uuid.UUID(name)) == name


def test_trace_information_is_not_logged(server, capulet):
    log_in(capulet(), base64.b64encode(b"sirhc@example.net").decode())
    assert "sirhc" not in str(server.logged())


@pytest.mark.parametrize("trace", [b"\xff", ("x" * 256).encode()])
def test_trace_information_that_rfc_4505_does_not_allow_is_refused(capulet, trace):
    stream = begin(capulet(), base64.b64encode(trace).decode())
    assert stream.receive().first().name == "malformed-request"


def test_trace_information_may_have_255_characters(capulet):
    assert log_in(capulet(), base64.b64encode(("\u00e9" * 255).encode()).decode())


def test_there_are_no_more_of_them_than_may_be(capulet):
    host = capulet(options={"max_users": 2})
    first, _ = log_in(host), log_in(host)
    stream = begin(host)
    assert stream.receive().find("temporary-auth-failure") is not None
    first.disconnect()
    assert log_in(host)


def test_while_the_store_is_away_nobody_comes_in(capulet, monkeypatch):
    host = capulet()
    backend = backend_of(host)

    def fail(*arguments, **options):
        raise StorageError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(host.kernel.storage, "write", fail)
        assert begin(host).receive().find("temporary-auth-failure") is not None
        assert len(backend._living) == 0
    assert log_in(host)


# While they are here


def test_an_anonymous_user_talks_with_others_of_the_host(capulet):
    host = capulet()
    juliet = host.connect("juliet@capulet.example/balcony")
    juliet.available()
    stranger = log_in(host)
    stranger.available()
    stranger.message("juliet@capulet.example", "Who art thou?")
    said = juliet.receive_message()
    assert said.from_ == stranger.jid
    juliet.message(stranger.bare, "Thou know'st the mask of night is on my face.")
    assert stranger.receive_message().body.startswith("Thou know'st")


def test_no_password_opens_the_account_and_none_can_be_set(capulet):
    host = capulet(register={})
    stranger = log_in(host)
    assert by_name(host, stranger.jid.localpart) == "not-authorized"
    payload = Element("jabber:iq:register", "query")
    payload.add("username", stranger.jid.localpart)
    payload.add("password", "my own password")
    with pytest.raises(StanzaError) as refusal:
        stranger.set(payload, "capulet.example")
    assert refusal.value.condition in ("not-allowed", "feature-not-implemented")
    assert by_name(host, stranger.jid.localpart, "my own password") == "not-authorized"


def test_nobody_registers_the_name_of_one_who_is_here(capulet):
    host = capulet()
    stranger = log_in(host)
    with pytest.raises(Exception, match="already"):
        host.kernel.accounts.create(stranger.jid.localpart, "secret")


def test_anonymous_users_are_in_no_list_of_accounts(capulet):
    host = capulet()
    host.create_account("juliet", "R0m30")
    log_in(host)
    assert list(host.kernel.accounts) == ["juliet"]
    assert host.kernel.accounts.count() == 1


def info_of(client, to=None):
    query = client.get(Element(NS_DISCO_INFO, "query"), to).payload
    return [(i.get("category"), i.get("type")) for i in query.find_all("identity")], query


def test_service_discovery_tells_that_the_account_is_anonymous(capulet):
    host = capulet(disco={}, roster={})
    stranger = log_in(host)
    identities, query = info_of(stranger)
    assert identities == [("account", "anonymous")]
    assert NS_DISCO_INFO in [feature.get("var") for feature in query.find_all("feature")]
    assert info_of(stranger, stranger.bare)[0] == [("account", "anonymous")]
    assert info_of(host.connect("juliet@capulet.example"))[0] == [("account", "registered")]


def test_service_discovery_tells_strangers_nothing_of_the_account(capulet):
    host = capulet(disco={}, roster={})
    stranger = log_in(host)
    juliet = host.connect("juliet@capulet.example")
    with pytest.raises(StanzaError) as refusal:
        info_of(juliet, stranger.bare)
    assert refusal.value.condition == "service-unavailable"


# With other plugins


def test_sasl2_offers_it_and_tells_the_name(capulet):
    host = capulet(sasl2={})
    stream = host.open_stream(tls=True)
    offered = stream.features.find("authentication", "urn:xmpp:sasl:2")
    assert "ANONYMOUS" in [m.text for m in offered.find_all("mechanism")]
    stream.send(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='ANONYMOUS'>"
        "<bind xmlns='urn:xmpp:bind:0'/></authenticate>"
    )
    answer = stream.receive()
    assert answer.name == "success"
    name = answer.find_text("authorization-identifier").partition("@")[0]
    assert host.kernel.accounts.exists(name)
