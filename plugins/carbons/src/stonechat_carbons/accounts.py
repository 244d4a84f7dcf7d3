"""Who has copies enabled, and which messages they have had lately."""

from __future__ import annotations

from array import array

from stonechat.jid import JID
from stonechat.session import Session
from stonechat.stanza import Message

# Messages of one account that are remembered: by their hashes, 16 octets each.
MAX_RECENT = 256


class Recent:
    """The last messages of an account, by key, with the time that they came."""

    __slots__ = ("_at", "_keys", "_stamps")

    def __init__(self) -> None:
        self._keys = array("q")
        self._stamps = array("q")
        self._at = 0  # where the next one goes

    def add(self, key: int, stamp: int) -> None:
        if len(self._keys) < MAX_RECENT:
            self._keys.append(key)
            self._stamps.append(stamp)
            return
        self._keys[self._at] = key
        self._stamps[self._at] = stamp
        self._at = (self._at + 1) % MAX_RECENT

    def stamp(self, key: int) -> int | None:
        """When the message came; of several with the same id the earliest."""
        stamps = [self._stamps[index] for index, known in enumerate(self._keys) if known == key]
        return min(stamps, default=None)


class Account:
    """The sessions of an account that have enabled copies, each with the time it did."""

    __slots__ = ("recent", "sessions")

    def __init__(self) -> None:
        self.sessions: dict[Session, int] = {}
        self.recent: Recent | None = None

    def note(self, key: int, stamp: int) -> None:
        """An eligible message went to all who have copies enabled now; 0 is no key."""
        if key:
            if self.recent is None:
                self.recent = Recent()
            self.recent.add(key, stamp)

    def noted(self, key: int) -> int | None:
        """When the message of that key came, if it was noted not too long ago."""
        return self.recent.stamp(key) if key and self.recent is not None else None


def sent_key(to: JID, id_: str) -> int:
    """Stands for a message sent under an id; 0 without one."""
    return hash(("to", to.text, id_)) if id_ else 0


def received_key(sender: JID, id_: str) -> int:
    """Stands for a message received under an id; 0 without one."""
    return hash(("from", sender.text, id_)) if id_ else 0


def key_of(message: Message) -> int:
    """Stands for a message received, by its id or else its text; 0 where it has neither."""
    assert message.from_ is not None
    if id_ := message.id:
        return received_key(message.from_, id_)
    text = message.body
    return hash(("text", message.from_.text, text)) if text else 0
