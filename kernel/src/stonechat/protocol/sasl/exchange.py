"""The SASL exchange of one stream (RFC 6120, 6.4): elements' texts in, events out.

    state    input       next                      event
    -------  ----------  ------------------------  --------------------------------
    idle     auth        waiting, done or idle     challenge, success or failure
    idle     response    idle                      failure: malformed-request
    waiting  response    waiting, done or idle     challenge, success or failure
    waiting  auth        idle                      failure: malformed-request
    any      abort       idle; done stays done     failure: aborted
    done     auth, resp  done                      failure: malformed-request

A failure leads back to idle, so that the client may try again (6.4.5), until there were
`failure_limit` of them: then every failure is the last one, and the caller closes the
stream. The deadline is the caller's as well.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from stonechat.errors import SaslFailure, StorageError
from stonechat.protocol.sasl.encoding import decode_base64, encode_base64
from stonechat.sasl import (
    Challenge,
    Mechanism,
    SaslChallenge,
    SaslEvent,
    SaslFailed,
    SaslSuccess,
)

# Room for any name, twice, and any password, far below what a stanza may have before login.
MAX_TEXT = 8192


class SaslExchange:
    """All attempts of one stream to authenticate.

    Calls may block, for the mechanisms ask the account store; feed one element after the
    other. An error that is neither SaslFailure nor StorageError comes through: log it and
    `refuse`.
    """

    def __init__(
        self,
        offered: Collection[str],
        make: Callable[[str], Mechanism],
        *,
        failure_limit: int = 3,
    ) -> None:
        self._offered = offered
        self._make = make
        self._failure_limit = failure_limit
        self._mechanism: Mechanism | None = None
        self._latest: Mechanism | None = None  # whether it goes on or not
        self._done = False
        self.failures = 0

    def begin(
        self,
        mechanism_name: str,
        text: str,
        make: Callable[[str], Mechanism] | None = None,
    ) -> SaslEvent:
        """The client sent <auth/>. `make` is given for a mechanism besides those offered to all.

        It may raise SaslFailure.
        """
        if self._mechanism or self._done:
            return self._refuse_order()
        self._latest = None
        if make is None:
            if mechanism_name not in self._offered:
                return self._fail(
                    SaslFailure("invalid-mechanism", "This mechanism is not offered.")
                )
            make = self._make
        try:
            self._mechanism = self._latest = make(mechanism_name)
        except SaslFailure as failure:
            return self._fail(failure)
        if not text and not self._mechanism.may_begin_empty:
            # No initial response, and in each of these mechanisms the client speaks first:
            # ask for it with an empty challenge (RFC 4422, section 5, 4a).
            return SaslChallenge("")
        return self._step(self._mechanism, text)

    def respond(self, text: str) -> SaslEvent:
        """The client sent <response/>."""
        if not self._mechanism:
            return self._refuse_order()
        return self._step(self._mechanism, text)

    def abort(self) -> SaslEvent:
        """The client sent <abort/>."""
        return self._fail(SaslFailure("aborted"))

    def refuse(self, failure: SaslFailure) -> SaslFailed:
        """End the attempt from outside, or take back a success that was not sent yet.

        The caller uses this when it knows better than the mechanism: the account is
        disabled, the deadline is over, the backend broke.
        """
        self._done = False
        return self._fail(failure)

    def _fail(self, failure: SaslFailure) -> SaslFailed:
        self._mechanism = None
        self.failures += 1
        localpart = self._latest.localpart if self._latest else ""
        return SaslFailed(failure, localpart, self.failures >= self._failure_limit)

    def _refuse_order(self) -> SaslFailed:
        return self._fail(SaslFailure("malformed-request", "This element is out of order."))

    def _step(self, mechanism: Mechanism, text: str) -> SaslEvent:
        # Taken out, so that whatever happens below leaves no half-done attempt behind.
        self._mechanism = None
        try:
            outcome = mechanism.step(_decode(text))
        except SaslFailure as failure:
            return self._fail(failure)
        except StorageError as error:
            unavailable = SaslFailure("temporary-auth-failure", "Accounts cannot be checked now.")
            unavailable.__cause__ = error
            return self._fail(unavailable)
        if isinstance(outcome, Challenge):
            self._mechanism = mechanism
            return SaslChallenge(encode_base64(outcome.data))
        self._done = True
        return SaslSuccess(outcome.account, encode_base64(outcome.data), mechanism.name)


def _decode(text: str) -> bytes:
    if len(text) > MAX_TEXT:
        raise SaslFailure("malformed-request", "The data is too long.")
    # How XMPP writes data of no length (RFC 6120, 6.4.2).
    if text == "=":
        return b""
    try:
        return decode_base64(text)
    except ValueError as error:
        raise SaslFailure("incorrect-encoding", "The data is not base 64.") from error
