"""SASL: what every mechanism is made of, the rules about names that all obey, and what
comes of an attempt.

A plugin adds a mechanism by a subclass of `Mechanism` and the hook
`stonechat_sasl_mechanisms`. What a client tells of itself with XEP-0388, and what it
wants besides being let in, `user_agent` and `login_request` give.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from stonechat.errors import JIDError, SaslFailure
from stonechat.jid import JID

if TYPE_CHECKING:
    from stonechat.auth import ScramCredentials
    from stonechat.session import Session, UnboundStream
    from stonechat.xml import Element

# One sentence for an unknown account and for a wrong password: nobody learns which.
NOT_AUTHORIZED = "The user name or the password is wrong."


@dataclass(frozen=True, slots=True)
class Challenge:
    """The mechanism wants another response to this."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Success:
    """The client has proved that it may use `account`, a bare JID made by the server.

    `data` goes to the client with the success; b"" is none.
    """

    account: JID
    data: bytes = field(default=b"")


Outcome: TypeAlias = Challenge | Success


class CredentialLookup(Protocol):
    """What a mechanism may ask about the accounts of the one host it serves.

    Any of these may block. Each may raise SaslFailure, which ends the attempt with that
    condition (a throttle does so before it asks the backend), or StorageError.
    """

    def check_password(self, localpart: str, password: str) -> bool:
        """Tell whether the password is right, as slowly for an unknown account."""

    def scram_credentials(self, localpart: str, hash_name: str) -> ScramCredentials | None:
        """The account's credentials for "SHA-1", "SHA-256" or "SHA-512"; None without any."""

    def decoy_credentials(self, localpart: str, hash_name: str) -> ScramCredentials:
        """What an unknown account is answered with: `stonechat.auth.decoy_scram`."""

    def certificate_accounts(self) -> tuple[JID, ...]:
        """The accounts of this host that the client's verified certificate names."""

    def attempt(self, localpart: str) -> AbstractContextManager[None]:
        """To be put around the check of a secret that the mechanism keeps itself.

        It refuses where there were too many guesses. A failure of the attempt is counted,
        and after earlier ones the client waits for its answer, right or wrong.
        """


class Mechanism(ABC):
    """One attempt to authenticate. Made for one attempt, thrown away after it.

    `step` takes what the client sent and says what comes next, or raises SaslFailure.
    It is not called again after Success or a failure.
    """

    may_begin_empty: bool = False
    """Whether to take no initial response for an empty one, rather than to ask for one."""

    def __init__(self, name: str, domain: str, lookup: CredentialLookup) -> None:
        self.name = name
        self.domain = domain
        self.lookup = lookup
        # Whom the attempt was about, prepared, as soon as it is known; for throttles.
        self.localpart = ""

    @abstractmethod
    def step(self, response: bytes) -> Outcome: ...

    def name_account(self, username: str) -> JID:
        """The account that `username` means here; the session is named by this alone.

        A name that cannot be an account's is answered like one that happens not to be.
        """
        if not username:
            raise SaslFailure("malformed-request", "There is no user name.")
        try:
            account = JID.make(username, self.domain)
        except JIDError as error:
            raise SaslFailure("not-authorized", NOT_AUTHORIZED) from error
        self.localpart = account.localpart
        return account

    def check_authzid(self, authzid: str, account: JID) -> None:
        """Let nobody act as another: the authorization identity is none, or the account.

        RFC 6120, 6.3.8 makes it a bare JID.
        """
        if authzid and parse_authzid(authzid) != account:
            raise SaslFailure("invalid-authzid", "You may act for your own account only.")


def parse_authzid(authzid: str) -> JID:
    try:
        return JID.parse(authzid)
    except JIDError as error:
        raise SaslFailure(
            "invalid-authzid", "The authorization identity is not an address."
        ) from error


# What an attempt leads to, for whoever carries it between client and mechanism.


@dataclass(frozen=True, slots=True)
class SaslChallenge:
    """Send <challenge/> with this text."""

    text: str


@dataclass(frozen=True, slots=True)
class SaslSuccess:
    """Send <success/> with this text: the stream is `account`'s now, a bare JID."""

    account: JID
    text: str
    mechanism: str


@dataclass(frozen=True, slots=True)
class SaslFailed:
    """Send <failure/> with this condition; if it `is_last`, close the stream after it.

    `localpart` is the account that the attempt was about, prepared, or "" if it did not
    get so far: what guesses are counted by. The cause of the failure (`__cause__`), where
    it has one, is for the log.
    """

    failure: SaslFailure
    localpart: str
    is_last: bool


SaslEvent: TypeAlias = SaslChallenge | SaslSuccess | SaslFailed


# What a client says of itself, and asks for, as it logs in by XEP-0388. Whoever carries
# that out puts it into the data of the stream, from which a session takes it over.

USER_AGENT = "user-agent"
LOGIN_REQUEST = "login-request"

# Of a session that was bound by XEP-0386: its client fetches what it missed from the archive
# and wants no offline messages.
BOUND_INLINE = "bound-inline"


@dataclass(frozen=True, slots=True)
class UserAgent:
    """A client's installation, software and device, in its own words.

    `id` is a UUID of version 4 in small letters, "" where there is none. Nobody but the
    account's user may see any of this (XEP-0388, "Initiation").
    """

    id: str = ""
    software: str = ""
    device: str = ""


def user_agent(client: UnboundStream | Session) -> UserAgent:
    """What a client told of itself; an empty one where it told nothing."""
    found: UserAgent | None = client.data.get(USER_AGENT)
    return found or UserAgent()


def login_request(stream: UnboundStream) -> Element | None:
    """The `<authenticate/>` that a login under way began with; None without XEP-0388."""
    found: Element | None = stream.data.get(LOGIN_REQUEST)
    return found
