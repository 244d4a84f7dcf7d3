"""What users do with the accounts they have (XEP-0077): ask, change, give up."""

import pytest

from stonechat.auth import AccountNotFound, AuthUnavailable, Unsupported
from stonechat.stanza import Element
from stonechat.testing.accounts import TestingBackend

NS = "jabber:iq:register"
PASSWORD = "R0m30 and me"


def query(inside=""):
    return f"<query xmlns='{NS}'>{inside}</query>"


def ask(client, type, inside="", to="capulet.example", id="change1"):
    address = f" to='{to}'" if to else ""
    client.send(f"<iq type='{type}' id='{id}'{address}>{query(inside)}</iq>")
    return client.receive_iq()


def fields(username="juliet", password="O Romeo, Romeo"):
    return f"<username>{username}</username><password>{password}</password>"


def code(reply):
    return reply.element.find("error").get("code")


def condition(reply):
    assert reply.type == "error"
    return reply.element.find("error").first().name


@pytest.fixture
def host(server):
    host = server.host("capulet.example", register={})
    host.create_account("juliet", PASSWORD)
    return host


@pytest.fixture
def juliet(host):
    return host.connect("juliet@capulet.example/balcony")


def opens(host, password, localpart="juliet"):
    return host.kernel.accounts.check_password(localpart, password)


# What is on file


@pytest.mark.parametrize("to", ["capulet.example", "juliet@capulet.example", None])
def test_a_user_is_told_to_be_registered(juliet, to):
    reply = ask(juliet, "get", to=to).payload
    assert reply.find("registered") is not None
    assert reply.find_text("username") == "juliet"
    assert reply.find("password").text == ""


@pytest.mark.parametrize("asker", ["juliet@capulet.example", "romeo@montague.example"])
@pytest.mark.parametrize(("type", "inside"), [("get", ""), ("set", fields())])
def test_nobody_is_told_whether_there_is_another(server, host, asker, type, inside):
    host.create_account("nurse", PASSWORD)
    hosts = {"capulet.example": host, "montague.example": server.host("montague.example")}
    client = hosts[asker.partition("@")[2]].connect(f"{asker}/house")
    known, unknown = (
        ask(client, type, inside, to=f"{name}@capulet.example") for name in ("nurse", "rosaline")
    )
    assert condition(known) == "service-unavailable"
    assert known.element.elements == unknown.element.elements


def test_a_user_of_another_server_cannot_register(server, host):
    other = server.host("montague.example")
    romeo = other.connect("romeo@montague.example/orchard")
    for type, inside in (("get", ""), ("set", fields("romeo")), ("set", "<remove/>")):
        reply = ask(romeo, type, inside)
        assert condition(reply) == "registration-required"
        assert code(reply) == "407"
    assert not host.kernel.accounts.exists("romeo")


# Passwords


@pytest.mark.parametrize("to", ["capulet.example", "juliet@capulet.example", None])
def test_a_password_can_be_changed(host, juliet, to):
    reply = ask(juliet, "set", fields(), to=to)
    assert (reply.type, reply.payload) == ("result", None)
    assert opens(host, "O Romeo, Romeo")
    assert not opens(host, PASSWORD)


@pytest.mark.parametrize("username", ["Juliet", "juliet@capulet.example"])
def test_the_name_may_be_written_in_other_ways(host, juliet, username):
    assert ask(juliet, "set", fields(username)).type == "result"
    assert opens(host, "O Romeo, Romeo")


@pytest.mark.parametrize(
    "username", ["nurse", "nurse@capulet.example", "juliet@montague.example", "not a name"]
)
def test_the_password_of_another_cannot_be_changed(host, juliet, username):
    host.create_account("nurse", PASSWORD)
    assert condition(ask(juliet, "set", fields(username))) == "not-allowed"
    assert opens(host, PASSWORD)
    assert opens(host, PASSWORD, "nurse")


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<password>O Romeo, Romeo</password>",
        "<username>juliet</username>",
        "<username>juliet</username><password/>",
    ],
)
def test_who_leaves_something_out_keeps_the_password(host, juliet, inside):
    assert condition(ask(juliet, "set", inside)) == "bad-request"
    assert opens(host, PASSWORD)


@pytest.mark.parametrize("password", ["short", "x" * 1024])
def test_a_password_that_is_not_fit_is_refused(host, juliet, password):
    assert condition(ask(juliet, "set", fields(password=password))) == "not-acceptable"
    assert opens(host, PASSWORD)


def test_a_refusal_does_not_repeat_the_password(juliet):
    reply = ask(juliet, "set", fields("nurse"))
    assert code(reply) == "405"
    assert [child.name for child in reply.element.elements] == ["error"]
    assert reply.id == "change1"


def test_the_old_password_is_checked_where_it_is_given(host, juliet):
    def form(old):
        values = {
            "FORM_TYPE": f"{NS}:changepassword",
            "username": "juliet",
            "old_password": old,
            "password": "O Romeo, Romeo",
        }
        fields = "".join(
            f"<field var='{var}'><value>{value}</value></field>" for var, value in values.items()
        )
        return f"<x xmlns='jabber:x:data' type='submit'>{fields}</x>"

    assert condition(ask(juliet, "set", form("Paris, Paris"))) == "not-authorized"
    assert opens(host, PASSWORD)
    assert ask(juliet, "set", form(PASSWORD)).type == "result"
    assert opens(host, "O Romeo, Romeo")


def test_no_password_is_changed_over_an_unencrypted_stream(server):
    server.configure(allow_plain_without_tls=True)
    host = server.host("capulet.example", register={})
    host.create_account("juliet", PASSWORD)
    juliet = host.connect("juliet@capulet.example/balcony", tls=False)
    assert condition(ask(juliet, "set", fields())) == "not-authorized"
    assert opens(host, PASSWORD)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (Unsupported("read-only"), "not-allowed"),
        (AuthUnavailable("away"), "internal-server-error"),
    ],
)
def test_what_the_backend_cannot_do_is_said(host, juliet, monkeypatch, error, answer):
    def set_password(localpart, password):
        raise error

    monkeypatch.setattr(host.kernel.accounts, "set_password", set_password)
    assert condition(ask(juliet, "set", fields())) == answer


# Removal


@pytest.mark.parametrize("to", ["capulet.example", None])
def test_who_gives_up_the_account_hears_of_it_and_is_closed(host, juliet, to):
    reply = ask(juliet, "set", "<remove/>", to=to, id="unreg1")
    assert (reply.type, reply.id, reply.payload) == ("result", "unreg1", None)
    assert juliet.closed_with() == "not-authorized"
    assert not host.kernel.accounts.exists("juliet")


def test_all_sessions_of_a_removed_account_are_closed(host, juliet):
    chamber = host.connect("juliet@capulet.example/chamber")
    nurse = host.connect("nurse@capulet.example/kitchen")
    ask(juliet, "set", "<remove/>")
    assert chamber.closed_with() == "not-authorized"
    assert ask(nurse, "get").type == "result"


def test_a_removed_account_can_be_registered_again(host, juliet):
    ask(juliet, "set", "<remove/>")
    host.create_account("juliet", "another one")
    assert opens(host, "another one")


def test_a_removal_stands_alone(host, juliet):
    reply = ask(juliet, "set", "<remove/><username>juliet</username>")
    assert condition(reply) == "bad-request"
    assert host.kernel.accounts.exists("juliet")


@pytest.mark.parametrize(
    ("error", "answer", "old_code"),
    [
        (AccountNotFound("gone already"), "registration-required", "407"),
        (Unsupported("read-only"), "not-allowed", "405"),
        (AuthUnavailable("away"), "internal-server-error", "500"),
    ],
)
def test_a_removal_that_cannot_be_is_answered_so_and_nothing_is_removed(
    host, juliet, monkeypatch, error, answer, old_code
):
    def remove_user(backend, localpart):
        raise error

    monkeypatch.setattr(TestingBackend, "remove_user", remove_user)
    reply = ask(juliet, "set", "<remove/>")
    assert (condition(reply), code(reply)) == (answer, old_code)
    assert opens(host, PASSWORD)
    assert ask(juliet, "get", id="after").type == "result"
    assert juliet.received() == []


def test_the_result_of_a_removal_comes_when_it_is_done_and_before_the_stream_ends(
    host, juliet, monkeypatch
):
    accounts = host.kernel.accounts
    route = host.kernel.route
    there = []

    def routed(stanza):
        there.append((stanza.id, accounts.exists("juliet"), juliet.is_closed))
        route(stanza)

    monkeypatch.setattr(host.kernel, "route", routed)
    assert ask(juliet, "set", "<remove/>", id="unreg1").type == "result"
    assert there == [("unreg1", False, False)]


def test_somebody_else_cannot_remove_the_account(host, juliet):
    nurse = host.connect("nurse@capulet.example/kitchen")
    reply = ask(nurse, "set", "<remove/>", to="juliet@capulet.example")
    assert condition(reply) == "service-unavailable"
    assert host.kernel.accounts.exists("juliet")


def test_the_payload_of_a_removal_is_an_element(juliet):
    # The kit's own way to ask, which keeps what comes for others queued.
    assert juliet.request("set", Element(NS, "query", None, Element(NS, "remove"))).type == (
        "result"
    )
