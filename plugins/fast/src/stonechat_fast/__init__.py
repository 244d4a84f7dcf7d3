"""Fast Authentication Streamlining Tokens (XEP-0484): who was here comes back with a token."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stonechat import hookimpl, timestamps
from stonechat.commands import CommandError, command
from stonechat.errors import SaslFailure, StorageError
from stonechat.host import Host, Timer
from stonechat.jid import JID
from stonechat.options import Duration, PluginOptions, option
from stonechat.sasl import CredentialLookup, Mechanism, UserAgent, login_request, user_agent
from stonechat.session import InlineFeature, Session, UnboundStream
from stonechat.stanza import Element
from stonechat_fast.mechanism import MECHANISMS, HashedToken, Proof, refuse
from stonechat_fast.tokens import SCHEMA, Client, Token, Tokens

NS_FAST = "urn:xmpp:fast:0"

SALT_BYTES = 16

# Of a use that changes nothing else, this is how exactly we remember it.
USE_MICROSECONDS = 3_600_000_000

# Whose token has expired is told so, for so long; after that it is one that never was.
EXPIRED_MICROSECONDS = 7 * 86400 * 1_000_000

# Tokens that could not be taken back: so much later we try again.
RETRY_SECONDS = 10.0

# Where the state of a stream's login is kept.
_STATE = "fast"


class Options(PluginOptions):
    lifetime: Duration = option(
        "21 d",
        "How long a token can be used from the moment it is given out.",
        ge=60,
        le=10 * 365 * 86400,
    )
    rotate_after: Duration = option(
        "1 d", "The age from which a token that is used is replaced by a new one.", ge=0
    )
    mechanisms: tuple[
        Literal["HT-SHA-256-EXPR", "HT-SHA-256-UNIQ", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"], ...
    ] = option(
        tuple(MECHANISMS),
        "What tokens are used with; the one that ends in `NONE` binds to no channel.",
        min_length=1,
    )
    max_clients: int = option(
        20,
        "Clients of an account that have tokens; past it those of the one unused longest go.",
        ge=1,
        le=1000,
    )


@dataclass
class State:
    """What is known of the login on one stream."""

    revocations: int  # before it began
    used: Token | None = None  # what it was done with
    wants_token: bool = False
    is_over: bool = False  # nothing more is given out


@dataclass(frozen=True)
class Use:
    """How a client uses its token."""

    count: int | None
    ends: bool  # it is the last time


class Plugin:
    Options = Options
    schema = SCHEMA
    requires = ("sasl2",)

    def __init__(self, host: Host, options: Options) -> None:
        self.host = host
        self.options = options
        self.tokens = Tokens(host.storage, host.name)
        self.key = host.secret("tokens")
        # Where no client is known, its token is compared with one that nobody has.
        self.decoy = Token(secrets.token_bytes(SALT_BYTES), "", 0, 0)
        # Counts revocations: who began to log in before one gets no token after it.
        self.revocations = 0
        # Accounts whose tokens hold no longer, but are in the database yet; and since when.
        self.revoked: dict[str, int] = {}
        self.retry: Timer | None = None

    def start(self) -> None:
        self.host.call_every(3600, self.expire)

    @hookimpl
    def stonechat_sasl_mechanisms(
        self,
    ) -> Mapping[str, Callable[[UnboundStream, CredentialLookup], Mechanism]]:
        def maker(name: str) -> Callable[[UnboundStream, CredentialLookup], Mechanism]:
            return lambda stream, lookup: self.mechanism(name, stream, lookup)

        return {name: maker(name) for name in self.options.mechanisms}

    @hookimpl
    def stonechat_sasl2_features(self) -> list[InlineFeature[UnboundStream]]:
        return [
            InlineFeature(NS_FAST, "fast", self.offer, self.rotate),
            InlineFeature(NS_FAST, "request-token", lambda stream: None, self.give_token),
        ]

    # What is offered

    def available(self, stream: UnboundStream) -> list[str]:
        """The mechanisms that a stream's channel allows."""
        if not stream.is_secure:
            return []
        bindings = stream.channel_bindings
        return [
            name
            for name, type_ in MECHANISMS.items()
            if name in self.options.mechanisms and (not type_ or type_ in bindings)
        ]

    def offer(self, stream: UnboundStream) -> Element | None:
        names = self.available(stream)
        if not names:
            return None
        # From the features on, so that nothing is missed.
        stream.data[_STATE] = State(self.revocations)
        fast = Element(NS_FAST, "fast")
        for name in names:
            fast.add("mechanism", name)
        return fast

    # Logging in with a token

    def mechanism(self, name: str, stream: UnboundStream, lookup: CredentialLookup) -> Mechanism:
        request = login_request(stream)
        fast = request.find("fast", NS_FAST) if request is not None else None
        agent = user_agent(stream)
        state = self.state_of(stream)
        if state is None or name not in self.available(stream):
            raise SaslFailure("invalid-mechanism", "This mechanism is not offered.")
        if request is None or fast is None or not agent.id:
            raise SaslFailure("malformed-request", "A token needs <fast/> and a user agent's id.")
        use = Use(_count(fast), fast.get("invalidate") in ("1", "true"))
        binding = stream.channel_bindings[MECHANISMS[name]] if MECHANISMS[name] else b""
        state.wants_token = request.find("request-token", NS_FAST) is not None

        def find_token(account: JID, proof: Proof) -> bytes:
            client, token, text = self.check(account.localpart, agent, name, proof)
            self.accept(account.localpart, client, token, use)
            state.used = token
            # Who says goodbye gets another one only if he asks for it.
            state.is_over = use.ends and not state.wants_token
            return text

        return HashedToken(name, self.host.name, lookup, binding, find_token)

    def check(
        self, localpart: str, agent: UserAgent, mechanism: str, proof: Proof
    ) -> tuple[Client, Token, bytes]:
        """The client, and the token that a proof was made with; SaslFailure.

        A stranger costs as much as anybody.
        """
        client = self.tokens.find(localpart, agent.id)
        slots = (client.new, client.current) if client is not None else (None, None)
        found: tuple[Token, bytes] | None = None
        for token in slots:
            text = self.text_of(localpart, agent, token or self.decoy)
            if proof.fits(text) and token is not None and found is None:
                found = token, text
        if client is None or found is None or found[0].mechanism != mechanism:
            raise refuse()
        if localpart in self.revoked or not self.host.accounts.exists(localpart):
            raise refuse()
        if found[0].expires_at <= self.host.now():
            raise SaslFailure("credentials-expired", "The token has expired.")
        return client, *found

    def accept(self, localpart: str, client: Client, token: Token, use: Use) -> None:
        """Note that a token was used; SaslFailure if it was, with the same count, before."""
        now = self.host.now()
        changes = token is client.new or use.count is not None or use.ends
        if (changes or now - client.used_at >= USE_MICROSECONDS) and not self.tokens.accept(
            localpart, client.agent.id, token, count=use.count, now=now
        ):
            raise refuse()
        if use.ends:
            # Another that it may have been given goes, too: it is leaving.
            self.tokens.drop(localpart, client.agent.id)

    def text_of(self, localpart: str, agent: UserAgent, token: Token) -> bytes:
        """A token as the client has it.

        To check a proof the token itself is needed, and no hash of it will do. So that
        nobody can steal any out of the database, only a part of what it is made from is
        kept there.
        """
        parts = (localpart.encode(), agent.id.encode(), token.mechanism.encode(), token.salt)
        digest = hmac.digest(self.key, b"\0".join(parts), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=")

    # Giving tokens out

    def give_token(self, stream: UnboundStream, element: Element) -> Element | None:
        """Answer `<request-token/>`, of whoever has logged in by whatever mechanism."""
        mechanism = element.get("mechanism")
        if mechanism not in self.available(stream):
            return None
        return self.issue(stream, mechanism)

    def rotate(self, stream: UnboundStream, element: Element) -> Element | None:
        """Answer `<fast/>`: with another token, where the one that was used is old enough."""
        state = self.state_of(stream)
        if state is None or state.used is None or state.wants_token:
            return None
        age = self.host.now() - state.used.issued_at
        if age < self.options.rotate_after * 1_000_000:
            return None
        return self.issue(stream, state.used.mechanism)

    def issue(self, stream: UnboundStream, mechanism: str) -> Element | None:
        state = self.state_of(stream)
        agent = user_agent(stream)
        account = stream.account
        assert account is not None
        if state is None or state.is_over or not agent.id:
            return None
        state.is_over = True
        now = self.host.now()
        # Whole seconds, as they are shown.
        expires_at = (now // 1_000_000 + int(self.options.lifetime)) * 1_000_000
        token = Token(secrets.token_bytes(SALT_BYTES), mechanism, now, expires_at)
        if state.revocations != self.revocations:
            # The password that it was done with may be an old one.
            return None
        try:
            self.tokens.issue(
                account.localpart, agent, token, most=self.options.max_clients, now=now
            )
        except StorageError as error:
            self.host.log.warning("token not given out", account=account.text, reason=str(error))
            return None
        return Element(
            NS_FAST,
            "token",
            {
                "token": self.text_of(account.localpart, agent, token).decode(),
                "expiry": timestamps.written(expires_at),
            },
        )

    def state_of(self, stream: UnboundStream) -> State | None:
        state: State | None = stream.data.get(_STATE)
        return state

    # Taking them back

    @hookimpl
    def stonechat_password_changed(self, account: JID) -> None:
        self.revoke(account)

    @hookimpl
    def stonechat_account_removed(self, account: JID) -> None:
        self.revoke(account)

    def revoke(self, account: JID) -> None:
        self.revocations += 1
        self.revoked[account.localpart] = self.revocations
        self.drop_revoked()

    def drop_revoked(self) -> None:
        for localpart, revocation in list(self.revoked.items()):
            try:
                self.tokens.drop(localpart)
            except StorageError as error:
                self.host.log.error("tokens not dropped", account=localpart, reason=str(error))
                if self.retry is None:
                    self.retry = self.host.call_later(RETRY_SECONDS, self.drop_again)
                return
            # Another may have come meanwhile, which has to be carried out itself.
            if self.revoked.get(localpart) == revocation:
                del self.revoked[localpart]

    def drop_again(self) -> None:
        self.retry = None
        self.drop_revoked()

    @hookimpl
    def stonechat_session_bound(self, session: Session) -> None:
        # It came over from the stream, and has done its work.
        session.data.pop(_STATE, None)

    def expire(self) -> None:
        while self.tokens.expire(self.host.now() - EXPIRED_MICROSECONDS):
            pass

    # Commands

    @command(
        "fast-clients",
        "List the clients of an account that log in with tokens.",
        example="fast-clients juliet@capulet.example",
    )
    def list_clients(self, jid: JID) -> list[dict[str, Any]]:
        """A client that logs in with a token needs no password, until the token expires."""
        return [_row(client) for client in self.tokens.clients(self.account(jid))]

    @command(
        "fast-revoke",
        "Take the tokens of a client, or of all clients of an account, back.",
        example="fast-revoke juliet@capulet.example",
    )
    def revoke_clients(self, jid: JID, client: str = "") -> int:
        """They need the password again; sessions that are open go on (see `kick`).

        Returns how many clients had a token.
        """
        localpart = self.account(jid)
        self.revocations += 1
        return self.tokens.drop(localpart, client.lower())

    def account(self, jid: JID) -> str:
        if not jid.localpart or jid.resource:
            raise CommandError(f"{jid} is not an account")
        return jid.localpart


def _count(fast: Element) -> int | None:
    """The attribute `count`, which grows with each use of a token; None without it."""
    text = fast.get("count").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise SaslFailure("malformed-request", "The count is not a number.")
    return int(text)


def _row(client: Client) -> dict[str, Any]:
    return {
        "client": client.agent.id,
        "software": client.agent.software,
        "device": client.agent.device,
        "used": timestamps.written(client.used_at),
        "expires": timestamps.written(client.expires_at),
    }
