"""EXTERNAL (RFC 4422, appendix A): the client's certificate says who it is (XEP-0178)."""

from __future__ import annotations

from stonechat.errors import SaslFailure
from stonechat.protocol.sasl.encoding import decode_utf8
from stonechat.sasl import Mechanism, Outcome, Success, parse_authzid


class ExternalMechanism(Mechanism):
    """One message: the authorization identity, or nothing."""

    def step(self, response: bytes) -> Outcome:
        authzid = decode_utf8(response)
        # A certificate may name accounts of several hosts; this stream is to one of them.
        accounts = {
            account.bare
            for account in self.lookup.certificate_accounts()
            if account.localpart and account.domain == self.domain
        }
        if not accounts:
            raise SaslFailure("not-authorized", "The certificate names no account here.")
        if authzid:
            account = parse_authzid(authzid)
            if account not in accounts:
                raise SaslFailure("invalid-authzid", "The certificate does not name this account.")
        elif len(accounts) == 1:
            (account,) = accounts
        else:
            raise SaslFailure("invalid-authzid", "The certificate names several accounts.")
        self.localpart = account.localpart
        return Success(account)
