"""Options that name a domain, an account or a network."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from stonechat.errors import JIDError
from stonechat.jid import JID, prepare_domain
from stonechat.options.written import Written


class DomainTemplate(str):
    """A domain in which `@HOST@` stands for the virtual host: `conference.@HOST@`."""

    __slots__ = ()

    def for_host(self, domain: str) -> str:
        """The prepared domain that this means on the host `domain`."""
        return prepare_domain(self.replace("@HOST@", domain))

    @classmethod
    def _parse(cls, value: object) -> DomainTemplate:
        if not isinstance(value, str):
            raise ValueError("must be a domain such as conference.@HOST@")
        template = cls(value)
        try:
            # Any host does for the trial: what is wrong is wrong on all of them.
            template.for_host("capulet.example")
        except JIDError as error:
            raise ValueError(f"must be a domain such as conference.@HOST@: {error}") from None
        return template

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._parse, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "description": "A domain; @HOST@ stands for the virtual host."}


def parse_domain(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a domain such as capulet.example")
    return prepare_domain(value)


def parse_bare_jid(value: object) -> JID:
    jid = JID.parse(value) if isinstance(value, str) else value
    if not isinstance(jid, JID) or not jid.localpart or jid.resource:
        raise ValueError("must be the address of an account, such as juliet@capulet.example")
    return jid


def parse_network(value: object) -> IPv4Network | IPv6Network:
    """An address or a network; IPv4 written inside IPv6 becomes plain IPv4."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        network = ip_network(value if isinstance(value, str) else "")
    except ValueError as error:
        # The one fault whose cause is hard to see: 10.0.0.1/8 for 10.0.0.0/8.
        reason = f": {error}" if "host bits" in str(error) else ""
        raise ValueError(f"must be an address or a network such as 10.0.0.0/8{reason}") from None
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((int(mapped), network.prefixlen - 96))
    return network


Domain = Annotated[
    str,
    PlainValidator(parse_domain),
    WithJsonSchema({"type": "string"}),
    Written("domain"),
]
BareJID = Annotated[
    JID,
    PlainValidator(parse_bare_jid),
    PlainSerializer(str),
    WithJsonSchema({"type": "string"}),
    Written("bare JID"),
]
Network = Annotated[
    IPv4Network | IPv6Network,
    PlainValidator(parse_network),
    PlainSerializer(str),
    WithJsonSchema({"type": "string"}),
    Written("address or network"),
]
