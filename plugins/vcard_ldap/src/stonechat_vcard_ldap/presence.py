"""The hash of a photo in presence (XEP-0153; XEP-0398, "Presence Broadcast")."""

from __future__ import annotations

from stonechat.stanza import Element, Presence

NS_UPDATE = "vcard-temp:x:update"


def say_of_photo(presence: Presence, photo_hash: str, *, believes: bool) -> None:
    """Have it tell of this photo; `""` is none.

    A client that says it has none may be believed: it may want to show none.
    """
    updates = list(presence.element.find_all("x", NS_UPDATE))
    if not updates and not photo_hash:
        return
    if len(updates) == 1:
        photo = updates[0].find("photo")
        said = None if photo is None else photo.text.strip().lower()
        if said == photo_hash or (believes and said == ""):
            return
        if said is None and not photo_hash:
            return
    update = Element(NS_UPDATE, "x")
    update.add("photo", photo_hash)
    with presence.edit() as tree:
        for old in list(tree.find_all("x", NS_UPDATE)):
            tree.remove(old)
        tree.append(update)
