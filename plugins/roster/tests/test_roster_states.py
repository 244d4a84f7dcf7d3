"""The tables of RFC 6121, appendix A, row by row, and pre-approval (section 3.4)."""

import pytest

from stonechat_roster.states import (
    APPROVED,
    BOTH,
    FROM,
    FROM_OUT,
    NONE,
    NONE_IN,
    NONE_OUT,
    NONE_OUT_IN,
    STATES,
    TO,
    TO_IN,
    inbound,
    outbound,
)

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
None                   MUST NOT  pre-approval
None + Pending Out     MUST NOT  pre-approval
None + Pending In      MUST      From
None + Pending Out+In  MUST      From + Pending Out
To                     MUST NOT  pre-approval
To + Pending In        MUST      Both
From                   MUST NOT  no state change
From + Pending Out     MUST NOT  no state change
Both                   MUST NOT  no state change
"""

A_2_4 = """
None                   MUST NOT  no state change
None + Pending Out     MUST NOT  no state change
None + Pending In      MUST      None
None + Pending Out+In  MUST      None + Pending Out
To                     MUST NOT  no state change
To + Pending In        MUST      To
From                   MUST      None
From + Pending Out     MUST      None + Pending Out
Both                   MUST      To
"""

A_3_1 = """
None                   MUST      None + Pending In
None + Pending Out     MUST      None + Pending Out+In
None + Pending In      MUST NOT  no state change
None + Pending Out+In  MUST NOT  no state change
To                     MUST      To + Pending In
To + Pending In        MUST NOT  no state change
From                   MUST NOT  no state change
From + Pending Out     MUST NOT  no state change
Both                   MUST NOT  no state change
"""

A_3_2 = """
None                   MUST NOT  no state change
None + Pending Out     MUST NOT  no state change
None + Pending In      MUST      None
None + Pending Out+In  MUST      None + Pending Out
To                     MUST NOT  no state change
To + Pending In        MUST      To
From                   MUST      None
From + Pending Out     MUST      None + Pending Out
Both                   MUST      To
"""

A_3_3 = """
None                   MUST NOT  no state change
None + Pending Out     MUST      To
None + Pending In      MUST NOT  no state change
None + Pending Out+In  MUST      To + Pending In
To                     MUST NOT  no state change
To + Pending In        MUST NOT  no state change
From                   MUST NOT  no state change
From + Pending Out     MUST      Both
Both                   MUST NOT  no state change
"""

A_3_4 = """
None                   MUST NOT  no state change
None + Pending Out     MUST      None
None + Pending In      MUST NOT  no state change
None + Pending Out+In  MUST      None + Pending In
To                     MUST      None
To + Pending In        MUST      None + Pending In
From                   MUST NOT  no state change
From + Pending Out     MUST      From
Both                   MUST      From
"""


def rows(**tables):
    for kind, table in tables.items():
        for row in table.strip().splitlines():
            existing, passes, new = row[:23].strip(), row[23:33].strip(), row[33:].strip()
            yield pytest.param(kind, existing, passes == "MUST", new, id=f"{kind}, {existing}")


def expected_state(existing, new):
    if new == "no state change":
        return NAMES[existing]
    if new == "pre-approval":
        return NAMES[existing] | APPROVED
    return NAMES[new]


@pytest.mark.parametrize(
    ("kind", "existing", "routes", "new"),
    list(rows(subscribe=A_2_1, unsubscribe=A_2_2, subscribed=A_2_3, unsubscribed=A_2_4)),
)
def test_outbound_stanzas_follow_appendix_a_2(kind, existing, routes, new):
    step = outbound(kind, NAMES[existing])
    assert step == (expected_state(existing, new), routes, False)


@pytest.mark.parametrize(
    ("kind", "existing", "delivers", "new"),
    list(rows(subscribe=A_3_1, unsubscribe=A_3_2, subscribed=A_3_3, unsubscribed=A_3_4)),
)
def test_inbound_stanzas_follow_appendix_a_3(kind, existing, delivers, new):
    step = inbound(kind, NAMES[existing])
    answers = kind == "subscribe" and existing in ("From", "From + Pending Out", "Both")
    assert step == (expected_state(existing, new), delivers, answers)


def test_there_are_nine_states():
    assert sorted(STATES) == sorted(NAMES.values())
    assert len(set(STATES)) == 9


@pytest.mark.parametrize(("before", "after"), [(NONE, FROM), (NONE_OUT, FROM_OUT), (TO, BOTH)])
def test_a_request_that_is_approved_already_is_answered_and_not_shown(before, after):
    step = inbound("subscribe", before | APPROVED)
    assert step == (after | APPROVED, False, True)


@pytest.mark.parametrize("before", STATES)
def test_an_approval_is_taken_back_by_unsubscribed(before):
    step = outbound("unsubscribed", before | APPROVED)
    assert step == outbound("unsubscribed", before)
    assert not step.state & APPROVED


@pytest.mark.parametrize("before", [NONE, NONE_OUT, TO, FROM, FROM_OUT, BOTH])
@pytest.mark.parametrize("kind", ["unsubscribe", "subscribed", "unsubscribed"])
def test_an_approval_outlasts_what_the_contact_does(before, kind):
    assert inbound(kind, before | APPROVED).state == inbound(kind, before).state | APPROVED


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("kind", ["subscribe", "subscribed", "unsubscribe", "unsubscribed"])
def test_no_stanza_leads_out_of_the_nine_states(before, kind):
    assert outbound(kind, before).state & ~APPROVED in STATES
    assert inbound(kind, before).state & ~APPROVED in STATES
