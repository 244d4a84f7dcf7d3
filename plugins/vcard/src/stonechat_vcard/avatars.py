"""The hash of an account's photo in its presence (XEP-0153; XEP-0398, "Presence Broadcast").

A client that knows nothing of the photo says nothing of it, or says something that was
true before another client changed it. The server knows better, and says it for all.
"""

from __future__ import annotations

from typing import Literal, cast

from stonechat.account_cache import AccountCache
from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.session import Session
from stonechat.stanza import Element, Presence, Stanza
from stonechat_vcard.store import Store

NS_UPDATE = "vcard-temp:x:update"

PresenceHash = Literal["add", "correct", "off"]

# Hashes in memory, of 40 characters each, beside those of accounts that are online.
MAX_CACHED = 10_000

# Under this name a session remembers that what its presence says of the photo is ours.
OURS = "vcard"


class Hashes(AccountCache[str]):
    """The hash of each account's photo, `""` where there is none."""

    def __init__(self, host: Host, store: Store) -> None:
        super().__init__(host, MAX_CACHED)
        self._store = store

    def load(self, localpart: str) -> str:
        return self._store.photo_hash(localpart)


class Avatars:
    """Puts the right hash into presence."""

    def __init__(self, host: Host, store: Store, presence_hash: PresenceHash) -> None:
        self._host = host
        self._does = presence_hash
        self._hashes = Hashes(host, store)

    def hash_of(self, localpart: str) -> str:
        """The hash of an account's photo, `""` where there is none; StanzaError."""
        return self._hashes.of(localpart)

    def changed(self, localpart: str) -> None:
        """An account may have another photo now."""
        self._hashes.forget(localpart)

    def release(self, localpart: str) -> None:
        """An account's last session may have gone."""
        self._hashes.release(localpart)

    # In presence

    def complete(self, session: Session, presence: Presence, *, is_broadcast: bool) -> None:
        """Have an available presence of a session say what is true of the photo."""
        if self._does == "off":
            return
        is_there = presence.has(NS_UPDATE, "x")
        if is_broadcast and is_there:
            session.data.pop(OURS, None)
        if not is_there and self._does != "add":
            return
        try:
            photo_hash = self.hash_of(session.jid.localpart)
        except StanzaError:
            return  # logged; presence goes on without it
        if is_there:
            if (right := _corrected(presence, photo_hash)) is not None:
                _replace(presence, right)
        elif photo_hash or session.data.get(OURS):
            presence.append(_update(photo_hash))
            if is_broadcast:
                session.data[OURS] = True

    def tell(self, localpart: str, setter: JID | None) -> None:
        """Send presence anew where it tells of an old photo, and so tell of the new one.

        `setter` has changed it: a client that tells of photos does so itself.
        """
        if self._does == "off":
            return
        try:
            photo_hash = self.hash_of(localpart)
        except StanzaError:
            return  # logged; with their next presence others hear of it
        for session in self._host.sessions(localpart):
            presence = session.presence
            if presence is None:
                continue
            again = cast(Presence, Stanza.from_bytes(presence.to_bytes()))
            update = again.find(NS_UPDATE, "x")
            if update is None:
                is_stale = self._does == "add" and bool(photo_hash)
            elif session.data.get(OURS):
                is_stale = update.find_text("photo") != photo_hash
                _replace(again, None)
            else:
                is_stale = session.jid != setter and _corrected(again, photo_hash) is not None
            if is_stale:
                session.receive(again)


def _corrected(presence: Presence, photo_hash: str) -> Element | None:
    """What has to stand in place of what a client says; None where that may stay."""
    updates = list(presence.element.find_all("x", NS_UPDATE))
    photo = updates[0].find("photo")
    if len(updates) == 1:
        if photo is None:
            # Not ready, says the client. We are, if there is a photo.
            return _update(photo_hash) if photo_hash else None
        said = photo.text.strip()
        # That there is none, a client may want to say of itself. Hashes have any case.
        if not said or said.lower() == photo_hash:
            return None
    return _update(photo_hash)


def _replace(presence: Presence, update: Element | None) -> None:
    with presence.edit() as tree:
        for old in list(tree.find_all("x", NS_UPDATE)):
            tree.remove(old)
        if update is not None:
            tree.append(update)


def _update(photo_hash: str) -> Element:
    element = Element(NS_UPDATE, "x")
    element.add("photo", photo_hash)
    return element
