"""Block lists on their way to another server, and from one.

XEP-0227 has no word for them; what Prosody writes is the list as a client gets it.
"""

from __future__ import annotations

from collections.abc import Iterator

from stonechat.errors import JIDError, StanzaError
from stonechat.jid import JID
from stonechat.plugin import Imported
from stonechat.portable import Count, parts_of
from stonechat.stanza import Element
from stonechat_blocking.commands import Commands
from stonechat_blocking.reports import NS_BLOCKING


def export(commands: Commands, account: JID) -> Iterator[Element]:
    """Whom an account has blocked."""
    blocked = sorted(commands.blocked(account.localpart))
    items = (Element(NS_BLOCKING, "item", {"jid": jid}) for jid in blocked)
    yield from parts_of(Element(NS_BLOCKING, "blocklist"), items)


def take(
    commands: Commands, account: JID, element: Element, max_items: int, *, dry_run: bool
) -> Imported | None:
    """Block those who are not blocked yet."""
    if element.qualified_name != f"{NS_BLOCKING} blocklist":
        return None
    count = Count()
    blocked = commands.blocked(account.localpart)
    new: dict[JID, None] = {}
    for item in element.elements:
        try:
            jid = JID.parse(item.get("jid"))
        except JIDError:
            count.lose("a blocked address that is none")
            continue
        if jid.text in blocked or jid in new:
            count.known += 1
        elif len(blocked) + len(new) >= max_items:
            count.lose(f"a blocked address beyond the {max_items} that there may be")
        else:
            new[jid] = None
    if new and not dry_run:
        try:
            commands.block(account.localpart, list(new))
        except StanzaError as error:
            if error.condition != "policy-violation":
                raise
            # The privacy lists have bounds of their own.
            count.lose(f"a blocked address: {error}", len(new))
            return count.total()
    count.kept = len(new)
    return count.total()
