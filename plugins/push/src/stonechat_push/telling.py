"""Who is told of something: which of an account's devices it is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stonechat.errors import StorageError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat_push.devices import Devices
from stonechat_push.registrations import Registration, Registrations
from stonechat_push.worth import News

__all__ = ["Occasion", "Telling"]

# Accounts whose registrations are being looked up, and of one of them what is to be said then.
MAX_LOOKING = 1000
MAX_NEWS = 100

# After the store has failed.
RETRY_SECONDS = 10.0

Occasion = Literal["waits", "kept", "delivered"]
"""It waits for a session, it found none, or other sessions have got it."""


class Telling:
    """Finds the registrations of accounts, and hands news on to the devices."""

    def __init__(self, host: Host, registrations: Registrations, devices: Devices) -> None:
        self._host = host
        self._registrations = registrations
        self._devices = devices
        self.looking: dict[str, list[tuple[Occasion, str, News]]] = {}
        """By account: what is to be said once its registrations are known."""

    def tell(self, localpart: str, occasion: Occasion, resource: str, news: News) -> None:
        """Tell the devices of an account, of one resource where it waits there. Never blocks."""
        known = self._registrations.known(localpart)
        if known is not None:
            self._choose(localpart, known, occasion, resource, news)
            return
        waiting = self.looking.get(localpart)
        if waiting is None:
            if len(self.looking) >= MAX_LOOKING:
                self._host.log.warning("too many accounts to be looked up", localpart=localpart)
                return
            waiting = self.looking[localpart] = []
            self._host.spawn(self._look_up, localpart)
        if len(waiting) < MAX_NEWS:
            waiting.append((occasion, resource, news))

    def _look_up(self, localpart: str) -> None:
        try:
            found = self._registrations.of(localpart)
        except StorageError as error:
            self._host.log.error("push registrations not available", reason=str(error))
            self._host.call_later(RETRY_SECONDS, self._look_up, localpart)
            return
        except BaseException:
            del self.looking[localpart]
            raise
        for occasion, resource, news in self.looking.pop(localpart):
            self._choose(localpart, found, occasion, resource, news)

    def _choose(
        self,
        localpart: str,
        registrations: Sequence[Registration],
        occasion: Occasion,
        resource: str,
        news: News,
    ) -> None:
        if not registrations:
            return
        account = JID.make(localpart, self._host.name)
        for registration in registrations:
            session = self._host.session(account.with_resource(registration.resource))
            if occasion == "waits":
                is_meant = registration.resource == resource
            elif occasion == "kept":
                is_meant = session is None or not session.is_connected
            else:
                # Who has a session gets what is meant for it, a copy among that.
                is_meant = session is None
            if is_meant:
                self._devices.tell(localpart, registration, news)
