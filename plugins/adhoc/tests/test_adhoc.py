"""Ad-hoc commands: how one is found and begun (XEP-0050)."""

import pytest
from adhoc_kitchen import (
    BAD,
    COMMANDS,
    DATA,
    HOST,
    INFO,
    ITEMS,
    NURSE,
    actions,
    asked,
    do,
    notes,
    refused,
    shown,
)

from stonechat.core.access import AccessRule, AccessRules
from stonechat.errors import StanzaError
from stonechat.forms import Form
from stonechat.stanza import Element
from stonechat.xml import XML_LANG

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
