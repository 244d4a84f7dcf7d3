"""Ad-hoc commands: how one is found, begun, gone on with and ended (XEP-0050)."""

import pytest

from stonechat.commands import CommandError, Secret, Text, command
from stonechat.core.access import AccessRule, AccessRules
from stonechat.errors import StanzaError, StorageError
from stonechat.forms import Field, Form
from stonechat.stanza import Element
from stonechat.testing.client import error_of
from stonechat.xml import XML_LANG

COMMANDS = "http://jabber.org/protocol/commands"
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
DATA = "jabber:x:data"

HOST = "capulet.example"
NURSE = "nurse@capulet.example"
SILENCE, NO_SECRET = Text(), Secret("")


class Kitchen:
    """Commands of every kind."""

    def __init__(self, host, options) -> None:
        self.host = host

    @command("cook", "Cook a meal.", example="cook soup")
    def cook(
        self,
        dish: str,
        guests: int = 4,
        spicy: bool = False,
        quick: bool = True,
        recipe: Text = SILENCE,
        key: Secret = NO_SECRET,
    ) -> dict:
        """Everybody likes soup."""
        match dish:
            case "poison":
                raise CommandError("nobody would eat it")
            case "fire":
                raise RuntimeError("the kitchen burns")
            case "famine":
                raise StorageError("the larder is locked")
        return {
            "dish": dish,
            "guests": guests,
            "spicy": spicy,
            "quick": quick,
            "recipe": recipe,
            "key": key.reveal(),
        }

    @command("serve", "Carry it in.")
    def serve(self) -> str:
        return "it is served"

    @command("lay", "Lay the table.", adhoc_node="http://capulet.example/table#lay")
    def lay(self, plates: int) -> None:
        if plates > 12:
            raise CommandError("there are 12")

    @command("guests", "List the guests.")
    def guests(self) -> list:
        return [{"name": f"guest {n}", "seats": n, "tags": ["a", "b"]} for n in range(7)]

    @command("menu", "Read the menu.")
    def menu(self) -> str:
        return "soup\nfish\ncake\n"

    @command("count", "Count the plates.")
    def count(self) -> int:
        return 12

    @command("empty", "List nothing.")
    def empty(self) -> list:
        return []

    @command("state", "Tell how it is.")
    def state(self) -> dict:
        return {"fire": True, "cooks": [{"name": "Peter"}], "more": {"salt": None}, "odd": "a\x01"}


@pytest.fixture
def host(server):
    """The nurse may do all here."""
    server.configure(access={"admin": {"users": [NURSE]}})
    options = {"rows_per_page": 3, "sessions_per_user": 3}
    return server.host(HOST, plugin_classes={"kitchen": Kitchen}, adhoc=options, disco={})


@pytest.fixture
def nurse(host):
    return host.connect(f"{NURSE}/house")


@pytest.fixture
def juliet(host):
    return host.connect("juliet@capulet.example/balcony")


def asked(node, action="", session=None, form=None, **attributes) -> Element:
    element = Element(COMMANDS, "command", {"node": node, **attributes})
    if action:
        element.set("action", action)
    if session is not None:
        element.set("sessionid", session)
    if form is not None:
        element.append(form)
    return element


def filled(form_type="", type="submit", **values) -> Element:
    fields = [Field(var, values=value) for var, value in values.items()]
    return Form(type, form_type, fields=fields).to_element()


def do(client, node, action="", session=None, form=None, to=HOST, **attributes) -> Element:
    """What a command is answered with."""
    return client.set(asked(node, action, session, form, **attributes), to=to).payload


def refused(client, element, to=HOST) -> tuple[str, str, str]:
    """The type, the condition and the XEP's own condition of an error."""
    error = error_of(client.request("set", element, to=to))
    own = error.application
    assert own is None or own.namespace == COMMANDS
    return error.type, error.condition, "" if own is None else own.name


def shown(answer) -> dict[str, list[str]]:
    """The fields of a form."""
    form = Form.read(answer.find("x", DATA))
    return {field.var: list(field.values) for field in form.fields}


def notes(answer) -> list[tuple[str, str]]:
    return [(note.get("type"), note.text) for note in answer.find_all("note")]


def actions(answer) -> tuple[str, list[str]]:
    found = answer.find("actions")
    return found.get("execute"), [action.name for action in found.elements]


BAD = ("modify", "bad-request")


# Discovering


def test_the_host_and_accounts_say_that_they_have_commands(nurse):
    for to in (HOST, NURSE):
        query = nurse.get(Element(INFO, "query"), to=to).payload
        assert COMMANDS in {found.get("var") for found in query.find_all("feature")}


@pytest.mark.parametrize("to", [HOST, NURSE])
def test_an_administrator_finds_the_commands_at_the_host_and_at_home(nurse, to):
    node = {"node": COMMANDS}
    items = nurse.get(Element(ITEMS, "query", node), to=to).payload.find_all("item")
    found = {item.get("node"): (item.get("jid"), item.get("name")) for item in items}
    assert found["stonechat:cook"] == (to, "Cook a meal")
    assert found["stonechat:register"] == (to, "Create an account")
    assert found["http://capulet.example/table#lay"] == (to, "Lay the table")
    assert found["http://jabber.org/protocol/admin#add-user"] == (to, "Add User")
    assert "stonechat:backup" not in found
    identity = nurse.get(Element(INFO, "query", node), to=to).payload.find("identity")
    assert (identity.get("category"), identity.get("type")) == ("automation", "command-list")


def test_without_a_recipient_it_is_the_own_account(nurse):
    query = nurse.get(Element(ITEMS, "query", {"node": COMMANDS})).payload
    assert {item.get("jid") for item in query.find_all("item")} == {NURSE}
    assert do(nurse, "stonechat:serve", to=None).get("status") == "completed"


def test_a_command_says_what_it_is(nurse):
    query = nurse.get(Element(INFO, "query", {"node": "stonechat:cook"}), to=HOST).payload
    identity = query.find("identity")
    assert identity.attributes == {
        "category": "automation",
        "type": "command-node",
        "name": "Cook a meal",
    }
    assert {f.get("var") for f in query.find_all("feature")} == {COMMANDS, DATA}
    node = {"node": "stonechat:cook"}
    assert nurse.get(Element(ITEMS, "query", node), to=HOST).payload.elements == []


def test_others_find_no_commands(juliet):
    for to in (HOST, "juliet@capulet.example"):
        query = juliet.get(Element(ITEMS, "query", {"node": COMMANDS}), to=to).payload
        assert query.elements == []
        for namespace in (INFO, ITEMS):
            with pytest.raises(StanzaError) as error:
                juliet.get(Element(namespace, "query", {"node": "stonechat:cook"}), to=to)
            assert error.value.condition == "forbidden"


def test_a_node_that_is_no_command_is_not_found(nurse):
    for node in ("stonechat:fly", "http://jabber.org/protocol/admin#get-user-password"):
        for namespace in (INFO, ITEMS):
            with pytest.raises(StanzaError) as error:
                nurse.get(Element(namespace, "query", {"node": node}), to=HOST)
            assert error.value.condition == "item-not-found"


# At an administrator's own address


def test_nobody_gives_commands_at_another_s_account(host, nurse, juliet):
    wanted = asked("stonechat:serve")
    unknown = refused(juliet, wanted, "nobody@capulet.example")
    assert unknown == ("cancel", "service-unavailable", "")
    assert refused(juliet, wanted, NURSE) == unknown
    # Nor does who may: only their own account is theirs.
    assert refused(nurse, wanted, "juliet@capulet.example") == unknown
    host.kernel.access = AccessRules({"admin": AccessRule(any=True)})
    assert refused(juliet, wanted, NURSE) == unknown


def test_whoever_sees_an_administrator_s_presence_finds_no_commands_there(server):
    server.configure(access={"admin": {"users": [NURSE]}})
    host = server.host(HOST, adhoc={}, disco={}, roster={})
    juliet = host.connect("juliet@capulet.example/balcony")
    host.connect(f"{NURSE}/house")
    for one, other in ((NURSE, "juliet@capulet.example"), ("juliet@capulet.example", NURSE)):
        server.command("roster-add", account=one, contact=other, subscription="both")
    assert juliet.get(Element(INFO, "query"), to=NURSE).type == "result"
    for node in (COMMANDS, "stonechat:register"):
        with pytest.raises(StanzaError) as error:
            juliet.get(Element(ITEMS, "query", {"node": node}), to=NURSE)
        assert error.value.condition == "item-not-found"


def test_at_their_own_account_others_may_nothing(juliet):
    own = "juliet@capulet.example"
    assert refused(juliet, asked("stonechat:serve"), own) == ("cancel", "forbidden", "")


# Beginning


def test_what_needs_no_answer_is_carried_out_at_once(nurse):
    answer = do(nurse, "stonechat:serve", "execute")
    assert answer.get("status") == "completed"
    assert answer.get("node") == "stonechat:serve"
    assert answer.get("sessionid")
    assert answer.get(XML_LANG) == "en"
    assert notes(answer) == [("info", "it is served")]
    assert answer.find("actions") is None


def test_executing_is_what_is_meant_without_a_word(nurse):
    assert do(nurse, "stonechat:serve").get("status") == "completed"


def test_parameters_are_asked_for_in_a_form(nurse):
    answer = do(nurse, "stonechat:cook")
    assert answer.get("status") == "executing"
    assert actions(answer) == ("complete", ["complete"])
    form = Form.read(answer.find("x", DATA))
    assert (form.type, form.title) == ("form", "Cook a meal")
    assert form.instructions == "Everybody likes soup."
    fields = [(f.var, f.type, f.required, f.values) for f in form.fields]
    assert fields == [
        ("dish", "text-single", True, ()),
        ("guests", "text-single", False, ("4",)),
        ("spicy", "boolean", False, ("false",)),
        ("quick", "boolean", False, ("true",)),
        ("recipe", "text-multi", False, ()),
        ("key", "text-private", False, ()),
    ]
    kick = Form.read(do(nurse, "stonechat:kick").find("x", DATA))
    assert [(f.var, f.type) for f in kick.fields] == [
        ("jid", "jid-single"),
        ("reason", "text-single"),
    ]


def test_the_host_is_filled_in(nurse):
    assert shown(do(nurse, "stonechat:registered-users"))["host"] == [HOST]


@pytest.mark.parametrize("action", ["complete", "next", "prev", "cancel"])
def test_only_executing_begins_something(nurse, action):
    element = asked("stonechat:cook", action)
    assert refused(nurse, element) == (*BAD, "bad-action")


def test_an_action_that_is_none_is_malformed(nurse):
    for action in ("explode", "EXECUTE", " "):
        element = asked("stonechat:cook", action)
        assert refused(nurse, element) == (*BAD, "malformed-action")
    empty = asked("stonechat:cook")
    empty.set("action", "")
    assert refused(nurse, empty) == (*BAD, "malformed-action")


def test_a_command_has_a_node(nurse):
    assert refused(nurse, Element(COMMANDS, "command")) == (*BAD, "")
    assert refused(nurse, asked("")) == (*BAD, "")
    assert refused(nurse, Element(COMMANDS, "order", {"node": "stonechat:cook"})) == (*BAD, "")


def test_a_command_that_is_not_there_is_not_found(nurse):
    assert refused(nurse, asked("stonechat:fly")) == ("cancel", "item-not-found", "")
    # Files of the machine are for who sits there.
    assert refused(nurse, asked("stonechat:backup")) == ("cancel", "item-not-found", "")


def test_without_the_right_it_is_forbidden(juliet):
    for node in ("stonechat:serve", "stonechat:cook", "http://jabber.org/protocol/admin#add-user"):
        assert refused(juliet, asked(node)) == ("cancel", "forbidden", "")


def test_an_answer_is_in_english_whatever_was_asked_in(nurse):
    answer = do(nurse, "stonechat:serve", **{XML_LANG: "fr-CA"})
    assert answer.get(XML_LANG) == "en"
    nurse.send(
        f"<iq type='set' id='1' to='{HOST}' xml:lang='de'>"
        f"<command xmlns='{COMMANDS}' node='stonechat:serve'/></iq>"
    )
    assert nurse.answer_to("1").payload.get(XML_LANG) == "en"


def test_a_language_that_is_none_is_refused(nurse):
    for lang in ("!", "en_GB!", "x" * 9, "de-"):
        element = asked("stonechat:serve", **{XML_LANG: lang})
        assert refused(nurse, element) == (*BAD, "bad-locale")


# Filling in


def test_a_form_is_filled_in_and_carried_out(nurse):
    session = do(nurse, "stonechat:cook").get("sessionid")
    form = filled(
        dish=" soup ", guests="12", spicy="1", quick="0", recipe=["boil", "stir"], key=" k "
    )
    answer = do(nurse, "stonechat:cook", session=session, form=form)
    assert (answer.get("status"), answer.get("sessionid")) == ("completed", session)
    assert shown(answer) == {
        "dish": ["soup"],
        "guests": ["12"],
        "spicy": ["true"],
        "quick": ["false"],
        "recipe": ["boil", "stir"],
        "key": [" k "],
    }


@pytest.mark.parametrize("action", ["execute", "complete"])
@pytest.mark.parametrize("type", ["submit", "cancel"])
def test_what_is_left_empty_has_its_default(nurse, action, type):
    # A form of type cancel counts as one that is submitted ("Use of Data Forms").
    session = do(nurse, "stonechat:cook").get("sessionid")
    form = filled(type=type, dish="soup", guests="", recipe="")
    answer = do(nurse, "stonechat:cook", action, session, form)
    assert shown(answer)["guests"] == ["4"]
    assert shown(answer)["quick"] == ["true"]


@pytest.mark.parametrize(
    "form",
    [
        None,
        filled(),
        filled(dish=""),
        filled(dish="  "),
        filled(dish=["soup", "fish"]),
        filled(dish="soup", guests="many"),
        filled(dish="soup", guests="1.5"),
        filled(dish="soup", spicy="very"),
        filled(type="form", dish="soup"),
        filled(type="result", dish="soup"),
        Element(DATA, "x", {"type": "nonsense"}),
        Element(DATA, "x", {"type": "submit"}, Element(DATA, "field")),
    ],
)
def test_what_is_filled_in_wrongly_may_be_sent_again(nurse, form):
    session = do(nurse, "stonechat:cook").get("sessionid")
    element = asked("stonechat:cook", session=session, form=form)
    assert refused(nurse, element) == (*BAD, "bad-payload")
    answer = do(nurse, "stonechat:cook", session=session, form=filled(dish="soup"))
    assert answer.get("status") == "completed"


def test_a_form_for_something_else_is_refused(nurse):
    node = "http://capulet.example/table#lay"
    first = do(nurse, node)
    assert Form.read(first.find("x", DATA)).form_type == "http://capulet.example/table"
    wrong = asked(node, session=first.get("sessionid"), form=filled("urn:other", plates="2"))
    assert refused(nurse, wrong) == (*BAD, "bad-payload")
    right = filled("http://capulet.example/table", plates="2")
    answer = do(nurse, node, session=first.get("sessionid"), form=right)
    assert notes(answer) == [("info", "Done.")]


def test_an_error_does_not_bring_what_was_filled_in_back(nurse):
    session = do(nurse, "stonechat:cook").get("sessionid")
    form = filled(dish="", key="honeysuckle")
    answer = nurse.request("set", asked("stonechat:cook", session=session, form=form), to=HOST)
    assert answer.type == "error"
    assert b"honeysuckle" not in answer.to_bytes()
    assert answer.element.find("command", COMMANDS).get("sessionid") == session


def test_a_command_that_fails_is_over_and_says_why(nurse):
    session = do(nurse, "stonechat:cook").get("sessionid")
    answer = do(nurse, "stonechat:cook", session=session, form=filled(dish="poison"))
    assert answer.get("status") == "completed"
    assert notes(answer) == [("error", "nobody would eat it")]
    over = asked("stonechat:cook", session=session, form=filled(dish="soup"))
    assert refused(nurse, over) == ("cancel", "not-allowed", "session-expired")


@pytest.mark.parametrize("dish", ["fire", "famine"])
def test_a_fault_inside_is_an_error_and_the_end(server, nurse, dish):
    server.expect_errors()
    session = do(nurse, "stonechat:cook").get("sessionid")
    element = asked("stonechat:cook", session=session, form=filled(dish=dish))
    assert refused(nurse, element)[1:] == ("internal-server-error", "")
    assert refused(nurse, element) == ("cancel", "not-allowed", "session-expired")
    assert do(nurse, "stonechat:serve").get("status") == "completed"


# Sessions


def test_cancelling_ends_it(nurse):
    session = do(nurse, "stonechat:cook").get("sessionid")
    answer = do(nurse, "stonechat:cook", "cancel", session)
    assert (answer.get("status"), answer.get("sessionid")) == ("canceled", session)
    for action in ("cancel", "execute"):
        over = asked("stonechat:cook", action, session, filled(dish="soup"))
        assert refused(nurse, over) == ("cancel", "not-allowed", "session-expired")


def test_a_session_is_carried_out_once(nurse):
    session = do(nurse, "stonechat:cook").get("sessionid")
    element = asked("stonechat:cook", session=session, form=filled(dish="soup"))
    nurse.set(element, to=HOST)
    assert refused(nurse, element) == ("cancel", "not-allowed", "session-expired")


@pytest.mark.parametrize("action", ["prev", "next"])
def test_there_is_nothing_before_or_after_a_form(nurse, action):
    session = do(nurse, "stonechat:cook").get("sessionid")
    element = asked("stonechat:cook", action, session, filled(dish="soup"))
    assert refused(nurse, element) == (*BAD, "bad-action")
    assert do(nurse, "stonechat:cook", "cancel", session).get("status") == "canceled"


@pytest.mark.parametrize("session", ["", "x", "a.b", "é.ü", "a" * 2000])
def test_a_session_that_we_never_gave_out_is_none(nurse, session):
    element = asked("stonechat:cook", session=session)
    assert refused(nurse, element) == (*BAD, "bad-sessionid")


def test_a_session_is_of_one_client_one_command_and_one_address(host, nurse):
    session = do(nurse, "stonechat:cook").get("sessionid")
    other = host.connect(f"{NURSE}/kitchen")
    cancel = asked("stonechat:cook", "cancel", session)
    assert refused(other, cancel) == (*BAD, "bad-sessionid")
    assert refused(nurse, cancel, NURSE) == (*BAD, "bad-sessionid")
    elsewhere = asked("stonechat:kick", "cancel", session)
    assert refused(nurse, elsewhere) == (*BAD, "bad-sessionid")
    assert do(nurse, "stonechat:cook", "cancel", session).get("status") == "canceled"


def test_sessions_of_others_are_not_to_be_had(host, nurse, juliet):
    session = do(nurse, "stonechat:cook").get("sessionid")
    host.kernel.access = AccessRules({"admin": AccessRule(any=True)})
    element = asked("stonechat:cook", "cancel", session)
    assert refused(juliet, element) == (*BAD, "bad-sessionid")


def test_a_session_ends_when_nobody_goes_on(server, nurse):
    session = do(nurse, "stonechat:cook").get("sessionid")
    server.clock.advance(599)
    bad = asked("stonechat:cook", session=session, form=filled())
    assert refused(nurse, bad) == (*BAD, "bad-payload")
    server.clock.advance(599)
    assert refused(nurse, bad) == (*BAD, "bad-payload")
    server.clock.advance(601)
    assert refused(nurse, bad) == ("cancel", "not-allowed", "session-expired")


def test_of_too_many_sessions_the_oldest_ends(host, nurse):
    first, *others = (do(nurse, "stonechat:cook").get("sessionid") for _ in range(4))
    over = asked("stonechat:cook", "cancel", first)
    assert refused(nurse, over) == ("cancel", "not-allowed", "session-expired")
    assert len(host.plugin("adhoc").dialogues) == 3
    for session in others:
        assert do(nurse, "stonechat:cook", "cancel", session).get("status") == "canceled"
    assert len(host.plugin("adhoc").dialogues) == 0


def test_all_users_together_have_a_bound(host, nurse, monkeypatch):
    monkeypatch.setattr("stonechat_adhoc.dialogues.MAX_DIALOGUES", 2)
    host.kernel.access = AccessRules({"admin": AccessRule(any=True)})
    others = [host.connect(f"{name}@capulet.example/hall") for name in ("tybalt", "paris")]
    for other in others:
        do(other, "stonechat:cook")
    assert refused(nurse, asked("stonechat:cook")) == ("wait", "resource-constraint", "")


def test_who_has_lost_the_right_cannot_go_on(host, nurse):
    session = do(nurse, "stonechat:cook").get("sessionid")
    host.kernel.access = AccessRules()
    element = asked("stonechat:cook", session=session, form=filled(dish="soup"))
    assert refused(nurse, element)[1:] == ("forbidden", "")


def test_a_command_may_go_while_its_form_is_filled_in(host, nurse):
    session = do(nurse, "stonechat:cook").get("sessionid")
    host.disable("kitchen")
    element = asked("stonechat:cook", session=session, form=filled(dish="soup"))
    assert refused(nurse, element) == ("cancel", "item-not-found", "")


def test_the_plugin_goes_with_all_its_sessions(host, nurse):
    session = do(nurse, "stonechat:cook").get("sessionid")
    host.disable("adhoc")
    host.enable("adhoc", {})
    element = asked("stonechat:cook", "cancel", session)
    assert refused(nurse, element) == (*BAD, "bad-sessionid")


def test_what_is_asked_while_it_is_carried_out_is_refused(host, nurse):
    session = do(nurse, "stonechat:cook").get("sessionid")
    (dialogue,) = host.plugin("adhoc").dialogues._dialogues.values()
    dialogue.is_busy = True
    element = asked("stonechat:cook", session=session, form=filled(dish="soup"))
    assert refused(nurse, element) == ("wait", "unexpected-request", "")


# Results


def rows(answer) -> list[list[str]]:
    form = answer.find("x", DATA)
    return [
        [field.find_text("value") for field in item.find_all("field")]
        for item in form.find_all("item")
    ]


def test_a_long_table_is_shown_page_by_page(nurse):
    first = do(nurse, "stonechat:guests")
    session = first.get("sessionid")
    assert first.get("status") == "executing"
    assert actions(first) == ("next", ["next", "complete"])
    assert rows(first) == [[f"guest {n}", str(n), "a, b"] for n in (0, 1, 2)]
    assert first.find("x", DATA).find_text("title") == "List the guests (1 of 3)"
    columns = first.find("x", DATA).find("reported")
    assert [field.get("label") for field in columns.elements] == ["Name", "Seats", "Tags"]
    second = do(nurse, "stonechat:guests", "next", session)
    assert actions(second) == ("next", ["prev", "next", "complete"])
    assert rows(second)[0][0] == "guest 3"
    back = do(nurse, "stonechat:guests", "prev", session)
    assert rows(back) == rows(first)
    assert refused(nurse, asked("stonechat:guests", "prev", session)) == (*BAD, "bad-action")
    do(nurse, "stonechat:guests", "execute", session)
    last = do(nurse, "stonechat:guests", "execute", session)
    assert actions(last) == ("complete", ["prev", "complete"])
    assert rows(last) == [["guest 6", "6", "a, b"]]
    assert refused(nurse, asked("stonechat:guests", "next", session)) == (*BAD, "bad-action")
    end = do(nurse, "stonechat:guests", "execute", session)
    assert end.get("status") == "completed"
    over = asked("stonechat:guests", "prev", session)
    assert refused(nurse, over) == ("cancel", "not-allowed", "session-expired")


def test_whoever_has_seen_enough_ends_it(nurse):
    for action, status in (("complete", "completed"), ("cancel", "canceled")):
        session = do(nurse, "stonechat:guests").get("sessionid")
        assert do(nurse, "stonechat:guests", action, session).get("status") == status


def test_results_of_every_kind_are_shown(nurse):
    assert shown(do(nurse, "stonechat:menu")) == {"result": ["soup", "fish", "cake"]}
    assert shown(do(nurse, "stonechat:count")) == {"result": ["12"]}
    assert notes(do(nurse, "stonechat:empty")) == [("info", "There is nothing to show.")]
    assert shown(do(nurse, "stonechat:state")) == {
        "fire": ["true"],
        "cooks": ['{"name": "Peter"}'],
        "more": ["salt: "],
        "odd": ["a\ufffd"],
    }
    status = do(nurse, "stonechat:status")
    assert status.get("status") == "completed"
    assert shown(status)["state"] == ["running"]


def test_a_command_of_another_host_is_asked_for_by_its_host(server, host, nurse):
    server.host("montague.example", plugin_classes={"kitchen": Kitchen})
    session = do(nurse, "stonechat:count").get("sessionid")
    form = filled(host="*")
    answer = do(nurse, "stonechat:count", session=session, form=form)
    assert shown(answer) == {HOST: ["12"], "montague.example": ["12"]}
    server.kernel.hosts["montague.example"].access = AccessRules()
    session = do(nurse, "stonechat:count").get("sessionid")
    for elsewhere in ("*", "montague.example"):
        element = asked("stonechat:count", session=session, form=filled(host=elsewhere))
        assert refused(nurse, element)[1:] == ("forbidden", "")
        session = do(nurse, "stonechat:count").get("sessionid")
