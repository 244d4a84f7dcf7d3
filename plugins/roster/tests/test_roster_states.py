"""The tables of RFC 6121, appendix A, row by row, and pre-approval (section 3.4).

Each row is held against the functions of states.py, and against the plugin at work:
Juliet's server has the roster, Romeo's shows him all that it is sent.
"""

import pytest

from stonechat.stanza import Presence
from stonechat_roster.states import (
    APPROVED,
    BOTH,
    FROM,
    FROM_OUT,
    IN,
    NONE,
    NONE_IN,
    NONE_OUT,
    NONE_OUT_IN,
    OUT,
    STATES,
    SUBSCRIPTIONS,
    TO,
    TO_IN,
    inbound,
    outbound,
)

JULIET = "juliet@capulet.example"
BALCONY = f"{JULIET}/balcony"
ROMEO = "romeo@montague.example"

NAMES = {
    "None": NONE,
    "None + Pending Out": NONE_OUT,
    "None + Pending In": NONE_IN,
    "None + Pending Out+In": NONE_OUT_IN,
    "To": TO,
    "To + Pending In": TO_IN,
    "From": FROM,
    "From + Pending Out": FROM_OUT,
    "Both": BOTH,
}

# In tables 2 to 5 "MUST", "M.N." and "S.N." say whether the stanza is routed, in tables
# 6 to 9 whether it is delivered. What the RFC only advises against is not done here.

A_2_1 = """
None                   MUST      None + Pending Out
None + Pending Out     MUST      no state change
None + Pending In      MUST      None + Pending Out+In
None + Pending Out+In  MUST      no state change
To                     MUST      no state change
To + Pending In        MUST      no state change
From                   MUST      From + Pending Out
From + Pending Out     MUST      no state change
Both                   MUST      no state change
"""

A_2_2 = """
None                   MUST      no state change
None + Pending Out     MUST      None
None + Pending In      MUST      no state change
None + Pending Out+In  MUST      None + Pending In
To                     MUST      None
To + Pending In        MUST      None + Pending In
From                   MUST      no state change
From + Pending Out     MUST      From
Both                   MUST      From
"""

A_2_3 = """
None                   M.N.      pre-approval
None + Pending Out     M.N.      pre-approval
None + Pending In      MUST      From
None + Pending Out+In  MUST      From + Pending Out
To                     M.N.      pre-approval
To + Pending In        MUST      Both
From                   M.N.      no state change
From + Pending Out     M.N.      no state change
Both                   M.N.      no state change
"""

A_2_4 = """
None                   S.N.      no state change
None + Pending Out     S.N.      no state change
None + Pending In      MUST      None
None + Pending Out+In  MUST      None + Pending Out
To                     S.N.      no state change
To + Pending In        MUST      To
From                   MUST      None
From + Pending Out     MUST      None + Pending Out
Both                   MUST      To
"""

A_3_1 = """
None                   MUST      None + Pending In
None + Pending Out     MUST      None + Pending Out+In
None + Pending In      S.N.      no state change
None + Pending Out+In  S.N.      no state change
To                     MUST      To + Pending In
To + Pending In        S.N.      no state change
From                   S.N. [2]  no state change
From + Pending Out     S.N. [2]  no state change
Both                   S.N. [2]  no state change
"""

A_3_2 = """
None                   S.N.      no state change
None + Pending Out     S.N.      no state change
None + Pending In      MUST [1]  None
None + Pending Out+In  MUST [1]  None + Pending Out
To                     S.N.      no state change
To + Pending In        MUST [1]  To
From                   MUST [1]  None
From + Pending Out     MUST [1]  None + Pending Out
Both                   MUST [1]  To
"""

A_3_3 = """
None                   S.N.      no state change
None + Pending Out     MUST      To
None + Pending In      S.N.      no state change
None + Pending Out+In  MUST      To + Pending In
To                     S.N.      no state change
To + Pending In        S.N.      no state change
From                   S.N.      no state change
From + Pending Out     MUST      Both
Both                   S.N.      no state change
"""

A_3_4 = """
None                   S.N.      no state change
None + Pending Out     MUST      None
None + Pending In      S.N.      no state change
None + Pending Out+In  MUST      None + Pending In
To                     MUST      None
To + Pending In        MUST      None + Pending In
From                   S.N.      no state change
From + Pending Out     MUST      From
Both                   MUST      From
"""


# Footnotes: what the server says in the account's name.
ANSWERS = {("subscribe", "[2]"): "subscribed", ("unsubscribe", "[1]"): "unsubscribed"}


def rows(**tables):
    for kind, table in tables.items():
        for row in table.strip().splitlines():
            existing, does, new = row[:23].strip(), row[23:33].split(), row[33:].strip()
            answer = ANSWERS[kind, does[1]] if does[1:] else ""
            yield pytest.param(
                kind,
                NAMES[existing],
                does[0] == "MUST",
                state_after(existing, new),
                answer,
                id=f"{kind}, {existing}",
            )


def state_after(existing, new):
    if new == "no state change":
        return NAMES[existing]
    if new == "pre-approval":
        return NAMES[existing] | APPROVED
    return NAMES[new]


every_outbound_row = pytest.mark.parametrize(
    ("kind", "before", "routes", "after", "answer"),
    list(rows(subscribe=A_2_1, unsubscribe=A_2_2, subscribed=A_2_3, unsubscribed=A_2_4)),
)
every_inbound_row = pytest.mark.parametrize(
    ("kind", "before", "delivers", "after", "answer"),
    list(rows(subscribe=A_3_1, unsubscribe=A_3_2, subscribed=A_3_3, unsubscribed=A_3_4)),
)


def test_there_are_nine_states():
    assert sorted(STATES) == sorted(NAMES.values())
    assert len(set(STATES)) == 9


@every_outbound_row
def test_outbound_stanzas_follow_appendix_a_2(kind, before, routes, after, answer):
    assert outbound(kind, before) == (after, routes, answer)


@every_inbound_row
def test_inbound_stanzas_follow_appendix_a_3(kind, before, delivers, after, answer):
    assert inbound(kind, before) == (after, delivers, answer)


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("kind", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
def test_no_stanza_leads_out_of_the_nine_states(before, kind):
    assert outbound(kind, before).state & ~APPROVED in STATES
    assert inbound(kind, before).state & ~APPROVED in STATES


# Pre-approval (3.4)


@pytest.mark.parametrize(("before", "after"), [(NONE, FROM), (NONE_OUT, FROM_OUT), (TO, BOTH)])
def test_a_request_that_is_approved_already_is_answered_and_not_shown(before, after):
    step = inbound("subscribe", before | APPROVED)
    assert step == (after | APPROVED, False, "subscribed")


@pytest.mark.parametrize("before", STATES)
def test_an_approval_is_taken_back_by_unsubscribed(before):
    step = outbound("unsubscribed", before | APPROVED)
    assert step == outbound("unsubscribed", before)
    assert not step.state & APPROVED


@pytest.mark.parametrize("before", [NONE, NONE_OUT, TO, FROM, FROM_OUT, BOTH])
@pytest.mark.parametrize("kind", ["unsubscribe", "subscribed", "unsubscribed"])
def test_an_approval_outlasts_what_the_contact_does(before, kind):
    assert inbound(kind, before | APPROVED).state == inbound(kind, before).state | APPROVED


# The plugin at work


@pytest.fixture
def stage(capulet, juliet, montague, talk):
    return Stage(capulet, juliet, montague.connect(f"{ROMEO}/orchard"), talk)


class Stage:
    """Juliet, available and interested, and Romeo, in a state that they have come to."""

    def __init__(self, capulet, juliet, romeo, talk):
        self.service = capulet.kernel.service("roster")
        self.juliet = juliet
        self.romeo = romeo
        self.talk = talk
        juliet.available()
        talk.get(juliet)

    def reach(self, state):
        """Come to a state by stanzas; all that came of it is dropped."""
        if state & (TO | OUT):
            self.talk.say(self.juliet, "subscribe", ROMEO)
        if state & TO:
            self.talk.say(self.romeo, "subscribed", JULIET)
        if state & (FROM | IN):
            self.talk.say(self.romeo, "subscribe", JULIET)
        if state & FROM:
            self.talk.say(self.juliet, "subscribed", ROMEO)
        assert self.state == state
        self.juliet.received()
        self.romeo.received()

    @property
    def state(self):
        """What is true now, from what anybody can read."""
        item = self.service.item("juliet", self.romeo.bare)
        state = IN if self.romeo.bare in self.service.requests("juliet") else NONE
        if item is None:
            return state
        state |= SUBSCRIPTIONS.index(item.subscription)
        return state | OUT * item.is_asking | APPROVED * item.is_approved

    def expect_push(self, before, after, got):
        """Clients hear of what they can see, and of nothing else (2.1.6)."""
        pushed = [stanza.payload.first().attributes for stanza in got]
        if before & ~IN == after & ~IN:
            assert pushed == []
            return
        expected = {"jid": ROMEO, "subscription": SUBSCRIPTIONS[after & BOTH]}
        if after & OUT:
            expected["ask"] = "subscribe"
        if after & APPROVED:
            expected["approved"] = "true"
        assert pushed == [expected]

    def expect_outside(self, before, after, said):
        """Romeo gets what was said between bare JIDs, and presence as subscriptions go."""
        expected = [(kind, JULIET) for kind in said]
        if before & FROM and not after & FROM:
            # 3.2.2: before the last word.
            expected.insert(0, ("unavailable", BALCONY))
        if said == ["subscribed"]:
            # 3.1.5: after the first.
            expected.append(("", BALCONY))
        assert self.talk.presences(self.romeo) == expected


@every_outbound_row
def test_what_juliet_sends_is_routed_and_pushed(stage, kind, before, routes, after, answer):
    stage.reach(before)
    stage.talk.say(stage.juliet, kind, f"{ROMEO}/orchard")
    assert stage.state == after
    stage.expect_outside(before, after, [kind] if routes else [])
    stage.expect_push(before, after, stage.juliet.received())


@every_inbound_row
def test_what_romeo_sends_is_delivered_and_then_pushed(
    stage, kind, before, delivers, after, answer
):
    stage.reach(before)
    stage.talk.say(stage.romeo, kind, f"{JULIET}/balcony")
    assert stage.state == after
    stage.expect_outside(before, after, [answer] if answer else [])
    got = stage.juliet.received()
    if delivers:
        shown = got.pop(0)
        assert isinstance(shown, Presence)
        assert (shown.type, shown.from_.text, shown.to.text) == (kind, ROMEO, JULIET)
    stage.expect_push(before, after, got)


@pytest.mark.parametrize(("before", "after"), [(NONE, FROM), (NONE_OUT, FROM_OUT), (TO, BOTH)])
def test_an_approval_stays_when_romeo_comes_goes_and_comes_again(stage, before, after):
    """3.4.2: until Juliet herself says unsubscribed; what her server says is not hers."""
    stage.reach(before)
    stage.talk.say(stage.juliet, "subscribed", ROMEO)
    stage.juliet.received()
    for _ in range(2):
        stage.talk.say(stage.romeo, "subscribe", JULIET)
        assert stage.state == after | APPROVED
        stage.expect_push(before | APPROVED, after | APPROVED, stage.juliet.received())
        assert stage.talk.presences(stage.romeo) == [("subscribed", JULIET), ("", BALCONY)]
        stage.talk.say(stage.romeo, "unsubscribe", JULIET)
        assert stage.state == before | APPROVED
        assert [stanza.type for stanza in stage.juliet.received()] == ["unsubscribe", "set"]
        assert stage.talk.presences(stage.romeo) == [
            ("unavailable", BALCONY),
            ("unsubscribed", JULIET),
        ]
    stage.talk.say(stage.juliet, "unsubscribed", ROMEO)
    assert stage.state == before
    stage.expect_push(before | APPROVED, before, stage.juliet.received())
    assert stage.romeo.received() == []


def test_a_refused_probe_leaves_an_approval_as_it_was(stage):
    """4.3.2, case 1."""
    stage.talk.say(stage.juliet, "subscribed", ROMEO)
    stage.talk.say(stage.romeo, "probe", JULIET)
    assert stage.talk.presences(stage.romeo) == [("unsubscribed", JULIET)]
    assert stage.state == NONE | APPROVED


def test_a_contact_that_asks_has_no_item_before_it_is_answered(stage):
    """A.1, state 3."""
    stage.reach(NONE_IN)
    assert stage.service.item("juliet", stage.romeo.bare) is None
    stage.talk.set(stage.juliet, ROMEO, "Romeo")
    assert stage.service.item("juliet", stage.romeo.bare).subscription == "none"
    assert stage.state == NONE_IN
