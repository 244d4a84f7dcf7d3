"""Service administration (XEP-0133): what a task is, and what all tasks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stonechat.auth import Unsupported
from stonechat.commands import CommandError
from stonechat.errors import StanzaError, StonechatError, StorageError
from stonechat.forms import Field, Form
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.stanza import Element
from stonechat_adhoc.words import Note, Outcome, specific

NS_ADMIN = "http://jabber.org/protocol/admin"

# How many accounts may be named in one form.
MAX_ACCOUNTS = 100


class Desk(NamedTuple):
    """Where a task is done: at which host, for whom, and with what options."""

    host: Host
    caller: JID
    idle_seconds: float
    max_list: int


@dataclass(frozen=True, slots=True)
class Task:
    """One use case of the XEP.

    It stands on a command of the registry, `needs`: where there is none the task is not
    supported, and whoever may give that command may do this.
    """

    part: str
    label: str
    needs: str
    run: Callable[[Desk, Form], Outcome]
    title: str = ""
    instructions: str = ""
    fields: Sequence[Field] = ()
    prepare: Callable[[Desk], Sequence[Field]] | None = None
    """Makes the fields where they are not always the same."""

    @property
    def node(self) -> str:
        return f"{NS_ADMIN}#{self.part}"


class AdminCommand:
    """A task as an ad-hoc command."""

    form_type = NS_ADMIN

    def __init__(self, task: Task, make_desk: Callable[[JID], Desk]) -> None:
        self._task = task
        self._make_desk = make_desk
        self.node = task.node
        self.name = task.label

    def form(self, caller: JID) -> Form | None:
        """As the XEP shows it."""
        task = self._task
        fields = task.fields if task.prepare is None else task.prepare(self._make_desk(caller))
        if not fields:
            return None
        return Form("form", NS_ADMIN, task.title, task.instructions, fields)

    def run(self, caller: JID, answers: Form) -> Outcome:
        """Errors are stanza errors where the XEP names one ("Error Handling")."""
        desk = self._make_desk(caller)
        desk.host.log.info("administration", task=self._task.part, caller=caller.text)
        try:
            return self._task.run(desk, answers)
        except CommandError as error:
            if error.condition:
                raise StanzaError(error.condition, str(error)) from error
            raise
        except Unsupported as error:
            raise StanzaError("not-allowed", str(error)) from error
        except StorageError as error:
            desk.host.log.error("administration failed", reason=str(error))
            raise StanzaError("internal-server-error", type="wait") from error


ACCOUNT_FIELD_LABEL = "The Jabber ID for this account"


def account_field(label: str = ACCOUNT_FIELD_LABEL) -> Field:
    """Names one account."""
    return Field("accountjid", "jid-single", label, required=True)


def accounts_field(label: str) -> Field:
    """Names one or more."""
    return Field("accountjids", "jid-multi", label, required=True)


def one_account(answers: Form) -> JID:
    """The account of a form with one."""
    jids = answers.jids("accountjid")
    if len(jids) != 1:
        raise specific("bad-payload", "One account has to be named.")
    return jids[0]


def all_accounts(answers: Form) -> tuple[JID, ...]:
    """The accounts of a form with several."""
    jids = answers.jids("accountjids")
    if not 1 <= len(jids) <= MAX_ACCOUNTS:
        raise specific("bad-payload", f"1 to {MAX_ACCOUNTS} accounts can be named.")
    return jids


def result(*fields: Field) -> Element:
    """What is told in the fields of the XEP."""
    return Form("result", NS_ADMIN, fields=fields).to_element()


def each(jids: Sequence[JID], do: Callable[[JID], Sequence[Element]]) -> Outcome:
    """Do something for each account; what cannot be done for some is said in notes.

    Where nothing can be done, the first reason is an error.
    """
    payload: list[Element] = []
    notes: list[Note] = []
    first: StonechatError | None = None
    for jid in jids:
        try:
            payload += do(jid)
        except (CommandError, StanzaError) as error:
            first = first or error
            notes.append(Note(f"{jid}: {error}", "error"))
    if first is not None and len(notes) == len(jids):
        raise first
    return Outcome(notes, (payload,) if payload else ())
