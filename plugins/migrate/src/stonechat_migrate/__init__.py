"""Import and export of accounts (XEP-0227), also from Prosody and from ejabberd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from stonechat.auth import (
    SCRAM_HASHES,
    AccountNotFound,
    BadPassword,
    Credentials,
    Unsupported,
    derive_scram,
)
from stonechat.commands import CommandError, Text, command
from stonechat.errors import StanzaError, StorageError, XMLError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.options import PluginOptions
from stonechat.plugin import Imported
from stonechat.portable import NS_PIE
from stonechat.stanza import Element
from stonechat.xml import parse
from stonechat_migrate.pie import credentials_elements, is_credentials, read_credentials
from stonechat_migrate.readings import Readings

__all__ = ["Plugin"]

# What one answer holds, about.
ANSWER_BYTES = 262_144
ANSWER_NAMES = 1000


class Plugin:
    """Hands accounts out, and takes them in; `stonechat_migrate.shell` is the other end."""

    def __init__(self, host: Host, options: PluginOptions) -> None:
        self.host = host
        self.names: Readings[str] = Readings(host)
        self.readings: Readings[Element] = Readings(host)

    @command(
        "migrate-accounts",
        "List the accounts of a host, for `stonechat db export`.",
        example="stonechat migrate-accounts --host capulet.example",
        local=True,
    )
    def list_accounts(self, token: str = "") -> dict[str, Any]:
        """There is more as long as a `token` comes, which is to be given back within minutes."""
        names = self.names.go_on(token) if token else iter(self.host.accounts)
        found: list[str] = []
        with _faults():
            for name in names:
                found.append(name)
                if len(found) == ANSWER_NAMES:
                    return {"names": found, "token": self.names.put_by(names)}
        return {"names": found, "token": ""}

    # Out

    @command(
        "migrate-export",
        "Show an account with all its data, as XEP-0227 has it, for `stonechat db export`.",
        example="stonechat migrate-export juliet@capulet.example",
        local=True,
    )
    def export(self, jid: JID, token: str = "", passwords: bool = False) -> dict[str, Any]:
        """Nothing comes of an account that is not there. There is more as long as a `token`
        comes, which is to be given back within minutes. With `passwords`, what is kept of
        the password may be the password itself.
        """
        localpart = jid.localpart
        if jid.domain != self.host.name or not self.host.accounts.exists(localpart):
            return {"user": "", "token": ""}
        user = Element(NS_PIE, "user", {"name": localpart})
        with _faults():
            if token:
                elements = self.readings.go_on(token)
            else:
                credentials = self.credentials(localpart, passwords=passwords)
                if credentials.password:
                    user.set("password", credentials.password)
                elements = chain(credentials_elements(credentials), self.elements(jid.bare))
            size = 0
            for element in elements:
                user.append(element)
                size += len(element.to_bytes())
                if size > ANSWER_BYTES:
                    return {"user": str(user), "token": self.readings.put_by(elements)}
        return {"user": str(user), "token": ""}

    def credentials(self, localpart: str, *, passwords: bool) -> Credentials:
        """What may be told of an account's password; nothing where its backend keeps none."""
        try:
            kept = self.host.accounts.credentials(localpart)
        except Unsupported:
            return Credentials()
        if passwords or not kept.password:
            return kept
        # "Not recommended from a security perspective": what follows from it does as well.
        known = {scram.hash_name for scram in kept.scram}
        made = [
            self.host.run_blocking(derive_scram, kept.password, name)
            for name in SCRAM_HASHES
            if name not in known
        ]
        return Credentials("", (*kept.scram, *made))

    def elements(self, account: JID) -> Iterator[Element]:
        """What all plugins have of an account."""
        return chain.from_iterable(self.host.collect("stonechat_export_account", account=account))

    # In

    @command(
        "migrate-import",
        "Take an account in, or a part of it, as XEP-0227 has it, for `stonechat db import`.",
        example="stonechat migrate-import juliet@capulet.example \"<user xmlns='urn:xmpp:pie:0'"
        " name='juliet' password='R0m30'/>\"",
        local=True,
    )
    def take(
        self, jid: JID, user: Text, more: bool = False, dry_run: bool = False
    ) -> dict[str, Any]:
        """An account that is not there is created, with the credentials that come. What is
        there already stays as it is. `more` says that this goes on with an account, whose
        first part has come before. With `dry_run` nothing is written.
        """
        if jid.domain != self.host.name or not jid.localpart or jid.resource:
            raise CommandError(f"{jid} is no account of {self.host.name}")
        try:
            element = parse(user.encode())
        except XMLError as error:
            raise CommandError(f"user: {error}") from None
        if element.qualified_name != f"{NS_PIE} user":
            raise CommandError("user: an element <user/> of XEP-0227 is wanted")
        outcome = _Outcome()
        with _faults():
            outcome.account = self.account(jid, element, outcome, more=more, dry_run=dry_run)
            if outcome.account != "missing":
                for child in element.elements:
                    if not is_credentials(child):
                        outcome.add(child, self.taken(jid, child, dry_run=dry_run))
        return outcome.shown()

    def taken(self, account: JID, element: Element, *, dry_run: bool) -> Imported:
        """What became of one element."""
        found: Imported | None = self.host.first(
            "stonechat_import_account", account=account, element=element, dry_run=dry_run
        )
        if found is not None:
            return found
        what = f"<{element.name} xmlns='{element.namespace}'/>"
        return Imported(
            lost=(f"{what}: no plugin of {self.host.name} takes it, or it has failed",)
        )

    def account(
        self, jid: JID, user: Element, outcome: _Outcome, *, more: bool, dry_run: bool
    ) -> str:
        """Have the account there: it is `created`, `known`, or `missing`."""
        accounts, localpart = self.host.accounts, jid.localpart
        exists = accounts.exists(localpart)
        if more:
            return "known" if exists or dry_run else "missing"
        credentials = _credentials(user, outcome)
        if exists:
            if credentials and not self.has(localpart, credentials):
                outcome.lose("the account is there already, and keeps its password")
            return "known"
        if not credentials:
            outcome.lose("without credentials, an account cannot be created")
            return "missing"
        if not dry_run:
            try:
                accounts.import_account(localpart, credentials)
            except (BadPassword, Unsupported) as error:
                outcome.lose(f"the account cannot be created: {error}")
                return "missing"
        return "created"

    def has(self, localpart: str, credentials: Credentials) -> bool:
        """Whether an account has credentials that come from the same password."""
        try:
            kept = self.host.accounts.credentials(localpart)
        except (Unsupported, AccountNotFound):
            kept = Credentials()
        if not set(kept.scram).isdisjoint(credentials.scram):
            return True
        password = credentials.password
        return bool(password) and self.host.accounts.check_password(localpart, password)


class _Outcome:
    """What became of all that came with a call."""

    def __init__(self) -> None:
        self.account = "missing"
        self._kept: dict[str, int] = {}
        self._known = 0
        self._lost: dict[str, int] = {}

    def add(self, element: Element, imported: Imported) -> None:
        if imported.kept:
            name = f"{element.name} {element.namespace}"
            self._kept[name] = self._kept.get(name, 0) + imported.kept
        self._known += imported.known
        for text in imported.lost:
            self.lose(text)

    def lose(self, text: str) -> None:
        self._lost[text] = self._lost.get(text, 0) + 1

    def shown(self) -> dict[str, Any]:
        return {
            "account": self.account,
            "kept": self._kept,
            "known": self._known,
            "lost": self._lost,
        }


def _credentials(user: Element, outcome: _Outcome) -> Credentials:
    found = []
    for child in filter(is_credentials, user.elements):
        try:
            found.append(read_credentials(child))
        except ValueError as error:
            outcome.lose(str(error))
    return Credentials(user.get("password"), tuple(found))


@contextmanager
def _faults() -> Iterator[None]:
    """What fails for a reason that somebody can mend is told, not logged as a fault of ours."""
    try:
        yield
    except (StanzaError, StorageError) as error:
        raise CommandError(str(error)) from error
