"""Marks that only a server may put into a stanza (robustness rule 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.errors import JIDError
from stonechat.jid import JID
from stonechat.namespaces import NS_DELAY, NS_STANZA_ID
from stonechat.stanza import Stanza
from stonechat.xml import Element

if TYPE_CHECKING:
    from stonechat.core.router import Router

# Each with the attribute that says whose it is; an occupant-id is a chat room's alone.
SERVER_MARKS = {
    f"{NS_STANZA_ID} stanza-id": "by",
    f"{NS_DELAY} delay": "from",
    "urn:xmpp:occupant-id:0 occupant-id": "",
}


def strip_server_marks(stanza: Stanza, router: Router, own: str = "") -> None:
    """Take away every mark that claims to be ours, before any hook sees the stanza.

    A component speaks for its `own` domain, with marks and all.
    """
    with stanza.edit() as tree:
        for child in tree.elements:
            attribute = SERVER_MARKS.get(child.qualified_name)
            if attribute is not None and _is_forged(child, attribute, router, own):
                tree.remove(child)


def _is_forged(mark: Element, attribute: str, router: Router, own: str) -> bool:
    """Whether a mark names a domain that this node answers for, a service's among them."""
    if not attribute:
        return not own
    try:
        domain = JID.parse(mark.get(attribute)).domain
    except JIDError:
        # A client that looks less closely might take it for ours.
        return True
    return domain != own and bool(router.owner(domain))
