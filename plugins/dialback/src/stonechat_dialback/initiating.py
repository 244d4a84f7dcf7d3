"""The Initiating Server: shows keys for our domains on streams of ours (XEP-0220, 2.1.1)."""

from __future__ import annotations

from stonechat.errors import StanzaError
from stonechat.federation import Pair, ServerStream
from stonechat.host import Host
from stonechat.namespaces import NS_DIALBACK
from stonechat.stanza import Element
from stonechat_dialback.dialogue import dialogue_of, drop
from stonechat_dialback.elements import ANSWERS, NS_FEATURE, Word
from stonechat_dialback.keys import Keys

# Keys on one stream that wait for an answer.
MOST_ASKED = 100


class Initiating:
    """Asks to be let in, and hears whether it is."""

    def __init__(self, host: Host, keys: Keys) -> None:
        self._host = host
        self._keys = keys

    def prove(self, stream: ServerStream, pair: Pair) -> bool:
        """Show a key for a pair; False where that would be of no use."""
        dialogue = dialogue_of(stream)
        if pair in dialogue.asked:
            return True
        # Without an id keys would be the same on all streams.
        if not stream.id or len(dialogue.asked) >= MOST_ASKED or not _can_ask(stream, pair):
            return False
        dialogue.asked.add(pair)
        key = self._keys.make(pair.remote, pair.local, stream.id)
        addresses = {"from": pair.local, "to": pair.remote}
        stream.send_element(Element(NS_DIALBACK, "result", addresses, key))
        return True

    def answered(self, stream: ServerStream, word: Word) -> None:
        """The peer says whether it takes a key: counts if it was asked on this very stream."""
        asked, pair = dialogue_of(stream).asked, word.pair
        if pair not in asked or word.type not in ANSWERS:
            drop(self._host, stream, word)
            return
        asked.discard(pair)
        if word.type == "valid":
            stream.authorize(pair, "dialback")
        elif word.type == "error":
            text = f"{pair.remote} does not take {pair.local} now: {word.condition}."
            stream.refuse(pair, StanzaError("remote-server-timeout", text))
        else:
            text = f"{pair.remote} does not take {pair.local} for the domain that it is."
            stream.refuse(pair, StanzaError("internal-server-error", text))
            # It will be closed over there, too: nothing more is sent for any pair.
            stream.close()


def _can_ask(stream: ServerStream, pair: Pair) -> bool:
    features = (each for each in stream.features if each.namespace == NS_FEATURE)
    feature = next((each for each in features if each.name == "dialback"), None)
    if pair == stream.pair:
        return feature is not None or stream.speaks_dialback
    # For a further pair somebody may end the stream who does not know of errors: that would
    # be the end of it for all others (2.6.2).
    return feature is not None and feature.find("errors") is not None
