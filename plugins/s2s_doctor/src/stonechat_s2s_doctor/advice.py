"""What to do about what was found: one sentence for each finding that is not well."""

from __future__ import annotations

from collections.abc import Mapping

from stonechat.examination import Code, Finding, Step

_THEIR_CERTIFICATE = (
    "Tell their administrators; until then `federation.domains` can let the domain prove itself"
    " by dialback (`trust: dialback`)."
)
_OUR_CERTIFICATE = "Get one for the domain from a public authority; see `stonechat doctor tls`."

ADVICE: Mapping[Code, str] = {
    # policy
    "denied": "If it should be spoken to, change `access` under `federation.domains`, and reload.",
    "not-federated": "Add a listener of type s2s or set `federation.enabled`, for the host or for"
    " all, and reload.",
    # now
    "rests": "If what kept them apart is mended, `stonechat s2s-close` with the domain lets it be"
    " tried again at once.",
    # dns, addresses
    "no-server": "The domain says that it has no server: if that is not meant so, its DNS records"
    " are to be changed.",
    "dns-unavailable": "See that our name servers (`dns.servers`, or the system's) answer; if they"
    " do, those of the domain are broken.",
    "no-address": "See whether the name is spelled right; if it is, it lacks an A or AAAA record.",
    # connect
    "connection-refused": "Nobody listens there: the server is down, or the record names another"
    " port than it has.",
    "unreachable": "See that this machine has a route to such addresses; one without IPv6 does"
    " best with `federation.families: [ipv4]`.",
    "no-answer": "Most likely a firewall drops what we send, ours or theirs; else it hangs.",
    # stream
    "old-version": "Only a domain with `trust: any` may be so old; its server is to be updated.",
    "host-unknown": "That server does not have the domain: the DNS records lead to a wrong place,"
    " or its configuration lacks it.",
    "stream-error": "It says why, and its log says more: a rule against us, or our certificate if"
    " TLS was in force.",
    "no-xmpp": "Something else than an XMPP server for servers listens there: the port is wrong,"
    " or wants direct TLS where we begin in the clear.",
    "closed": "Their log says why; it may be a rule against us, a limit, or a proxy before a"
    " server that is down.",
    # tls
    "no-starttls": "Their server is to be given a certificate; until then only `trust: any` in"
    " `federation.domains` would do, with streams that anybody can read.",
    "starttls-refused": "Their certificate or its key cannot be read, most likely: their log says"
    " why.",
    "handshake-failed": "The two have no version or cipher in common, or they do not like our"
    " certificate: compare `tls.min_version` and `tls.ciphers` with what they have.",
    "no-alpn": "It works; their direct TLS should agree on `xmpp-server` (XEP-0368), or other"
    " protocols on the port may get our streams.",
    # certificate
    "no-certificate": _THEIR_CERTIFICATE,
    "self-signed": _THEIR_CERTIFICATE,
    "chain-incomplete": "Most likely their server does not send the certificates of its issuers"
    " along: it is to be given the full chain.",
    "unknown-authority": "If that authority is to be believed, add it to the file in"
    " `federation.ca_file`; else ask for a certificate of a public one.",
    "expired": "Their certificate is to be renewed; see that the clock of this machine is right.",
    "expires-soon": "It should have been renewed by now: tell their administrators in time.",
    "not-yet-valid": "See that the clock of this machine is right; if it is, theirs was not when"
    " the certificate was made.",
    "invalid": _THEIR_CERTIFICATE,
    "wrong-name": "A certificate has to name the domain of the addresses, not the machine: theirs"
    " needs another.",
    # authentication
    "no-proof": "Switch the plugin `dialback` on, or get this host a certificate that they"
    " believe.",
    "no-offer": "They do not believe our certificate, and take no dialback: see what"
    " own-certificate says.",
    # outcome
    "cannot-speak": "Begin with the first step that failed.",
    # any
    "no-time": "The steps before took too long: mend these first, and ask again.",
    "not-reached": "Mend what failed before it.",
}
"""Of findings that are not well. What is well needs no advice."""

_IN_STEP: Mapping[tuple[Step, Code], str] = {
    ("dns", "no-answer"): "See that our name servers (`dns.servers`, or the system's) answer.",
    ("addresses", "no-answer"): "See that our name servers (`dns.servers`, or the system's)"
    " answer.",
    ("stream", "no-answer"): "Their server accepts connections and is silent: it hangs, or is a"
    " proxy before one that is down.",
    ("tls", "no-answer"): "Their server hangs, or does not begin with TLS on that port.",
    ("own-certificate", "no-certificate"): _OUR_CERTIFICATE,
    ("own-certificate", "self-signed"): _OUR_CERTIFICATE,
    ("own-certificate", "chain-incomplete"): "Put the certificates of its issuers behind it in"
    " the file of the chain.",
    ("own-certificate", "unknown-authority"): "Servers that know that authority will take it; for"
    " all others get one from a public authority.",
    ("own-certificate", "expired"): "Renew it; what stands in its files then is in use within a"
    " minute.",
    ("own-certificate", "expires-soon"): "Renew it; what stands in its files then is in use"
    " within a minute.",
    ("own-certificate", "not-yet-valid"): "See that the clock of this machine is right.",
    ("own-certificate", "invalid"): _OUR_CERTIFICATE,
    ("own-certificate", "wrong-name"): "Get one that names the host itself, not only the machine;"
    " see `stonechat doctor tls`.",
    ("own-certificate", "server-only"): "If they do not take it, ask the issuer for one that is"
    " for clients, too (extended key usage clientAuth), or switch `dialback` on.",
    ("own-certificate", "handshake-failed"): "See what `stonechat doctor tls` says.",
}


def advice_on(finding: Finding) -> str:
    """One sentence; `""` where all is well."""
    if finding.verdict == "ok":
        return ""
    return _IN_STEP.get((finding.step, finding.code)) or ADVICE[finding.code]
