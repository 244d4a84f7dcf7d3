"""The block command: a user lists, blocks and unblocks (XEP-0191, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, cast

from stonechat.errors import JIDError, StanzaError
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.session import Session
from stonechat.stanza import Element, Iq, new_id
from stonechat_blocking.guard import separates
from stonechat_blocking.lists import EMPTY, BlockList, Lists
from stonechat_blocking.reports import NS_BLOCKING, NS_REPORTING, Reports, read

# Under this name a session remembers that its client has asked for the list.
ASKED = "blocking"


class Commands:
    """Answers the requests of `urn:xmpp:blocking`."""

    def __init__(
        self, host: Host, lists: Lists, reports: Reports | None, *, max_items: int
    ) -> None:
        self._host = host
        self._lists = lists
        self._reports = reports
        self._max_items = max_items

    # Requests

    def get(self, iq: Iq) -> Element:
        """The list; from now on the client hears of its changes."""
        account = _owner(iq)
        if cast(Element, iq.payload).name != "blocklist":
            raise StanzaError("bad-request", "There is no such request.")
        session = self._host.session(cast(JID, iq.from_))
        if session is not None:
            # Before we look, so that no change is missed; one may come twice.
            session.data[ASKED] = True
        answer = Element(NS_BLOCKING, "blocklist")
        for jid in sorted(self.blocked(account.localpart)):
            answer.add("item", jid=jid)
        return answer

    def set(self, iq: Iq) -> None:
        """Block or unblock."""
        account = _owner(iq)
        command = cast(Element, iq.payload)
        if command.name == "block":
            self._block(account, command)
        elif command.name == "unblock":
            self._unblock(account, command)
        else:
            raise StanzaError("bad-request", "There is no such request.")

    def _block(self, account: JID, command: Element) -> None:
        items = _items(command, self._max_items)
        if not items:
            raise StanzaError("bad-request", "Whom to block has to be said.")
        self.block(account.localpart, [jid for jid, _ in items])
        if self._reports is not None:
            for jid, item in items:
                report = read(item, jid)
                if report is not None:
                    self._reports.file(account, report)
                elif item.find("report", NS_REPORTING) is not None:
                    self._host.log.info("a report without a reason was ignored", reported=jid.text)

    def _unblock(self, account: JID, command: Element) -> None:
        items = _items(command, self._max_items)
        if not items and command.elements:
            # Nothing but an empty element says that nobody is blocked any more.
            raise StanzaError("bad-request", "Whom to unblock has to be said.")
        self.unblock(account.localpart, [jid for jid, _ in items])

    # For requests and for other plugins

    def blocked(self, localpart: str) -> BlockList:
        """Whom an account has blocked, in the texts of prepared addresses."""
        privacy = self._host.service("privacy")
        if privacy is not None:
            listed: BlockList = privacy.blocked(localpart)
            return listed
        return self._lists.of(localpart)

    def block(self, localpart: str, jids: Sequence[JID]) -> None:
        """Block some; StanzaError policy-violation if these are too many."""
        push = partial(self._push, localpart, "block", [jid.text for jid in jids])
        privacy = self._host.service("privacy")
        if privacy is not None:
            privacy.block(localpart, jids, push)
            return
        with self._lists.change(localpart) as before:
            after = before | {jid.text for jid in jids}
            if len(after) > max(self._max_items, len(before)):
                raise StanzaError("policy-violation", "The block list is full.")
            self._change(localpart, before, after, push)

    def unblock(self, localpart: str, jids: Sequence[JID]) -> None:
        """Unblock some, or all where nobody is named."""
        push = partial(self._push, localpart, "unblock", [jid.text for jid in jids])
        privacy = self._host.service("privacy")
        if privacy is not None:
            privacy.unblock(localpart, jids, push)
            return
        with self._lists.change(localpart) as before:
            after = before - {jid.text for jid in jids} if jids else EMPTY
            self._change(localpart, before, after, push)

    # What follows

    def _change(
        self, localpart: str, before: BlockList, after: BlockList, push: Callable[[], None]
    ) -> None:
        if after != before:
            self._lists.save(localpart, before, after)
        push()
        if after != before:
            # Before the next change, so that nobody hears of two in the wrong order.
            self._follow(localpart, before, after)

    def changed(self, localpart: str, before: BlockList, after: BlockList) -> None:
        """A client has changed by its privacy lists who is blocked: tell the others."""
        if after - before:
            self._push(localpart, "block", sorted(after - before))
        if before - after:
            self._push(localpart, "unblock", sorted(before - after))

    def _push(self, localpart: str, name: str, jids: Iterable[str]) -> None:
        sessions = [s for s in self._host.sessions(localpart) if ASKED in s.data]
        if not sessions:
            return
        command = Element(NS_BLOCKING, name)
        for jid in jids:
            command.add("item", jid=jid)
        push = Iq(command, type="set", to=sessions[0].jid, id=new_id())
        for session in sessions:
            # Without `from` it is the account's own (RFC 6120, 8.1.2.1).
            session.send(push if session is sessions[0] else push.copy_for(session.jid))

    def _follow(self, localpart: str, before: BlockList, after: BlockList) -> None:
        """Presence goes out of sight at a block, and is back after it (3.3 and 3.4)."""
        roster: Any = self._host.service("roster")
        sessions: tuple[Session, ...] = self._host.sessions(localpart)
        if roster is None or not sessions:
            return
        account = sessions[0].jid.bare

        def was_open(other: JID, direction: str) -> bool:
            return not separates(before, account, other)

        def is_open(other: JID, direction: str) -> bool:
            return not separates(after, account, other)

        roster.follow(
            localpart,
            [(session, was_open, is_open) for session in sessions],
            [jid for text in before ^ after if (jid := _parse(text)) is not None],
        )


def _owner(iq: Iq) -> JID:
    """The account whose list is meant, if it is the sender's own."""
    account = cast(JID, iq.from_).bare
    if iq.to is not None and iq.to != account:
        # What an account that does not exist would answer (robustness rule 29).
        raise StanzaError("service-unavailable")
    return account


def _items(command: Element, most: int) -> list[tuple[JID, Element]]:
    """The addresses that a command names, with their items; StanzaError or JIDError."""
    found: dict[JID, Element] = {}
    for item in command.find_all("item"):
        if not item.get("jid"):
            raise StanzaError("bad-request", "An item names an address.")
        found.setdefault(JID.parse(item.get("jid")), item)
        if len(found) > most:
            raise StanzaError("policy-violation", "These are too many addresses.")
    return list(found.items())


def _parse(text: str) -> JID | None:
    # An address may outlive the Unicode version that allowed it.
    try:
        return JID.parse(text)
    except JIDError:
        return None
