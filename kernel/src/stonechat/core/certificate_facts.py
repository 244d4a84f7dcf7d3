"""What a chain of certificates is worth, in words: for whoever has to do something about it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from stonechat.core.certificate_watch import FEW_DAYS
from stonechat.net.certificates import (
    CertificateDescription,
    certificate_names,
    covers_domain,
    describe,
)

# Of many names and of many places these are enough to know which they are.
MOST_SHOWN = 6

_DAY = 24 * 3600 * 1_000_000

# Somebody issued it whom nobody here knows; `TlsSocket.verify_error` has these words.
_NO_ISSUER = {
    "unable to get issuer cert",
    "unable to get issuer cert locally",
    "unable to verify leaf signature",
}
_FAULTS: dict[str, CertificateCode] = {
    "depth zero self signed cert": "self-signed",
    "self signed cert in chain": "unknown-authority",
    "cert has expired": "expired",
    "cert not yet valid": "not-yet-valid",
}


CertificateCode = Literal[
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
]


class Fact(NamedTuple):
    """One thing to know of a certificate."""

    code: CertificateCode
    text: str

    @property
    def is_fault(self) -> bool:
        """Whether nobody need believe it."""
        return self.code not in ("trusted", "expires-soon")


def facts_of(chain: Sequence[x509.Certificate], fault: str, domain: str = "") -> Iterator[Fact]:
    """What a server shows; `fault` is what is wrong with it by TLS, `""` nothing.

    One of them at least. Without a `domain` it is not asked whom it is for.
    """
    # By the clock that OpenSSL goes by.
    now = time.time_ns() // 1000
    if not chain:
        yield Fact("no-certificate", "it shows no certificate")
        return
    certificate = chain[0]
    about = _described(certificate)
    if about is None:
        yield Fact("invalid", "it is so malformed that it cannot be read")
        return
    is_good = True
    for fact in (_trust(chain, about, fault, now), _time(about, now)):
        if fact is not None:
            is_good = False
            yield fact
    if domain and not covers_domain(certificate, domain, "xmpp-server"):
        is_good = False
        yield Fact("wrong-name", f"it is not for {domain}, but for {names_of(certificate)}")
    days = about.days_left(now)
    if is_good:
        text = f"for {names_of(certificate)}; issued by {about.issuer}"
        sent = counted(len(chain), "certificate")
        yield Fact("trusted", f"{text}; {counted(days, 'day')} left; {sent} in its chain")
    if 0 <= days < FEW_DAYS and about.not_before <= now:
        yield Fact("expires-soon", f"it expires in {counted(days, 'day')}")


def names_of(certificate: x509.Certificate) -> str:
    """The names that it is for, the first of them."""
    names = certificate_names(certificate)
    found = list(dict.fromkeys([*names.dns, *names.srv, *names.xmpp]))
    more = len(found) - MOST_SHOWN
    shown = ", ".join(found[:MOST_SHOWN]) or "no domain at all"
    return f"{shown} and {more} more" if more > 0 else shown


def serves_as_client(certificate: x509.Certificate) -> bool:
    """Whether it may also be shown by who connects (RFC 5280, 4.2.1.12)."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
    wanted = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    return not wanted.isdisjoint(usage)


def _described(certificate: x509.Certificate) -> CertificateDescription | None:
    """What is in it; None where parts of it, which are read only now, are malformed."""
    try:
        return describe(certificate)
    except ValueError:
        return None


def _trust(
    chain: Sequence[x509.Certificate], about: CertificateDescription, fault: str, now: int
) -> Fact | None:
    if not fault:
        return None
    code = _FAULTS.get(fault, "invalid")
    if fault in _NO_ISSUER:
        # Roots are left out of chains, so a longer one may be all that there is to send.
        code = "chain-incomplete" if len(chain) == 1 else "unknown-authority"
    match code:
        case "self-signed":
            return Fact(code, f"it is signed by itself ({about.subject}): nobody vouches for it")
        case "chain-incomplete":
            text = f"it comes alone, and its issuer is none of our authorities: {about.issuer}"
            return Fact(code, text)
        case "unknown-authority":
            last = _described(chain[-1])
            name = "" if last is None else f": {last.issuer}"
            return Fact(code, f"the authority at the end of its chain is none of ours{name}")
        case "expired" | "not-yet-valid" if about.not_before <= now <= about.not_after:
            word = "has expired" if code == "expired" else "is not valid yet"
            return Fact(code, f"a certificate of its chain {word}; its own is valid")
        case "expired" | "not-yet-valid":
            return None  # told with the time
        case _:
            return Fact(code, f"it cannot be trusted: {fault}")


def _time(about: CertificateDescription, now: int) -> Fact | None:
    if now > about.not_after:
        days = (now - about.not_after) // _DAY
        return Fact("expired", f"it has expired, {counted(days, 'day')} ago")
    if now < about.not_before:
        days = (about.not_before - now) // _DAY
        return Fact("not-yet-valid", f"it is not valid before {counted(days, 'day')} from now")
    return None


def counted(number: int, word: str) -> str:
    """So many of them, in words."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
