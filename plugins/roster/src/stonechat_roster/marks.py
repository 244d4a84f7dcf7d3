"""What the roster remembers of a session, for as long as it lasts."""

from __future__ import annotations

from stonechat.host import Host
from stonechat.jid import JID
from stonechat.session import Session

NAME = "roster"


class Marks:
    """`is_interested`: has asked for the roster, and so gets pushes (RFC 6121, 2.1.6).

    `directed`: who was sent presence directly and would not hear of its end by
    broadcast (4.6.3); None while there is nobody, which is most of the time.
    `is_behind`: more has changed than it was told, so that its roster has no version.
    """

    __slots__ = ("directed", "is_behind", "is_interested")

    def __init__(self) -> None:
        self.is_interested = False
        self.is_behind = False
        self.directed: dict[JID, None] | None = None


def marks_of(session: Session) -> Marks:
    """The session's marks, made when first asked for."""
    data = session.data
    marks: Marks | None = data.get(NAME)
    if marks is None:
        marks = data[NAME] = Marks()
    return marks


def interested_sessions(host: Host, localpart: str) -> list[Session]:
    """The sessions of an account that get roster pushes."""
    return [
        session
        for session in host.sessions(localpart)
        if (marks := session.data.get(NAME)) is not None and marks.is_interested
    ]
