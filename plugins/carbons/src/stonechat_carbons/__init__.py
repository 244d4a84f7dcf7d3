"""Message Carbons (XEP-0280): every device of a user sees both sides of every conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stonechat.errors import StanzaError
from stonechat.host import Host
from stonechat.iq import IqHandler
from stonechat.jid import JID
from stonechat.namespaces import NS_CARBONS
from stonechat.options import ByteSize, PluginOptions, option
from stonechat.plugin import Stage, concerns, hookimpl, stage
from stonechat.session import InlineFeature, Session
from stonechat.stanza import Element, Iq, Message, Presence
from stonechat_carbons import rooms
from stonechat_carbons.accounts import Account, key_of, received_key, sent_key
from stonechat_carbons.backlogs import Backlogs
from stonechat_carbons.copies import wrap
from stonechat_carbons.ends import Ends
from stonechat_carbons.rules import COPIES, is_eligible, is_from_room

__all__ = ["Options", "Plugin"]

NS_RULES = "urn:xmpp:carbons:rules:0"

_FOR_ITSELF = "Each client enables carbons for itself only."

# In the data of a session that has enabled copies.
_ENABLED = "carbons-enabled"


class Options(PluginOptions):
    """How much waits for a client that reads too slowly; beyond that its stream ends."""

    max_waiting: int = option(500, "Copies that wait for one client.", ge=1, le=100_000)
    max_waiting_bytes: ByteSize = option("256 KiB", "Size of them.", ge=1024)


class Plugin:
    """Copies what the clients of an account send and receive to its others that want it."""

    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        # Accounts with a session that has enabled copies.
        self.accounts: dict[str, Account] = {}
        self.backlogs = Backlogs(host, options.max_waiting, options.max_waiting_bytes)
        self.ends = Ends(host, self.accounts)

    def start(self) -> None:
        # After a reload: clients enable copies once, and hear nothing of us.
        for session in self.host.all_sessions():
            if _ENABLED in session.data:
                self.enable(session)

    def stop(self) -> None:
        self.backlogs.hand_over_all()

    # Enabling and disabling

    @hookimpl
    def stonechat_disco_features(self) -> Sequence[str]:
        return [NS_CARBONS, NS_RULES]

    @hookimpl
    def stonechat_account_iq_handlers(self) -> Mapping[tuple[str, str], IqHandler]:
        return {("set", NS_CARBONS): self.switch}

    @hookimpl
    def stonechat_bind2_features(self) -> Sequence[InlineFeature[Session]]:
        return [InlineFeature(NS_CARBONS, "enable", _offered, self.enable_inline)]

    def switch(self, iq: Iq) -> None:
        """A client enables or disables copies for itself."""
        sender, payload = iq.from_, iq.payload
        assert sender is not None
        assert payload is not None
        session = self.host.session(sender)
        if session is None:
            raise StanzaError("not-allowed", _FOR_ITSELF)
        if payload.name == "enable":
            self.enable(session)
        elif payload.name == "disable":
            self.disable(session)
        else:
            raise StanzaError("bad-request", "Carbons are enabled or disabled.")

    @hookimpl
    @concerns(f"{NS_CARBONS} enable", f"{NS_CARBONS} disable")
    def stonechat_iq_to_user(self, iq: Iq) -> None:
        if not iq.is_request:
            return
        to, sender = iq.to, iq.from_
        assert to is not None
        assert sender is not None
        # Said before anybody looks whether there is such an account: the answer is the same
        # where there is none (robustness rule 29).
        if to.is_bare and sender.bare != to:
            raise StanzaError("not-allowed", _FOR_ITSELF)

    def enable_inline(self, session: Session, element: Element) -> None:
        self.enable(session)

    def enable(self, session: Session) -> None:
        """Give a session copies from now on."""
        account = self.accounts.setdefault(session.jid.localpart, Account())
        account.sessions.setdefault(session, self.host.now())
        session.data[_ENABLED] = True

    def disable(self, session: Session) -> None:
        """Give a session no copies any more."""
        session.data.pop(_ENABLED, None)
        account = self.accounts.get(session.jid.localpart)
        if account is not None:
            account.sessions.pop(session, None)
            if not account.sessions:
                del self.accounts[session.jid.localpart]

    # Forgeries

    @hookimpl
    @stage(Stage.GUARD)
    @concerns(*COPIES)
    def stonechat_message_to_user(self, message: Message) -> None:
        # Ours do not come this way: it is a forgery ("Security Considerations").
        if message.type != "error":
            raise StanzaError("forbidden", "Carbon copies come from one's own server only.")
        # In an error it is what came back, to whoever tried, or to us from a client.
        with message.edit() as tree:
            for child in tree.elements:
                if child.qualified_name in COPIES:
                    tree.remove(child)

    # What an account sends

    @hookimpl
    @stage(Stage.COPY)
    def stonechat_message_from_user(self, session: Session, message: Message) -> None:
        account = self.accounts.get(session.jid.localpart)
        if account is None or (len(account.sessions) == 1 and session in account.sessions):
            return
        own, to = session.jid, message.to
        if to is None or (to.localpart == own.localpart and to.domain == own.domain):
            return  # copied where it arrives, when it is known who has it already
        is_error = message.type == "error"
        if is_error:
            if account.noted(received_key(to, message.id)) is None:
                return
        elif not is_eligible(message):
            return
        others: Sequence[Session] = [other for other in account.sessions if other is not session]
        if to.resource:
            others = _in_the_room(others, session, to.bare, message)
        if not others:
            return
        if not is_error:
            account.note(sent_key(to, message.id), self.host.now())
        archive: Any = self.host.service("mam")
        archive_id = archive.sent_id(session) if archive is not None else ""
        self.backlogs.send(wrap(message, "sent", own.bare, archive_id), others)

    # What an account receives

    @hookimpl
    def stonechat_message_delivered(self, message: Message, sessions: Sequence[Session]) -> None:
        assert message.to is not None
        account = self.accounts.get(message.to.localpart)
        if account is None:
            return
        if len(account.sessions) == len(sessions) == 1 and sessions[0] in account.sessions:
            return
        others = [session for session in account.sessions if session not in sessions]
        self.copy_received(account, message, sessions, others)

    # Before who keeps it: that answers the question.
    @hookimpl(tryfirst=True)
    def stonechat_message_undelivered(self, message: Message) -> None:
        assert message.to is not None
        account = self.accounts.get(message.to.localpart)
        if account is None:
            return
        # The others read too slowly just now, and get what is kept.
        away = [
            session
            for session in account.sessions
            if session.presence is None or session.priority < 0
        ]
        self.copy_received(account, message, (), away)

    def copy_received(
        self,
        account: Account,
        message: Message,
        had: Sequence[Session],
        others: Sequence[Session],
    ) -> None:
        """Copy a message to others than those who had it, if it is one to copy."""
        sender, to = message.from_, message.to
        assert sender is not None
        assert to is not None
        if message.type == "error":
            if account.noted(sent_key(sender, message.id)) is None:
                return
        elif not is_eligible(message):
            return
        is_own = sender.bare == to.bare
        if is_own:
            others = [session for session in others if session.jid != sender]
        elif sender.resource and (
            is_from_room(message) or any(rooms.nick(session, sender.bare) for session in had)
        ):
            return  # the room sends it to all who are there
        if message.type != "error":
            account.note(key_of(message), self.host.now())
        if others:
            # What one has said to oneself was sent, and is seen once.
            self.backlogs.send(wrap(message, "sent" if is_own else "received", to.bare), others)

    @hookimpl
    def stonechat_message_unhandled(
        self, session: Session | None, message: Message
    ) -> bool | None:
        return self.ends.unhandled(session, message) or None

    # Rooms

    @hookimpl
    @stage(Stage.COPY)
    def stonechat_presence_from_user(self, session: Session, presence: Presence) -> None:
        rooms.follow(session, presence)

    @hookimpl
    def stonechat_presence_changed(
        self, session: Session, presence: Presence, previous: Presence | None
    ) -> None:
        if presence.type:
            rooms.leave(session)

    # Sessions go on, and end

    @hookimpl
    def stonechat_session_state(self, session: Session) -> Mapping[str, object]:
        account = self.accounts.get(session.jid.localpart)
        is_enabled = account is not None and session in account.sessions
        if is_enabled:
            self.backlogs.hand_over(session)
        return {"carbons": {"enabled": is_enabled, "rooms": dict(rooms.rooms_of(session))}}

    @hookimpl
    def stonechat_session_restored(self, session: Session, state: Mapping[str, Any]) -> None:
        if kept := state.get("carbons"):
            rooms.restore(session, kept["rooms"])
            if kept["enabled"]:
                self.enable(session)

    # Last: who keeps the session over a restart asks for its state before.
    @hookimpl(trylast=True)
    def stonechat_session_ending(self, session: Session) -> None:
        self.disable(session)
        if left := self.backlogs.take(session):
            self.host.spawn(self.give_back, session, left)

    def give_back(self, session: Session, copies: Sequence[Message]) -> None:
        for copy in copies:
            self.ends.unhandled(session, copy)


def _offered(stream: object) -> Element:
    return Element(NS_CARBONS, "enable")


def _in_the_room(
    others: Sequence[Session], session: Session, room: JID, message: Message
) -> Sequence[Session]:
    """Those who share the sender's name in a room, if the message is a private one there."""
    nick = rooms.nick(session, room)
    if nick:
        return [other for other in others if rooms.nick(other, room) == nick]
    if is_from_room(message):
        # It has entered in a way that we have not seen.
        return [other for other in others if rooms.nick(other, room)]
    return others
