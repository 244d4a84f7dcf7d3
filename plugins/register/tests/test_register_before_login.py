"""Accounts that strangers make (XEP-0077, "Entity Registers with a Host")."""

import pytest

from stonechat.auth import AuthUnavailable, Unsupported
from stonechat.stanza import Element
from stonechat.xml import parse
from stonechat_register import Options

NS = "jabber:iq:register"
FEATURES = "http://jabber.org/features/iq-register"
HOME = "198.51.100.7"
FORM_TYPE = f"<field var='FORM_TYPE'><value>{NS}:cancel</value></field>"


def opened(host, *, tls=True, address=HOME):
    return host.open_stream(tls=tls, address=address)


def ask(stream, type, inside="", id="reg1"):
    stream.send(f"<iq type='{type}' id='{id}'><query xmlns='{NS}'>{inside}</query></iq>")
    reply = stream.receive()
    assert reply.attributes["id"] == id
    return reply


def fields(username="romeo", password="wherefore"):
    return f"<username>{username}</username><password>{password}</password>"


def register(host, username="romeo", password="wherefore", **where):
    return ask(opened(host, **where), "set", fields(username, password))


def condition(reply):
    assert reply.type == "error"
    return reply.element.find("error").first().name


@pytest.fixture
def host(server):
    return server.host("capulet.example", register={})


# What is offered


def test_the_stream_says_that_one_can_register(host):
    assert opened(host).features.find("register", FEATURES) is not None


def test_who_has_logged_in_is_not_invited_any_more(host):
    host.create_account("juliet", "of Capulet")
    stream = opened(host)
    assert stream.authenticate("juliet", "of Capulet").name == "success"
    assert stream.open().find("register", FEATURES) is None


def test_a_name_and_a_password_are_asked_for(host):
    query = ask(opened(host), "get").payload
    assert [child.name for child in query.elements] == [
        "instructions",
        "username",
        "password",
        "x",
    ]


def test_the_same_is_asked_in_a_data_form(host):
    form = ask(opened(host), "get").payload.find("x", "jabber:x:data")
    asked = {field.get("var"): field.get("type") for field in form.find_all("field")}
    assert form.get("type") == "form"
    assert asked == {
        "FORM_TYPE": "hidden",
        "username": "text-single",
        "password": "text-private",
    }
    assert form.find("field").find_text("value") == NS


def test_is_advertised(host):
    assert host.plugin("register").stonechat_disco_features() == [NS]


# Registering


def test_who_registers_can_log_in(host):
    reply = register(host)
    assert (reply.type, reply.payload) == ("result", None)
    assert host.kernel.accounts.check_password("romeo", "wherefore")
    assert not host.kernel.accounts.check_password("romeo", "something")


def test_a_data_form_will_do(host):
    form = (
        "<x xmlns='jabber:x:data' type='submit'>"
        f"<field type='hidden' var='FORM_TYPE'><value>{NS}</value></field>"
        "<field var='username'><value>romeo</value></field>"
        "<field var='password'><value>wherefore</value></field></x>"
    )
    assert ask(opened(host), "set", form).type == "result"
    assert host.kernel.accounts.check_password("romeo", "wherefore")


@pytest.mark.parametrize(
    "form",
    [
        "<x xmlns='jabber:x:data' type='cancel'/>",
        f"<x xmlns='jabber:x:data' type='submit'>{FORM_TYPE}</x>",
    ],
)
def test_another_form_is_refused(host, form):
    assert condition(ask(opened(host), "set", form)) == "bad-request"


def test_names_are_prepared(host):
    register(host, "RoMeo")
    assert host.kernel.accounts.exists("romeo")
    assert condition(register(host, "ROMEO")) == "conflict"


def test_a_name_that_is_taken_stays_with_its_owner(host):
    host.create_account("romeo", "of Montague")
    reply = register(host)
    assert condition(reply) == "conflict"
    assert reply.element.find("error").get("code") == "409"
    assert host.kernel.accounts.check_password("romeo", "of Montague")


@pytest.mark.parametrize("name", ["ro meo", "romeo@montague.example", "a/b", "&lt;b&gt;"])
def test_a_name_that_is_no_localpart_is_refused(host, name):
    assert condition(register(host, name)) == "not-acceptable"


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<username>romeo</username>",
        "<username>romeo</username><password/>",
        "<username/><password>wherefore</password>",
        "<username xmlns='urn:x'>romeo</username><password>wherefore</password>",
    ],
)
def test_who_leaves_something_out_is_refused(host, inside):
    assert condition(ask(opened(host), "set", inside)) == "not-acceptable"


def test_reserved_names_cannot_be_had(host):
    assert condition(register(host, "Admin")) == "conflict"
    assert not host.kernel.accounts.exists("admin")


def test_one_may_reserve_names(server):
    host = server.host("capulet.example", register={"reserved": ["Escalus"]})
    assert condition(register(host, "escalus")) == "conflict"
    assert register(host, "admin").type == "result"


def test_a_reserved_name_has_to_be_a_name():
    with pytest.raises(ValueError, match="reserved"):
        Options(reserved=["not a name"])


def test_a_short_password_is_refused(host):
    assert condition(register(host, password="1234567")) == "not-acceptable"
    assert not host.kernel.accounts.exists("romeo")


def test_how_long_a_password_is_can_be_chosen(server):
    host = server.host("capulet.example", register={"min_password_length": 3})
    assert register(host, password="abc").type == "result"


def test_a_password_that_no_client_could_send_is_refused(host):
    assert condition(register(host, password="x" * 1024)) == "not-acceptable"


def test_a_stranger_has_no_account_to_remove(host):
    assert condition(ask(opened(host), "set", "<remove/>")) == "unexpected-request"


def test_where_no_backend_creates_accounts_nobody_registers(host, monkeypatch):
    refuse_to_create(host, monkeypatch, Unsupported("read-only"))
    assert condition(register(host)) == "not-allowed"


def test_a_store_that_is_away_is_the_servers_fault(host, monkeypatch):
    refuse_to_create(host, monkeypatch, AuthUnavailable("away"))
    reply = register(host)
    assert condition(reply) == "internal-server-error"
    assert reply.element.find("error").get("type") == "wait"


def refuse_to_create(host, monkeypatch, error):
    def create(localpart, password):
        raise error

    monkeypatch.setattr(host.kernel.accounts, "create", create)


def test_a_new_account_is_greeted(server):
    options = {"welcome": "Two households, both alike in dignity"}
    host = server.host("capulet.example", register=options, offline={})
    register(host)
    romeo = host.connect("romeo@capulet.example/orchard", "wherefore")
    romeo.available()
    message = romeo.receive_message()
    assert message.body == "Two households, both alike in dignity"
    assert message.from_ == host.kernel.jid


# Who may


def test_nobody_registers_over_an_unencrypted_stream(host):
    stream = opened(host, tls=False)
    assert stream.features.find("register", FEATURES) is None
    refused = ask(stream, "get")
    assert condition(refused) == "not-authorized"
    assert refused.element.find("error").get("code") == "401"
    assert condition(ask(stream, "set", fields())) == "not-authorized"


def test_encryption_may_be_waived(server):
    host = server.host("capulet.example", register={"require_encryption": False})
    assert register(host, tls=False).type == "result"


def test_only_chosen_networks_may_register(server):
    options = {"networks": ["192.0.2.0/24", "2001:db8::/32"]}
    host = server.host("capulet.example", register=options)
    elsewhere = opened(host, address=HOME)
    assert elsewhere.features.find("register", FEATURES) is None
    assert condition(ask(elsewhere, "get")) == "forbidden"
    assert condition(ask(elsewhere, "set", fields())) == "forbidden"
    assert register(host, "romeo", address="192.0.2.7").type == "result"
    assert register(host, "mercutio", address="2001:db8::7").type == "result"
    assert register(host, "benvolio", address="::ffff:192.0.2.8").type == "result"


def test_an_access_rule_decides(server):
    server.configure(access={"servants": {"addresses": ["192.0.2.0/24"]}})
    host = server.host("capulet.example", register={"access": "servants"})
    assert opened(host, address=HOME).features.find("register", FEATURES) is None
    assert condition(register(host, address=HOME)) == "forbidden"
    assert register(host, address="192.0.2.7").type == "result"


def test_an_access_rule_may_refuse_a_name(server):
    deny = {"users": ["tybalt@capulet.example"]}
    server.configure(access={"guests": {"hosts": ["capulet.example"], "deny": deny}})
    host = server.host("capulet.example", register={"access": "guests"})
    assert condition(register(host, "tybalt")) == "forbidden"
    assert register(host, "romeo").type == "result"


def test_a_rule_that_nobody_wrote_lets_nobody_register(server):
    host = server.host("capulet.example", register={"access": "nobody"})
    assert condition(register(host)) == "forbidden"


def test_a_redirection_takes_the_place_of_the_form(server):
    options = {"redirect_url": "https://capulet.example/join"}
    host = server.host("capulet.example", register=options)
    query = ask(opened(host), "get").payload
    assert [child.name for child in query.elements] == ["instructions", "x"]
    oob = query.find("x", "jabber:x:oob")
    assert oob.find_text("url") == "https://capulet.example/join"
    assert condition(register(host)) == "not-allowed"


def test_a_redirection_needs_a_web_page():
    with pytest.raises(ValueError, match="redirect_url"):
        Options(redirect_url="javascript:alert(1)")


# How often


def test_an_address_may_not_try_too_often(server):
    host = server.host("capulet.example", register={"attempts": 2, "period": "10 min"})
    assert register(host, "romeo").type == "result"
    assert condition(register(host, "romeo")) == "conflict"
    refused = register(host, "benvolio")
    assert condition(refused) == "not-acceptable"
    assert refused.element.find("error").get("type") == "wait"
    assert register(host, "benvolio", address="198.51.100.8").type == "result"
    server.clock.advance(601)
    assert register(host, "mercutio").type == "result"


@pytest.mark.parametrize("seconds", [86400, -86400])
def test_a_clock_that_is_set_neither_ends_the_period_nor_prolongs_it(server, seconds):
    host = server.host("capulet.example", register={"attempts": 1, "period": "10 min"})
    register(host, "romeo")
    server.clock.jump(seconds)
    assert condition(register(host, "benvolio")) == "not-acceptable"
    server.clock.advance(601)
    assert register(host, "mercutio").type == "result"


def test_a_slip_of_the_pen_is_not_counted(server):
    host = server.host("capulet.example", register={"attempts": 1})
    for _ in range(3):
        assert condition(register(host, password="short")) == "not-acceptable"
    assert register(host).type == "result"


def test_many_may_register_where_there_is_no_limit(server):
    host = server.host("capulet.example", register={"attempts": 0})
    for number in range(8):
        assert register(host, f"servant{number}").type == "result"


def test_the_answer_is_what_xep_0077_shows(host):
    reply = register(host)
    assert parse(reply.to_bytes(), b"<x xmlns='jabber:client'>") == Element(
        "jabber:client", "iq", {"type": "result", "id": "reg1"}
    )
