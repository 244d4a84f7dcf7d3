"""The Authoritative Server: says which keys for our domains are ours (XEP-0220, 2.2.2)."""

from __future__ import annotations

from stonechat.errors import StreamError
from stonechat.federation import ServerStream
from stonechat.host import Host
from stonechat_dialback.dialogue import drop
from stonechat_dialback.elements import Refusal, Word
from stonechat_dialback.keys import Keys


class Authoritative:
    """Answers anybody: who asks has proven nothing, and a key is good for one domain only."""

    def __init__(self, host: Host, keys: Keys) -> None:
        self._host = host
        self._keys = keys

    def asked(self, stream: ServerStream, word: Word) -> None:
        """A server that was shown a key wants to know whether it is one of ours."""
        if stream.is_outgoing and not stream.is_bidirectional:
            drop(self._host, stream, word)
            return
        if not word.id:
            raise StreamError("bad-format", "A key is asked about with the id of its stream.")
        local, remote = word.pair
        if not self._host.serves(local):
            refusal = Refusal("item-not-found", f"{local} is not served here.")
            stream.send_element(word.error(refusal))
            return
        is_ours = self._keys.is_ours(word.key, remote, local, word.id)
        stream.send_element(word.answer("valid" if is_ours else "invalid"))
