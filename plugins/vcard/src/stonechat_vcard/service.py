"""The service `vcard`: the vCards of a host's accounts, for its other plugins too."""

from __future__ import annotations

from stonechat.host import Host
from stonechat.jid import JID
from stonechat.stanza import Element
from stonechat.xml import parse
from stonechat_vcard.avatars import Avatars
from stonechat_vcard.cards import Card, check_request, read
from stonechat_vcard.store import Store


class VCards:
    """What `host.service("vcard")` gives. All raise StanzaError where the database fails."""

    def __init__(
        self, host: Host, store: Store, avatars: Avatars, *, max_size: int, max_photo_size: int
    ) -> None:
        self._host = host
        self._store = store
        self._avatars = avatars
        self._max_size = max_size
        self._max_photo_size = max_photo_size

    def get(self, localpart: str) -> Element | None:
        """The vCard of an account, frozen; None if it has none, or does not exist."""
        octets = self._store.card(localpart)
        return None if octets is None else parse(octets)

    def photo_hash(self, localpart: str) -> str:
        """The SHA-1 hash of the photo in it, in lower-case hexadecimal; `""` without a photo."""
        return self._avatars.hash_of(localpart)

    def set(self, localpart: str, card: Element, *, setter: JID | None = None) -> None:
        """Give an account a vCard, an empty one to have none.

        StanzaError where it is malformed or too large. A changed photo is told in presence
        soon, but not for `setter`, a session whose client does so itself.
        """
        if not card.children:
            check_request(card)
            self._put(localpart, None, setter)
            return
        self._put(localpart, self.check(card), setter)

    def check(self, card: Element) -> Card:
        """What is to be kept of a vCard; StanzaError where it is malformed or too large."""
        return read(card, max_size=self._max_size, max_photo_size=self._max_photo_size)

    def delete(self, localpart: str) -> None:
        """Forget the vCard of an account."""
        self._put(localpart, None, None)

    def _put(self, localpart: str, card: Card | None, setter: JID | None) -> None:
        try:
            self._store.put(localpart, card)
        finally:
            # After a failure it may have been written all the same.
            self._avatars.changed(localpart)
        self._host.spawn(self._avatars.tell, localpart, setter)
