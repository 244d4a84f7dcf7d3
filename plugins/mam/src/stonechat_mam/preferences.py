"""Archiving preferences (XEP-0441): read from a client, written to it, and obeyed."""

from __future__ import annotations

from stonechat.errors import JIDError, StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.xml import Element
from stonechat_mam.accounts import PREFERENCES, Account, Preference
from stonechat_mam.query import NS_MAM


def written(account: Account | None, default: Preference) -> Element:
    """What an account has set, or what holds where it has set nothing."""
    preference = (account.preference if account is not None else "") or default
    element = Element(NS_MAM, "prefs", {"default": preference})
    for name in ("always", "never"):
        listed = element.add(name)
        for jid in sorted(getattr(account, name, ())):
            listed.add("jid", jid.text)
    return element


def read(element: Element, limit: int) -> tuple[str, frozenset[JID], frozenset[JID]]:
    """Default, always and never, as a client wants to have them; StanzaError."""
    preference = element.get("default")
    if preference not in PREFERENCES:
        raise StanzaError("bad-request", "The default is always, never or roster.")
    always, never = (_listed(element.find(name), limit) for name in ("always", "never"))
    return preference, always, never


def _listed(element: Element | None, limit: int) -> frozenset[JID]:
    if element is None:
        return frozenset()
    jids = set()
    for child in element.find_all("jid"):
        try:
            jids.add(JID.parse(child.text.strip()))
        except JIDError as error:
            raise StanzaError("jid-malformed", str(error)) from None
        if len(jids) > limit:
            raise StanzaError("policy-violation", f"A list has {limit} addresses at most.")
    return frozenset(jids)


def allows(host: Host, account: Account, peer: JID, default: Preference) -> bool:
    """Whether an account has messages with somebody archived. May block, and raise StanzaError."""
    listed = account.wants(peer)
    if listed is not None:
        return listed
    preference = account.preference or default
    if preference != "roster":
        return preference == "always"
    if peer.localpart == account.localpart and peer.domain == host.name:
        return True  # nobody has himself in his roster
    roster = host.service("roster")
    return roster is not None and roster.item(account.localpart, peer) is not None
