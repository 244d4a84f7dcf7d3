"""Full text search (XEP-0431): what can be searched of a message, and what is searched for.

Both are folded the same way, so that databases need not agree on what a capital letter is.
"""

from __future__ import annotations

import re
import unicodedata
from html import unescape

from sqlalchemy import ColumnElement

from stonechat.namespaces import NS_CLIENT
from stonechat.stanza import Message, Stanza
from stonechat.storage import LIKE_ESCAPE, escape_like
from stonechat_mam.tables import MESSAGES

NS_FULLTEXT = "urn:xmpp:fulltext:0"
FIELD = f"{{{NS_FULLTEXT}}}fulltext"

# Of a longer text only the beginning is searched.
MAX_CHARACTERS = 10_000
MAX_WORDS = 10
MAX_QUERY = 1000
_PIECE = 1000

# Without a tree: bodies hold text only. What forwarded messages say is found as well.
_BODY = re.compile(rb"<body(?:\s[^>]*)?>([^<]+)</body>")
_HAS_BODY = f"{NS_CLIENT} body"
_WORD = re.compile(r"[^\W_]+")

# Scripts that put no spaces between words: Thai and its neighbours, and those of China
# and Japan. An index by words cannot find a word in them.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def text_of(message: Message, octets: bytes) -> str | None:
    """What can be searched of a message; None if it says nothing."""
    if _HAS_BODY not in message.children:
        return None
    found = _BODY.findall(octets)
    if found and b"<![CDATA[" not in octets:
        text = b"\n".join(found).decode()
        if "&" in text:
            text = unescape(text)
    else:
        tree = Stanza.from_bytes(octets).element
        text = "\n".join(body.text for body in tree.find_all("body"))
    return folded(text[:MAX_CHARACTERS]) or None


def folded(text: str) -> str:
    """A text without the differences that searching overlooks."""
    if text.isascii():
        return text.lower()
    # In pieces: to put marks above and below letters into their order costs time by the
    # square of how many there are.
    pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    return "".join(
        unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", piece).casefold())
        for piece in pieces
    )


def words_of(query: str) -> tuple[str, ...]:
    """The words that are looked for, all of which must be there; none for an empty query."""
    text = folded(query[:MAX_QUERY]).strip()
    # Who looks for nothing but signs means these signs.
    words = _WORD.findall(text) or ([text] if text else [])
    return tuple(dict.fromkeys(words))[:MAX_WORDS]


def can_be_indexed(words: tuple[str, ...]) -> bool:
    """Whether an index by words finds these."""
    return all(_WORD.fullmatch(word) and not _UNSPACED.search(word) for word in words)


def conditions(words: tuple[str, ...]) -> list[ColumnElement[bool]]:
    """The search without an index: each word somewhere in the text."""
    return [MESSAGES.c.text.like(f"%{escape_like(word)}%", escape=LIKE_ESCAPE) for word in words]
