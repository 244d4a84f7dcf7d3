"""Dialback keys (XEP-0185): who has made one finds out again that it is his."""

from __future__ import annotations

import hashlib
import hmac


class Keys:
    """Keys made with one secret, which all servers of the local domains know."""

    def __init__(self, secret: bytes) -> None:
        # In hexadecimal, as what goes into the HMAC.
        self._secret = hashlib.sha256(secret).hexdigest().encode()

    def make(self, receiving: str, originating: str, stream_id: str) -> str:
        """The key that an originating domain shows to a receiving one on a stream of theirs."""
        said = f"{receiving} {originating} {stream_id}"
        return hmac.new(self._secret, said.encode(), hashlib.sha256).hexdigest()

    def is_ours(self, key: str, receiving: str, originating: str, stream_id: str) -> bool:
        wanted = self.make(receiving, originating, stream_id)
        return hmac.compare_digest(key.encode(), wanted.encode())
