"""What to do about our own TLS: one sentence for each finding that is not well."""

from __future__ import annotations

from collections.abc import Mapping

from stonechat.core.tls_doctor import TlsCode, TlsFinding

_FROM_AN_AUTHORITY = "Get one from a public authority; others ask their users, or do not connect."

ADVICE: Mapping[TlsCode, str] = {
    "weak-ciphers": "Leave `tls.ciphers` out, unless some old client needs them.",
    "plain-passwords": "Set `allow_plain_without_tls: false`, unless it is for tests.",
    "unreadable": "Mend the file, for a restart would fail; what was read before is in use yet.",
    "not-in-use": "If it was renewed a moment ago, wait a minute; else the log says why it is not"
    " taken.",
    "no-certificate": "Name one under `certificate` of the host, and reload.",
    "self-signed": _FROM_AN_AUTHORITY,
    "chain-incomplete": "Put the certificates of its issuers behind it in the file of the chain.",
    "unknown-authority": "Whoever has that authority on his machine takes it; for all others get"
    " one from a public authority.",
    "expired": "Renew it; what stands in its files then is in use within a minute.",
    "expires-soon": "Renew it; what stands in its files then is in use within a minute.",
    "not-yet-valid": "See that the clock of this machine is right.",
    "invalid": _FROM_AN_AUTHORITY,
    "wrong-name": "Get one that names the domain of the addresses, not only the machine.",
    "not-covered": "Get a certificate that names this domain, too.",
    "handshake-failed": "See what the log says of it; a limit on connections from one address may"
    " count this one, too.",
    "other-certificate": "If its files have just changed, wait a minute; else report it.",
    "clear": "Set `starttls: required` or `tls: direct`, or let it listen on 127.0.0.1 only.",
    "not-federated": "Nothing, as long as the host is not to speak to other servers.",
    "not-reachable": "Look at it from the machine of the proxy.",
    "enough": "Name a host to have its handshakes looked at.",
}


def advice_on(finding: TlsFinding) -> str:
    """One sentence; `""` where all is well."""
    return "" if finding.verdict == "ok" else ADVICE[finding.code]
