"""When a message first came to this server, as the server itself has said (XEP-0203)."""

from stonechat import timestamps
from stonechat.namespaces import NS_DELAY
from stonechat.stanza import Element, Message


def sent_at(message: Message, host: str) -> int:
    """Microseconds since the epoch; 0 for a message that was never delayed here.

    Nobody else can say it in the name of the host: the kernel strips such marks.
    """
    mark = message.find(NS_DELAY, "delay", {"from": host})
    try:
        return timestamps.read(mark.get("stamp")) if mark is not None else 0
    except ValueError:
        return 0


def stamp(message: Message, host: str, at: int, reason: str = "") -> None:
    """Say it, where it was not said before: that time is the true one."""
    if message.find(NS_DELAY, "delay", {"from": host}) is None:
        mark = {"from": host, "stamp": timestamps.written(at)}
        message.append(Element(NS_DELAY, "delay", mark, reason))
