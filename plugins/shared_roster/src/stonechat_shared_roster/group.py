"""A shared group: who is in it, and whose members they see."""

from __future__ import annotations

from typing import NamedTuple

from stonechat.commands import CommandError

EVERYBODY = "@all@"
ONLINE = "@online@"
SPECIAL = frozenset({EVERYBODY, ONLINE})

MAX_NAME_LENGTH = 100
MAX_LABEL_LENGTH = 255
MAX_DESCRIPTION_LENGTH = 1000


class Group(NamedTuple):
    """One group, as it is written down.

    `members` are localparts, `EVERYBODY` and `ONLINE`; no localpart has an `@`. Members see
    those of the groups that are `displayed`, by name.
    """

    name: str
    label: str
    description: str = ""
    members: frozenset[str] = frozenset()
    displayed: frozenset[str] = frozenset()

    @property
    def named(self) -> frozenset[str]:
        """The members that are accounts."""
        return self.members - SPECIAL


def read_name(text: str) -> str:
    """The name of a group, as somebody gives it; CommandError for one that is none."""
    name = text.strip()
    if not name or "," in name or name.startswith("@"):
        raise CommandError(
            f"group: {text!r} cannot be a name: it has a comma, begins with @, or says nothing"
        )
    return _checked("group", name, MAX_NAME_LENGTH)


def read_label(text: str) -> str:
    """What users see of a group."""
    return _checked("label", text.strip(), MAX_LABEL_LENGTH)


def read_description(text: str) -> str:
    """What administrators read of a group."""
    return _checked("description", text.strip(), MAX_DESCRIPTION_LENGTH)


def _checked(what: str, text: str, most: int) -> str:
    if len(text) > most:
        raise CommandError(f"{what}: {most} characters at most")
    if not text.isprintable():
        # Some of them no client could be sent.
        raise CommandError(f"{what}: {text!r} has characters that cannot be shown")
    return text
