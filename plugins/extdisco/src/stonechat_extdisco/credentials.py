"""Credentials that hold for a while, made without asking the TURN server ("TURN REST API").

Both sides know a secret. The user name begins with the time at which it stops to hold; the
password is a digest of it that only they can make.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from hashlib import sha1, sha256
from typing import NamedTuple

from stonechat.jid import JID
from stonechat.options import Secret

# Of what stands for the user: enough that no two have the same.
_PSEUDONYM_LENGTH = 20


class Credentials(NamedTuple):
    """A name and a password; `expires` is in seconds since the epoch, or 0."""

    username: str
    password: str
    expires: int = 0

    def __repr__(self) -> str:
        return f"<Credentials of {self.username}>"


def time_limited(secret: Secret, user: JID, now: int, ttl: float) -> Credentials:
    """Those of a user, who is known to the other side by a name that says nothing of them.

    `now` is in microseconds. The name is always the same, so that a relay can count what
    one user takes.
    """
    key = secret.reveal().encode()
    expires = now // 1_000_000 + int(ttl)
    pseudonym = hmac.digest(key, user.bare.text.encode(), sha256).hex()[:_PSEUDONYM_LENGTH]
    username = f"{expires}:{pseudonym}"
    # SHA-1 is what relays expect; its weakness does not reach HMAC.
    digest = hmac.digest(key, username.encode(), sha1)
    return Credentials(username, b64encode(digest).decode(), expires)
