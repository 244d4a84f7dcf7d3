"""Devices to be woken: what each is to be told, when, and what comes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host, Timer
from stonechat.jid import JID
from stonechat_push.notification import Summary, notification
from stonechat_push.registrations import Registration, Registrations
from stonechat_push.worth import News

if TYPE_CHECKING:
    from stonechat_push import Options

# Of all app servers together; further notifications wait in line.
MAX_AT_ONCE = 100

ANSWER_SECONDS = 30.0
FIRST_RETRY_SECONDS = 15.0
LAST_RETRY_SECONDS = 3600.0

# Besides errors of type wait: the way to the app server is broken, or the server itself.
_TEMPORARY = frozenset(
    {
        "internal-server-error",
        "recipient-unavailable",
        "remote-server-not-found",
        "remote-server-timeout",
        "resource-constraint",
        "service-unavailable",
    }
)


class _Device:
    """One registration at work.

    It is idle, at work (in line, or an answer is due), or it rests: until the next
    notification may be sent, or until one that failed is tried again.
    """

    __slots__ = (
        "failures",
        "is_at_work",
        "is_due",
        "is_gone",
        "localpart",
        "registration",
        "summary",
        "timer",
    )

    def __init__(self, localpart: str, registration: Registration) -> None:
        self.localpart = localpart
        self.registration = registration
        self.summary = Summary()
        self.is_due = False  # there is something that the app server does not know yet
        self.is_at_work = False
        self.is_gone = False
        self.timer: Timer | None = None
        self.failures = 0  # in a row

    @property
    def is_idle(self) -> bool:
        return not self.is_at_work and self.timer is None

    def add(self, news: News) -> None:
        if news.is_again and self.summary.tells_of(news.key):
            return
        self.is_due = True
        self.summary.add(news)


class Devices:
    """The devices of one host of which something is known."""

    def __init__(self, host: Host, registrations: Registrations, options: Options) -> None:
        self._host = host
        self._registrations = registrations
        self._options = options
        self._devices: dict[str, dict[str, _Device]] = {}
        # In the order in which they fell idle: the first ones are forgotten first.
        self._idle: dict[_Device, None] = {}
        self._count = 0
        self._at_work = 0
        self._line: deque[_Device] = deque()  # each at most once

    # What happens

    def tell(self, localpart: str, registration: Registration, news: News) -> None:
        """There is news for a device; its app server hears of it soon. Never blocks."""
        device = self._devices.get(localpart, {}).get(registration.digest)
        if device is None:
            if not self._make_room():
                self._host.log.warning("too many devices to be notified", localpart=localpart)
                return
            device = _Device(localpart, registration)
            self._devices.setdefault(localpart, {})[registration.digest] = device
            self._count += 1
        device.add(news)
        if device.is_idle:
            self._idle.pop(device, None)
            self._start(device)

    def reached(self, localpart: str, resource: str) -> None:
        """A client is there, and will see for itself."""
        for device in self._devices.get(localpart, {}).values():
            if device.registration.resource == resource:
                device.is_due = False
                device.summary = Summary()

    def enabled(self, localpart: str, registration: Registration) -> None:
        """A client has enabled a registration, or has done so again."""
        device = self._devices.get(localpart, {}).get(registration.digest)
        if device is not None:
            device.registration = registration
            device.failures = 0
            device.is_due = False
            device.summary = Summary()

    def forget(self, localpart: str, goes: Callable[[Registration], bool]) -> None:
        """Registrations of an account are given up."""
        for device in list(self._devices.get(localpart, {}).values()):
            if goes(device.registration):
                self._drop(device)

    def failures(self, localpart: str, registration: Registration) -> int:
        """How many notifications have failed in a row."""
        device = self._devices.get(localpart, {}).get(registration.digest)
        return device.failures if device is not None else 0

    # The life of a device

    def _make_room(self) -> bool:
        if self._count >= self._options.max_devices:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return False
            self._drop(oldest)
        return True

    def _drop(self, device: _Device) -> None:
        device.is_gone = True
        device.is_due = False
        if device.timer is not None:
            device.timer.cancel()
            device.timer = None
        self._idle.pop(device, None)
        of_account = self._devices[device.localpart]
        del of_account[device.registration.digest]
        if not of_account:
            del self._devices[device.localpart]
        self._count -= 1

    def _start(self, device: _Device) -> None:
        device.is_at_work = True
        self._line.append(device)
        self._fill()

    def _fill(self) -> None:
        while self._line and self._at_work < MAX_AT_ONCE:
            self._at_work += 1
            self._host.spawn(self._work, self._line.popleft())

    def _work(self, device: _Device) -> None:
        pause = 0.0
        try:
            if device.is_due:
                pause = self._publish(device)
        finally:
            self._at_work -= 1
            device.is_at_work = False
            if not device.is_gone and not pause:
                self._idle[device] = None
        if not device.is_gone and pause:
            device.timer = self._host.call_later(pause, self._rested, device)
        self._fill()

    def _rested(self, device: _Device) -> None:
        device.timer = None
        if device.is_due:
            self._start(device)
        else:
            self._idle[device] = None

    # Publishing

    def _publish(self, device: _Device) -> float:
        """Tell the app server; returns how long the device rests afterwards."""
        requests = self._requests(device.localpart)
        if not device.is_due:
            return 0.0  # the client has come meanwhile, or wants no more of it
        account = JID.make(device.localpart, self._host.name)
        registration, summary = device.registration, device.summary
        device.is_due = False
        summary.requests = requests
        iq = notification(account, registration, summary, self._options)
        try:
            self._host.ask(iq, ANSWER_SECONDS)
        except StanzaError as error:
            if not device.is_gone and device.registration is registration:
                return self._failed(device, summary, error)
        else:
            device.failures = 0
        return self._options.interval

    def _requests(self, localpart: str) -> int | None:
        roster: Any = self._host.service("roster")
        if roster is None or not self._options.subscription_requests:
            return None
        try:
            return len(roster.requests(localpart))
        except StanzaError:
            return None  # the roster plugin has logged why

    def _failed(self, device: _Device, summary: Summary, error: StanzaError) -> float:
        """Try again later, or give the registration up ("Publish Errors")."""
        device.failures += 1
        is_temporary = error.type == "wait" or error.condition in _TEMPORARY
        if is_temporary and device.failures < self._options.max_failures:
            if device.summary is summary:
                # Or else the client has come meanwhile.
                device.is_due = True
            return min(FIRST_RETRY_SECONDS * 2 ** (device.failures - 1), LAST_RETRY_SECONDS)
        registration = device.registration
        self._host.log.info(
            "push registration given up",
            localpart=device.localpart,
            service=registration.service,
            condition=error.condition,
        )
        try:
            self._registrations.give_up(device.localpart, registration)
        except StorageError as failure:
            # It is refused again at the next message, and then given up.
            self._host.log.error("push registration not given up", reason=str(failure))
        if not device.is_gone and device.registration is registration:
            # Not before: what came meanwhile would have made another device of it.
            self._drop(device)
        return self._options.interval
