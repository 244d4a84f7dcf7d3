"""vCards (XEP-0054) made of entries, and remembered for a while."""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha1
from typing import NamedTuple

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.stanza import Element
from stonechat_ldap import Entry, LdapUnavailable, Link
from stonechat_vcard_ldap.fields import PATHS, Sources

NS_VCARD = "vcard-temp"

# What every client can show ("Image Restrictions" of XEP-0153), by its first octets.
_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}

# What an account weighs of which there is no card.
_OVERHEAD = 200


class Card(NamedTuple):
    """A vCard in octets, and the hash of its photo, `""` without one."""

    octets: bytes
    photo_hash: str


class Cards:
    """The vCards of a host's accounts. StanzaError where the directory does not answer."""

    def __init__(
        self,
        host: Host,
        link: Callable[[], Link],
        fields: Mapping[str, Sources],
        *,
        max_photo_size: int,
        remember: float,
        memory: int,
    ) -> None:
        self._host = host
        self._link = link
        self._fields = fields
        self._max_photo_size = max_photo_size
        self._remember = remember
        self._memory = memory
        self._attributes = sorted(
            {name for source in fields.values() for name in source.attributes}
        )
        self._known: OrderedDict[str, tuple[float, Card | None]] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        """Accounts of which something is remembered."""
        return len(self._known)

    def of(self, localpart: str) -> Card | None:
        """The card of an account, None where there is no entry."""
        known = self._known.get(localpart)
        if known is not None:
            if self._host.monotonic() < known[0]:
                self._known.move_to_end(localpart)
                return known[1]
            self.forget(localpart)
        try:
            entry = self._link().directory.find(localpart, self._attributes)
        except LdapUnavailable as error:
            raise unavailable() from error
        card = None if entry is None else self._made_of(entry, localpart)
        self._keep(localpart, card)
        return card

    def forget(self, localpart: str) -> None:
        """Look again when the card is next wanted."""
        known = self._known.pop(localpart, None)
        if known is not None:
            self._weight -= _weight(known[1])

    def _keep(self, localpart: str, card: Card | None) -> None:
        if not self._remember:
            return
        # Somebody else may have looked meanwhile.
        self.forget(localpart)
        self._known[localpart] = (self._host.monotonic() + self._remember, card)
        self._weight += _weight(card)
        while self._weight > self._memory:
            self.forget(next(iter(self._known)))

    def _made_of(self, entry: Entry, localpart: str) -> Card:
        texts = {
            path: found
            for path, source in self._fields.items()
            if path != "PHOTO" and (found := source.texts(entry, localpart, self._host.name))
        }
        texts.setdefault("FN", [localpart])
        photo = self._photo(entry)
        return Card(
            _vcard(texts, photo).to_bytes(),
            sha1(photo, usedforsecurity=False).hexdigest() if photo else "",
        )

    def _photo(self, entry: Entry) -> bytes:
        source = self._fields.get("PHOTO")
        photo = source.octets(entry) if source is not None else b""
        if len(photo) > self._max_photo_size:
            self._host.log.debug("a photo is too large", dn=entry.dn, size=len(photo))
            return b""
        return photo if _type_of(photo) else b""


def unavailable() -> StanzaError:
    """What clients hear while the directory is away (robustness promise R5)."""
    return StanzaError(
        "internal-server-error", "The directory of people cannot be reached.", type="wait"
    )


def _vcard(texts: Mapping[str, list[str]], photo: bytes) -> Element:
    card = Element(NS_VCARD, "vCard")
    # Both have to be there, even if there is nothing to say.
    card.add("FN", texts["FN"][0])
    groups = {"N": card.add("N")}
    for path in PATHS[1:]:
        values = [_picture(photo)] if path == "PHOTO" and photo else texts.get(path, [])
        group, _, name = path.partition(".")
        for value in values:
            if isinstance(value, Element):
                card.append(value)
            elif group == "TEL":
                number = card.add("TEL")
                number.add(name)
                number.add("NUMBER", value)
            elif group == "EMAIL":
                address = card.add("EMAIL")
                address.add("INTERNET")
                address.add("USERID", value)
            elif not name:
                # A labeledURI is an address and what it is called (RFC 2079).
                card.add(group, value.split()[0] if group == "URL" else value)
            else:
                if group not in groups:
                    groups[group] = card.add(group)
                    if group == "ADR":
                        groups[group].add("WORK")
                groups[group].add(name, value)
                # Of a name or an address there is one.
                break
    return card


def _picture(photo: bytes) -> Element:
    picture = Element(NS_VCARD, "PHOTO")
    picture.add("TYPE", _type_of(photo))
    picture.add("BINVAL", b64encode(photo).decode())
    return picture


def _type_of(photo: bytes) -> str:
    for beginning, media_type in _IMAGES.items():
        if photo.startswith(beginning):
            return media_type
    return ""


def _weight(card: Card | None) -> int:
    return _OVERHEAD + (0 if card is None else len(card.octets))
