"""Service administration (XEP-0133): how many people there are, and who."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import gevent

from stonechat.forms import Field, Form
from stonechat.jid import JID
from stonechat_adhoc.tasks import Desk, Task, result
from stonechat_adhoc.words import Note, Outcome

# Others have their turn after so many.
_IN_A_ROW = 64

_CHOICES = ("25", "50", "75", "100", "150", "200")
_NO_LIMIT = "none"

MAX_ITEMS = Field(
    "max_items",
    "list-single",
    "Maximum number of items to show",
    options=(*((choice, choice) for choice in _CHOICES), (_NO_LIMIT, "None")),
)

Finder = Callable[[Desk], Iterator[JID]]


def registered(desk: Desk) -> Iterator[JID]:
    """All accounts."""
    for number, localpart in enumerate(desk.host.accounts, 1):
        yield JID.make(localpart, desk.host.name)
        if number % _IN_A_ROW == 0:
            gevent.sleep(0)


def online(desk: Desk) -> Iterator[JID]:
    """Accounts that are connected."""
    yield from _idle_times(desk)


def active(desk: Desk) -> Iterator[JID]:
    """Those of them that have sent something lately, by any of their clients."""
    return (jid for jid, idle in _idle_times(desk).items() if idle < desk.idle_seconds)


def idle(desk: Desk) -> Iterator[JID]:
    """Those of them that have not."""
    return (jid for jid, idle in _idle_times(desk).items() if idle >= desk.idle_seconds)


def _idle_times(desk: Desk) -> dict[JID, float]:
    """How long each account that is connected has been silent, in order."""
    times: dict[JID, float] = {}
    for number, session in enumerate(desk.host.all_sessions(), 1):
        bare = session.jid.bare
        times[bare] = min(session.idle_seconds, times.get(bare, session.idle_seconds))
        if number % _IN_A_ROW == 0:
            gevent.sleep(0)
    return dict(sorted(times.items()))


def _count(desk: Desk, find: Finder) -> int:
    if find is registered:
        # A backend counts better than we do.
        return desk.host.accounts.count()
    return sum(1 for _ in find(desk))


def _number(part: str, label: str, needs: str, var: str, sentence: str, find: Finder) -> Task:
    def run(desk: Desk, answers: Form) -> Outcome:
        count = str(_count(desk, find))
        return Outcome(pages=((result(Field(var, label=sentence, values=(count,))),),))

    return Task(part, label, needs, run)


def _list(part: str, kind: str, needs: str, var: str, sentence: str, find: Finder) -> Task:
    def run(desk: Desk, answers: Form) -> Outcome:
        choice = answers.choice("max_items", (*_CHOICES, _NO_LIMIT), _NO_LIMIT)
        limit = desk.max_list if choice == _NO_LIMIT else min(int(choice), desk.max_list)
        found = [jid.text for jid in islice(find(desk), limit + 1)]
        notes: Sequence[Note] = ()
        if len(found) > limit:
            notes = (Note(f"There are more than these {limit}.", "warn"),)
        return Outcome(notes, ((result(Field(var, "jid-multi", sentence, found[:limit])),),))

    return Task(
        part,
        f"Get List of {kind} Users",
        needs,
        run,
        f"Requesting List of {kind} Users",
        f"Fill out this form to request the {kind.lower()} users of this service.",
        (MAX_ITEMS,),
    )


TASKS = (
    _number(
        "get-registered-users-num",
        "Get Number of Registered Users",
        "registered-users",
        "registeredusersnum",
        "The number of registered users",
        registered,
    ),
    _number(
        "get-online-users-num",
        "Get Number of Online Users",
        "connected-users",
        "onlineusersnum",
        "The number of online users",
        online,
    ),
    _number(
        "get-active-users-num",
        "Get Number of Active Users",
        "connected-users",
        "activeusersnum",
        "The number of active users",
        active,
    ),
    _number(
        "get-idle-users-num",
        "Get Number of Idle Users",
        "connected-users",
        "idleusersnum",
        "The number of idle users",
        idle,
    ),
    _list(
        "get-registered-users-list",
        "Registered",
        "registered-users",
        "registereduserjids",
        "The list of all users",
        registered,
    ),
    _list(
        "get-online-users-list",
        "Online",
        "connected-users",
        "onlineuserjids",
        "The list of all online users",
        online,
    ),
    # The XEP has these two without "-list", and one field for both.
    _list(
        "get-active-users",
        "Active",
        "connected-users",
        "activeuserjids",
        "The list of active users",
        active,
    ),
    _list(
        "get-idle-users",
        "Idle",
        "connected-users",
        "activeuserjids",
        "The list of idle users",
        idle,
    ),
)
