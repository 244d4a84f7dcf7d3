"""Looks at one place where a domain's server may be: addresses, stream, TLS, what it offers."""

from __future__ import annotations

import _socket
import errno
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import NamedTuple

import gevent

from stonechat.core.certificate_facts import facts_of
from stonechat.core.findings import Deadlines, finding
from stonechat.core.stream_probe import Offer, ProbeFailure, StreamProbe
from stonechat.examination import Code, Finding, Step, Verdict
from stonechat.federation import Trust
from stonechat.net.dialer import connect_to
from stonechat.net.line import Line
from stonechat.net.resolver import Target
from stonechat.net.tls import TlsConnector
from stonechat.net.tls_socket import TlsCut, TlsError
from stonechat.protocol.s2s import EXTERNAL

NS_DIALBACK_FEATURE = "urn:xmpp:features:dialback"  # XEP-0220, 2.1

# Those of one place, in the order in which they are come to.
STEPS: tuple[Step, ...] = (
    "connect",
    "stream",
    "tls",
    "certificate",
    "features",
    "authentication",
)


class Circumstances(NamedTuple):
    """What an examination knows before it connects."""

    local: str
    remote: str
    trust: Trust
    connector: TlsConnector
    shows_certificate: bool
    proves: bool
    """Whether a plugin can prove a domain without a certificate."""
    limit: int
    """Octets that an element of a stranger's may have."""


class Place:
    """An examination of one target; `findings` tells how far it got."""

    def __init__(self, target: Target, given: Circumstances, deadlines: Deadlines) -> None:
        self.name = f"{target.host} port {target.port}{', direct TLS' if target.tls else ''}"
        self.findings: list[Finding] = []
        self.way = ""
        """How stanzas can go there, in words; `""` if they cannot."""
        self.takes_certificate = False
        """Whether its server has seen ours, and says that it will do; not all look at it first."""
        self._target = target
        self._given = given
        self._deadlines = deadlines
        self._step: Step = "connect"
        self._is_fit = True

    def examine(self, addresses: Sequence[str]) -> None:
        """Go as far as it goes. Blocks its greenlet, for as long as the deadlines let it."""
        try:
            sock = self._connect(addresses)
            if sock is not None:
                line = Line(sock)
                try:
                    self._talk(line)
                finally:
                    line.close()
        except _FAILURES as error:
            code, text = _told(error)
            # With TLS 1.3 a peer may say only behind the handshake what it did not like.
            step = "tls" if code == "handshake-failed" else self._step
            self._note(step, "failed", code, text)
        reached = {each.step for each in self.findings}
        for step in STEPS:
            if step not in reached:
                self._note(step, "skipped", "not-reached", "it was not come to")

    def _note(self, step: Step, verdict: Verdict, code: Code, text: str, target: str = "") -> None:
        self.findings.append(finding(step, target or self.name, verdict, code, text))
        if verdict == "failed" and step != "connect":
            self._is_fit = False

    # Connecting

    def _connect(self, addresses: Sequence[str]) -> _socket.socket | None:
        """A connection to the first of them that can be had, after all have been tried."""
        attempts = [gevent.spawn(self._try, address) for address in addresses]
        chosen: _socket.socket | None = None
        try:
            gevent.joinall(attempts, raise_error=True)
            outcomes = [attempt.value for attempt in attempts]
            chosen = next((o for o in outcomes if isinstance(o, _socket.socket)), None)
            for address, outcome in zip(addresses, outcomes, strict=True):
                target = f"{self.name} at {address}"
                if isinstance(outcome, ProbeFailure):
                    # One that works beside it is enough, but who has the other waits.
                    verdict: Verdict = "failed" if chosen is None else "warning"
                    self._note("connect", verdict, outcome.code, str(outcome), target)
                else:
                    self._note("connect", "ok", "connected", "it accepts connections", target)
            return chosen
        finally:
            for attempt in attempts:
                if isinstance(attempt.value, _socket.socket) and attempt.value is not chosen:
                    attempt.value.close()
                attempt.kill(block=False)

    def _try(self, address: str) -> _socket.socket | ProbeFailure:
        try:
            with self._deadlines.hold("an answer"):
                return connect_to(address, self._target.port, "")
        except ProbeFailure as failure:
            return failure
        except OSError as error:
            refused = error.errno == errno.ECONNREFUSED
            code: Code = "connection-refused" if refused else "unreachable"
            return ProbeFailure(code, _reason(error))

    # Talking

    def _talk(self, line: Line) -> None:
        given = self._given
        probe = StreamProbe(
            line,
            given.limit,
            to=given.remote,
            from_=given.local,
            speaks_dialback=given.proves,
        )
        offer: Offer | None = None
        if not self._target.tls:
            offer = self._open(probe)
            is_secure = self._can_encrypt(offer) and self._starts_tls(line, probe, offer)
        else:
            self._encrypt(line)
            is_secure = True
        if offer is None or is_secure:
            offer = self._open(probe)
        names = [feature.name for feature in offer.features]
        self._note("features", "ok", "features", ", ".join(names) or "it names none")
        self._authentication(offer, is_secure=is_secure)
        with suppress(ProbeFailure, OSError), self._deadlines.hold("room for our last word"):
            probe.end()

    def _open(self, probe: StreamProbe) -> Offer:
        with self._hold("stream", "an answer to our stream header"):
            offer = probe.open()
        if offer.is_old:
            verdict: Verdict = "warning" if self._given.trust == "any" else "failed"
            self._note("stream", verdict, "old-version", "it is older than XMPP 1.0")
        elif not any(each.step == "stream" for each in self.findings):
            self._note("stream", "ok", "opened", "it speaks XMPP, and serves the domain")
        return offer

    def _can_encrypt(self, offer: Offer) -> bool:
        if offer.offers_tls:
            return True
        verdict: Verdict = "warning" if self._given.trust == "any" else "failed"
        self._note("tls", verdict, "no-starttls", "it does not offer STARTTLS")
        self._note("certificate", "skipped", "not-reached", "there is none without TLS")
        return False

    def _starts_tls(self, line: Line, probe: StreamProbe, offer: Offer) -> bool:
        """Whether TLS is in force; False where it is not, and streams would do without."""
        try:
            with self._hold("tls", "an answer to STARTTLS"):
                probe.ask_tls()
            self._encrypt(line)
        except _FAILURES as error:
            if self._step != "tls" or self._given.trust != "any" or offer.requires_tls:
                raise
            code, text = _told(error)
            self._note("tls", "warning", code, f"{text}; without TLS it is tried once more")
            self._note("certificate", "skipped", "not-reached", "there is none without TLS")
            return False
        return True

    def _encrypt(self, line: Line) -> None:
        given = self._given
        alpn = ["xmpp-server"] if self._target.tls else []
        tls = given.connector.connect(
            line.descriptor,
            given.remote,
            host=given.local if given.shows_certificate else "",
            alpn=alpn,
            keeps_chain=True,
        )
        with self._hold("tls", "the TLS handshake"):
            line.encrypt(tls)
        text = f"{tls.version}, {tls.cipher}"
        if alpn and not tls.alpn:
            # XEP-0368: it should be agreed on, and is not asked for by all.
            self._note("tls", "warning", "no-alpn", f"{text}; it does not agree on xmpp-server")
        else:
            self._note("tls", "ok", "encrypted", text)
        self._step = "certificate"
        for fact in facts_of(tls.peer_chain(), tls.verify_error, given.remote):
            self._note("certificate", self._severity(fact.code, fact.is_fault), *fact)

    def _severity(self, code: Code, is_fault: bool) -> Verdict:
        if is_fault:
            return "failed" if self._given.trust == "require" else "warning"
        return "ok" if code == "trusted" else "warning"

    def _authentication(self, offer: Offer, *, is_secure: bool) -> None:
        given = self._given
        by_certificate = is_secure and EXTERNAL in offer.mechanisms
        by_dialback = offer.has(NS_DIALBACK_FEATURE, "dialback") or offer.declares_dialback
        offered = [EXTERNAL] * by_certificate + ["dialback"] * by_dialback
        told = f"it offers {' and '.join(offered)}"
        self._step = "authentication"
        note = partial(self._note, "authentication")
        if by_certificate and given.shows_certificate:
            self.takes_certificate = True
            note("ok", "external", f"{told}: our certificate should do")
            self._settle("with our certificate")
        elif by_dialback and given.proves:
            note("ok", "dialback", told)
            self._settle("with a dialback")
        elif offered:
            note("failed", "no-proof", f"{told}, and we have neither to show")
        else:
            note("failed", "no-offer", "it offers neither EXTERNAL nor dialback")

    def _settle(self, way: str) -> None:
        if self._is_fit:
            self.way = way

    def _hold(self, step: Step, what: str) -> AbstractContextManager[None]:
        self._step = step
        return self._deadlines.hold(what)


_FAILURES = (ProbeFailure, TlsError, OSError)


def _told(error: Exception) -> tuple[Code, str]:
    """What has come between."""
    match error:
        case ProbeFailure():
            return error.code, str(error)
        case TlsCut():
            return "closed", f"the connection is lost: {error}"
        case TlsError():
            return "handshake-failed", f"TLS failed: {error}"
        case OSError():
            return "closed", f"the connection is lost: {_reason(error)}"
    raise error


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
