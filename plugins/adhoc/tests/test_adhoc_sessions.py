"""Ad-hoc commands: the sessions that they are given in, and how these end."""

import pytest
from adhoc_kitchen import BAD, HOST, NURSE, asked, do, filled, refused

from stonechat.core.access import AccessRule, AccessRules


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
