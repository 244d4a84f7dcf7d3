"""Subscription states, and what each subscription stanza does to them (RFC 6121, appendix A).

A state is seen from one account and concerns one contact. It is a number made of
bits, so that the nine states of the RFC are what its section A.1 says they are, and
`APPROVED` (pre-approval, section 3.4) may stand beside those that lack `FROM`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["subscribe", "subscribed", "unsubscribe", "unsubscribed"]
KINDS = frozenset({"subscribe", "subscribed", "unsubscribe", "unsubscribed"})

TO = 1
"""The account sees the contact's presence."""
FROM = 2
"""The contact sees the account's presence."""
OUT = 4
"""The account has asked; shown as `ask='subscribe'`."""
IN = 8
"""The contact has asked; never shown in the roster."""
APPROVED = 16
"""The account says yes before the contact asks."""

NONE = 0
NONE_OUT = OUT
NONE_IN = IN
NONE_OUT_IN = OUT | IN
TO_IN = TO | IN
FROM_OUT = FROM | OUT
BOTH = TO | FROM

STATES = (NONE, NONE_OUT, NONE_IN, NONE_OUT_IN, TO, TO_IN, FROM, FROM_OUT, BOTH)

SUBSCRIPTIONS = ("none", "to", "from", "both")
"""The values of the attribute `subscription`, by the bits TO and FROM."""


class Step(NamedTuple):
    """What a stanza leads to.

    `passes`: an outbound stanza is routed, an inbound one delivered. `answer`: what the
    server says in the account's name, subscribed or unsubscribed. A stanza that does
    neither changes no state, unless it is one that approves or withdraws the approval.
    """

    state: int
    passes: bool
    answer: Literal["", "subscribed", "unsubscribed"] = ""


# A.2: does it go out, and what is the new state?
OUTBOUND: dict[str, dict[int, tuple[bool, int]]] = {
    "subscribe": {
        NONE: (True, NONE_OUT),
        NONE_OUT: (True, NONE_OUT),
        NONE_IN: (True, NONE_OUT_IN),
        NONE_OUT_IN: (True, NONE_OUT_IN),
        TO: (True, TO),
        TO_IN: (True, TO_IN),
        FROM: (True, FROM_OUT),
        FROM_OUT: (True, FROM_OUT),
        BOTH: (True, BOTH),
    },
    "unsubscribe": {
        NONE: (True, NONE),
        NONE_OUT: (True, NONE),
        NONE_IN: (True, NONE_IN),
        NONE_OUT_IN: (True, NONE_IN),
        TO: (True, NONE),
        TO_IN: (True, NONE_IN),
        FROM: (True, FROM),
        FROM_OUT: (True, FROM),
        BOTH: (True, FROM),
    },
    "subscribed": {
        NONE: (False, NONE),
        NONE_OUT: (False, NONE_OUT),
        NONE_IN: (True, FROM),
        NONE_OUT_IN: (True, FROM_OUT),
        TO: (False, TO),
        TO_IN: (True, BOTH),
        FROM: (False, FROM),
        FROM_OUT: (False, FROM_OUT),
        BOTH: (False, BOTH),
    },
    "unsubscribed": {
        NONE: (False, NONE),
        NONE_OUT: (False, NONE_OUT),
        NONE_IN: (True, NONE),
        NONE_OUT_IN: (True, NONE_OUT),
        TO: (False, TO),
        TO_IN: (True, TO),
        FROM: (True, NONE),
        FROM_OUT: (True, NONE_OUT),
        BOTH: (True, TO),
    },
}

# A.3: is it shown to the account's resources, and what is the new state?
INBOUND: dict[str, dict[int, tuple[bool, int]]] = {
    "subscribe": {
        NONE: (True, NONE_IN),
        NONE_OUT: (True, NONE_OUT_IN),
        NONE_IN: (False, NONE_IN),
        NONE_OUT_IN: (False, NONE_OUT_IN),
        TO: (True, TO_IN),
        TO_IN: (False, TO_IN),
        FROM: (False, FROM),
        FROM_OUT: (False, FROM_OUT),
        BOTH: (False, BOTH),
    },
    "unsubscribe": {
        NONE: (False, NONE),
        NONE_OUT: (False, NONE_OUT),
        NONE_IN: (True, NONE),
        NONE_OUT_IN: (True, NONE_OUT),
        TO: (False, TO),
        TO_IN: (True, TO),
        FROM: (True, NONE),
        FROM_OUT: (True, NONE_OUT),
        BOTH: (True, TO),
    },
    "subscribed": {
        NONE: (False, NONE),
        NONE_OUT: (True, TO),
        NONE_IN: (False, NONE_IN),
        NONE_OUT_IN: (True, TO_IN),
        TO: (False, TO),
        TO_IN: (False, TO_IN),
        FROM: (False, FROM),
        FROM_OUT: (True, BOTH),
        BOTH: (False, BOTH),
    },
    "unsubscribed": {
        NONE: (False, NONE),
        NONE_OUT: (True, NONE),
        NONE_IN: (False, NONE_IN),
        NONE_OUT_IN: (True, NONE_IN),
        TO: (True, NONE),
        TO_IN: (True, NONE_IN),
        FROM: (False, FROM),
        FROM_OUT: (True, FROM),
        BOTH: (True, FROM),
    },
}


def outbound(kind: str, state: int) -> Step:
    """What follows when the account sends a subscription stanza to the contact."""
    passes, new = OUTBOUND[kind][state & ~APPROVED]
    approved = state & APPROVED
    if kind == "subscribed" and not new & FROM:
        # 3.4.2, cases 3 and 4: there is nothing to approve yet.
        approved = APPROVED
    elif kind == "unsubscribed":
        # The only way to take an approval back, asked for or not.
        approved = 0
    return Step(new | approved, passes)


def inbound(kind: str, state: int) -> Step:
    """What follows when the contact sends a subscription stanza to the account."""
    passes, new = INBOUND[kind][state & ~APPROVED]
    # Only what the account itself does ends an approval (3.4.2): it outlasts the contact's
    # unsubscribe, and the unsubscribed that the server then says for the account.
    approved = state & APPROVED
    if kind == "subscribe":
        if state & FROM:
            # 3.1.3, case 2: the contact's server has forgotten what it has.
            return Step(state, passes=False, answer="subscribed")
        if approved:
            return Step((state & ~IN) | FROM, passes=False, answer="subscribed")
    if kind == "unsubscribe" and passes:
        # A.3.2: so that both servers agree that it is over.
        return Step(new | approved, passes, "unsubscribed")
    return Step(new | approved, passes)
