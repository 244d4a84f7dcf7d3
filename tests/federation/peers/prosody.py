"""Prosody 0.12, as Debian has it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from peers import DEFAULT_PORT
from peers.server import PeerServer
from peers.stage import Stage, free_port

# Without lua-unbound, which is only recommended, it asks those of /etc/resolv.conf, always at
# port 53. There is no option for another one, but modules can do anything. With lua-unbound
# the option `unbound` says it all, and nothing here is called.
_NAME_SERVER = """\
module:set_global();
local adns = require "net.adns";
local make_resolver = adns.resolver;
function adns.resolver()
	local resolver = make_resolver();
	local inner = resolver._resolver;
	local wrap = inner.socket_wrapper;
	if not wrap then return resolver; end
	inner:setnameserver("%(host)s");
	-- Else it waits for up to a second before each question.
	inner.jitter, inner.retry_jitter = false, false;
	inner:socket_wrapper_set(function (socket, of)
		local handler, err = wrap(socket, of);
		if handler then
			local setpeername = handler.setpeername;
			function handler:setpeername(peer) return setpeername(self, peer, %(port)s); end
		end
		return handler, err;
	end);
	return resolver;
end
"""

# Says something for a user as soon as a server has proven itself, as users do who happen to
# write just then.
_HASTY = """\
local st = require "util.stanza";
module:hook("s2sin-established", function (event)
	local to = "juliet@" .. event.session.from_host;
	module:send(st.message({ type = "chat", from = "romeo@" .. module.host, to = to }, "Hasty"));
end);
"""

# Knows nothing of SASL between servers, as it was once.
_OLD = """\
local sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
module:hook("s2s-stream-features", function (event)
	event.features:remove_children("mechanisms", sasl);
end, -1000);
module:hook_tag("http://etherx.jabber.org/streams", "features", function (session, features)
	features:remove_children("mechanisms", sasl);
end, 1000);
"""

DNS_HOSTS = (
    "alias",
    "b\u00fccher",
    "dead-direct",
    "dead-first",
    "dead-ipv6",
    "hanging-first",
    "no-direct",
    "no-record",
    "rude-first",
)

# Of single hosts, by their first label.
_OPTIONS = {
    "bidi": ['    modules_enabled = { "s2s_bidi" }'],
    "dialback": ['    modules_enabled = { "test_old" }'],
    "hasty": ['    modules_enabled = { "s2s_bidi", "test_hasty" }'],
    "strict": ['    modules_disabled = { "dialback" }'],
}


class Prosody(PeerServer):
    """`secure_domains` are those whose certificates have to be good; a dialback does for others.

    Its host `direct` is only to be reached where TLS begins at once, its host `strict` knows
    no dialback and `dialback` nothing else; `bidi` and `hasty` use one stream for both
    directions (XEP-0288), and `hasty` at the first moment. The other hosts of `extra_hosts` are
    for tests that look for them in DNS. It also listens on the port that is meant where DNS
    says none.
    """

    name = "prosody"
    programs = ("prosody",)
    extra_hosts: ClassVar[tuple[str, ...]] = (
        *("bidi", "dialback", "direct", "hasty", "strict"),
        *DNS_HOSTS,
    )

    def __init__(self, stage: Stage, domain: str, secure_domains: Sequence[str] = ()) -> None:
        super().__init__(stage, domain)
        self._secure_domains = secure_domains
        self.direct_port = free_port(self.address)
        stage.serve_direct(f"direct.{domain}", self.address, self.direct_port)
        modules = self.directory / "modules"
        modules.mkdir()
        host, port = stage.dns.address.split(":")
        (modules / "mod_test_name_server.lua").write_text(
            _NAME_SERVER % {"host": host, "port": port}
        )
        (modules / "mod_test_hasty.lua").write_text(_HASTY)
        (modules / "mod_test_old.lua").write_text(_OLD)
        self._config_file = self.directory / "prosody.cfg.lua"
        self._config_file.write_text("\n".join(self._configuration()) + "\n")

    def command(self) -> tuple[Sequence[str | Path], Mapping[str, str]]:
        program = shutil.which("prosody")
        assert program is not None
        return [program, "-F", "--config", self._config_file], {}

    def _configuration(self) -> Iterator[str]:
        name_server = self.stage.dns.address.replace(":", "@")
        yield "run_as_root = true"
        yield f'pidfile = "{self.directory}/prosody.pid"'
        yield f'data_path = "{self.directory}/data"'
        yield f'plugin_paths = {{ "{self.directory}/modules" }}'
        yield 'log = { { levels = { min = "debug" }, to = "console" } }'
        yield f'interfaces = {{ "{self.address}" }}'
        yield f"c2s_ports = {{ {self.port} }}"
        yield "c2s_direct_tls_ports = { }"
        yield f"s2s_ports = {{ {self.s2s_port}, {DEFAULT_PORT} }}"
        yield f"s2s_direct_tls_ports = {{ {self.direct_port} }}"
        yield f"s2s_direct_tls_{self._tls(f'direct.{self.domain}')}"
        yield "unbound = {"
        yield f'    forward = {{ "{name_server}" }}, hoststxt = false, resolvconf = false,'
        yield "}"
        yield "c2s_require_encryption = false"
        yield "allow_unencrypted_plain_auth = true"
        yield "s2s_require_encryption = false"
        yield "s2s_secure_auth = false"
        secure = ", ".join(f'"{domain}"' for domain in self._secure_domains)
        yield f"s2s_secure_domains = {{ {secure} }}"
        # Whoever logs in has an account.
        yield 'authentication = "insecure"'
        yield 'insecure_open_authentication = "Yes please, I know what I\'m doing!"'
        yield "modules_enabled = {"
        yield '    "test_name_server", "disco", "roster", "saslauth", "tls", "ping", "version",'
        yield '    "dialback";'
        yield "}"
        for host in self.hosts:
            yield f'VirtualHost "{host}"'
            if host not in self.certificates:
                yield '    modules_disabled = { "tls" }'
                continue
            yield from _OPTIONS.get(host.partition(".")[0], ())
            yield self._tls(host)
        rooms = f"{self.rooms}.{self.domain}"
        yield f'Component "{rooms}" "muc"'
        yield '    modules_enabled = { "dialback", "saslauth", "tls" }'
        yield self._tls(rooms)

    def _tls(self, host: str) -> str:
        chain, key = self.certificates[host]
        authority = self.stage.authority.path
        return f'ssl = {{ certificate = "{chain}", key = "{key}", cafile = "{authority}" }}'
