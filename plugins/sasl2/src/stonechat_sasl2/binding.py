"""Bind 2 (XEP-0386): a resource is bound, and features enabled, within the login."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from stonechat.errors import JIDError, StanzaError, StreamError
from stonechat.host import Host
from stonechat.jid import JID, prepare_resource
from stonechat.namespaces import NS_STANZA_ERRORS
from stonechat.sasl import BOUND_INLINE, UserAgent, user_agent
from stonechat.session import Session, UnboundStream
from stonechat.stanza import Element
from stonechat_sasl2.inline import InlineFeatures

NS_BIND2 = "urn:xmpp:bind:0"

# Octets of an identifier that nobody guesses, and of one that stays the same.
_ID_BYTES = 9


class Binder:
    """The bindings of one host. `features` are what can be enabled with one."""

    def __init__(self, host: Host, *, stable_resources: bool) -> None:
        self._host = host
        self._stable = stable_resources
        self._features: InlineFeatures[Session] = InlineFeatures(host, "stonechat_bind2_features")

    def offered(self, stream: UnboundStream) -> tuple[str, ...]:
        """The namespaces of what a stream can enable with a binding."""
        # Each once: one may have several elements.
        return tuple(dict.fromkeys(f.namespace for f, _ in self._features.offered(stream)))

    @staticmethod
    def announcement(names: tuple[str, ...]) -> Element:
        bind = Element(NS_BIND2, "bind")
        if names:
            inline = bind.add("inline")
            for name in names:
                inline.add("feature", var=name)
        return bind

    def bind(self, stream: UnboundStream, request: Element) -> tuple[JID | None, Element]:
        """Bind a resource; the full JID, and `<bound/>`, or `<failed/>` without one.

        The XEP has no word for a binding that is refused. The client is logged in then,
        and may bind as in RFC 6120.
        """
        account = stream.account
        assert account is not None
        agent = user_agent(stream)
        self._end_earlier(account, agent)
        stream.data[BOUND_INLINE] = True  # for whoever is told of the session
        try:
            session = stream.bind(self._resource(account, agent, request.find_text("tag")))
        except StanzaError as error:
            del stream.data[BOUND_INLINE]
            failed = Element(NS_BIND2, "failed")
            failed.add(error.condition, namespace=NS_STANZA_ERRORS)
            return None, failed
        bound = Element(NS_BIND2, "bound")
        bound.append(*self._features.handle(session, request))
        return session.jid, bound

    def _end_earlier(self, account: JID, agent: UserAgent) -> None:
        """End the sessions that the same client has left behind ("Performing the bind")."""
        if not agent.id:
            return
        for session in self._host.sessions(account.localpart):
            if user_agent(session).id == agent.id:
                session.close(StreamError("conflict", "The client has begun another session."))

    def _resource(self, account: JID, agent: UserAgent, tag: str) -> str:
        """A name that begins with the client's tag, if it can be part of one."""
        if self._stable and agent.id:
            # Of a client's id, which has 122 random bits, this tells nothing.
            text = f"{account}\0{tag}"
            digest = hmac.digest(agent.id.encode(), text.encode(), hashlib.sha256)
            name = base64.urlsafe_b64encode(digest[:_ID_BYTES]).decode()
        else:
            name = secrets.token_urlsafe(_ID_BYTES)
        if not tag:
            return name
        try:
            return prepare_resource(f"{tag}/{name}")
        except JIDError:
            return name
