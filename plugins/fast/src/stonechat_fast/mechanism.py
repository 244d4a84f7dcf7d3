"""SASL HT (draft-ietf-kitten-sasl-ht): a token is proved, and the server proves that it has it.

    initiator = authcid NUL HMAC(token, "Initiator" cb-data)
    responder =             HMAC(token, "Responder" cb-data)

That is what clients of today speak. From draft-ietf-kitten-sasl-ht-00 on there are values
in between, which are signed, too; who writes so is answered so:

    initiator = authcid NUL values NUL HMAC(token, "Initiator" cb-data values)
    responder =         NUL values NUL HMAC(token, "Responder" cb-data values)
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from stonechat.errors import SaslFailure
from stonechat.jid import JID
from stonechat.sasl import CredentialLookup, Mechanism, Outcome, Success

DIGEST = "sha256"
DIGEST_BYTES = 32

# Mechanism -> the type of channel binding, the strongest first.
MECHANISMS = {
    "HT-SHA-256-EXPR": "tls-exporter",
    "HT-SHA-256-UNIQ": "tls-unique",
    "HT-SHA-256-ENDP": "tls-server-end-point",
    "HT-SHA-256-NONE": "",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """What a client has sent to prove that it has a token."""

    hashed: bytes
    signed: bytes  # behind "Initiator": the channel, and the values

    def fits(self, token: bytes) -> bool:
        """Whether this token made it; at the same cost if not."""
        expected = hmac.digest(token, b"Initiator" + self.signed, DIGEST)
        return hmac.compare_digest(expected, self.hashed)


# The octets of the token that a proof fits; SaslFailure where there is none.
FindToken = Callable[[JID, Proof], bytes]


class HashedToken(Mechanism):
    """One message, and the answer to it."""

    def __init__(
        self,
        name: str,
        domain: str,
        lookup: CredentialLookup,
        binding: bytes,
        find_token: FindToken,
    ) -> None:
        super().__init__(name, domain, lookup)
        self._binding = binding
        self._find_token = find_token

    def step(self, response: bytes) -> Outcome:
        name, values, hashed = _taken_apart(response)
        account = self.name_account(name)
        signed = self._binding + (values or b"")
        with self.lookup.attempt(account.localpart):
            token = self._find_token(account, Proof(hashed, signed))
        # We have no values to send back.
        answer = hmac.digest(token, b"Responder" + self._binding, DIGEST)
        return Success(account, answer if values is None else b"\0\0" + answer)


def _taken_apart(message: bytes) -> tuple[str, bytes | None, bytes]:
    """The name, the values, None in the older form, and the hash."""
    name, nul, rest = message.partition(b"\0")
    values: bytes | None = None
    if len(rest) > DIGEST_BYTES and rest[-DIGEST_BYTES - 1] == 0:
        values = rest[: -DIGEST_BYTES - 1]
        rest = rest[-DIGEST_BYTES:]
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = ""
    if not nul or not text or len(rest) != DIGEST_BYTES:
        raise SaslFailure("malformed-request", "This is not a message of this mechanism.")
    return text, values, rest


def refuse() -> SaslFailure:
    """What is said of every token that opens nothing."""
    return SaslFailure("not-authorized", "The user name or the token is wrong.")
