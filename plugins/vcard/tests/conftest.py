"""What the tests of vCards say over and over."""

from base64 import b64encode
from hashlib import sha1

import pytest

from stonechat.errors import StanzaError
from stonechat.stanza import Presence

NS_UPDATE = "vcard-temp:x:update"
ROSE = b"\x89PNG\r\n\x1a\n a rose"
THORN = b"\x89PNG\r\n\x1a\n a thorn"


class Talk:
    """Short forms for conversations about vCards."""

    def card(self, *parts):
        return f"<vCard xmlns='vcard-temp'>{''.join(parts)}</vCard>"

    def photo(self, image):
        text = b64encode(image).decode()
        return f"<PHOTO><TYPE>image/png</TYPE><BINVAL>{text}</BINVAL></PHOTO>"

    def hash(self, image):
        return sha1(image, usedforsecurity=False).hexdigest()

    def x(self, *photo):
        """What a client says: `x()` that it is not ready, `x("")` that there is none."""
        inside = "".join(f"<photo>{text}</photo>" for text in photo)
        return f"<x xmlns='vcard-temp:x:update'>{inside}</x>"

    def presence(self, client, *parts, to=""):
        address = f" to='{to}'" if to else ""
        client.send(f"<presence{address}>{''.join(parts)}</presence>")

    def told(self, client, sender):
        """What the presence that came from a session says of the photo.

        A hash, `""` for none, `"?"` for not ready, and None for nothing at all.
        """
        said = []
        for stanza in client.received():
            if isinstance(stanza, Presence) and stanza.from_ == sender.jid and not stanza.type:
                updates = list(stanza.element.find_all("x", NS_UPDATE))
                assert len(updates) < 2
                if not updates:
                    said.append(None)
                else:
                    photo = updates[0].find("photo")
                    said.append("?" if photo is None else photo.text)
        return said

    def refusal(self, call, *arguments):
        with pytest.raises(StanzaError) as caught:
            call(*arguments)
        return caught.value.condition, caught.value.type


@pytest.fixture
def talk():
    return Talk()


@pytest.fixture
def rose():
    return ROSE


@pytest.fixture
def thorn():
    return THORN


@pytest.fixture
def server(server):
    server.configure(access={"researchers": {"users": ["paris@montague.example"]}})
    return server
