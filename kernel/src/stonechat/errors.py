"""Errors, by scope: one stanza, one stream, one configuration.

Raise where you know, catch where you can act. Conditions are spelled as in
RFC 6120, sections 4.9.3 and 8.3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stonechat.xml import Element

# Condition -> the error type that RFC 6120, 8.3.3 gives or recommends for it.
STANZA_ERROR_TYPES = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "gone": "cancel",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "policy-violation": "modify",
    "recipient-unavailable": "wait",
    "redirect": "modify",
    "registration-required": "auth",
    "remote-server-not-found": "cancel",
    "remote-server-timeout": "wait",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
    "subscription-required": "auth",
    "undefined-condition": "cancel",
    "unexpected-request": "wait",
}

STREAM_ERROR_CONDITIONS = frozenset(
    {
        "bad-format",
        "bad-namespace-prefix",
        "conflict",
        "connection-timeout",
        "host-gone",
        "host-unknown",
        "improper-addressing",
        "internal-server-error",
        "invalid-from",
        "invalid-namespace",
        "invalid-xml",
        "not-authorized",
        "not-well-formed",
        "policy-violation",
        "remote-connection-failed",
        "reset",
        "resource-constraint",
        "restricted-xml",
        "see-other-host",
        "system-shutdown",
        "undefined-condition",
        "unsupported-encoding",
        "unsupported-feature",
        "unsupported-stanza-type",
        "unsupported-version",
    }
)


class StonechatError(Exception):
    """The base of every error that Stonechat raises on purpose."""


class JIDError(StonechatError, ValueError):
    """A text is not a JID by RFC 7622."""


class XMLError(StonechatError, ValueError):
    """Bytes are not XML that XMPP allows (RFC 6120, section 11).

    `condition` is the stream error that names what is wrong. `events` is what
    a stream brought, in the same bytes, before the fault.
    """

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(text or condition)
        self.condition = condition
        self.text = text
        self.events: list[Any] = []


class StanzaError(StonechatError):
    """Answers one stanza with an error (RFC 6120, 8.3).

    `text` is for the peer's user. `application` is an application-specific
    condition element, put beside the defined one. `payload` is data that a
    redirect or gone condition carries (RFC 6120, 8.3.3.5). `code` is the number
    that protocols from before XMPP want beside the condition (XEP-0086); 0 is none.
    """

    def __init__(
        self,
        condition: str,
        text: str = "",
        *,
        type: str = "",
        application: Element | None = None,
        payload: str = "",
        code: int = 0,
    ) -> None:
        if condition not in STANZA_ERROR_TYPES:
            raise ValueError(f"{condition!r} is not a stanza error condition of RFC 6120")
        super().__init__(text or condition)
        self.condition = condition
        self.text = text
        self.type = type or STANZA_ERROR_TYPES[condition]
        self.application = application
        self.payload = payload
        self.code = code


class StreamError(StonechatError):
    """Ends one stream (RFC 6120, 4.9).

    `payload` is what a see-other-host condition carries.
    """

    def __init__(
        self,
        condition: str,
        text: str = "",
        *,
        payload: str = "",
        application: Element | None = None,
    ) -> None:
        if condition not in STREAM_ERROR_CONDITIONS:
            raise ValueError(f"{condition!r} is not a stream error condition of RFC 6120")
        super().__init__(text or condition)
        self.condition = condition
        self.text = text
        self.payload = payload
        self.application = application


class SaslFailure(StonechatError):
    """Ends one attempt to authenticate (RFC 6120, 6.5)."""

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(text or condition)
        self.condition = condition
        self.text = text


class StorageError(StonechatError):
    """The store refused, broke or did not answer in time; nothing was written."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a configuration file; line and column count from 1."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}"


class ConfigError(StonechatError):
    """Stops the start or the reload: the configuration is wrong.

    `problems` holds one line per fault, each with its position in front.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
