"""Traffic shaping: how long to leave a socket unread after it sent too fast."""

from __future__ import annotations


class Shaper:
    """A token bucket of octets, for one connection.

    What was read is read: it is always taken, and the debt is paid by a pause. So the
    rate holds over time whatever the size of one read.
    """

    __slots__ = ("_burst", "_level", "_rate", "_then")

    def __init__(self, rate_bytes_per_second: float, burst: float) -> None:
        if rate_bytes_per_second <= 0 or burst < 0:
            raise ValueError("a rate is above nought, and a burst not below it")
        self._rate = rate_bytes_per_second
        self._burst = burst
        self._level = burst
        self._then = 0.0

    def consume(self, count: int, now: float) -> float:
        """Take `count` octets at `now` on a monotonic clock.

        Returns the seconds to leave the socket unread; 0 means go on.
        """
        # Two clock readings may come in the wrong order; time still does not run back.
        if now > self._then:
            self._level = min(self._burst, self._level + (now - self._then) * self._rate)
            self._then = now
        self._level -= count
        return 0.0 if self._level >= 0 else -self._level / self._rate
