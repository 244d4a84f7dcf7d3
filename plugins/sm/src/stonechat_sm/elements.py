"""What stream management says, and how it counts (XEP-0198)."""

from __future__ import annotations

from stonechat.errors import StreamError
from stonechat.namespaces import NS_STANZA_ERRORS
from stonechat.stanza import Element

NS_SM = "urn:xmpp:sm:3"

REQUEST = f"<r xmlns='{NS_SM}'/>".encode()

# On the wire the counters are xs:unsignedInt and begin anew behind that (XEP-0198, section 4).
# Ours do not: rows in the spool go by them.
WRAP = 2**32


def failed(condition: str) -> Element:
    """`<failed/>`: what was asked for is not, and the stream goes on."""
    element = Element(NS_SM, "failed")
    element.add(condition, namespace=NS_STANZA_ERRORS)
    return element


def count_in(element: Element) -> int | None:
    """The attribute `h`, an xs:unsignedInt; None if it is none."""
    text = element.get("h").strip()
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < WRAP:
        return int(text)
    return None


def acknowledged_in(element: Element) -> int:
    """The number in `<a/>`; StreamError if there is none."""
    h = count_in(element)
    if h is None:
        raise StreamError("bad-format", "<a/> needs the number of handled stanzas.")
    return h


def newly_acknowledged(h: int, acked: int, waiting: int) -> int:
    """How many stanzas `h` acknowledges anew of those that wait behind `acked`.

    StreamError if the peer was not sent so many.
    """
    count = (h - acked) % WRAP
    if count > waiting:
        sent = (acked + waiting) % WRAP
        raise StreamError(
            "undefined-condition",
            f"You acknowledged {h} stanzas, but I only sent you {sent} so far.",
            application=Element(
                NS_SM, "handled-count-too-high", {"h": str(h), "send-count": str(sent)}
            ),
        )
    return count
