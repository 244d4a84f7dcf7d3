"""Every hook of Stonechat, in the order a stanza meets them. The docstrings are contracts.

Four kinds, by decorator:

*collects*: called when a host's plugins change; all answers are joined.
*filters*: called for a stanza on its way. None lets it go on; `HANDLED` says
    that it is now in the plugin's care, so that nobody else sees it; a
    `StanzaError` refuses it, and is what the sender gets. Any other exception
    refuses it too (internal-server-error): a filter fails closed.
*first_answer*: plugins are asked in turn until one answers other than None.
*notices*: told after the fact; answers are ignored, errors are logged.

Order between plugins is `@hookimpl(tryfirst=True)` or `trylast=True`. A filter
that cares about certain payloads only says so with `@concerns`, and then
costs other stanzas nothing. All but the collecting hooks may block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pluggy import HookspecMarker

if TYPE_CHECKING:
    from stonechat.host import Session, UnboundStream
    from stonechat.iq import IqHandler
    from stonechat.jid import JID
    from stonechat.stanza import Element, Iq, Message, Presence, Stanza

hookspec = HookspecMarker("stonechat")

Kind = Literal["collects", "filters", "first_answer", "notices"]
KINDS: dict[str, Kind] = {}
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Handled:
    """The type of `HANDLED`: a filter's word that it took the stanza over."""

    def __repr__(self) -> str:
        return "HANDLED"


HANDLED = Handled()


def _kind(kind: Kind) -> Callable[[_Function], _Function]:
    def mark(function: _Function) -> _Function:
        KINDS[function.__name__] = kind
        return hookspec(function, firstresult=kind == "first_answer")

    return mark


collects = _kind("collects")
filters = _kind("filters")
first_answer = _kind("first_answer")
notices = _kind("notices")


# What a host offers


@collects
def stonechat_iq_handlers() -> Mapping[tuple[str, str], IqHandler]:  # type: ignore[empty-body]
    """Handlers for requests to the host itself: `{(type, namespace): handler}`.

    See `stonechat.iq` for what a handler is and how it may be queued. Two
    plugins that name the same pair are a fault of the second.

    Since 0.1.
    """


@collects
def stonechat_account_iq_handlers() -> Mapping[tuple[str, str], IqHandler]:  # type: ignore[empty-body]
    """Handlers for requests to an account's bare JID, which the server answers for it.

    Called for existing accounts only (RFC 6121, 8.5.1 and 8.5.2.1.3); a
    user's request without a `to` comes here too (RFC 6120, 10.3.3).

    Since 0.1.
    """


@collects
def stonechat_unauthenticated_iq_handlers() -> Mapping[  # type: ignore[empty-body]
    tuple[str, str], Callable[[UnboundStream, Iq], Element | None]
]:
    """Handlers for requests on a stream that has not authenticated: `(stream, iq)`.

    Return the payload of the result or None for an empty one, or raise
    StanzaError. Without a handler such a request ends the stream with
    not-authorized (RFC 6120, 4.9.3.12).

    Since 0.1.
    """


@collects
def stonechat_disco_features() -> Sequence[str]:  # type: ignore[empty-body]
    """Features (namespaces) that the host has, for XEP-0030.

    The namespaces of registered IQ handlers are not added by themselves.

    Since 0.1.
    """


@collects
def stonechat_account_disco_features() -> Sequence[str]:  # type: ignore[empty-body]
    """Features that each account's bare JID has.

    Since 0.1.
    """


@collects
def stonechat_disco_items() -> Sequence[tuple[JID, str, str]]:  # type: ignore[empty-body]
    """Services to list for the host, as (JID, node, name); node and name may be `""`.

    Since 0.1.
    """


# A stream opens


@collects
def stonechat_stream_features() -> Sequence[Callable[[UnboundStream], Element | None]]:  # type: ignore[empty-body]
    """Makers of stream features: each is called with a stream and may return a feature.

    Called whenever features are sent: before authentication
    (`stream.is_authenticated` is False) and after it.

    Since 0.1.
    """


@notices
def stonechat_session_bound(session: Session) -> None:
    """A client has bound a resource; it has sent no presence yet.

    Since 0.1.
    """


# A local user sends


@filters
def stonechat_message_from_user(session: Session, message: Message) -> Handled | None:
    """A message that a local user sends, `from` stamped, before it is routed.

    `message.to` is None where the client named nobody: it is then meant for
    the user's own bare JID (RFC 6120, 10.3.1).

    Since 0.1.
    """


@filters
def stonechat_presence_from_user(session: Session, presence: Presence) -> Handled | None:
    """A presence that a local user sends to somebody, before it is routed.

    Presence without a `to` does not come here, but by
    `stonechat_presence_changed`.

    Since 0.1.
    """


@filters
def stonechat_iq_from_user(session: Session, iq: Iq) -> Handled | None:
    """An iq that a local user sends, before it is routed.

    Since 0.1.
    """


@notices
def stonechat_presence_changed(
    session: Session, presence: Presence, previous: Presence | None
) -> None:
    """A session's own presence has changed: initial, updated, or unavailable.

    `previous` is the available presence before, None at the initial one.
    `presence.type` is `""` or `"unavailable"`; the latter comes, made by the
    server, for a session too that is lost while available. The session knows
    the new presence already. Sessions that never were available send none.

    Since 0.1.
    """


# A stanza to the host, or to a local user


@first_answer
def stonechat_stanza_to_host(stanza: Stanza) -> bool | None:
    """A message or presence to the host's own domain, or with a resource below it.

    Return True once it is in your care. If nobody does, a message is
    answered with service-unavailable and a presence dropped.

    Since 0.1.
    """


@filters
def stonechat_message_to_user(message: Message) -> Handled | None:
    """A message to a local account, from wherever, before sessions are chosen.

    The account may not exist; what is addressed to a full JID comes too.

    Since 0.1.
    """


@filters
def stonechat_presence_to_user(presence: Presence) -> Handled | None:
    """A presence of any type to a local account, before sessions are chosen.

    Subscription requests and probes that no plugin handles are dropped.

    Since 0.1.
    """


@filters
def stonechat_iq_to_user(iq: Iq) -> Handled | None:
    """An iq to a full JID of a local account, before it goes to the session.

    Since 0.1.
    """


@first_answer
def stonechat_message_undelivered(message: Message) -> bool | None:
    """A message to an existing local account found no session to go to.

    Only types normal and chat come here (RFC 6121, 8.5.2.2.1). Return True
    once it is in your care (stored, pushed, forwarded). If nobody does, the
    sender is answered with service-unavailable.

    Since 0.1.
    """


@first_answer
def stonechat_may_see_presence(account: JID, watcher: JID) -> bool | None:
    """Whether `watcher` may know about the presence and activity of a local account.

    Asked through `host.may_see_presence`, which says yes to the account
    itself and no where nobody answers. Both JIDs are bare.

    Since 0.1.
    """


# A session ends, an account comes and goes


@notices
def stonechat_session_closed(session: Session) -> None:
    """A session has ended; its resource is free, and what it sent is dealt with.

    Comes after the `stonechat_presence_changed` that its end caused.

    Since 0.1.
    """


@notices
def stonechat_account_created(account: JID) -> None:
    """An account was created through this server.

    Since 0.1.
    """


@notices
def stonechat_account_removed(account: JID) -> None:
    """An account was removed through this server: forget its data.

    Its sessions are closed before. Also called before an account is created
    under a name that had data of an earlier one, so it may come for an
    account that never was.

    Since 0.1.
    """
