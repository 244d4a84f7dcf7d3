"""Which mechanisms a stream is offered, and how a chosen one is made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from stonechat.errors import SaslFailure
from stonechat.protocol.sasl.external import ExternalMechanism
from stonechat.protocol.sasl.plain import PlainMechanism
from stonechat.protocol.sasl.scram import PLUS, SCRAM_HASHES, ScramMechanism
from stonechat.sasl import CredentialLookup, Mechanism

# What is made here, and by no auth backend.
KERNEL_MECHANISMS = frozenset(
    {"EXTERNAL", "PLAIN", *SCRAM_HASHES, *(name + PLUS for name in SCRAM_HASHES)}
)


def mechanisms_offered(
    capabilities: Collection[str],
    scram_hashes: Collection[str],
    *,
    tls: bool,
    allow_plain_without_tls: bool,
    bindings: Mapping[str, bytes],
    certificate_accounts: bool,
) -> tuple[str, ...]:
    """The mechanisms to offer, the strongest first: the same to everybody.

    Who has an account, and with which hashes, is nobody's business before he has logged
    in (XEP-0388, "Security Considerations"), so what a client says of itself in its
    stream header changes nothing. A hash that some accounts lack is offered once all of
    them have it, by way of XEP-0480 or of a new password.

    `capabilities` and `scram_hashes` are those that all auth backends of the host have in
    common (`stonechat.auth`): what one of them lacks would lock its users out.
    `certificate_accounts` says that the client's certificate names an account here.
    """
    scram = [
        name
        for name, (hash_name, _) in SCRAM_HASHES.items()
        if "scram_credentials" in capabilities and hash_name in scram_hashes
    ]
    offered = []
    if tls and certificate_accounts:
        offered.append("EXTERNAL")
    if tls and bindings:
        offered += [name + PLUS for name in scram]
    offered += scram
    # A password can be checked against SCRAM credentials too.
    if (scram or "check_password" in capabilities) and (tls or allow_plain_without_tls):
        offered.append("PLAIN")
    return tuple(offered)


def mechanism_maker(
    domain: str,
    lookup: CredentialLookup,
    *,
    offered: Collection[str],
    bindings: Mapping[str, bytes],
    brought: Mapping[str, Callable[[CredentialLookup], Mechanism]] = MappingProxyType({}),
) -> Callable[[str], Mechanism]:
    """A function that makes any mechanism that is offered by its name, for one stream.

    `brought` are those of auth backends; one that is gone since it was offered is refused.
    """
    advertised = tuple(offered)

    def make(name: str) -> Mechanism:
        if name not in KERNEL_MECHANISMS:
            if name not in brought:
                raise SaslFailure("invalid-mechanism", "This mechanism is not offered any more.")
            return brought[name](lookup)
        if name == "PLAIN":
            return PlainMechanism(name, domain, lookup)
        if name == "EXTERNAL":
            return ExternalMechanism(name, domain, lookup)
        return ScramMechanism(name, domain, lookup, bindings=bindings, advertised=advertised)

    return make
