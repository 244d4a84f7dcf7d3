"""Finds out why another domain's server can, or cannot, be spoken to: facts, step by step.

It asks DNS and connects anew, with a resolver, TLS and sockets of its own, proves nothing and
authenticates nowhere: no stream in service hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar

import gevent

from stonechat.core.admin import refusals
from stonechat.core.admin_federation import FederationCommands
from stonechat.core.certificate_facts import facts_of
from stonechat.core.findings import Deadlines, finding
from stonechat.core.s2s_places import STEPS, Circumstances, Place
from stonechat.core.stream_probe import ProbeFailure
from stonechat.core.tls_mirror import make_probing_connector, reflect
from stonechat.examination import Code, Finding, Step, Verdict
from stonechat.jid import domain_to_ascii
from stonechat.net.resolver import NotFound, Resolver, Service, Target, Unavailable

if TYPE_CHECKING:
    from stonechat.core.server import Server
    from stonechat.core.virtual_host import VirtualHost
    from stonechat.net.tls import TlsConnector

T = TypeVar("T")

# Who is slower than that lets stanzas wait, too.
STEP_SECONDS = 10.0
TOTAL_SECONDS = 30.0

# Of what there is now.
_MOST_STREAMS = 8


def examine(server: Server, host: VirtualHost, domain: str) -> list[Finding]:
    """All about a prepared domain, as `host` would speak to it. Blocks."""
    return _Examination(server, host, domain).run()


class _Examination:
    """One look at one domain, from top to bottom."""

    def __init__(self, server: Server, host: VirtualHost, domain: str) -> None:
        self._server = server
        self._host = host
        self._domain = domain
        self._deadlines = Deadlines(STEP_SECONDS, TOTAL_SECONDS)
        self._findings: list[Finding] = []
        configuration = server.configuration
        # One of its own: what others remember may be what has just been mended.
        self._resolver = Resolver(
            configuration.dns.servers,
            timeout=configuration.dns.timeout,
            now=lambda: server.timers.now,
        )
        setting = configuration.hosts.get(host.name)
        self._has_certificate = setting is not None and setting.certificate is not None

    def run(self) -> list[Finding]:
        server, domain = self._server, self._domain
        is_allowed = self._policy()
        self._now()
        with refusals():
            connector = server.run_blocking(make_probing_connector, server.configuration)
        places = self._places(connector)
        for place in places:
            self._findings += place.findings
        if not places:
            reached = {each.step for each in self._findings}
            for step in ("addresses", *STEPS):
                if step not in reached:
                    self._note(step, domain, "skipped", "not-reached", "it was not come to")
        is_taken = any(place.takes_certificate for place in places)
        self._own_certificate(connector, is_taken=is_taken)
        self._outcome(places, is_allowed=is_allowed)
        return self._findings

    def _note(self, step: Step, target: str, verdict: Verdict, code: Code, text: str) -> None:
        self._findings.append(finding(step, target, verdict, code, text))

    # What there is without asking anybody

    def _policy(self) -> bool:
        s2s, domain, local = self._server.s2s, self._domain, self._host.name
        note = partial(self._note, "policy", domain)
        if self._server.router.host_of(domain) is not None:
            note("ok", "served-here", "it is served here; what follows is how others see it")
            return True
        if not s2s.federation_of(self._host).enabled:
            note("failed", "not-federated", f"{local} speaks to no other server")
            return False
        trust = s2s.policy(local, domain)
        if trust is None:
            note("failed", "denied", f"{local} does not speak to it, by its access rules")
            return False
        note("ok", "allowed", f"it may be spoken to; trust: {trust}")
        return True

    def _now(self) -> None:
        rows = FederationCommands(self._server).s2s_list(self._domain, _MOST_STREAMS + 1)
        told = [_told(row) for row in rows[:_MOST_STREAMS]]
        if len(rows) > _MOST_STREAMS:
            told.append("and more")
        note = partial(self._note, "now", self._domain)
        if not told:
            note("ok", "no-stream", "there is no stream")
        elif any(row["reason"] for row in rows):
            note("warning", "rests", "; ".join(told))
        else:
            note("ok", "streams", "; ".join(told))

    # DNS

    def _dns(self) -> list[Target]:
        """The targets, in the order in which they would be tried."""
        note = partial(self._note, "dns", self._domain)
        host = domain_to_ascii(self._domain)
        try:
            with self._deadlines.hold("an answer of the name servers"):
                services = () if _is_address(host) else self._resolver.services(host)
                for service in services:
                    self._service(service)
                # By what it remembers of that.
                targets = self._resolver.targets(self._domain)
        except NotFound as error:
            note("failed", "no-server", str(error))
            return []
        except Unavailable as error:
            note("failed", "dns-unavailable", str(error))
            return []
        except ProbeFailure as failure:
            note("failed", failure.code, str(failure))
            return []
        if not any(service.choices for service in services):
            text = f"its server is sought at its own address, port {targets[0].port}"
            note("ok", "own-address", text)
        return targets

    def _service(self, service: Service) -> None:
        note = partial(self._note, "dns", service.name)
        if isinstance(service.outcome, Unavailable):
            # Without the other kind of record there is still this one.
            note("warning", "dns-unavailable", str(service.outcome))
        elif service.choices:
            told = [
                f"{choice.target.host} port {choice.target.port}"
                f" (priority {choice.priority}, weight {choice.weight})"
                for choice in service.choices
            ]
            note("ok", "records", ", ".join(told))
        elif service.is_refused:
            note("ok", "refused-by-record", "it says that there is no such service")
        else:
            note("ok", "no-records", "there are no such records")

    def _addresses(self, host: str) -> list[str]:
        note = partial(self._note, "addresses", host)
        try:
            with self._deadlines.hold("its addresses"):
                families = self._server.configuration.federation.families
                found = self._resolver.addresses(host, families)
        except NotFound as error:
            note("failed", "no-address", str(error))
        except Unavailable as error:
            note("failed", "dns-unavailable", str(error))
        except ProbeFailure as failure:
            note("failed", failure.code, str(failure))
        else:
            note("ok", "addresses", ", ".join(found))
            return found
        return []

    # Places

    def _places(self, connector: TlsConnector) -> list[Place]:
        """All where the server may be, examined side by side."""
        targets = self._dns()
        hosts = list(dict.fromkeys(target.host for target in targets))
        looked_up = _together([partial(self._addresses, each) for each in hosts])
        addresses = dict(zip(hosts, looked_up, strict=True))
        given = self._circumstances(connector)
        places = [
            (Place(target, given, self._deadlines), addresses[target.host])
            for target in targets
            if addresses[target.host]
        ]
        _together([partial(place.examine, found) for place, found in places])
        return [place for place, _ in places]

    def _circumstances(self, connector: TlsConnector) -> Circumstances:
        server, local, remote = self._server, self._host.name, self._domain
        s2s = server.s2s
        return Circumstances(
            local=local,
            remote=remote,
            trust=s2s.policy(local, remote) or s2s.federation_of(self._host).trust,
            connector=connector,
            shows_certificate=self._has_certificate,
            proves=self._host.has_hook("stonechat_prove_domain"),
            limit=server.configuration.limits.stanza_bytes_before_auth,
        )

    # The end

    def _own_certificate(self, connector: TlsConnector, *, is_taken: bool) -> None:
        """What others make of ours: by our authorities, for theirs are not known."""
        server, local = self._server, self._host.name
        note = partial(self._note, "own-certificate", local)
        proves = self._host.has_hook("stonechat_prove_domain")
        if server.contexts is None or not self._has_certificate:
            note("warning" if proves else "failed", "no-certificate", f"{local} has none")
            return
        ours = server.run_blocking(reflect, server.contexts, connector, local)
        if ours.problem:
            note("failed", "handshake-failed", ours.problem)
            return
        for fact in facts_of(ours.chain, ours.fault, local):
            is_bad = fact.is_fault and not (is_taken or proves)
            is_good = fact.code == "trusted"
            note("failed" if is_bad else "ok" if is_good else "warning", *fact)
        if not ours.serves_as_client:
            text = "its issuer has not meant it for who connects; some servers mind"
            note("warning", "server-only", text)

    def _outcome(self, places: Sequence[Place], *, is_allowed: bool) -> None:
        note = partial(self._note, "outcome", self._domain)
        fit = next((place for place in places if place.way), None)
        if not is_allowed:
            note("failed", "cannot-speak", "our configuration keeps the two apart")
        elif fit is not None:
            note("ok", "can-speak", f"stanzas can go to {fit.name}, {fit.way}")
        else:
            failed = [each for each in self._findings if each.verdict == "failed"]
            reason = f"{failed[0].step}: {failed[0].text}" if failed else "no place is left"
            note("failed", "cannot-speak", f"no stream can be had; {reason}")


def _told(row: dict[str, Any]) -> str:
    told = f"{row['direction']}: {row['local']}, {row['state']}"
    return f"{told} ({row['reason']})" if row["reason"] else told


def _is_address(host: str) -> bool:
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """The results of calls that block, each in a greenlet; none of these outlives it."""
    greenlets = [gevent.spawn(call) for call in calls]
    try:
        gevent.joinall(greenlets, raise_error=True)
        return [greenlet.value for greenlet in greenlets]
    finally:
        gevent.killall(greenlets, block=False)
