"""SASL (RFC 4422) as XMPP uses it (RFC 6120, section 6): the server's side, without I/O."""

from stonechat.protocol.sasl.exchange import SaslExchange
from stonechat.protocol.sasl.offer import (
    KERNEL_MECHANISMS,
    mechanism_maker,
    mechanisms_offered,
)
from stonechat.protocol.sasl.scram import binds

__all__ = [
    "KERNEL_MECHANISMS",
    "SaslExchange",
    "binds",
    "mechanism_maker",
    "mechanisms_offered",
]
