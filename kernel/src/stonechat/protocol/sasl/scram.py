"""SCRAM (RFC 5802, RFC 7677): the password is proved, not sent, and the server proves itself."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from stonechat.errors import SaslFailure
from stonechat.jid import JID
from stonechat.protocol.sasl.encoding import encode_base64
from stonechat.protocol.sasl.scram_messages import (
    ClientFirst,
    parse_client_final,
    parse_client_first,
)
from stonechat.sasl import (
    NOT_AUTHORIZED,
    Challenge,
    CredentialLookup,
    Mechanism,
    Outcome,
    Success,
)

if TYPE_CHECKING:
    from stonechat.auth import ScramCredentials

# The strongest first: mechanism -> (hash as the RFCs name it, as hashlib names it).
SCRAM_HASHES = {
    "SCRAM-SHA-512": ("SHA-512", "sha512"),
    "SCRAM-SHA-256": ("SHA-256", "sha256"),
    "SCRAM-SHA-1": ("SHA-1", "sha1"),
}
PLUS = "-PLUS"


def new_nonce() -> str:
    return secrets.token_urlsafe(24)


def binds(mechanisms: Iterable[str]) -> bool:
    """Whether one of these is bound to the channel: then its types are advertised, too."""
    return any(name.endswith(PLUS) for name in mechanisms)


# Streams differ in few ways: by their TLS, and by their host.
@lru_cache(maxsize=64)
def downgrade_hash(
    mechanisms: tuple[str, ...], binding_types: tuple[str, ...], digest: str
) -> str:
    """What was advertised, for the client to compare with what it saw (XEP-0474, section 5.1).

    `binding_types` is empty where none were advertised (XEP-0440). Both are sorted by
    i;octet, which for these names is how Python sorts.
    """
    advertised = "\x1e".join(sorted(mechanisms))
    if binding_types:
        advertised += "\x1f" + "\x1e".join(sorted(binding_types))
    return encode_base64(hashlib.new(digest, advertised.encode()).digest())


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What the server remembers between the client's two messages."""

    account: JID
    credentials: ScramCredentials
    exists: bool
    nonce: str
    binding: bytes
    signed: str  # the first half of AuthMessage (RFC 5802, section 3)


class ScramMechanism(Mechanism):
    """The two steps of SCRAM, with channel binding where the name ends in -PLUS.

    `bindings` are the channel bindings of this stream by type. `advertised` are all the
    mechanisms that the client was shown; without any it is not protected against
    somebody in between who shows it fewer (XEP-0474).
    """

    def __init__(
        self,
        name: str,
        domain: str,
        lookup: CredentialLookup,
        *,
        bindings: Mapping[str, bytes],
        advertised: tuple[str, ...] = (),
    ) -> None:
        super().__init__(name, domain, lookup)
        self._hash_name, self._digest = SCRAM_HASHES[name.removesuffix(PLUS)]
        self._plus = name.endswith(PLUS)
        self._bindings = bindings
        self._advertised = advertised
        self._waiting: _Waiting | None = None

    def step(self, response: bytes) -> Outcome:
        if self._waiting is None:
            return self._greet(response)
        return self._judge(response, self._waiting)

    def _greet(self, response: bytes) -> Challenge:
        first = parse_client_first(response)
        binding = first.gs2_header.encode() + self._channel_binding(first)
        account = self.name_account(first.username)
        self.check_authzid(first.authzid, account)
        # An unknown account is led on to the proof. The decoy is made for a known one too,
        # so that both cost the same.
        decoy = self.lookup.decoy_credentials(account.localpart, self._hash_name)
        found = self.lookup.scram_credentials(account.localpart, self._hash_name)
        credentials = found or decoy
        nonce = first.nonce + new_nonce()
        challenge = f"r={nonce},s={encode_base64(credentials.salt)},i={credentials.iterations}"
        if self._advertised:
            types = tuple(self._bindings) if binds(self._advertised) else ()
            challenge += f",h={downgrade_hash(self._advertised, types, self._digest)}"
        self._waiting = _Waiting(
            account=account,
            credentials=credentials,
            exists=found is not None,
            nonce=nonce,
            binding=binding,
            signed=f"{first.bare},{challenge}",
        )
        return Challenge(challenge.encode())

    def _channel_binding(self, first: ClientFirst) -> bytes:
        """What binds this exchange to its TLS channel (RFC 5802, section 6); b"" without."""
        if first.flag == "y" and binds(self._advertised):
            # The client did not see what we offered: somebody in between took it away.
            raise SaslFailure("not-authorized", "The server does support channel binding.")
        if self._plus != (first.flag == "p"):
            raise SaslFailure(
                "malformed-request", f"{self.name} does not go with this channel binding flag."
            )
        if not self._plus:
            return b""
        try:
            return self._bindings[first.binding_type]
        except KeyError:
            raise SaslFailure(
                "not-authorized", "This type of channel binding is not offered."
            ) from None

    def _judge(self, response: bytes, waiting: _Waiting) -> Success:
        final = parse_client_final(response)
        if len(final.proof) != hashlib.new(self._digest).digest_size:
            raise SaslFailure("malformed-request", "The proof has the wrong length.")
        credentials = waiting.credentials
        message = f"{waiting.signed},{final.without_proof}".encode()
        client_signature = hmac.digest(credentials.stored_key, message, self._digest)
        client_key = bytes(a ^ b for a, b in zip(final.proof, client_signature, strict=True))
        stored_key = hashlib.new(self._digest, client_key).digest()
        server_signature = hmac.digest(credentials.server_key, message, self._digest)
        # All are computed before any is looked at.
        is_right = (
            hmac.compare_digest(final.nonce.encode(), waiting.nonce.encode()),
            hmac.compare_digest(final.binding, waiting.binding),
            hmac.compare_digest(stored_key, credentials.stored_key),
            waiting.exists,
        )
        if not all(is_right):
            raise SaslFailure("not-authorized", NOT_AUTHORIZED)
        return Success(waiting.account, b"v=" + encode_base64(server_signature).encode())
