"""A shell at a server in memory, and people with everything that can move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stonechat.commands import CommandError
from stonechat.shell import ShellError
from stonechat.xml import parse
from stonechat_migrate.shell import EXPORT, IMPORT

NS_PRIVATE = "jabber:iq:private"
CAPULET = "capulet.example"
MONTAGUE = "montague.example"

EVERYTHING = (
    "blocking",
    "last",
    "mam",
    "migrate",
    "offline",
    "privacy",
    "private",
    "roster",
    "vcard",
)


class MemoryShell:
    """A shell at a server in memory; what it shows and says is kept."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.shown: list[Any] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.is_running = True

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(self.server.kernel.hosts)

    @contextmanager
    def node(self) -> Iterator[MemoryShell]:
        yield self

    def run(self, command: str, /, **arguments: Any) -> Any:
        self.calls.append((command, arguments))
        try:
            return self.server.command(command, **arguments)
        except CommandError as error:
            raise ShellError(str(error)) from error

    def show(self, result: Any) -> None:
        self.shown.append(result)

    def say(self, text: str) -> None:
        self.shown.append(text)

    def progress(self, text: str) -> None:
        """Nobody looks."""


def export(shell, path, **options):
    given = {"host": "", "user": "", "split": False, "passwords": True} | options
    assert EXPORT.function(shell, str(path), **given) == 0
    return shell.shown[-1]


def import_(shell, path, **options):
    given = {"source": "portable", "host": "", "user": "", "dry_run": False} | options
    status = IMPORT.function(shell, str(path), **given)
    return status, shell.shown[-1]


def fill(capulet):
    """Give Juliet something of everything."""
    juliet = capulet.connect(f"juliet@{CAPULET}/balcony")
    nurse = capulet.connect(f"nurse@{CAPULET}/kitchen")
    juliet.available()
    juliet.set(
        parse(
            b"<query xmlns='jabber:iq:roster'><item jid='romeo@montague.example' name='Romeo'>"
            b"<group>Friends</group><group>B\xc3\xa4lle</group></item></query>"
        )
    )
    juliet.send("<presence type='subscribe' to='romeo@montague.example'/>")
    nurse.send(f"<presence type='subscribe' to='juliet@{CAPULET}'><status>I!</status></presence>")
    juliet.set(parse(b"<vCard xmlns='vcard-temp'><FN>Juliet Capulet</FN></vCard>"))
    exodus = "<exodus xmlns='exodus:prefs'><defaultnick>Juliet</defaultnick></exodus>"
    juliet.set(parse(f"<query xmlns='{NS_PRIVATE}'>{exodus}</query>".encode()))
    juliet.set(
        parse(
            b"<query xmlns='jabber:iq:privacy'><list name='public'><item type='jid'"
            b" value='tybalt@capulet.example' action='deny' order='1'/></list></query>"
        )
    )
    juliet.set(parse(b"<query xmlns='jabber:iq:privacy'><default name='public'/></query>"))
    juliet.set(
        parse(b"<block xmlns='urn:xmpp:blocking'><item jid='paris@padua.example'/></block>")
    )
    juliet.set(
        parse(
            b"<prefs xmlns='urn:xmpp:mam:2' default='roster'><always><jid>romeo@montague.example"
            b"</jid></always><never/></prefs>"
        )
    )
    nurse.message(f"juliet@{CAPULET}", "Anon, good nurse!")
    juliet.message("romeo@montague.example", "Wherefore art thou?")
    juliet.received()
    juliet.disconnect()
    nurse.send(
        f"<message to='juliet@{CAPULET}' type='chat' id='m1'><body>Where's my \"lady\"?</body>"
        "<x xmlns='urn:example:x' xmlns:y='urn:example:y' y:z='1'/></message>"
    )
    nurse.disconnect()


def data_of(shell, account):
    """All that the server tells of an account, in a form that can be compared."""
    user = parse(shell.run("migrate-export", jid=account, passwords=True)["user"].encode())
    return sorted(map(str, user.elements))
