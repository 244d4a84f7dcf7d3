"""Takes accounts from a source into a server, and reports what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stonechat.errors import JIDError
from stonechat.jid import JID
from stonechat.portable import NS_PIE, PART_BYTES, parts_of
from stonechat.shell import NodeCommands, Shell, ShellError
from stonechat.stanza import Element
from stonechat_migrate.pie import (
    NS_PRIVACY,
    Begun,
    Lost,
    Part,
    credentials_elements,
)

# A request holds 1 MiB, and what is not ASCII is written longer there.
MAX_PART = 300_000

# Different things that were lost; of more, only the number is told.
MAX_LOSSES = 200
EXAMPLES = 3

# How often it is shown how far we are.
SHOW_EVERY = 20


class Report:
    """What became of everything, as plain data, and in no more room than that takes."""

    def __init__(self) -> None:
        self.created = self.known = self.left_out = 0
        self._kept: dict[str, int] = {}
        self._same = 0
        self._losses: dict[str, tuple[int, list[str]]] = {}

    @property
    def accounts(self) -> int:
        return self.created + self.known + self.left_out

    @property
    def is_complete(self) -> bool:
        return not self._losses

    def add(self, outcome: dict[str, Any], where: str) -> None:
        for name, number in outcome["kept"].items():
            self._kept[name] = self._kept.get(name, 0) + number
        self._same += outcome["known"]
        for text, number in outcome["lost"].items():
            self.lose(text, where, number)

    def lose(self, text: str, where: str = "", number: int = 1) -> None:
        if text not in self._losses and len(self._losses) >= MAX_LOSSES:
            text = "other things"
        before, examples = self._losses.get(text, (0, []))
        if where and where not in examples and len(examples) < EXAMPLES:
            examples = [*examples, where]
        self._losses[text] = before + number, examples

    def shown(self, *, dry_run: bool) -> dict[str, Any]:
        """Tables for people, and the same data for programs."""
        result: dict[str, Any] = {
            "accounts_that_would_be_created" if dry_run else "accounts_created": self.created,
            "accounts_known_before": self.known,
            "accounts_left_out": self.left_out,
            "data_known_before": self._same,
        }
        if self._kept:
            result["would_be_kept" if dry_run else "kept"] = [
                {"data": name, "number": number} for name, number in sorted(self._kept.items())
            ]
        if self._losses:
            result["would_be_lost" if dry_run else "lost"] = [
                {"what": text, "number": number, "for_example": examples}
                for text, (number, examples) in sorted(self._losses.items())
            ]
        return result


class Intake:
    """Hands accounts to a server, as much at a time as goes into one request."""

    def __init__(
        self,
        node: NodeCommands,
        shell: Shell,
        *,
        dry_run: bool = False,
        host: str = "",
        user: str = "",
    ) -> None:
        self._node = node
        self._shell = shell
        self._dry_run = dry_run
        self._only_host, self._only_user = host, user
        self.report = Report()
        self._account: JID | None = None
        self._where = ""
        self._batch: list[Element] = []
        self._size = 0
        self._begun: Begun | None = None
        self._is_known_host = dict.fromkeys(node.hosts, True)

    def take_all(self, parts: Iterable[Part]) -> Report:
        """Everything of a source; ShellError where it has to end before."""
        for part in parts:
            if isinstance(part, Begun):
                self._finish()
                self._begin(part)
            elif isinstance(part, Lost):
                if self._account is not None or not self._where or part.where:
                    self.report.lose(part.text, part.where or self._where, part.number)
            elif self._account is not None:
                for element in _fitting(part):
                    self._add(element)
        self._finish()
        return self.report

    def _begin(self, begun: Begun) -> None:
        self._account = None
        self._where = f"{begun.name}@{begun.host}"
        try:
            account = JID.make(begun.name, begun.host)
            if not account.localpart:
                raise JIDError("no name")
        except JIDError:
            self._leave_out("an account with a name or a host that is none")
            return
        if (self._only_host and account.domain != self._only_host) or (
            self._only_user and account.localpart != self._only_user
        ):
            return
        if account.domain not in self._is_known_host:
            self._leave_out(f"accounts of {account.domain}, which is not served here")
            return
        self._account, self._begun = account, begun
        self._where = account.text

    def _leave_out(self, text: str) -> None:
        self.report.left_out += 1
        self.report.lose(text, self._where)

    def _add(self, element: Element) -> None:
        octets = len(element.to_bytes())
        if octets > MAX_PART:
            self.report.lose(f"<{element.name}/> of more than {MAX_PART} octets", self._where)
            return
        if self._batch and self._size + octets > PART_BYTES:
            self._send()
        if self._account is not None:
            self._batch.append(element)
            self._size += octets

    def _finish(self) -> None:
        if self._account is not None and (self._batch or self._begun is not None):
            self._send()
        self._account = None

    def _send(self) -> None:
        account, begun = self._account, self._begun
        assert account is not None
        user = Element(NS_PIE, "user", {"name": account.localpart})
        if begun is not None:
            if begun.credentials.password:
                user.set("password", begun.credentials.password)
            user.append(*credentials_elements(begun.credentials))
        user.append(*self._batch)
        self._batch, self._size, self._begun = [], 0, None
        try:
            outcome = self._node.run(
                "migrate-import",
                jid=account.text,
                user=str(user),
                more=begun is None,
                dry_run=self._dry_run,
            )
        except ShellError as error:
            raise ShellError(
                f"it has ended at {account}, and may be begun anew: {error}"
            ) from error
        self.report.add(outcome, account.text)
        if outcome["account"] == "missing":
            self._account = None
            if begun is not None:
                self.report.left_out += 1
        elif begun is not None:
            if outcome["account"] == "created":
                self.report.created += 1
            else:
                self.report.known += 1
        if self.report.accounts % SHOW_EVERY == 0:
            self._shell.progress(f"{self.report.accounts} accounts, {account}")


def _fitting(element: Element) -> Iterable[Element]:
    """An element, or parts of it where that is how it fits into requests."""
    if element.qualified_name != f"{NS_PRIVACY} query" or len(element.to_bytes()) <= MAX_PART:
        return [element]
    # Which list is the default can be said once it is there.
    children = sorted(element.elements, key=lambda child: child.name == "default")
    return parts_of(Element(element.namespace, element.name), children)
