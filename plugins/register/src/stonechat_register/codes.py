"""Error codes from before XMPP (XEP-0086), which XEP-0077 wants beside the conditions."""

from collections.abc import Iterator
from contextlib import contextmanager

from stonechat.errors import StanzaError

# XEP-0086, "Error codes to add to XMPP-style errors"; it does not know policy-violation.
CODES = {
    "bad-request": 400,
    "conflict": 409,
    "feature-not-implemented": 501,
    "forbidden": 403,
    "gone": 302,
    "internal-server-error": 500,
    "item-not-found": 404,
    "jid-malformed": 400,
    "not-acceptable": 406,
    "not-allowed": 405,
    "not-authorized": 401,
    "recipient-unavailable": 404,
    "redirect": 302,
    "registration-required": 407,
    "remote-server-not-found": 404,
    "remote-server-timeout": 504,
    "resource-constraint": 500,
    "service-unavailable": 503,
    "subscription-required": 407,
    "undefined-condition": 500,
    "unexpected-request": 400,
}


@contextmanager
def coded_errors() -> Iterator[None]:
    """Give errors their codes ("Error Handling")."""
    try:
        yield
    except StanzaError as error:
        error.code = CODES.get(error.condition, 0)
        raise
