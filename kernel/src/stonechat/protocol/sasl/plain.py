"""PLAIN (RFC 4616): the password itself, so for encrypted streams."""

from __future__ import annotations

from stonechat.errors import SaslFailure
from stonechat.protocol.sasl.encoding import decode_utf8
from stonechat.sasl import NOT_AUTHORIZED, Mechanism, Outcome, Success


class PlainMechanism(Mechanism):
    """One message: [authzid] NUL authcid NUL passwd."""

    def step(self, response: bytes) -> Outcome:
        parts = decode_utf8(response).split("\0")
        if len(parts) != 3:
            raise SaslFailure("malformed-request", "This is not a message of PLAIN.")
        authzid, username, password = parts
        account = self.name_account(username)
        self.check_authzid(authzid, account)
        # Here, before any backend: to a directory an empty password is an anonymous
        # bind, and "succeeds" (RFC 4513, 5.1.2).
        if not password or not self.lookup.check_password(account.localpart, password):
            raise SaslFailure("not-authorized", NOT_AUTHORIZED)
        return Success(account)
