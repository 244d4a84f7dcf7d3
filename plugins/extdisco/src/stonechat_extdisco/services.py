"""The services that users are told of: as the operator has written them, and as XML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, model_validator

from stonechat import timestamps
from stonechat.jid import JID, domain_to_ascii
from stonechat.options import REQUIRED, Duration, PluginOptions, SecretFile, option
from stonechat.stanza import Element
from stonechat_extdisco.credentials import Credentials, time_limited

NS_EXTDISCO = "urn:xmpp:extdisco:2"

_NAME = r"^[A-Za-z_][A-Za-z0-9._-]{0,62}$"


def plain_host(text: str) -> str:
    """A domain as DNS knows it, or an address; ValueError for anything else."""
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        return domain_to_ascii(text)


class Key(NamedTuple):
    """What tells one service from another."""

    host: str
    type: str
    port: int | None
    transport: str


class ExternalService(PluginOptions):
    type: str = option(REQUIRED, "What it is: `stun`, `turn`, `turns`, ….", pattern=_NAME)
    host: Annotated[str, AfterValidator(plain_host)] = option(
        REQUIRED, "Its domain or IP address."
    )
    port: int | None = option(None, "Its port; clients guess if it is not given.", ge=1, le=65535)
    transport: str = option(
        "", "How to reach it: `udp` or `tcp`.", pattern=rf"{_NAME}|^$", max_length=63
    )
    name: str = option("", "What people call it.")
    username: str = option("", "The user name of everybody, with `password_file`.")
    password_file: SecretFile | None = option(None, "A file with the password of everybody.")
    secret_file: SecretFile | None = option(
        None,
        "A file with the secret that the TURN server knows, too; from it credentials are made"
        " for each user that hold for a while.",
    )
    ttl: Duration = option("1 d", "How long these hold.", ge=60, le=31_536_000)
    on_request: bool = option(
        False, "Give credentials to clients that ask for them only, and not with the list."
    )

    @model_validator(mode="after")
    def _have_whole_credentials(self) -> Self:
        if bool(self.username) != (self.password_file is not None):
            raise ValueError("username and password_file belong together")
        if self.username and self.secret_file is not None:
            raise ValueError("credentials come from password_file or from secret_file, not both")
        if self.on_request and not self.has_credentials:
            raise ValueError("on_request needs credentials to be asked for")
        return self

    @property
    def has_credentials(self) -> bool:
        return bool(self.username) or self.secret_file is not None

    @property
    def key(self) -> Key:
        return Key(self.host, self.type, self.port, self.transport)

    def credentials(self, user: JID, now: int) -> Credentials | None:
        """Those of a user, from this moment on."""
        if self.secret_file is not None:
            return time_limited(self.secret_file.read(), user, now, self.ttl)
        if self.password_file is not None:
            return Credentials(self.username, self.password_file.read().reveal())
        return None

    def to_element(self, user: JID, now: int, *, asked: bool = False, action: str = "") -> Element:
        """The `<service/>` for a user, who has asked for credentials or not."""
        element = _place(self.key)
        if action:
            element.set("action", action)
        if self.name:
            element.set("name", self.name)
        if self.has_credentials:
            element.set("restricted", "true")
            if asked or not self.on_request:
                _give(element, self.credentials(user, now))
        return element


def changes(
    before: Sequence[ExternalService],
    after: Sequence[ExternalService],
    write: Callable[[ExternalService, str], Element],
) -> Iterator[Element]:
    """What a push says that leads from one list to another."""
    old = {service.key: service for service in before}
    new = {service.key: service for service in after}
    for key, service in new.items():
        if key not in old:
            yield write(service, "add")
        elif service != old[key]:
            yield write(service, "modify")
    for key in old:
        if key not in new:
            gone = _place(key)
            # The table of attributes says "remove"; schema and example say this.
            gone.set("action", "delete")
            yield gone


def _place(key: Key) -> Element:
    element = Element(NS_EXTDISCO, "service", {"host": key.host, "type": key.type})
    if key.port is not None:
        element.set("port", str(key.port))
    if key.transport:
        element.set("transport", key.transport)
    return element


def _give(element: Element, credentials: Credentials | None) -> None:
    if credentials is None:
        return
    element.set("username", credentials.username)
    element.set("password", credentials.password)
    if credentials.expires:
        element.set("expires", timestamps.written(credentials.expires * 1_000_000))
