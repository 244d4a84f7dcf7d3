"""Every hook of Stonechat, in the order a stanza meets them. The docstrings are contracts.

Four kinds, by decorator:

*collects*: called when a host's plugins change, or about one session or account; all
    answers are joined.
*filters*: called for a stanza on its way. None lets it go on; `HANDLED` says
    that it is now in the plugin's care, so that nobody else sees it; a
    `StanzaError` refuses it, and is what the sender gets. Any other exception
    refuses it too (internal-server-error): a filter fails closed.
*first_answer*: plugins are asked in turn until one answers other than None.
*notices*: told after the fact; answers are ignored, errors are logged.

Who comes before whom does not depend on the configuration. An implementation
says with `@stage` where it belongs (`stonechat.plugin.Stage`): what guards,
before what changes, before what handles, before what records, before what hands
out copies. Within a stage come those with `@hookimpl(tryfirst=True)`, then the
others, then those with `trylast=True`, and among equals the plugins' names decide.

A filter that cares about certain payloads only says so with `@concerns`, and then
costs other stanzas nothing. All but the collecting hooks may block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from pluggy import HookspecMarker

if TYPE_CHECKING:
    from stonechat.federation import Pair, ServerStream
    from stonechat.iq import IqHandler
    from stonechat.jid import JID
    from stonechat.sasl import CredentialLookup, Mechanism
    from stonechat.session import InlineFeature, Session, UnboundStream
    from stonechat.stanza import Element, Iq, Message, Presence, Stanza
    from stonechat.streams import Stream

hookspec = HookspecMarker("stonechat")

Kind = Literal["collects", "filters", "first_answer", "notices"]
KINDS: dict[str, Kind] = {}
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Handled:
    """The type of `HANDLED`: a filter's word that it took the stanza over."""

    def __repr__(self) -> str:
        return "HANDLED"


HANDLED = Handled()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class SharedGroup:
    """Accounts of a host that are in the rosters of others, who have not put them there.

    Never changed once it was given out: what has changed is another object with the same
    `name`, which no two groups of a plugin share.
    """

    name: str
    label: str
    """The roster group in which the members are shown."""
    members: Mapping[str, str]
    """Localparts, and what each is called in the roster, or `""`."""


class SharedContacts(NamedTuple):
    """What is shared with an account; one object for all accounts with the same groups.

    A group may hold the account itself, who is never shown to himself.
    """

    shown: tuple[SharedGroup, ...]
    """Their members are in the account's roster."""
    seen_by: tuple[SharedGroup, ...] = ()
    """Their members have the account in theirs, and it need not have them in its own."""


class Imported(NamedTuple):
    """What became of a piece of an account's data (`stonechat_import_account`).

    `kept` counts what was written, `known` what was there already, in the same form.
    """

    kept: int = 0
    known: int = 0
    lost: tuple[str, ...] = ()
    """One sentence for each thing that could not be taken, and why: without a name in it, so
    that the same can be counted over all accounts."""


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


@collects
def stonechat_disco_identities() -> Sequence[tuple[str, str, str]]:  # type: ignore[empty-body]
    """Identities of the host besides server/im, as (category, type, name).

    Since 0.1.
    """


@collects
def stonechat_account_disco_identities() -> Sequence[tuple[str, str, str]]:  # type: ignore[empty-body]
    """Identities of each account besides account/registered, as (category, type, name).

    Since 0.1.
    """


@collects
def stonechat_disco_forms() -> Sequence[Element]:  # type: ignore[empty-body]
    """Forms of type result for the host's disco#info (XEP-0128), each with its FORM_TYPE.

    Since 0.1.
    """


@first_answer
def stonechat_disco_node_info(iq: Iq, node: str) -> Element | None:
    """The `<query/>` that answers a disco#info about a node, of the host or an account.

    `iq.to` says whose node it is, None that it is the asker's own account; who asks about
    an account may see its presence.
    Raise StanzaError to refuse; where nobody answers it is item-not-found.

    Since 0.1.
    """


@first_answer
def stonechat_disco_node_items(iq: Iq, node: str) -> Element | None:
    """The `<query/>` that answers a disco#items about a node; otherwise as above.

    Since 0.1.
    """


@notices
def stonechat_disco_info_made(query: Element, of_account: bool) -> None:
    """The answer to a disco#info of the host, or of all its accounts, was put together.

    You may change it, as one does who answers in the place of others (XEP-0355): it is
    kept, and given to all who ask, until plugins come or go or
    `host.service("disco").changed()` was called. Do not block.

    Since 0.1.
    """


@collects
def stonechat_shared_contacts() -> Callable[[str], SharedContacts]:  # type: ignore[empty-body]
    """Who finds whom in his roster without having put him there: `(localpart) -> contacts`.

    Accounts of this host between whom either direction is said are both subscribed to
    each other's presence, and cannot end that; so of two, each must be told of the
    other: by `shown` to one, by `seen_by` or `shown` to the other.

    The function is asked whenever an account's roster is looked at, and the answer
    kept while the account has a session: answer from memory. It may block the first
    time, and raise StanzaError where it cannot know. Once answers are other ones, say
    `host.service("roster").shared_contacts_changed()`: all accounts are asked anew,
    and who is online hears of what has changed.

    Since 0.1.
    """


@notices
def stonechat_roster_changed(account: JID, query: Element) -> None:
    """A contact in an account's roster has come, changed or gone; that is committed.

    `query` is the payload of the push that tells the account's clients so (RFC 6121,
    2.1.6); do not change it. Of contacts that are shared with an account, changes are
    told while it has a session. Do not block.

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


@collects
def stonechat_unbound_stream_elements() -> Mapping[  # type: ignore[empty-body]
    tuple[str, str], Callable[[UnboundStream, Element], None]
]:
    """Handlers for elements that are no stanzas, on a stream without a session.

    `{(namespace, name): handler}`; a handler may block, answers by `stream.send`,
    and ends the stream by raising StreamError. It looks itself whether
    `stream.is_authenticated`; before a stream that must be encrypted is, it is
    not called. What it sends leaves before anything that is sent to a session which
    it binds or resumes. What nobody handles ends the stream with unsupported-stanza-type.

    Since 0.1.
    """


@collects
def stonechat_stream_elements() -> Mapping[  # type: ignore[empty-body]
    tuple[str, str], Callable[[Session, Element], None]
]:
    """Handlers for elements that are no stanzas, on a stream with a session.

    As above, but called with the session, in the order in which things came.

    Since 0.1.
    """


@collects
def stonechat_sasl_mechanisms() -> Mapping[  # type: ignore[empty-body]
    str, Callable[[UnboundStream, CredentialLookup], Mechanism]
]:
    """Mechanisms besides the kernel's, by name; made for each attempt.

    They are offered by their plugin's own feature and can be used with SASL2
    (XEP-0388) only; `stonechat.sasl` says what a mechanism is, and what the client has
    asked for besides. A maker raises SaslFailure where the mechanism cannot be had.

    Since 0.1.
    """


@collects
def stonechat_sasl2_features() -> Sequence[InlineFeature[UnboundStream]]:  # type: ignore[empty-body]
    """What can be done inline with an authentication (XEP-0388, 2.5 and 3).

    Each is offered inside `<inline/>`, and its handler called, once the account is
    known and in the order of the request's children, for the first child of that name.
    What it returns goes into `<success/>`. The binding of XEP-0386 comes last, and not at
    all where one of these has resumed a session (`stream.is_bound`).

    Since 0.1.
    """


@collects
def stonechat_bind2_features() -> Sequence[InlineFeature[Session]]:  # type: ignore[empty-body]
    """What can be enabled inline with a binding (XEP-0386, 3 and 4).

    Offered as `<feature var='namespace'/>`; the handler is called with the new
    session for the first child of `<bind/>` with that namespace and name, or always where
    the feature says so, as the archive's metadata does; and what it returns goes
    into `<bound/>`. So far the client does not know its resource, and what others send to
    the session waits.

    Since 0.1.
    """


@notices
def stonechat_session_bound(session: Session) -> None:
    """A client has bound a resource; it has sent no presence yet.

    Whatever is sent to the session here leaves after the answer to the binding.

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


@first_answer
def stonechat_may_send_presence(account: JID, contact: JID) -> bool | None:
    """Whether an account's presence may go to a contact now (XEP-0016, XEP-0191).

    Asked for each contact by whoever broadcasts presence. `account` is the session's full
    JID where the presence is that of one session; `contact` is bare. Yes where nobody
    answers.

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

    You may block, but not for longer than ten seconds: so long the end of a session
    waits until what it has sent before is told. Where that was not long enough,
    `session.presence` is None already while an available presence comes to you.

    Since 0.1.
    """


# An external component


@notices
def stonechat_component_connected(stream: Stream) -> None:
    """A program has proven that it answers for `stream.domain`, and was told so.

    What is sent to the stream here is the first that comes. The service `component` knows
    those that are connected already: `host.service("component").streams(domain)`.

    Since 0.1.
    """


@first_answer
def stonechat_stanza_from_component(stream: Stream, stanza: Stanza) -> bool | None:
    """A stanza that a component sends, before it is routed; its addresses are checked.

    `from` is of the component's own domain. Return True once it is in your care, or raise
    StanzaError to refuse it. If nobody does, it goes its way as that of any entity. The
    component's next stanza waits meanwhile.

    Since 0.1.
    """


@notices
def stonechat_component_disconnected(stream: Stream) -> None:
    """A component's stream is gone, whoever has ended it; others to its domain may be there.

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
    """An iq to a local account, its full or its bare JID, from wherever.

    To the full JID before it goes to the session, to the bare JID before the server
    answers for the account. The account may not exist.

    Since 0.1.
    """


@filters
def stonechat_iq_to_server(iq: Iq) -> Handled | None:
    """A request that the server itself answers, before its handler is looked up.

    To the host, to the bare JID of an account that exists, or without a `to` from one of
    the account's own clients. Who takes it over answers it exactly once, by
    `host.route(iq.result(...))` or `host.bounce`, and holds it until then (`iq.hold()`).

    Since 0.1.
    """


@notices
def stonechat_message_delivered(message: Message, sessions: Sequence[Session]) -> None:
    """A message was given to these sessions of its recipient, at least one.

    Since 0.1.
    """


@notices
def stonechat_message_spread(message: Message, sessions: Sequence[Session]) -> None:
    """The same of a message that was given to several sessions.

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
def stonechat_message_unhandled(session: Session | None, message: Message) -> bool | None:
    """A session that has ended never said that it handled this message (XEP-0198, 4).

    The session is None where it ended with the server, before a restart.

    Return True if it need not be delivered again (other resources have had a copy).
    If nobody does, it goes to the account's other sessions, or is undelivered.

    Since 0.1.
    """


@notices
def stonechat_stanza_waits(session: Session, stanza: Stanza) -> None:
    """A stanza waits for a session whose client cannot be reached, or rests.

    Told also when a connection is lost, of what was on its way and is not acknowledged: the
    client may have it. Do not change the stanza.

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


@first_answer
def stonechat_session_detached(session: Session, reason: str) -> bool | None:
    """A session's connection was lost without the end of its stream.

    Return True to keep the session without one (XEP-0198, 5): it stays available,
    and what is sent to it goes to its outlets. Whoever does so gives it to a new
    stream later (`UnboundStream.resume`) or ends it (`Session.close`).

    Since 0.1.
    """


@notices
def stonechat_session_resumed(session: Session) -> None:
    """A session goes on over another stream than before.

    Since 0.1.
    """


@collects
def stonechat_session_state(session: Session) -> Mapping[str, object]:  # type: ignore[empty-body]
    """What must be kept of a session for it to go on after a restart of the server.

    `{key: plain data}`, the keys beginning with the plugin's name.

    Since 0.1.
    """


@notices
def stonechat_session_restored(session: Session, state: Mapping[str, object]) -> None:
    """A session goes on after a restart; `state` is what all plugins had kept of it.

    Since 0.1.
    """


@notices
def stonechat_session_ending(session: Session) -> None:
    """A session ends: it can be found no more, but its presence is still what it was.

    What it sent is dealt with, unless a plugin takes longer than ten seconds over that.
    Do not block here.

    Since 0.1.
    """


@notices
def stonechat_session_closed(session: Session) -> None:
    """A session has ended; its resource is free, and what it sent is dealt with.

    Comes after the `stonechat_presence_changed` that its end caused.

    Since 0.1.
    """


@collects
def stonechat_server_stream_features() -> Sequence[  # type: ignore[empty-body]
    Callable[[ServerStream], Element | None]
]:
    """What a host offers on streams that other servers open.

    Each function is called whenever features are sent, and once more where a certificate has
    proven the peer (`stream.is_authorized(stream.pair)`), but not before TLS where that has
    to come first. It returns the feature's element, or None where there is nothing to offer.

    Since 0.1.
    """


@collects
def stonechat_server_stream_elements() -> Mapping[  # type: ignore[empty-body]
    tuple[str, str], Callable[[ServerStream, Element], None]
]:
    """Elements other than stanzas on streams between servers, by (namespace, name).

    The handler is called in the stream's greenlet, which reads no further meanwhile: it may
    block. A StreamError ends the stream. It may come on streams of either direction, and
    of a peer that has proven nothing yet, but not before TLS where that has to come first.
    Content in jabber:server comes as jabber:client.

    Since 0.1.
    """


@notices
def stonechat_server_stream_opened(stream: ServerStream) -> None:
    """The features of an outgoing stream's peer have come, TLS is settled.

    Nobody has proven anything yet. What must be agreed on before that is sent here, such as
    `<bidi/>` (XEP-0288). Not called for streams on which nothing will be proven, those that
    `Host.server_stream` opens.

    Since 0.1.
    """


@first_answer
def stonechat_prove_domain(stream: ServerStream, pair: Pair) -> bool | None:
    """Prove to the peer of an outgoing stream that `pair.local` is ours.

    Asked where the kernel cannot do it with a certificate, and for further pairs that could
    share the stream. True if the plugin has begun to; `stream.authorize` or
    `stream.refuse` follow, within `federation.timeout`.

    Since 0.1.
    """


@notices
def stonechat_server_stream_authorized(stream: ServerStream, pair: Pair) -> None:
    """A pair is proven, on a stream of either direction; once for each pair.

    On an outgoing stream what waits for the pair leaves after this: what has to come before
    all stanzas is sent here, such as `<enable/>` (XEP-0198). After a proof by certificate the
    features in `stream.features` are those that came behind it; an incoming stream's peer
    has got its features. The stream may be closed here. Asked are the plugins of the host
    in the headers, whichever the pair is.

    Since 0.1.
    """


@notices
def stonechat_server_stream_closed(stream: ServerStream) -> None:
    """A stream between servers is over, whoever ended it.

    Since 0.1.
    """


@notices
def stonechat_account_created(account: JID) -> None:
    """An account was created through this server.

    Since 0.1.
    """


@notices
def stonechat_password_changed(account: JID) -> None:
    """An account's password was changed through this server.

    What was given out to spare its user the old one holds no longer.

    Since 0.1.
    """


@notices
def stonechat_account_removed(account: JID) -> None:
    """An account was removed through this server: forget its data.

    Its sessions have ended before. Also called before an account is created
    under a name that had data of an earlier one, so it may come for an
    account that never was. Raise what keeps you from forgetting: in that case
    the account is not created.

    Since 0.1.
    """


# An account moves


@collects
def stonechat_export_account(account: JID) -> Iterator[Element]:  # type: ignore[empty-body]
    """The data of an account, for another server: children of `<user/>` (XEP-0227).

    Be a generator, which reads as it goes: what may be large comes in parts, one element
    after the other with the same name and attributes, that together are one
    (`stonechat.portable.parts_of`). What is of other namespaces than the text's is for those
    who know it. It may block; what it
    raises ends the export, so raise StanzaError or StorageError where something cannot be
    read, and leave nothing out.

    The account exists; somebody may be using it meanwhile. Its credentials are no plugin's.

    Since 0.1.
    """


@first_answer
def stonechat_import_account(account: JID, element: Element, dry_run: bool) -> Imported | None:
    """Take one child of an account's `<user/>`, or a part of it, as another server wrote it.

    None where the element is not yours: what nobody takes is reported as lost. What the
    account has already stays as it is, so that the same may come any number of times: of
    what is the same say `known`, of what is different `lost`. Nobody but the account's own
    clients is told of anything. Your limits hold; what is beyond them is `lost`, and so is
    what is malformed, whose neighbours are kept all the same.

    With `dry_run` answer in the same way, and write nothing; the account need not exist
    then. Raise StanzaError where the store fails: the import ends there.

    Since 0.1.
    """
