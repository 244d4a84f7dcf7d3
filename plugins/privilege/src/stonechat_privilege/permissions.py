"""What components may do: the options, checked as XEP-0356 wants it, and how they are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self

from pydantic import StringConstraints, model_validator

from stonechat.options import (
    REQUIRED,
    ByteSize,
    DomainTemplate,
    Duration,
    PluginOptions,
    option,
)
from stonechat.stanza import Element

NS_PRIVILEGE: Final = "urn:xmpp:privilege:2"

RequestType = Literal["none", "get", "set", "both"]
NamespaceName = Annotated[str, StringConstraints(pattern=r"^\S+$", max_length=1000)]


class IqPermission(PluginOptions):
    namespace: NamespaceName = option(
        REQUIRED, "The namespace of the element that the request holds."
    )
    type: RequestType = option(REQUIRED, "The requests that may be sent for users.")


class ComponentOptions(PluginOptions):
    domain: DomainTemplate = option(
        REQUIRED, "The domain of the component; the plugin `component` has it, too."
    )
    roster: RequestType = option("none", "Whether it reads and changes the rosters of accounts.")
    push: bool = option(
        True, "Tell it of each change in a roster; only where it may read them (`get`, `both`)."
    )
    message: Literal["none", "outgoing"] = option(
        "none", "Whether it sends messages in the name of the server and of accounts."
    )
    presence: Literal["none", "managed_entity", "roster"] = option(
        "none",
        "Whose presence it sees: that of the host's users, or with `roster` that of their"
        " contacts, too.",
    )
    iq: tuple[IqPermission, ...] = option(
        (), "Requests that it sends in the name of accounts, by namespace."
    )

    @property
    def reads_rosters(self) -> bool:
        return self.roster in ("get", "both")

    @property
    def gets_pushes(self) -> bool:
        return self.push and self.reads_rosters

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.presence == "roster" and not self.reads_rosters:
            raise ValueError(
                "presence: roster needs the permission to read rosters (roster: get or both)"
            )
        if self.push and "push" in self.model_fields_set and not self.reads_rosters:
            raise ValueError("push needs the permission to read rosters (roster: get or both)")
        for namespace, count in Counter(item.namespace for item in self.iq).items():
            if count > 1:
                raise ValueError(f"iq: the namespace {namespace} is there twice")
        return self


class Options(PluginOptions):
    components: tuple[ComponentOptions, ...] = option(
        (), "The components that have privileges, and which ones."
    )
    timeout: Duration = option(
        "30 s", "How long the answer to a request in a user's name may take.", ge=1, le=600
    )
    max_requests: int = option(
        1000,
        "Requests of one component, for users and their rosters, that may wait for an answer"
        " at the same time.",
        ge=1,
        le=100_000,
    )
    contact_memory: ByteSize = option(
        "16 MiB",
        "Memory for the presence of contacts on other servers, for components that connect"
        " later; what was heard of last is kept.",
        ge=0,
    )

    @model_validator(mode="after")
    def _tell_domains_apart(self) -> Self:
        # Templates may differ and still mean the same: any host shows it.
        named = Counter(item.domain.for_host("capulet.example") for item in self.components)
        for domain, count in named.items():
            if count > 1:
                raise ValueError(f"the domain {domain} is there twice")
        return self


class Permissions:
    """What one component may do, looked up for each of its stanzas."""

    def __init__(self, options: ComponentOptions) -> None:
        self.roster: RequestType = options.roster
        self.gets_pushes = options.gets_pushes
        self.sends_messages = options.message == "outgoing"
        self.sees_users = options.presence != "none"
        self.sees_contacts = options.presence == "roster"
        self.iq: dict[str, RequestType] = {item.namespace: item.type for item in options.iq}
        self._options = options

    def allows_roster(self, type: str) -> bool:
        return self.roster in (type, "both")

    def allows_iq(self, namespace: str, type: str) -> bool:
        return self.iq.get(namespace) in (type, "both")

    def advertisement(self) -> Element:
        """All that it may and may not do: what it was told before is true no longer."""
        options = self._options
        roster = {"access": "roster", "type": options.roster}
        if options.reads_rosters:
            roster["push"] = "true" if options.push else "false"
        return _privilege(roster, options.message, options.presence, options.iq)

    def revocation(self) -> Element:
        """That it may do nothing any more."""
        none = [IqPermission(namespace=namespace, type="none") for namespace in self.iq]
        return _privilege({"access": "roster", "type": "none"}, "none", "none", none)


def _privilege(
    roster: dict[str, str], message: str, presence: str, iq: Sequence[IqPermission]
) -> Element:
    namespaces = (
        Element(NS_PRIVILEGE, "namespace", {"ns": item.namespace, "type": item.type})
        for item in iq
    )
    return Element(
        NS_PRIVILEGE,
        "privilege",
        None,
        Element(NS_PRIVILEGE, "perm", roster),
        Element(NS_PRIVILEGE, "perm", {"access": "message", "type": message}),
        Element(NS_PRIVILEGE, "perm", {"access": "iq"}, *namespaces),
        Element(NS_PRIVILEGE, "perm", {"access": "presence", "type": presence}),
    )
