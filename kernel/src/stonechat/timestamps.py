"""Timestamps as XMPP writes them (XEP-0082): the DateTime profile, and back.

A moment is an integer: microseconds since the epoch, UTC. Where XEP-0082 and the
`dateTime` of XML Schema 1.1 differ, the latter overrules: 24:00:00 is the end of a day,
zones end at 14:00, and there are no leap seconds. Years are 0001 to 9999.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DATE_TIME = re.compile(
    r"""([0-9]{4})-([0-9]{2})-([0-9]{2})
    T(?:([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]+))? | (24:00:00(?:\.0+)?))
    (?:Z|([+-])(?:(0[0-9]|1[0-3]):([0-5][0-9])|(14:00)))""",
    re.VERBOSE,
)

# What XML Schema takes off the ends of a dateTime ("whiteSpace: collapse").
_WHITESPACE = " \t\r\n"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def written(microseconds: int) -> str:
    """A moment as a DateTime, in UTC: whole seconds without a fraction, others with six digits.

    ValueError for a year outside 0001 to 9999.
    """
    if not _FIRST <= microseconds <= _LAST:
        raise ValueError(f"{microseconds} is outside the years 0001 to 9999")
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return f"{moment.isoformat().removesuffix('+00:00')}Z"


def read(text: str) -> int:
    """The moment that a DateTime names; what is finer than a microsecond is cut off.

    ValueError for anything else, dates and times alone too, and for moments that
    `written` could not write.
    """
    match = _DATE_TIME.fullmatch(text.strip(_WHITESPACE))
    if match is None:
        raise ValueError("a timestamp is written like 2026-11-22T21:09:03Z (XEP-0082)")
    year, month, day, hour, minute, second, fraction, midnight, sign = match.groups()[:9]
    zone_hour, zone_minute, farthest = match.groups()[9:]
    # Whole days are checked by datetime; the rest is sums, which may leave the calendar.
    date = datetime(int(year), int(month), int(day), tzinfo=UTC)
    moment = (date - _EPOCH) // _MICROSECOND
    if midnight:
        moment += 86_400_000_000
    else:
        moment += (int(hour) * 3600 + int(minute) * 60 + int(second)) * 1_000_000
        if fraction:
            moment += int(fraction[:6].ljust(6, "0"))
    if sign:
        offset = 14 * 60 if farthest else int(zone_hour) * 60 + int(zone_minute)
        # A zone ahead of UTC is there before UTC is.
        moment += (-offset if sign == "+" else offset) * 60_000_000
    if not _FIRST <= moment <= _LAST:
        raise ValueError("a timestamp is of the years 0001 to 9999")
    return moment
