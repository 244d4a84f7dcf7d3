"""`stonechat db export`, `db import` and `import-config`: the files, at the shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stonechat.errors import JIDError
from stonechat.jid import JID, prepare_domain
from stonechat.shell import NodeCommands, Shell, ShellArgument, ShellCommand, ShellError
from stonechat.stanza import Element
from stonechat.xml import parse

__all__ = ["EXPORT", "IMPORT", "IMPORT_CONFIG"]

# Exit statuses of the command line.
OK = 0
INCOMPLETE = 4

_FORMATS = ("portable", "prosody", "ejabberd")
_SHOW_EVERY = 20

_HOST = ShellArgument("host", "This host alone.", "")
_USER = ShellArgument("user", "This account alone, by the part before the @.", "")


def export(shell: Shell, path: str, host: str, user: str, split: bool, passwords: bool) -> int:
    """Write accounts to files."""
    from stonechat_migrate.pie_writer import writing

    domain, localpart = _chosen(host, user)
    number = 0
    with shell.node() as node, writing(Path(path), split=split) as writer:
        for each in (domain,) if domain else node.hosts:
            writer.begin_host(each)
            for name in (localpart,) if localpart else _names(node, each):
                account = JID.make(name, each)
                is_first = True
                for part in _account(node, account, passwords=passwords):
                    if is_first:
                        writer.begin_user(Element(part.namespace, part.name, part.attributes))
                        is_first = False
                    for element in part.elements:
                        writer.add(element)
                if not is_first:
                    writer.end_user()
                    number += 1
                if number % _SHOW_EVERY == 0:
                    shell.progress(f"{number} accounts, {account}")
            writer.end_host()
        if localpart and not number:
            raise ShellError(f"there is no account {localpart}@{domain}")
    shell.show({"accounts": number, "path": str(Path(path).absolute())})
    return OK


def _names(node: NodeCommands, host: str) -> Iterator[str]:
    token = ""
    while True:
        found = _run(node, "migrate-accounts", host=host, token=token)
        yield from found["names"]
        token = found["token"]
        if not token:
            return


def _account(node: NodeCommands, account: JID, *, passwords: bool) -> Iterator[Element]:
    """An account in parts that each begin with <user>; none if it is not there."""
    token = ""
    while True:
        found = _run(node, "migrate-export", jid=account.text, token=token, passwords=passwords)
        if found["user"]:
            yield parse(found["user"].encode())
        token = found["token"]
        if not token:
            return


def import_(shell: Shell, path: str, source: str, host: str, user: str, dry_run: bool) -> int:
    """Take accounts from files, or from the data of another server."""
    from stonechat_migrate.intake import Intake

    domain, localpart = _chosen(host, user)
    parts = _source(path, source, domain)
    with shell.node() as node:
        _check_enabled(node)
        intake = Intake(node, shell, dry_run=dry_run, host=domain, user=localpart)
        report = intake.take_all(parts)
    shell.show(report.shown(dry_run=dry_run))
    return OK if report.is_complete else INCOMPLETE


def _source(path: str, source: str, host: str) -> Any:
    if source == "prosody":
        from stonechat_migrate.prosody import read_prosody

        return read_prosody(path)
    if source == "ejabberd":
        from stonechat_migrate.ejabberd import read_ejabberd

        return read_ejabberd(path, host)
    if source != "portable":
        raise ShellError(f"--from: {source!r} is not one of {', '.join(_FORMATS)}")
    from stonechat_migrate.pie_reader import main_file, read_pie

    file = Path(path)
    return read_pie(main_file(file) if file.is_dir() else file)


def import_config(shell: Shell, path: str, output: str) -> int:
    """Make a configuration of another server's."""
    from stonechat_migrate.ejabberd_config import convert

    return convert(shell, Path(path), Path(output))


def _check_enabled(node: NodeCommands) -> None:
    """Before anything is read: where nobody can take it in, it is said how to change that."""
    for host in node.hosts:
        _run(node, "migrate-accounts", host=host)


def _run(node: NodeCommands, command: str, **arguments: object) -> Any:
    try:
        return node.run(command, **arguments)
    except Exception as error:
        if "no command" in str(error) or "no such command" in str(error):
            raise ShellError(
                f"{arguments.get('host') or 'the host'} has not enabled the plugin that does this:"
                " add `migrate: {}` to its plugins"
            ) from error
        raise


def _chosen(host: str, user: str) -> tuple[str, str]:
    """The host and the localpart that are wanted alone; a user may be a whole address."""
    try:
        jid = JID.parse(user) if "@" in user else None
        domain = prepare_domain(host) if host else jid.domain if jid else ""
        if user and not domain:
            raise ShellError("--user: say on which --host")
        localpart = jid.localpart if jid else JID.make(user, domain).localpart if user else ""
    except JIDError as error:
        raise ShellError(f"--host, --user: {error}") from None
    return domain, localpart


EXPORT = ShellCommand(
    "Write accounts and all their data to a file that other servers can read (XEP-0227).",
    export,
    (
        ShellArgument("path"),
        _HOST,
        _USER,
        ShellArgument(
            "split", "Make PATH a directory, with a file for each account.", default=False
        ),
        ShellArgument(
            "passwords", "Write passwords that are known as they are, too.", default=False
        ),
    ),
    help="Works whether the server is running or not. The file has what opens the accounts:"
    " nobody but its owner can read it, and it should stay so.",
    example="stonechat db export accounts.xml --host capulet.example",
)

IMPORT = ShellCommand(
    "Take accounts and their data from a file (XEP-0227), from Prosody or from ejabberd.",
    import_,
    (
        ShellArgument("path"),
        ShellArgument(
            "source",
            "What PATH is: `portable` for a file or directory of XEP-0227, `prosody` for its data"
            " directory or the URL of its database, `ejabberd` for the URL of its database.",
            "portable",
            "from",
        ),
        _HOST,
        _USER,
        ShellArgument(
            "dry_run", "Write nothing, and tell what would be kept and lost.", default=False
        ),
    ),
    help="Works whether the server is running or not. What accounts have already stays as it"
    " is, so that an import can be begun anew. Exit status 4 where something was lost.",
    example="stonechat db import --dry-run --from prosody /var/lib/prosody",
)

IMPORT_CONFIG = ShellCommand(
    "Make a configuration of ejabberd's, and say what has no counterpart.",
    import_config,
    (
        ShellArgument("path"),
        ShellArgument("output", "The new file.", "stonechat.yml"),
    ),
    example="stonechat import-config /etc/ejabberd/ejabberd.yml --output stonechat.yml",
)
