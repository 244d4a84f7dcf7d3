"""Ad-hoc commands: forms that are filled in, and results that are shown."""

import pytest
from adhoc_kitchen import (
    BAD,
    COMMANDS,
    DATA,
    HOST,
    Kitchen,
    actions,
    asked,
    do,
    filled,
    notes,
    refused,
    shown,
)

from stonechat.core.access import AccessRules
from stonechat.forms import Form
from stonechat.stanza import Element

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
