"""Service administration (XEP-0133): nodes, fields and errors as the XEP names them."""

import pytest

from stonechat.core.access import AccessRule, AccessRules
from stonechat.errors import StanzaError
from stonechat.forms import Field, Form
from stonechat.stanza import Element, Message
from stonechat.testing.client import error_of
from stonechat.timestamps import read

COMMANDS = "http://jabber.org/protocol/commands"
ADMIN = "http://jabber.org/protocol/admin"
ITEMS = "http://jabber.org/protocol/disco#items"
DATA = "jabber:x:data"

HOST, OTHER = "capulet.example", "montague.example"
NURSE = "nurse@capulet.example"
JULIET = "juliet@capulet.example"
PARIS = "paris@capulet.example"

# Every node of the XEP that we have, with the fields of its form.
FORMS = {
    "add-user": [
        ("accountjid", "jid-single"),
        ("password", "text-private"),
        ("password-verify", "text-private"),
    ],
    "delete-user": [("accountjids", "jid-multi")],
    "end-user-session": [("accountjids", "jid-multi")],
    "change-user-password": [("accountjid", "jid-single"), ("password", "text-private")],
    "get-user-roster": [("accountjids", "jid-multi")],
    "get-user-lastlogin": [("accountjids", "jid-multi")],
    "user-stats": [("accountjid", "jid-single")],
    "get-registered-users-list": [("max_items", "list-single")],
    "get-online-users-list": [("max_items", "list-single")],
    "get-active-users": [("max_items", "list-single")],
    "get-idle-users": [("max_items", "list-single")],
    "announce": [("announcement", "text-multi"), ("subject", "text-multi")],
    "set-motd": [("motd", "text-multi"), ("subject", "text-multi")],
    "edit-motd": [("motd", "text-multi")],
    "restart": [("delay", "list-single"), ("announcement", "text-multi")],
    "shutdown": [("delay", "list-single"), ("announcement", "text-multi")],
}
AT_ONCE = [
    "get-registered-users-num",
    "get-online-users-num",
    "get-active-users-num",
    "get-idle-users-num",
    "delete-motd",
]
NOT_HERE = [
    "get-user-password",
    "disable-user",
    "reenable-user",
    "get-disabled-users-num",
    "get-disabled-users-list",
    "edit-blacklist",
    "add-to-blacklist-in",
    "add-to-blacklist-out",
    "edit-whitelist",
    "add-to-whitelist",
    "add-to-whitelist-in",
    "add-to-whitelist-out",
    "set-welcome",
    "delete-welcome",
    "edit-admin",
]


@pytest.fixture
def host(server):
    server.configure(access={"admin": {"users": [NURSE]}})
    plugins = {"disco": {}, "roster": {}, "last": {}, "announce": {}}
    host = server.host(HOST, adhoc={"max_list": 30}, **plugins)
    host.create_account("juliet")
    return host


@pytest.fixture
def nurse(host):
    return host.connect(f"{NURSE}/house")


def node(part) -> str:
    return f"{ADMIN}#{part}"


def ask(client, part, form=None, session=None, to=HOST, action=""):
    command = Element(COMMANDS, "command", {"node": node(part)})
    if session is not None:
        command.set("sessionid", session)
    if action:
        command.set("action", action)
    if form is not None:
        command.append(form)
    return client.request("set", command, to=to)


def begin(client, part, to=HOST):
    answer = ask(client, part, to=to)
    assert answer.type == "result", answer
    return answer.payload


def filled(fields) -> Element:
    return Form(
        "submit",
        ADMIN,
        fields=[Field(var, values=value) for var, value in fields.items()],
    ).to_element()


def submit(client, part, to=HOST, **fields):
    """What a form that is filled in leads to."""
    session = begin(client, part, to).get("sessionid")
    names = {name.replace("_verify", "-verify"): value for name, value in fields.items()}
    answer = ask(client, part, filled(names), session, to)
    if answer.type == "error":
        raise error_of(answer)
    assert answer.payload.get("sessionid") == session
    return answer.payload


def refused(client, part, to=HOST, **fields) -> tuple[str, str]:
    """The condition, and that of XEP-0050."""
    with pytest.raises(StanzaError) as caught:
        submit(client, part, to, **fields)
    own = caught.value.application
    return caught.value.condition, "" if own is None else own.name


def done(answer) -> bool:
    return answer.get("status") == "completed" and not [
        note for note in answer.find_all("note") if note.get("type") == "error"
    ]


def notes(answer) -> list[tuple[str, str]]:
    return [(note.get("type"), note.text) for note in answer.find_all("note")]


def shown(answer) -> dict[str, list[str]]:
    form = Form.read(answer.find("x", DATA), form_type=ADMIN)
    assert form.form_type == ADMIN
    return {field.var: list(field.values) for field in form.fields}


def heard(client) -> list[str]:
    return [item.body for item in client.received() if isinstance(item, Message)]


def ended(server, *clients) -> bool:
    """Whether the server stops, which its clients have to see."""
    if not server.kernel.is_stopping:
        return False
    assert {client.closed_with() for client in clients} == {"system-shutdown"}
    assert server.kernel.stopped.wait(10)
    return True


# What there is


def test_every_use_case_is_found_in_the_list(nurse):
    query = nurse.get(Element(ITEMS, "query", {"node": COMMANDS}), to=HOST).payload
    found = {item.get("node") for item in query.find_all("item")}
    assert {node(part) for part in (*FORMS, *AT_ONCE)} <= found
    assert not found & {node(part) for part in NOT_HERE}


@pytest.mark.parametrize("to", [HOST, NURSE])
@pytest.mark.parametrize("part", FORMS)
def test_a_form_has_the_fields_of_the_xep(nurse, part, to):
    answer = begin(nurse, part, to)
    form = Form.read(answer.find("x", DATA))
    assert (form.type, form.form_type) == ("form", ADMIN)
    assert [(field.var, field.type) for field in form.fields] == FORMS[part]
    assert form.title
    assert form.instructions
    assert answer.get("status") == "executing"


def test_choices_are_those_of_the_xep(nurse):
    form = Form.read(begin(nurse, "get-online-users-list").find("x", DATA))
    values = [option.value for option in form.field("max_items").options]
    assert values == ["25", "50", "75", "100", "150", "200", "none"]
    form = Form.read(begin(nurse, "restart").find("x", DATA))
    values = [option.value for option in form.field("delay").options]
    assert values == ["30", "60", "90", "120", "180", "240", "300"]


@pytest.mark.parametrize("part", NOT_HERE)
def test_what_is_not_supported_says_why(nurse, part):
    error = error_of(ask(nurse, part))
    assert error.condition == "feature-not-implemented"
    assert error.text.endswith(".")


def test_a_use_case_goes_with_the_plugin_that_it_stands_on(host, nurse):
    for plugin, parts in (
        ("announce", ("announce", "set-motd", "edit-motd", "delete-motd")),
        ("roster", ("get-user-roster",)),
    ):
        host.disable(plugin)
        for part in parts:
            error = error_of(ask(nurse, part))
            assert error.condition == "feature-not-implemented"
            assert plugin in error.text
    form = Form.read(begin(nurse, "shutdown").find("x", DATA))
    assert [field.var for field in form.fields] == ["delay"]


def test_a_node_that_the_xep_does_not_have_is_not_found(nurse):
    assert error_of(ask(nurse, "add-king")).condition == "item-not-found"


# Who may


@pytest.mark.parametrize("part", [*FORMS, *AT_ONCE, *NOT_HERE])
def test_others_may_nothing(host, part):
    juliet = host.connect(f"{JULIET}/balcony")
    for to in (HOST, JULIET):
        error = error_of(ask(juliet, part, to=to))
        assert (error.condition, error.type) == ("forbidden", "cancel")
    elsewhere = error_of(ask(juliet, part, to=NURSE))
    assert elsewhere.condition == "service-unavailable"


@pytest.mark.parametrize("part", FORMS)
def test_who_loses_the_right_while_filling_in_may_nothing(host, nurse, part):
    session = begin(nurse, part).get("sessionid")
    host.kernel.access = AccessRules()
    fields = {var: PARIS for var, _ in FORMS[part]}
    error = error_of(ask(nurse, part, filled(fields), session))
    assert error.condition == "forbidden"
    assert not host.server.kernel.is_stopping


def test_another_host_is_not_administered(server, host, nurse):
    montague = server.host(OTHER)
    montague.kernel.access = AccessRules()
    montague.create_account("romeo")
    romeo = f"romeo@{OTHER}"
    online = montague.connect(f"{romeo}/orchard")
    for part in ("delete-user", "end-user-session"):
        assert refused(nurse, part, accountjids=[romeo]) == ("forbidden", "")
    assert refused(nurse, "end-user-session", accountjids=[f"{romeo}/orchard"])[0] == "forbidden"
    assert refused(nurse, "add-user", accountjid=f"x@{OTHER}", password="x")[0] == "forbidden"
    fields = {"accountjid": romeo, "password": "x"}
    assert refused(nurse, "change-user-password", **fields)[0] == "forbidden"
    assert refused(nurse, "get-user-roster", accountjids=romeo)[0] == "item-not-found"
    assert refused(nurse, "get-user-lastlogin", accountjids=romeo)[0] == "item-not-found"
    assert refused(nurse, "user-stats", accountjid=romeo)[0] == "item-not-found"
    assert not online.is_closed
    assert montague.kernel.accounts.exists("romeo")


def test_of_several_accounts_those_of_another_host_are_left_alone(server, host, nurse):
    montague = server.host(OTHER)
    montague.kernel.access = AccessRules()
    montague.create_account("romeo")
    answer = submit(nurse, "delete-user", accountjids=[JULIET, f"romeo@{OTHER}"])
    ((kind, text),) = notes(answer)
    assert kind == "error"
    assert text.startswith(f"romeo@{OTHER}: ")
    assert montague.kernel.accounts.exists("romeo")
    assert not host.kernel.accounts.exists("juliet")


def test_a_host_s_administrator_does_not_end_the_node(server, host):
    host.kernel.access = AccessRules({"admin": AccessRule(users=[JULIET])})
    juliet = host.connect(f"{JULIET}/balcony")
    for part in ("restart", "shutdown"):
        assert error_of(ask(juliet, part)).condition == "forbidden"
    assert done(begin(juliet, "get-online-users-num"))


# Accounts


@pytest.mark.parametrize("to", [HOST, NURSE])
def test_a_user_is_added(host, nurse, to):
    answer = submit(
        nurse, "add-user", to, accountjid=PARIS, password="County", password_verify="County"
    )
    assert done(answer)
    assert host.kernel.accounts.check_password("paris", "County")


def test_adding_does_not_want_the_password_twice(host, nurse):
    assert done(submit(nurse, "add-user", accountjid=PARIS, password="County"))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"accountjid": JULIET, "password": "x"}, ("conflict", "")),
        ({"accountjid": PARIS, "password": ""}, ("bad-request", "bad-payload")),
        ({"accountjid": PARIS}, ("bad-request", "bad-payload")),
        (
            {"accountjid": PARIS, "password": "x", "password_verify": "y"},
            ("bad-request", "bad-payload"),
        ),
        (
            {"accountjid": PARIS, "password": "x", "password_verify": ""},
            ("bad-request", "bad-payload"),
        ),
        ({"accountjid": "", "password": "x"}, ("bad-request", "bad-payload")),
        ({"accountjid": "a@b@c", "password": "x"}, ("bad-request", "bad-payload")),
        ({"accountjid": HOST, "password": "x"}, ("bad-request", "bad-payload")),
        ({"accountjid": f"{PARIS}/x", "password": "x"}, ("bad-request", "bad-payload")),
        ({"accountjid": [PARIS, JULIET], "password": "x"}, ("bad-request", "bad-payload")),
        ({"accountjid": "a@verona.example", "password": "x"}, ("item-not-found", "")),
    ],
)
def test_a_user_who_cannot_be_added_is_not(host, nurse, fields, error):
    assert refused(nurse, "add-user", **fields) == error
    assert not host.kernel.accounts.exists("paris")


def test_users_are_deleted(host, nurse):
    juliet = host.connect(f"{JULIET}/balcony")
    host.create_account("paris")
    assert done(submit(nurse, "delete-user", accountjids=[JULIET, PARIS]))
    assert juliet.closed_with() == "not-authorized"
    assert not host.kernel.accounts.exists("juliet")
    assert not host.kernel.accounts.exists("paris")


def test_what_could_not_be_done_for_some_is_said(host, nurse):
    answer = submit(nurse, "delete-user", accountjids=[PARIS, JULIET])
    ((kind, text),) = notes(answer)
    assert kind == "error"
    assert PARIS in text
    assert not host.kernel.accounts.exists("juliet")


def test_where_nothing_could_be_done_it_is_an_error(nurse):
    assert refused(nurse, "delete-user", accountjids=[PARIS]) == ("item-not-found", "")
    assert refused(nurse, "end-user-session", accountjids=[PARIS]) == ("item-not-found", "")
    fields = {"accountjid": PARIS, "password": "x"}
    assert refused(nurse, "change-user-password", **fields) == ("item-not-found", "")


@pytest.mark.parametrize("part", ["delete-user", "end-user-session", "get-user-roster"])
def test_so_many_accounts_are_named_at_once(nurse, part):
    for jids in ([], [""], ["a@b@c"], [f"u{number}@capulet.example" for number in range(101)]):
        assert refused(nurse, part, accountjids=jids) == ("bad-request", "bad-payload")


def test_sessions_are_ended(host, nurse):
    balcony, chamber = (host.connect(f"{JULIET}/{place}") for place in ("balcony", "chamber"))
    assert done(submit(nurse, "end-user-session", accountjids=[f"{JULIET}/chamber"]))
    assert chamber.closed_with() == "policy-violation"
    assert not balcony.is_closed
    assert done(submit(nurse, "end-user-session", accountjids=[JULIET]))
    assert balcony.closed_with() == "policy-violation"


def test_a_password_is_changed(host, nurse):
    answer = submit(nurse, "change-user-password", accountjid=JULIET, password="honey")
    assert done(answer)
    assert host.kernel.accounts.check_password("juliet", "honey")
    assert "honey" not in repr(host.server.logged())


def test_a_roster_is_shown_as_a_roster(server, host, nurse):
    host.create_account("romeo")
    arguments = {
        "account": JULIET,
        "contact": f"romeo@{HOST}",
        "name": "Romeo",
        "groups": "Friends,Lovers",
        "subscription": "both",
    }
    server.kernel.commands.run("roster-add", arguments)
    answer = submit(nurse, "get-user-roster", accountjids=[JULIET, f"romeo@{HOST}"])
    first, second = answer.find_all("x", DATA)
    assert Form.read(first).values("accountjids") == (JULIET,)
    (item,) = first.find("query", "jabber:iq:roster").elements
    assert item.attributes == {
        "jid": f"romeo@{HOST}",
        "name": "Romeo",
        "subscription": "both",
    }
    assert [group.text for group in item.elements] == ["Friends", "Lovers"]
    assert second.find("query", "jabber:iq:roster").elements == []


def test_the_last_login_is_told(server, host, nurse):
    server.clock.advance(1000)
    juliet = host.connect(f"{JULIET}/balcony")
    now = host.kernel.now()
    juliet.available()
    server.clock.advance(60)
    online = shown(submit(nurse, "get-user-lastlogin", accountjids=[JULIET]))
    assert online["accountjids"] == [JULIET]
    assert abs(read(online["lastlogin"][0]) - now) < 2_000_000
    juliet.disconnect()
    server.clock.advance(600)
    away = shown(submit(nurse, "get-user-lastlogin", accountjids=[JULIET]))
    assert 58_000_000 <= read(away["lastlogin"][0]) - now <= 63_000_000


def test_a_login_that_nobody_knows_of_is_left_out(host, nurse):
    host.create_account("paris")
    answer = shown(submit(nurse, "get-user-lastlogin", accountjids=[PARIS]))
    assert answer == {"accountjids": [PARIS]}
    host.disable("last")
    answer = shown(submit(nurse, "get-user-lastlogin", accountjids=[PARIS]))
    assert answer == {"accountjids": [PARIS]}
    assert refused(nurse, "get-user-lastlogin", accountjids=f"x@{HOST}")[0] == "item-not-found"


def test_a_user_s_statistics_are_shown(server, host, nurse):
    for place, address in (("balcony", "192.0.2.7"), ("chamber", "192.0.2.8")):
        host.connect(f"{JULIET}/{place}", address=address)
    server.command("roster-add", account=JULIET, contact=NURSE)
    assert shown(submit(nurse, "user-stats", accountjid=JULIET)) == {
        "ipaddresses": ["192.0.2.7", "192.0.2.8"],
        "rostersize": ["1"],
        "onlineresources": ["balcony", "chamber"],
    }
    host.disable("roster")
    assert "rostersize" not in shown(submit(nurse, "user-stats", accountjid=JULIET))
    assert refused(nurse, "user-stats", accountjid=PARIS)[0] == "item-not-found"


# How many, and who


def test_users_are_counted(server, host, nurse):
    host.connect(f"{JULIET}/balcony")
    host.connect(f"{JULIET}/chamber")
    host.create_account("paris")
    assert shown(begin(nurse, "get-registered-users-num")) == {"registeredusersnum": ["3"]}
    assert shown(begin(nurse, "get-online-users-num")) == {"onlineusersnum": ["2"]}
    assert shown(begin(nurse, "get-active-users-num")) == {"activeusersnum": ["2"]}
    assert shown(begin(nurse, "get-idle-users-num")) == {"idleusersnum": ["0"]}
    server.clock.advance(601)
    # Who asks is not idle.
    assert shown(begin(nurse, "get-active-users-num")) == {"activeusersnum": ["1"]}
    assert shown(begin(nurse, "get-idle-users-num")) == {"idleusersnum": ["1"]}
    assert shown(submit(nurse, "get-idle-users")) == {"activeuserjids": [JULIET]}
    assert shown(submit(nurse, "get-active-users")) == {"activeuserjids": [NURSE]}


def test_users_are_listed(host, nurse):
    host.connect(f"{JULIET}/balcony")
    host.create_account("paris")
    registered = shown(submit(nurse, "get-registered-users-list", max_items="25"))
    assert registered == {"registereduserjids": [JULIET, NURSE, PARIS]}
    online = shown(submit(nurse, "get-online-users-list", max_items="none"))
    assert online == {"onlineuserjids": [JULIET, NURSE]}
    assert shown(submit(nurse, "get-online-users-list")) == online


def test_a_long_list_is_cut_and_says_so(host, nurse):
    for number in range(40):
        host.create_account(f"guest{number:02}")
    for choice, most in (("25", 25), ("none", 30), ("200", 30)):
        answer = submit(nurse, "get-registered-users-list", max_items=choice)
        assert len(shown(answer)["registereduserjids"]) == most
        assert notes(answer) == [("warn", f"There are more than these {most}.")]


def test_a_number_that_was_not_to_be_chosen_is_refused(nurse):
    for choice in ("7", "-1", "all", "1000000"):
        error = refused(nurse, "get-registered-users-list", max_items=choice)
        assert error == ("bad-request", "bad-payload")


def test_a_backend_that_is_away_is_an_error_that_passes(host, nurse, monkeypatch):
    from stonechat.auth import AuthUnavailable, Unsupported

    host.server.expect_errors()
    for fault, condition, kind in (
        (AuthUnavailable("away"), "internal-server-error", "wait"),
        (Unsupported("a directory"), "not-allowed", "cancel"),
    ):

        def fail(fault=fault):
            raise fault

        monkeypatch.setattr(host.kernel.accounts, "count", fail)
        error = error_of(ask(nurse, "get-registered-users-num"))
        assert (error.condition, error.type) == (condition, kind)


# What users are told


def test_an_announcement_is_sent_to_those_online(host, nurse):
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    answer = submit(nurse, "announce", announcement=["The feast", "begins."])
    assert done(answer)
    assert juliet.receive_message().body == "The feast\nbegins."
    assert refused(nurse, "announce", announcement="") == ("bad-request", "bad-payload")


def test_a_message_of_the_day_is_set_edited_and_deleted(server, host, nurse):
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    assert done(submit(nurse, "set-motd", motd=["Tonight", "there is a feast."]))
    assert juliet.receive_message().body == "Tonight\nthere is a feast."
    form = Form.read(begin(nurse, "edit-motd").find("x", DATA))
    assert form.values("motd") == ("Tonight", "there is a feast.")
    assert done(submit(nurse, "edit-motd", motd=["Tomorrow", "there is a feast."]))
    assert heard(juliet) == []
    assert server.command("motd-show")["motd"] == "Tomorrow\nthere is a feast."
    assert refused(nurse, "edit-motd", motd="") == ("bad-request", "bad-payload")
    assert done(begin(nurse, "delete-motd"))
    assert server.command("motd-show") == {}
    assert Form.read(begin(nurse, "edit-motd").find("x", DATA)).values("motd") == ()


# The service


@pytest.mark.parametrize(("part", "restarts"), [("shutdown", False), ("restart", True)])
def test_the_service_ends_after_the_delay_and_says_so(
    server, host, nurse, monkeypatch, part, restarts
):
    # There is no file to be read again in memory.
    monkeypatch.setattr("stonechat.core.reload.preview", lambda server: [])
    juliet = host.connect(f"{JULIET}/balcony")
    juliet.available()
    answer = submit(nurse, part, delay="120", announcement=["Two minutes!", "Log off."])
    assert done(answer)
    assert notes(answer)[0][1].endswith("in 120 seconds.")
    assert juliet.receive_message().body == "Two minutes!\nLog off."
    server.clock.advance(119)
    assert not server.kernel.is_stopping
    server.clock.advance(2)
    assert ended(server, juliet, nurse)
    assert server.kernel.is_restarting is restarts


def test_the_last_word_about_the_end_holds(server, host, nurse):
    assert done(submit(nurse, "shutdown", delay="60"))
    assert done(submit(nurse, "shutdown", delay="240"))
    server.clock.advance(200)
    assert not server.kernel.is_stopping
    server.clock.advance(41)
    assert ended(server, nurse)


def test_without_a_delay_there_is_time_to_say_goodbye(server, host, nurse):
    assert done(submit(nurse, "shutdown"))
    server.clock.advance(29)
    assert not server.kernel.is_stopping
    server.clock.advance(2)
    assert ended(server, nurse)


def test_a_delay_has_bounds(server, nurse):
    for delay in ("-1", "3601", "soon", "1e3"):
        assert refused(nurse, "shutdown", delay=delay) == ("bad-request", "bad-payload")
    assert not server.kernel.is_stopping


def test_a_restart_with_a_configuration_that_is_wrong_is_refused(host, nurse, monkeypatch):
    from stonechat.errors import ConfigError

    def preview(server):
        raise ConfigError("stonechat.yml:3: no such option")

    monkeypatch.setattr("stonechat.core.reload.preview", preview)
    answer = submit(nurse, "restart", delay="30")
    assert notes(answer) == [("error", "stonechat.yml:3: no such option")]
    host.server.clock.advance(60)
    assert not host.server.kernel.is_stopping


def test_the_end_is_announced_where_the_caller_may(server, host, nurse):
    montague = server.host(OTHER, announce={})
    montague.kernel.access = AccessRules()
    juliet, romeo = host.connect(f"{JULIET}/balcony"), montague.connect(f"romeo@{OTHER}/orchard")
    juliet.available()
    romeo.available()
    assert done(submit(nurse, "shutdown", delay="300", announcement="The end"))
    assert juliet.receive_message().body == "The end"
    assert heard(romeo) == []
    montague.kernel.access = host.kernel.access
    assert done(submit(nurse, "shutdown", delay="300", announcement="The end"))
    assert romeo.receive_message().body == "The end"


def test_whatever_is_done_is_logged(host, nurse):
    submit(nurse, "add-user", accountjid=PARIS, password="County")
    records = host.server.logged("command")
    assert records[-1]["command"] == "register"
    assert records[-1]["caller"] == f"{NURSE}/house"
    begin(nurse, "get-online-users-num")
    assert host.server.logged("administration")[-1]["task"] == "get-online-users-num"
    assert "County" not in repr(host.server.logged())
