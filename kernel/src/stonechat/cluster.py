"""How the nodes that serve the same domains know of each other.

The kernel asks a `Cluster`; `SingleNode` is the one for a node alone. An
engine for many nodes is a plugin.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from stonechat.jid import JID
from stonechat.stanza import Stanza


class Cluster(ABC):
    """What the kernel tells and asks the other nodes."""

    @abstractmethod
    def route_added(self, domain: str) -> None:
        """This node answers for a domain now."""

    @abstractmethod
    def route_removed(self, domain: str) -> None:
        """This node answers for a domain no longer."""

    @abstractmethod
    def node_of_route(self, domain: str) -> str | None:
        """Another node that answers for a domain."""

    @abstractmethod
    def session_opened(self, jid: JID) -> None:
        """A full JID is bound on this node."""

    @abstractmethod
    def session_closed(self, jid: JID) -> None:
        """A full JID of this node is free again."""

    @abstractmethod
    def forward(self, node: str, stanza: Stanza) -> None:
        """Let another node route a stanza; StanzaError if it cannot be reached."""


class SingleNode(Cluster):
    """A node alone: nothing is elsewhere."""

    def route_added(self, domain: str) -> None:
        return

    def route_removed(self, domain: str) -> None:
        return

    def node_of_route(self, domain: str) -> str | None:
        return None

    def session_opened(self, jid: JID) -> None:
        return

    def session_closed(self, jid: JID) -> None:
        return

    def forward(self, node: str, stanza: Stanza) -> None:
        raise LookupError(f"there is no node {node!r}")
