"""Roster pushes: how an account's clients hear of a change (RFC 6121, 2.1.6)."""

from __future__ import annotations

from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_ROSTER
from stonechat.stanza import Iq
from stonechat.xml import Element
from stonechat_roster.items import Item, query_element, version_text
from stonechat_roster.marks import interested_sessions


class Pushes:
    """Sends pushes. What clients answer to them changes nothing, so nobody waits for it."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def item(self, localpart: str, item: Item) -> None:
        """Tell the account's interested sessions what an item is now."""
        self._push(localpart, item.to_element(), item.changed)

    def removed(self, localpart: str, jid: JID, version: int) -> None:
        """Tell the account's interested sessions that an item is gone."""
        gone = Element(NS_ROSTER, "item", {"jid": jid.text, "subscription": "remove"})
        self._push(localpart, gone, version)

    def _push(self, localpart: str, item: Element, version: int) -> None:
        push: Iq | None = None
        for session in interested_sessions(self._host, localpart):
            if push is None:
                push = push_iq(session.jid, item, version)
            else:
                push = push.copy_for(session.jid)
            session.send(push)


def push_iq(to: JID, item: Element, version: int) -> Iq:
    """A push to one session; without `from` it is from the account itself."""
    id_ = f"push-{version_text(version)}"
    return Iq(query_element(version, item), type="set", to=to, id=id_)
