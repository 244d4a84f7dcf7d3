"""Which pairs a stream between servers may carry, and what its peer has to show for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stonechat.errors import StreamError
from stonechat.federation import Pair

if TYPE_CHECKING:
    from stonechat.core.server_owner import Owner
    from stonechat.net.connection import Connection

# Each costs a peer a proof, and us some memory.
MOST_PAIRS = 1000


class Proofs:
    """What is authorized on one stream, by the policy of its owner."""

    def __init__(self, owner: Owner, connection: Connection) -> None:
        self._owner = owner
        self._connection = connection
        self.pairs: set[Pair] = set()
        self.certificate_ends = 0
        """When a certificate expires that something stands on, as `host.now()`; 0 for none."""

    @property
    def is_full(self) -> bool:
        return len(self.pairs) >= MOST_PAIRS

    def add(self, pair: Pair) -> None:
        """Authorize a pair that `fault_of` has nothing to say against."""
        self.pairs.add(pair)
        tls = self._connection.tls
        certificate = None if tls is None else tls.peer_certificate
        if certificate is not None and self._owner.policy(*pair) == "require":
            self.certificate_ends = int(certificate.not_valid_after_utc.timestamp()) * 1_000_000

    def fault_in(self, remote: str, *, receives: bool) -> StreamError:
        """What a stanza of a pair that is not here ends the stream with (8.1.1.2, 8.1.2.2)."""
        if not receives:
            return StreamError("not-authorized", "Stanzas of yours come over another stream.")
        if not self.pairs:
            return StreamError("not-authorized", "Prove first who you are.")
        if any(remote == each.remote for each in self.pairs):
            return StreamError("host-unknown", "This stream is to another domain.")
        return StreamError("invalid-from", "This domain has not been proven.")

    def fault_of(self, pair: Pair) -> str:
        """Why a pair cannot be authorized here, in words; `""` if it can."""
        trust = self._owner.policy(pair.local, pair.remote)
        if trust is None:
            return "it is not spoken to"
        if trust == "any":
            return ""
        if not self._is_secure:
            return "the stream is not encrypted"
        return self.certificate_fault(pair.remote) if trust == "require" else ""

    def certificate_fault(self, remote: str) -> str:
        """What is wrong with the certificate that the peer showed, in words."""
        tls = self._connection.tls
        if tls is None or not tls.is_established:
            return "the stream is not encrypted"
        if tls.verify_error:
            return f"the certificate cannot be trusted: {tls.verify_error}"
        # It takes a while to import; with a certificate at hand that is done.
        from stonechat.net.certificates import covers_domain

        certificate = tls.peer_certificate
        if certificate is None or not covers_domain(certificate, remote, "xmpp-server"):
            return f"the certificate is not for {remote}"
        return ""

    @property
    def _is_secure(self) -> bool:
        tls = self._connection.tls
        return tls is not None and tls.is_established
