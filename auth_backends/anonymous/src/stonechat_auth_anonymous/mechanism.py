"""SASL ANONYMOUS (RFC 4505), as XEP-0175 advises to use it."""

from __future__ import annotations

from collections.abc import Callable

from stonechat.errors import SaslFailure
from stonechat.sasl import CredentialLookup, Mechanism, Outcome, Success

NAME = "ANONYMOUS"

# RFC 4505, section 3: in characters.
MAX_TRACE = 255


class AnonymousMechanism(Mechanism):
    """One message, of trace information or nothing; who the client is, the server says."""

    # XEP-0175, "Protocol Flow": <auth/> is empty, and <success/> follows at once.
    may_begin_empty = True

    def __init__(self, domain: str, lookup: CredentialLookup, admit: Callable[[], str]) -> None:
        super().__init__(NAME, domain, lookup)
        self._admit = admit

    def step(self, response: bytes) -> Outcome:
        # Looked at no further: it names nobody (XEP-0175: "MUST NOT use it for any purpose
        # other than tracing"), and what a stranger writes there is not for the log.
        try:
            trace = response.decode()
        except UnicodeDecodeError:
            raise SaslFailure("malformed-request", "The data is not UTF-8.") from None
        if len(trace) > MAX_TRACE:
            raise SaslFailure("malformed-request", "The trace information is too long.")
        return Success(self.name_account(self._admit()))
