"""What is said over one stream: kept with it, and gone with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.federation import Pair, ServerStream

if TYPE_CHECKING:
    from gevent.event import AsyncResult

    from stonechat.host import Host
    from stonechat_dialback.elements import Word
    from stonechat_dialback.receiving import Verification

_NAME = "dialback"


class Dialogue:
    """One stream's keys, under way in both directions.

    An answer counts only for what stands here, and only once: whoever asks puts it in, and
    the first answer takes it out (XEP-0220, "Unsolicited Dialback").
    """

    __slots__ = (
        "asked",
        "failures",
        "is_complained_of",
        "proven",
        "questions",
        "stream_id",
        "verifying",
    )

    def __init__(self, stream_id: str) -> None:
        self.stream_id = stream_id
        self.asked: set[Pair] = set()
        """Pairs that we have shown a key for, on a stream of ours."""
        self.questions: dict[tuple[Pair, str], AsyncResult[str]] = {}
        """Who waits to hear whether a key is right: by pair, and id of the stream it is for."""
        self.verifying: dict[Pair, Verification] = {}
        """Pairs that the peer has shown a key for."""
        self.proven = 0
        self.failures = 0
        self.is_complained_of = False


def dialogue_of(stream: ServerStream) -> Dialogue:
    """The dialogue on a stream; another one once it was begun anew."""
    dialogue: Dialogue | None = stream.data.get(_NAME)
    if dialogue is None or dialogue.stream_id != stream.id:
        dialogue = stream.data[_NAME] = Dialogue(stream.id)
    return dialogue


def drop(host: Host, stream: ServerStream, word: Word) -> None:
    """Take no notice of what nobody has asked for, but for one line in the log."""
    dialogue = dialogue_of(stream)
    if not dialogue.is_complained_of:
        dialogue.is_complained_of = True
        host.log.warning(
            "unsolicited dialback",
            local=word.pair.local,
            remote=word.pair.remote,
            address=stream.address,
            element=word.element.name,
            type=word.type,
        )
