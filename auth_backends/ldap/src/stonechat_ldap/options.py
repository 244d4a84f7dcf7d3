"""How an administrator describes a directory."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from ldap3.core.exceptions import LDAPInvalidDnError
from ldap3.utils.dn import parse_dn
from pydantic import (
    AfterValidator,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from stonechat.options import (
    REQUIRED,
    Duration,
    PluginOptions,
    ReadableFile,
    SecretFile,
    Written,
    option,
)
from stonechat_ldap.filters import check_attribute, check_filter
from stonechat_ldap.servers import Encryption, Server
from stonechat_ldap.uids import Uid

Deref = Literal["never", "searching", "finding", "always"]


def check_dn(text: str) -> str:
    """A distinguished name, as it is; ValueError."""
    try:
        parse_dn(text)
    except LDAPInvalidDnError:
        raise ValueError("must be a name such as ou=people,dc=example,dc=org") from None
    return text


def _check_dn_or_none(text: str) -> str:
    return check_dn(text) if text else text


def _parse_uids(value: object) -> tuple[Uid, ...]:
    if isinstance(value, str | dict):
        value = [value]
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("must be a list of attributes")
    return tuple(uid for item in value for uid in Uid.parse(item))


DN = Annotated[str, AfterValidator(check_dn), Written("distinguished name")]
DNOrNone = Annotated[str, AfterValidator(_check_dn_or_none), Written("distinguished name")]
Attribute = Annotated[
    str, PlainValidator(check_attribute), WithJsonSchema({"type": "string"}), Written("attribute")
]
Filter = Annotated[
    str, PlainValidator(check_filter), WithJsonSchema({"type": "string"}), Written("filter")
]
Uids = Annotated[
    tuple[Uid, ...],
    PlainValidator(_parse_uids),
    PlainSerializer(lambda uids: [{uid.attribute: uid.pattern} for uid in uids]),
    WithJsonSchema(
        {
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "string"},
                    {"type": "object", "additionalProperties": {"type": "string"}},
                ]
            },
        }
    ),
    Written("list of attributes, or of mappings from attribute to pattern"),
]


class DirectoryOptions(PluginOptions):
    """Where the directory is, how to get in, and which of its entries are accounts."""

    servers: tuple[str, ...] = option(
        REQUIRED,
        "The servers, such as `ldaps://ldap.example.org`; a later one is asked where the"
        " earlier ones fail.",
        min_length=1,
        max_length=16,
    )
    encryption: Encryption = option(
        "starttls",
        "How the servers are spoken to that are not named with `ldaps://`; with `none`"
        " passwords cross the network for all to see.",
    )
    verify: bool = option(
        True, "Speak only to servers whose certificate is valid, and bears the name given here."
    )
    ca_file: ReadableFile | None = option(
        None, "Certificates of the authorities to trust; those of the system, if none is named."
    )
    certificate: ReadableFile | None = option(
        None, "A certificate to show to the servers, where they want one."
    )
    key: ReadableFile | None = option(None, "The key of it, unless that is in the same file.")
    bind_dn: str = option(
        "", "Who looks entries up, as the directory calls him; nobody in particular if empty."
    )
    password_file: SecretFile | None = option(None, "The password of `bind_dn`.")
    base: DN = option(REQUIRED, "The entry below which the people are.")
    uids: Uids = option(
        ["uid"],
        "The attributes that hold the name of an account; with a pattern, `{mail:"
        " '%u@mail.example.org'}`, where `%u` is the name and `%d` the host.",
    )
    filter: Filter = option("", "What an entry has to fit besides, to be an account.")
    dn_filter: Filter = option(
        "",
        "A second look: some entry must fit this, in which `%D` is the distinguished name that"
        " was found, `%u` the name of the account and `%d` the host.",
    )
    dn_filter_base: DNOrNone = option("", "Where to look for that; `base` if empty.")
    deref: Deref = option("never", "When aliases in the directory are followed.")
    connections: int = option(
        8, "Connections for looking up at most, and as many for trying passwords.", ge=1, le=64
    )
    timeout: Duration = option(
        "2 s", "How long a server may take for each step, connecting among them.", ge=1, le=4
    )
    leave_alone: Duration = option(
        "30 s", "How long a server that failed is asked only where no other answers.", ge=1
    )
    idle_timeout: Duration = option(
        "60 s", "After so long without use a connection is closed.", ge=1
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        self.parsed_servers()
        if bool(self.bind_dn) != (self.password_file is not None):
            raise ValueError("bind_dn and password_file go together")
        if self.key is not None and self.certificate is None:
            raise ValueError("key needs certificate")
        return self

    def parsed_servers(self) -> list[Server]:
        """The servers, in their order."""
        return [Server.parse(text, self.encryption) for text in self.servers]
