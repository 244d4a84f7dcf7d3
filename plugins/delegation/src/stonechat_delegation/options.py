"""What may be delegated, and to whom: the options, checked as XEP-0355 wants it."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final, Self

from pydantic import AfterValidator, StringConstraints, model_validator

from stonechat.namespaces import NS_DISCO_INFO, NS_DISCO_ITEMS
from stonechat.options import REQUIRED, DomainTemplate, Duration, PluginOptions, option

NS_DELEGATION: Final = "urn:xmpp:delegation:2"

BARE_INFO: Final = f"{NS_DELEGATION}:bare:disco#info:*"
"""Stands for disco#info about nodes of accounts that the server does not have itself."""
BARE_ITEMS: Final = f"{NS_DELEGATION}:bare:disco#items:*"
"""Stands for disco#items of accounts, and of nodes of theirs, likewise."""

SPECIAL = frozenset({BARE_INFO, BARE_ITEMS})


def _check_namespace(namespace: str) -> str:
    if namespace == NS_DELEGATION:
        raise ValueError(f"{namespace} must not be delegated (XEP-0355, Business Rules)")
    if namespace.startswith(f"{NS_DELEGATION}:") and namespace not in SPECIAL:
        raise ValueError(f"of {NS_DELEGATION} there are {BARE_INFO} and {BARE_ITEMS} only")
    if namespace in (NS_DISCO_INFO, NS_DISCO_ITEMS):
        raise ValueError(
            f"{namespace} is answered by the server, which nests what a component has;"
            f" for nodes of accounts there are {BARE_INFO} and {BARE_ITEMS}"
        )
    return namespace


NamespaceName = Annotated[
    str, StringConstraints(pattern=r"^\S+$", max_length=1000), AfterValidator(_check_namespace)
]
AttributeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]


class DelegatedNamespace(PluginOptions):
    namespace: NamespaceName = option(
        REQUIRED, "The namespace of the element that a request holds."
    )
    attributes: tuple[AttributeName, ...] = option(
        (),
        "Attributes that this element must have, all of them; without them the server answers"
        " as if nothing were delegated.",
    )

    @model_validator(mode="after")
    def _check_attributes(self) -> Self:
        if self.attributes and self.namespace in SPECIAL:
            raise ValueError(f"{self.namespace} takes no attributes")
        if len(set(self.attributes)) < len(self.attributes):
            raise ValueError("an attribute is named twice")
        return self


class ComponentOptions(PluginOptions):
    domain: DomainTemplate = option(
        REQUIRED, "The domain of the component; the plugin `component` has it, too."
    )
    namespaces: tuple[DelegatedNamespace, ...] = option(
        REQUIRED, "What it answers in the place of the server.", min_length=1
    )


class Options(PluginOptions):
    components: tuple[ComponentOptions, ...] = option(
        (), "The components that namespaces are delegated to."
    )
    timeout: Duration = option(
        "30 s",
        "How long a component may take to answer; then who asked is told service-unavailable.",
        ge=1,
        le=600,
    )
    max_requests: int = option(
        1000,
        "Requests that one component may have before it at the same time; more are refused"
        " with resource-constraint.",
        ge=1,
        le=100_000,
    )

    @model_validator(mode="after")
    def _delegate_once(self) -> Self:
        # Templates may differ and still mean the same: any host shows it.
        domains = Counter(item.domain.for_host("capulet.example") for item in self.components)
        namespaces = Counter(
            each.namespace for item in self.components for each in item.namespaces
        )
        for what, counter in (("the domain", domains), ("the namespace", namespaces)):
            for name, count in counter.items():
                if count > 1:
                    raise ValueError(f"{what} {name} is there twice")
        return self
