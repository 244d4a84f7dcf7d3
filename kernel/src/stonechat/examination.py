"""What an examination of another domain's server has found, step by step.

`Host.examine_server` gives a list of these: facts, and whether they let the two servers speak.
What to do about them is for whoever shows them. The steps come in this order, those from
`connect` to `authentication` for each place where the server may be:

    policy           what our configuration says of the domain
    now              the streams that there are at this moment
    dns              what the domain publishes
    addresses        those of each machine that it names
    connect          a connection to each of them
    stream           whether XMPP is spoken there, and to the domain
    tls              the encryption
    certificate      what the server shows for itself
    features         what it offers behind TLS
    authentication   how we can show who we are
    own-certificate  our certificate, as other servers see it
    outcome          whether stanzas can go there
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Code", "Finding", "Step", "Verdict"]

Verdict = Literal["ok", "warning", "failed", "skipped"]
"""`failed` keeps the servers apart, or from this place; `warning` does not, or not for sure."""

Step = Literal[
    "policy",
    "now",
    "dns",
    "addresses",
    "connect",
    "stream",
    "tls",
    "certificate",
    "features",
    "authentication",
    "own-certificate",
    "outcome",
]

Code = Literal[
    # policy
    "allowed",
    "denied",
    "not-federated",
    "served-here",
    # now
    "streams",
    "no-stream",
    "rests",
    # dns, addresses
    "records",
    "no-records",
    "refused-by-record",
    "no-server",
    "own-address",
    "dns-unavailable",
    "addresses",
    "no-address",
    # connect
    "connected",
    "connection-refused",
    "unreachable",
    "no-answer",
    # stream
    "opened",
    "old-version",
    "host-unknown",
    "stream-error",
    "no-xmpp",
    "closed",
    # tls
    "encrypted",
    "no-starttls",
    "starttls-refused",
    "handshake-failed",
    "no-alpn",
    # certificate, own-certificate
    "trusted",
    "no-certificate",
    "self-signed",
    "chain-incomplete",
    "unknown-authority",
    "expired",
    "expires-soon",
    "not-yet-valid",
    "invalid",
    "wrong-name",
    "server-only",
    # features, authentication
    "features",
    "external",
    "dialback",
    "no-proof",
    "no-offer",
    # outcome
    "can-speak",
    "cannot-speak",
    # any
    "no-time",
    "not-reached",
]


class Finding(NamedTuple):
    """One thing that was found."""

    step: Step
    target: str
    """What it is about: a domain, a name in DNS, a place, an address."""
    verdict: Verdict
    code: Code
    """The same in one word that does not change, for programs and for advice."""
    text: str
    """The same for a person, in one line that shows whatever a stranger has written safely."""
