"""While nobody answers, nobody waits: calls fail at once, and one in a second tries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stonechat_ldap.entry import LdapUnavailable, NoServer

PAUSE_SECONDS = 1.0

# Who tries, and does not come back, keeps the others waiting for so long.
PROBE_SECONDS = 5.0


class Outage:
    """Robustness promises R5 and R6, for plugins: they have no breaker of the kernel's."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._until: float | None = None
        self._reason = ""

    def check(self) -> bool:
        """LdapUnavailable while it lasts; True for the one who is to try."""
        if self._until is None:
            return False
        now = self._now()
        if now < self._until:
            raise LdapUnavailable(self._reason)
        self._until = now + PROBE_SECONDS
        return True

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Around a call: it is not made while nobody answers, and tells whether anybody does."""
        is_probe = self.check()
        try:
            yield
        except NoServer as error:
            self._reason = str(error)
            self._until = self._now() + PAUSE_SECONDS
            raise
        except BaseException:
            if is_probe:
                self._until = None
            raise
        self._until = None
