"""Service administration (XEP-0133): the service itself, and what it says to its users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stonechat.commands import CommandError
from stonechat.errors import StanzaError
from stonechat.forms import Field, Form
from stonechat_adhoc.results import outcome_of
from stonechat_adhoc.tasks import Desk, Task
from stonechat_adhoc.words import Note, Outcome, specific

# Commands of the plugin announce, as far as it is there.
ANNOUNCE = "announce-online"
SHOW_MOTD = "motd-show"
UPDATE_MOTD = "motd-update"

_DELAYS = (
    ("30", "30 seconds"),
    ("60", "60 seconds"),
    ("90", "90 seconds"),
    ("120", "2 minutes"),
    ("180", "3 minutes"),
    ("240", "4 minutes"),
    ("300", "5 minutes"),
)
_SHORTEST_DELAY = 30
_LONGEST_DELAY = 3600


def edit_motd(desk: Desk, answers: Form) -> Outcome:
    text = answers.text("motd").strip()
    if not text:
        raise specific("bad-payload", "motd is required; to have none, delete it.")
    # The form of the XEP has the text alone.
    subject = _motd(desk).get("subject", "")
    told = desk.host.run_command(UPDATE_MOTD, desk.caller, motd=text, subject=subject)
    return outcome_of(told, "Editing the Message of the Day", rows=1)


def motd_as_it_is(desk: Desk) -> Sequence[Field]:
    """The form with what is to be edited."""
    text = _motd(desk).get("motd")
    return (Field("motd", "text-multi", "Message of the Day", (text,) if text else ()),)


def _motd(desk: Desk) -> Mapping[str, str]:
    """The message of the day and its subject; empty where there is none."""
    motd: Mapping[str, str] = desk.host.run_command(SHOW_MOTD, desk.caller)
    return motd


def restart(desk: Desk, answers: Form) -> Outcome:
    return _end(desk, answers, "restart")


def shut_down(desk: Desk, answers: Form) -> Outcome:
    return _end(desk, answers, "stop")


def delay_and_announcement(desk: Desk, label: str) -> Sequence[Field]:
    """When, and what people are told before, if there is who tells them."""
    fields = [Field("delay", "list-single", label, (str(_SHORTEST_DELAY),), _DELAYS)]
    if _may_announce(desk):
        fields.append(Field("announcement", "text-multi", "Announcement"))
    return fields


def _end(desk: Desk, answers: Form, command: str) -> Outcome:
    delay = answers.integer("delay", _SHORTEST_DELAY, 0, _LONGEST_DELAY)
    announcement = answers.text("announcement").strip()
    told = desk.host.run_command(command, desk.caller, delay=delay)
    notes = [Note(f"{told[:1].upper()}{told[1:]}.")]
    if announcement:
        notes += _announce(desk, announcement)
    return Outcome(notes)


def _announce(desk: Desk, announcement: str) -> Sequence[Note]:
    if not _may_announce(desk):
        return (Note("The announcement was not sent: you may not announce here.", "warn"),)
    for host in ("*", desk.host.name):
        try:
            desk.host.run_command(ANNOUNCE, desk.caller, announcement=announcement, host=host)
        except (CommandError, StanzaError) as error:
            if isinstance(error, StanzaError) and error.condition == "forbidden":
                # The users of hosts that are another's to speak to are told by the stream's end.
                continue
            # The end comes all the same, and so this is no error.
            return (Note(f"The announcement was not sent: {error}", "error"),)
        break
    return ()


def _may_announce(desk: Desk) -> bool:
    return any(found.name == ANNOUNCE for found in desk.host.commands(desk.caller))


TASKS = (
    Task(
        "edit-motd",
        "Edit Message of the Day",
        UPDATE_MOTD,
        edit_motd,
        "Editing the Message of the Day",
        "Fill out this form to edit the message of the day.",
        prepare=motd_as_it_is,
    ),
    Task(
        "restart",
        "Restart Service",
        "restart",
        restart,
        "Restarting the Service",
        "Fill out this form to restart the service.",
        prepare=lambda desk: delay_and_announcement(desk, "Time delay before restarting"),
    ),
    Task(
        "shutdown",
        "Shut Down Service",
        "stop",
        shut_down,
        "Shutting Down the Service",
        "Fill out this form to shut down the service.",
        prepare=lambda desk: delay_and_announcement(desk, "Time delay before shutting down"),
    ),
)

_NO_DISABLING = "Accounts of this server cannot be disabled; set another password instead."
_NO_FEDERATION = "This server has no lists of other servers."
_IN_THE_FILE = "Who administers the server is written in its configuration file, under access."
_WELCOME = "The greeting of new users is the option welcome of the plugin register."
_NO_ANNOUNCE = "The plugin announce is not at work here."

UNSUPPORTED = {
    "get-user-password": "Passwords are not kept, and so they cannot be told.",
    "disable-user": _NO_DISABLING,
    "reenable-user": _NO_DISABLING,
    "get-disabled-users-num": _NO_DISABLING,
    "get-disabled-users-list": _NO_DISABLING,
    "edit-blacklist": _NO_FEDERATION,
    "add-to-blacklist-in": _NO_FEDERATION,
    "add-to-blacklist-out": _NO_FEDERATION,
    "edit-whitelist": _NO_FEDERATION,
    "add-to-whitelist": _NO_FEDERATION,
    "add-to-whitelist-in": _NO_FEDERATION,
    "add-to-whitelist-out": _NO_FEDERATION,
    "edit-admin": _IN_THE_FILE,
    "set-welcome": _WELCOME,
    "delete-welcome": _WELCOME,
    # Without the plugin that has them.
    "announce": _NO_ANNOUNCE,
    "set-motd": _NO_ANNOUNCE,
    "edit-motd": _NO_ANNOUNCE,
    "delete-motd": _NO_ANNOUNCE,
    "get-user-roster": "The plugin roster is not at work here.",
}
"""Use cases of the XEP that we do not have, and why."""
