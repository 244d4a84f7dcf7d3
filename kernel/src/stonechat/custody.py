"""Custody: who still answers for a stanza, and who is told when nobody needs to any more.

With stream management (XEP-0198) a client hears `<a/>` for what it sent only once that
is safe: handed to a client that said so, or committed to the database. Whoever has
something left to do for a stanza holds it meanwhile:

    release = message.hold()
    self.archive.add(row, done=release)

Without stream management nobody waits, and holding costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable


class Custody:
    """Counts who holds one stanza.

    `freed` is called when the last one lets go. Where `lost` is given, whoever sent the
    stanza has it still: one who cannot deliver it need not store it, but calls `lose`.
    """

    __slots__ = (
        "_freed",
        "_holds",
        "_hurries",
        "_lost",
        "bearers",
        "has_arrived",
        "is_hurried",
    )

    def __init__(
        self,
        freed: Callable[[], None] | None = None,
        lost: Callable[[], None] | None = None,
    ) -> None:
        self.has_arrived = False
        """Whether some client has acknowledged it, or somebody new has taken it on.

        Of several clients that were given it none needs it again then.
        """
        self.bearers = 0
        """Sessions that were given it and may still hear that it has arrived."""
        self._freed = freed
        self._lost = lost
        self._holds = 0
        self.is_hurried = False
        """Whether the sender has asked (`<r/>`)."""
        self._hurries: list[Callable[[], None]] | None = None

    @property
    def is_held(self) -> bool:
        return self._holds > 0

    @property
    def is_kept(self) -> bool:
        """Whether the sender keeps the stanza until it is freed."""
        return self._lost is not None

    def hold(self, hurry: Callable[[], None] | None = None) -> None:
        """One more answers for the stanza; `hurry` is called when the sender asks (`<r/>`)."""
        self._holds += 1
        if hurry is not None:
            if self.is_hurried:
                hurry()
            elif self._hurries is None:
                self._hurries = [hurry]
            else:
                self._hurries.append(hurry)

    def release(self) -> None:
        """One fewer does."""
        self._holds -= 1
        if not self._holds:
            self._hurries = None
            if self._freed is not None:
                self._freed()

    def hurry(self) -> None:
        """The sender wants to know: whoever waits for company should wait no longer."""
        self.is_hurried = True
        hurries, self._hurries = self._hurries, None
        for hurry in hurries or ():
            hurry()

    def lose(self) -> None:
        """It could not be delivered; its sender, who keeps it, takes it back."""
        if self._lost is not None:
            self._lost()


class Release:
    """Lets go of a stanza: once, however often it is called."""

    __slots__ = ("_custody",)

    def __init__(self, custody: Custody | None) -> None:
        self._custody = custody

    def __call__(self, *_: object) -> None:
        custody, self._custody = self._custody, None
        if custody is not None:
            custody.release()
