"""SASL (RFC 4422) as XMPP uses it (RFC 6120, section 6): the server's side, without I/O."""

from stonechat.protocol.sasl.exchange import (
    SaslChallenge,
    SaslEvent,
    SaslExchange,
    SaslFailed,
    SaslSuccess,
)
from stonechat.protocol.sasl.mechanism import (
    Challenge,
    CredentialLookup,
    Mechanism,
    Outcome,
    Success,
)
from stonechat.protocol.sasl.offer import mechanism_maker, mechanisms_offered

__all__ = [
    "Challenge",
    "CredentialLookup",
    "Mechanism",
    "Outcome",
    "SaslChallenge",
    "SaslEvent",
    "SaslExchange",
    "SaslFailed",
    "SaslSuccess",
    "Success",
    "mechanism_maker",
    "mechanisms_offered",
]
