"""Requests to an account's archive: a page, its metadata, its form, and preferences."""

from __future__ import annotations

from typing import Protocol

import gevent
from gevent.lock import BoundedSemaphore

from stonechat.errors import StanzaError, StorageError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.session import Session
from stonechat.stanza import Element, Iq
from stonechat.storage import StorageFull
from stonechat_mam import answers, preferences, query
from stonechat_mam.accounts import Preference
from stonechat_mam.archive import Archive
from stonechat_mam.pages import Found
from stonechat_mam.query import NS_MAM, Query

# Searches that go on at the same time: each keeps a thread of the store busy, which
# others need.
MAX_SEARCHES = 2
SEARCH_SECONDS = 5.0

# A client that asks for pages and does not read them waits for the next one.
MAX_UNSENT = 262_144
UNSENT_SECONDS = 10.0
_LOOK_SECONDS = 0.05

# Results that are sent before others have their turn.
SENT_AT_ONCE = 64


class Limits(Protocol):
    """The options that matter here."""

    @property
    def default(self) -> Preference: ...
    @property
    def users_choose(self) -> bool: ...
    @property
    def max_listed(self) -> int: ...
    @property
    def page(self) -> int: ...
    @property
    def max_page(self) -> int: ...


class Requests:
    """Answers the requests of accounts to themselves.

    In the greenlet of the client that asks: its next stanza waits, so that nobody has more
    than one query at work, and the end of a page comes after its messages.
    """

    def __init__(self, host: Host, archive: Archive, limits: Limits) -> None:
        self._host = host
        self._archive = archive
        self._limits = limits
        self._searches = BoundedSemaphore(MAX_SEARCHES)

    def get(self, iq: Iq) -> Element:
        """What can be asked for, the state of the archive, or the preferences."""
        account, payload = _owner(iq), _payload(iq)
        if payload.name == "query":
            form = query.fields(is_searchable=self._archive.is_searchable)
            return Element(NS_MAM, "query", None, form)
        if payload.name == "metadata":
            return self.metadata(account)
        if payload.name == "prefs":
            return self._preferences(account)
        raise StanzaError("service-unavailable")

    def set(self, iq: Iq) -> Element:
        """A page of messages, or other preferences."""
        account, payload = _owner(iq), _payload(iq)
        if payload.name == "query":
            return self._page(iq, account, payload)
        if payload.name == "prefs":
            return self._prefer(account, payload)
        raise StanzaError("service-unavailable")

    # The archive

    def metadata(self, account: JID) -> Element:
        """The ends of an account's archive."""
        try:
            return answers.metadata(self._archive.ends(account.localpart))
        except StorageError as error:
            raise self._failed(error) from None

    def _page(self, iq: Iq, account: JID, payload: Element) -> Element:
        wanted = query.read(
            payload, limit=self._limits.max_page, is_searchable=self._archive.is_searchable
        )
        to = iq.from_
        assert to is not None
        session = self._host.session(to)
        if session is not None:
            _wait_until_read(session)
        found, is_stable = self._found(account.localpart, wanted)
        messages = reversed(found.messages) if wanted.flips else found.messages
        for number, message in enumerate(messages, 1):
            result = answers.result(message, wanted.id, account, to)
            if session is not None:
                session.send(result)
            else:
                self._host.route(result)
            if number % SENT_AT_ONCE == 0:
                gevent.sleep(0)
        return answers.fin(found.page, is_stable=is_stable)

    def _found(self, localpart: str, wanted: Query) -> tuple[Found, bool]:
        size = wanted.request.max
        if size is None:
            size = min(self._limits.page, self._limits.max_page)
        if not wanted.words:
            try:
                return self._archive.find(localpart, wanted, size)
            except StorageError as error:
                raise self._failed(error) from None
        if not self._searches.acquire(timeout=SEARCH_SECONDS):
            raise StanzaError("resource-constraint", "Others are searching.", type="wait")
        try:
            return self._archive.find(localpart, wanted, size)
        except StorageError as error:
            self._host.log.error("search failed", reason=str(error))
            text = "The search has taken too long; say from when on to search."
            raise StanzaError("resource-constraint", text, type="wait") from None
        finally:
            self._searches.release()

    # Preferences

    def _preferences(self, account: JID) -> Element:
        try:
            known = self._archive.accounts.find(account.localpart)
        except StorageError as error:
            raise self._failed(error) from None
        return preferences.written(known, self._limits.default)

    def _prefer(self, account: JID, payload: Element) -> Element:
        if not self._limits.users_choose:
            raise StanzaError("not-allowed", "What is archived is not for users to choose.")
        wanted = preferences.read(payload, self._limits.max_listed)
        try:
            known = self._archive.accounts.set_preferences(account.localpart, *wanted)
        except StorageError as error:
            raise self._failed(error) from None
        return preferences.written(known, self._limits.default)

    def _failed(self, error: StorageError) -> StanzaError:
        self._host.log.error("archive not available", reason=str(error))
        if isinstance(error, StorageFull):
            return StanzaError("resource-constraint", type="wait")
        return StanzaError("internal-server-error", type="wait")


def _owner(iq: Iq) -> JID:
    """The account whose archive is meant, if it is the sender's own."""
    assert iq.from_ is not None
    account = iq.from_.bare
    if iq.to is not None and iq.to != account:
        raise StanzaError("forbidden", "An archive is its owner's.")
    return account


def _payload(iq: Iq) -> Element:
    payload = iq.payload
    assert payload is not None  # or it would not have come here
    return payload


def _wait_until_read(session: Session) -> None:
    """Wait until the client has most of what was sent to it before."""
    with gevent.Timeout(UNSENT_SECONDS, False):
        while session.is_open and session.unsent > MAX_UNSENT:
            gevent.sleep(_LOOK_SECONDS)
    if session.unsent > MAX_UNSENT:
        raise StanzaError("resource-constraint", "Read what was sent before.", type="wait")
