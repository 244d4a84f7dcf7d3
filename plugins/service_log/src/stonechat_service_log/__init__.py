"""Service log: copies of all messages of a host's users go to those who keep the log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from stonechat import hookimpl
from stonechat.custody import Custody
from stonechat.host import Host
from stonechat.jid import JID
from stonechat.namespaces import NS_CLIENT, NS_DELAY, NS_FORWARD
from stonechat.options import REQUIRED, Domain, PluginOptions, Written, option
from stonechat.plugin import Stage, stage
from stonechat.session import Session
from stonechat.stanza import Element, Message, Stanza, new_id
from stonechat.timestamps import written

Kind = Literal["chat", "groupchat", "headline", "normal", "error"]

# That somebody does not take the copies is said so often at most.
WARNING_SECONDS = 60.0


def _parse(value: object) -> JID:
    if isinstance(value, JID):
        return value
    if not isinstance(value, str):
        raise ValueError("must be an address such as log@capulet.example")
    return JID.parse(value)


Address = Annotated[
    JID,
    PlainValidator(_parse),
    PlainSerializer(str),
    WithJsonSchema({"type": "string"}),
    Written("JID"),
]


class Options(PluginOptions):
    to: tuple[Address, ...] = option(
        REQUIRED, "Who gets the copies: accounts, clients, or services.", min_length=1
    )
    types: tuple[Kind, ...] = option(
        ("chat", "groupchat", "headline", "normal"), "Types of messages that are copied."
    )
    hosts: tuple[Domain, ...] = option(
        (), "Only messages to and from these domains are copied; without any, all are."
    )


class Plugin:
    Options = Options

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.to = options.to
        self.types = frozenset(options.types)
        self.hosts = frozenset(options.hosts)
        self.warned: dict[JID, float] = {}  # by whom, of those in the options

    @hookimpl
    @stage(Stage.COPY)
    def stonechat_message_from_user(self, session: Session, message: Message) -> None:
        # Without a recipient it is for the sender's own account (RFC 6120, 10.3.1).
        self.copy(message, message.to or session.jid.bare)

    @hookimpl
    @stage(Stage.COPY)
    def stonechat_message_to_user(self, message: Message) -> None:
        sender = message.from_
        if sender is None or message.to is None:
            return
        if sender.localpart and sender.domain == self.host.name:
            return  # one of our users, whose message was copied as it was sent
        if not sender.localpart and message.has(NS_FORWARD, "forwarded"):
            # A copy: ours, or that of another server that keeps its log with our users. No
            # user can write such a one, and two such servers would never come to an end.
            return
        self.copy(message, sender)

    def copy(self, message: Message, peer: JID) -> None:
        """Send the copies of a message that one of our users exchanges with somebody."""
        if message.type not in self.types or (self.hosts and peer.domain not in self.hosts):
            return
        forwarded = self.forwarded(message)
        for address in self.to:
            copy = Message(forwarded, to=address, from_=self.host.jid, id=new_id())
            self.send(copy, message)

    def send(self, copy: Message, message: Message) -> None:
        """Send a copy; the sender hears that the message is safe once the copy is, too."""
        # Not the custody of the message: whoever gets a copy has not got that.
        custody = copy.custody = Custody(lambda: release())
        release = message.hold(custody.hurry)
        sent = copy.hold()
        try:
            self.host.route(copy)
        finally:
            sent()

    def forwarded(self, message: Message) -> Element:
        """The message as XEP-0297 wraps it, with the time when it passed."""
        stamp = written(self.host.now())
        attributes = {"from": message.attributes["from"], **message.attributes}
        if message.to is None:
            attributes["to"] = JID.parse(message.attributes["from"]).bare.text
        inner = Element(NS_CLIENT, "message", attributes, *message.element.children)
        delay = Element(NS_DELAY, "delay", {"stamp": stamp})
        return Element(NS_FORWARD, "forwarded", None, delay, inner).freeze()

    @hookimpl
    def stonechat_stanza_to_host(self, stanza: Stanza) -> bool | None:
        """The operator hears that somebody does not take the copies."""
        if not isinstance(stanza, Message) or stanza.type != "error" or stanza.from_ is None:
            return None
        sender = stanza.from_
        if stanza.to != self.host.jid or sender not in self.to:
            return None
        now = self.host.monotonic()
        if now >= self.warned.get(sender, now):
            self.warned[sender] = now + WARNING_SECONDS
            error = stanza.find(NS_CLIENT, "error")
            condition = error.first() if error is not None else None
            self.host.log.warning(
                "copies are not taken",
                by=sender.text,
                reason=condition.name if condition is not None else "",
            )
        return True
