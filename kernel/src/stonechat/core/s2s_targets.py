"""Where a domain's server may be, as far as that was not tried for one stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stonechat.core.server_outgoing import OutgoingStream
    from stonechat.net.resolver import Target


class Targets:
    """The places of a domain in turn; and at last, if that may be, those in the clear.

    A place with which TLS did not succeed is tried once more without, where all that the
    configuration wants of the domain is a dialback: behind all places that may yet encrypt.
    """

    __slots__ = ("_clear", "is_clear", "places")

    def __init__(self) -> None:
        self.places: list[Target] | None = None
        """Those that are left; None before they are known."""
        self.is_clear = False
        """Whether what is left is for streams without TLS."""
        self._clear: list[Target] = []

    def tried(self, stream: OutgoingStream) -> None:
        """Nothing came of a stream to one of them."""
        if not self.is_clear and stream.may_do_without_tls:
            self._clear.append(stream.target)

    def settle(self) -> None:
        """One of them speaks to us: what it says is the domain's word."""
        self.places = []
        self._clear = []

    def next(self) -> bool:
        """Go on to what is left; False if there is nothing."""
        if not self.places:
            if not self._clear:
                return False
            self.places, self._clear = self._clear, []
            self.is_clear = True
        return True
