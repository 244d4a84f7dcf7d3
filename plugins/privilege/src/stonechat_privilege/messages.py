"""Messages in the name of the server and of its accounts ("Sending Messages")."""

from __future__ import annotations

from stonechat.errors import JIDError, StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_CARBONS, NS_CLIENT, NS_FORWARD, NS_STANZA_ID
from stonechat.stanza import Element, Message, Stanza
from stonechat_privilege.names import check_not_blocked, is_account, parse_jid
from stonechat_privilege.permissions import NS_PRIVILEGE

# What clients and components believe if it comes from the server, or from an account's own
# bare JID. No user can send it so ("Security Considerations"; robustness rule 13).
_ONLY_THE_SERVER = frozenset({NS_CARBONS, NS_PRIVILEGE, "urn:xmpp:delegation:2"})

_STANZA_ID = f"{NS_STANZA_ID} stanza-id"
_OCCUPANT_ID = "urn:xmpp:occupant-id:0 occupant-id"


def send_for(host: Host, component: JID, outer: Message) -> None:
    """Send the message that a component has forwarded; StanzaError if it may not be sent."""
    element = _inside(outer)
    sender = _sender(host, element)
    if any(child.namespace in _ONLY_THE_SERVER for child in element.elements):
        raise StanzaError("forbidden", "Only the server itself says that.")
    if "to" in element.attributes:
        to = parse_jid(element.get("to"))
    elif sender.localpart:
        # RFC 6120, 10.3.1
        to = sender
    else:
        raise StanzaError("bad-request", "The message is to nobody.")
    if sender.localpart:
        check_not_blocked(host, sender, to)
    message = Stanza.from_element(_without_marks(element, component))
    message.to = to
    message.hops = outer.hops
    host.route(message)


def _inside(outer: Message) -> Element:
    privilege = outer.find(NS_PRIVILEGE, "privilege")
    forwarded = None if privilege is None else privilege.find("forwarded", NS_FORWARD)
    if forwarded is None:
        raise StanzaError("bad-request", "Nothing is forwarded here.")
    stanzas = [each for each in forwarded.elements if each.namespace == NS_CLIENT]
    if len(stanzas) != 1 or stanzas[0].name != "message":
        raise StanzaError("bad-request", "Exactly one message is forwarded.")
    return stanzas[0]


def _sender(host: Host, element: Element) -> JID:
    """Whom a message is from: the server or an account of it, without a resource."""
    try:
        sender = JID.parse(element.get("from"))
    except JIDError:
        sender = None
    if sender is None or (sender != host.jid and not is_account(host, sender)):
        raise StanzaError("forbidden", "The message is not from a bare JID of this server.")
    return sender


def _without_marks(element: Element, component: JID) -> Element:
    """A copy without the ids that only a server may set (robustness rule 14).

    What is delayed may say so, and since when: the component knows.
    """
    tree = element.copy()
    for child in tree.elements:
        name = child.qualified_name
        if name == _OCCUPANT_ID or (name == _STANZA_ID and not _is_by(child, component)):
            tree.remove(child)
    return tree


def _is_by(mark: Element, component: JID) -> bool:
    try:
        return JID.parse(mark.get("by")).domain == component.domain
    except JIDError:
        return False
