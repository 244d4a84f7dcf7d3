"""The router: a stanza's domain decides who gets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from structlog.typing import FilteringBoundLogger

from stonechat.cluster import Cluster
from stonechat.errors import JIDError, StanzaError, StorageError
from stonechat.stanza import Iq, Presence, Stanza

if TYPE_CHECKING:
    from stonechat.core.virtual_host import VirtualHost

# A stanza that is passed on more often than this runs in a circle.
MAX_HOPS = 20


class Route(NamedTuple):
    """Who answers for a domain on this node."""

    handler: Callable[[Stanza], None]
    owner: str
    host: VirtualHost | None


class RemoteDomains(Protocol):
    """Who takes what no node answers for: the s2s manager."""

    def route(self, stanza: Stanza) -> None: ...


class Router:
    """Two tables: routes of this node, then those of other nodes; the rest is federation.

    A route for `*.example.org` takes the subdomains that nobody else names;
    only components register such ones.
    """

    def __init__(
        self, cluster: Cluster, remote_domains: RemoteDomains, log: FilteringBoundLogger
    ) -> None:
        self._local: dict[str, Route] = {}
        self._wildcards: dict[str, Route] = {}  # those of them, by what is behind `*.`
        self._cluster = cluster
        self._remote_domains = remote_domains
        self._log = log
        self.max_hops = MAX_HOPS

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that this node answers for."""
        return tuple(self._local)

    def owner(self, domain: str) -> str:
        """Who answers for a domain on this node, or `""`."""
        route = self._local.get(domain)
        return "" if route is None else route.owner

    def host_of(self, domain: str) -> VirtualHost | None:
        """The virtual host that a domain belongs to: its own, or one of its plugins'."""
        route = self._local.get(domain)
        if route is None:
            route = self._wildcard(domain)
        return None if route is None else route.host

    def add_route(
        self,
        domain: str,
        handler: Callable[[Stanza], None],
        owner: str,
        host: VirtualHost | None = None,
    ) -> None:
        """Answer for a domain; ValueError if somebody does already."""
        if domain in self._local:
            raise ValueError(f"{domain} is served by {self._local[domain].owner} already")
        route = self._local[domain] = Route(handler, owner, host)
        if domain.startswith("*."):
            self._wildcards[domain.removeprefix("*.")] = route
        self._cluster.route_added(domain)

    def remove_route(self, domain: str) -> None:
        """Answer for a domain no longer; KeyError if nobody did."""
        del self._local[domain]
        if domain.startswith("*."):
            del self._wildcards[domain.removeprefix("*.")]
        self._cluster.route_removed(domain)

    def route(self, stanza: Stanza) -> None:
        """Send a stanza on its way; what cannot be delivered is answered to its sender."""
        try:
            to = stanza.to
            if to is None:
                raise StanzaError("bad-request", "The stanza has no recipient.")
            if stanza.hops >= self.max_hops:
                self._log.error("a stanza runs in a circle", stanza=stanza.summary())
                return
            stanza.hops += 1
            route = self._local.get(to.domain)
            if route is not None:
                route.handler(stanza)
            else:
                self._route_elsewhere(stanza, to.domain)
        except StanzaError as error:
            self.bounce(stanza, error)
        except JIDError as error:
            self.bounce(stanza, StanzaError("jid-malformed", str(error)))
        except StorageError:
            # A store of accounts that is away, say: whoever keeps it has told the operator.
            self.bounce(stanza, StanzaError("internal-server-error", type="wait"))

    def _route_elsewhere(self, stanza: Stanza, domain: str) -> None:
        node = self._cluster.node_of_route(domain)
        if node is not None:
            self._cluster.forward(node, stanza)
            return
        route = self._wildcard(domain)
        if route is not None:
            route.handler(stanza)
            return
        self._remote_domains.route(stanza)

    def _wildcard(self, domain: str) -> Route | None:
        # Most servers have none, and all that goes to other servers is looked for here.
        return self._wildcards.get(domain.partition(".")[2]) if self._wildcards else None

    def bounce(self, stanza: Stanza, error: StanzaError) -> None:
        """Answer a stanza with an error.

        Errors and results are never answered (RFC 6120, 8.3.1), nor is the
        news that somebody is gone.
        """
        type_ = stanza.attributes.get("type", "")
        if type_ == "error" or (type_ == "result" and type(stanza) is Iq):
            return
        if type(stanza) is Presence and type_ == "unavailable":
            return
        reply = stanza.error_reply(error)
        reply.hops = stanza.hops
        if "to" in reply.attributes:
            self.route(reply)
