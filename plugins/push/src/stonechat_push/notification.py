"""The notification itself: an item for a node of the app server (XEP-0357, section 7)."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stonechat.forms import Field, Form
from stonechat.jid import JID
from stonechat.stanza import Element, Iq
from stonechat.xml import parse
from stonechat_push.registrations import Registration
from stonechat_push.worth import News

if TYPE_CHECKING:
    from stonechat_push import Options

NS_PUSH = "urn:xmpp:push:0"
NS_PUBSUB = "http://jabber.org/protocol/pubsub"
PUBLISH_OPTIONS = f"{NS_PUBSUB}#publish-options"
SUMMARY = "urn:xmpp:push:summary"

# Messages of one device that are known again when they come once more.
MAX_KEYS = 100


@dataclass(slots=True)
class Summary:
    """What an app server may be told."""

    messages: int = 0
    """Messages since the device was last there."""
    sender: str = ""
    body: str = ""
    requests: int | None = None
    """Subscription requests that wait; None where that is not known."""
    _keys: array[int] = field(default_factory=lambda: array("q"), repr=False)

    def add(self, news: News) -> None:
        """Something more has come."""
        if news.key and len(self._keys) < MAX_KEYS:
            self._keys.append(news.key)
        if news.is_message:
            self.messages += 1
            self.sender, self.body = news.sender, news.body

    def tells_of(self, key: int) -> bool:
        """Whether the message of that key is among what has come."""
        return key in self._keys


def notification(
    account: JID, registration: Registration, summary: Summary, options: Options
) -> Iq:
    """The request that tells an app server of what has come."""
    pubsub = Element(NS_PUBSUB, "pubsub")
    publish = pubsub.add("publish")
    if registration.node:
        publish.set("node", registration.node)
    wrapper = publish.add("item").add("notification", namespace=NS_PUSH)
    wrapper.append(Form("submit", SUMMARY, fields=_fields(summary, options)).to_element())
    if registration.form is not None:
        pubsub.add("publish-options").append(parse(registration.form))
    return Iq(pubsub, type="set", from_=account, to=JID.parse(registration.service))


def _fields(summary: Summary, options: Options) -> list[Field]:
    fields = []
    if options.message_count:
        fields.append(Field("message-count", values=str(summary.messages)))
    if options.subscription_requests and summary.requests is not None:
        fields.append(Field("pending-subscription-count", values=str(summary.requests)))
    if options.last_sender and summary.sender:
        fields.append(Field("last-message-sender", "jid-single", values=summary.sender))
    if options.last_body and summary.body:
        fields.append(Field("last-message-body", values=summary.body))
    return fields
