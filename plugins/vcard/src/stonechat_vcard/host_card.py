"""The vCard of the host itself (XEP-0054, "Viewing Another User's vCard")."""

from __future__ import annotations

from base64 import b64encode

from stonechat.errors import ConfigError
from stonechat.options import PluginOptions, ReadableFile, option
from stonechat.stanza import Element
from stonechat_vcard.cards import NS_VCARD

MAX_PHOTO_SIZE = 65_536

# What every client can show ("Image Restrictions" of XEP-0153), by its first octets.
_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}


class HostCard(PluginOptions):
    name: str = option("", "What people call the server; its domain, if nothing is given.")
    organization: str = option("", "Who runs it.")
    url: str = option("", "A web page about it.")
    email: str = option("", "Where to write to.")
    locality: str = option("", "The city where it is.")
    region: str = option("", "The region where it is.")
    country: str = option("", "The country where it is.")
    description: str = option("", "Anything else.")
    photo: ReadableFile | None = option(
        None, "An image of it: PNG, JPEG or GIF, of 64 KiB at most."
    )


def host_card(domain: str, says: HostCard) -> Element:
    """The vCard; ConfigError for an image that cannot be shown."""
    card = Element(NS_VCARD, "vCard")
    card.add("FN", says.name or domain)
    if says.organization:
        card.add("ORG").add("ORGNAME", says.organization)
    if says.url:
        card.add("URL", says.url)
    if says.email:
        card.add("EMAIL").add("USERID", says.email)
    place = {"LOCALITY": says.locality, "REGION": says.region, "CTRY": says.country}
    if any(place.values()):
        address = card.add("ADR")
        for name, text in place.items():
            if text:
                address.add(name, text)
    if says.photo is not None:
        card.append(_photo(says.photo.read_bytes()))
    card.add("JABBERID", domain)
    if says.description:
        card.add("DESC", says.description)
    return card.freeze()


def _photo(image: bytes) -> Element:
    if len(image) > MAX_PHOTO_SIZE:
        raise ConfigError(f"card.photo: the image is larger than {MAX_PHOTO_SIZE} octets")
    for beginning, media_type in _IMAGES.items():
        if image.startswith(beginning):
            photo = Element(NS_VCARD, "PHOTO")
            photo.add("TYPE", media_type)
            photo.add("BINVAL", b64encode(image).decode())
            return photo
    raise ConfigError("card.photo: the image is no PNG, JPEG or GIF")
