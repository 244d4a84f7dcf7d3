"""The nearest right spelling of a word that somebody got wrong."""

from __future__ import annotations

from collections.abc import Iterable

# Comparing is quadratic in the length, and nobody misspells a word this long.
_LONGEST_WORD = 64


def nearest(word: str, words: Iterable[str]) -> str:
    """The one of `words` that `word` was probably meant to be, or "" if none is near.

    Case does not count, and neither does a hyphen in place of an underscore.
    """
    from difflib import get_close_matches

    if len(word) > _LONGEST_WORD:
        return ""
    spellings = {_plain(right): right for right in words}
    # Two letters in the wrong order already make half of a short word wrong: "lpad".
    cutoff = 0.5 if len(word) < 6 else 0.6
    found = get_close_matches(_plain(word), spellings, n=1, cutoff=cutoff)
    return spellings[found[0]] if found else ""


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: a suggestion, or ""."""
    right = nearest(word, words)
    return f'; did you mean "{right}"?' if right else ""


def _plain(word: str) -> str:
    return word.casefold().replace("-", "_")
