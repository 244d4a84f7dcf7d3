"""How plugins hand an account's data out, and take it in (XEP-0227).

    @hookimpl
    def stonechat_export_account(self, account: JID) -> Iterator[Element]:
        notes = Element(NS_NOTES, "notes")
        yield from parts_of(notes, self.store.all(account.localpart))

The hooks `stonechat_export_account` and `stonechat_import_account` say what is asked of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from stonechat.errors import StanzaError, StorageError
from stonechat.hookspecs import Imported
from stonechat.storage import StorageFull
from stonechat.xml import Element

__all__ = [
    "NS_PIE",
    "NS_PIE_ARCHIVE",
    "PART_BYTES",
    "PART_CHILDREN",
    "Count",
    "parts_of",
    "storing",
]

NS_PIE = "urn:xmpp:pie:0"
NS_PIE_ARCHIVE = f"{NS_PIE}#mam"

# So much goes into one part, and into one transaction, at most; more where one child is larger.
PART_CHILDREN = 200
PART_BYTES = 65_536


def parts_of(wrapper: Element, children: Iterable[Element]) -> Iterator[Element]:
    """An element with these children, in parts that each are not too large; none without any."""
    part: list[Element] = []
    size = 0
    for child in children:
        octets = len(child.to_bytes())
        if part and (len(part) >= PART_CHILDREN or size + octets > PART_BYTES):
            yield Element(wrapper.namespace, wrapper.name, wrapper.attributes, *part)
            part, size = [], 0
        part.append(child)
        size += octets
    if part:
        yield Element(wrapper.namespace, wrapper.name, wrapper.attributes, *part)


@contextmanager
def storing() -> Iterator[None]:
    """Around an import that uses the store: when that fails it is no fault of the plugin's."""
    try:
        yield
    except StorageFull as error:
        raise StanzaError("resource-constraint", str(error), type="wait") from error
    except StorageError as error:
        raise StanzaError("internal-server-error", str(error), type="wait") from error


class Count:
    """Counts what becomes of the things in an element, for an `Imported`."""

    def __init__(self) -> None:
        self.kept = 0
        self.known = 0
        self._lost: list[str] = []

    def lose(self, text: str, number: int = 1) -> None:
        """So many could not be taken; the sentence has no name in it."""
        self._lost += [text] * number

    def total(self) -> Imported:
        return Imported(self.kept, self.known, tuple(self._lost))
