"""How a plugin declares its options: type, default, sentence and check in one line."""

from __future__ import annotations

import types
from ipaddress import ip_address
from typing import Annotated, Any, Final, Self, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from stonechat.options.addresses import Network

# In place of a default: the option must be given.
REQUIRED: Final[Any] = ...


def option(
    default: Any,
    sentence: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    multiple_of: float | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
    hidden: bool = False,
) -> Any:
    """Declare one option of a `PluginOptions` model.

    The sentence goes into the reference, so it says what the option does and not
    what its type is. A default is checked like a given value, and may be written
    as in a file ("30 s"). `hidden` keeps the value out of `repr` and of reload
    plans: for a URL that may hold a password, say.
    """
    return Field(
        default,
        description=sentence,
        ge=ge,
        gt=gt,
        le=le,
        lt=lt,
        multiple_of=multiple_of,
        min_length=min_length,
        max_length=max_length,
        pattern=pattern,
        repr=not hidden,
    )


class PluginOptions(BaseModel):
    """The base of every model of options: frozen, and unknown options are faults.

    `required` is not free as a name: it stands beside a plugin's options in the
    configuration and says that the host must not start without the plugin.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        # A fault must not repeat what was given: it may be a password in a wrong place.
        hide_input_in_errors=True,
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **arguments: Any) -> None:
        super().__pydantic_init_subclass__(**arguments)
        for name, field in cls.model_fields.items():
            if name == "required":
                raise TypeError(f"{cls.__qualname__}: no option may be called required")
            if not field.description:
                raise TypeError(f"{cls.__qualname__}.{name} has no sentence; use option()")

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_as_number(cls, value: object, info: ValidationInfo) -> object:
        # Python counts True as 1; in a file, `port: true` is a slip.
        if isinstance(value, bool) and info.field_name is not None:
            kinds = _kinds(cls.model_fields[info.field_name].annotation)
            if bool not in kinds and kinds & {int, float}:
                raise ValueError("must be a number, not true or false")
        return value


def _kinds(annotation: Any) -> set[Any]:
    """The type itself, or those that a union of types is made of."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kinds(inner[0])
    if origin in (Union, types.UnionType):
        return {kind for member in inner for kind in _kinds(member)}
    return {annotation}


def _canonical_address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("must be an IP address; :: means every address of the machine") from None


ListenAddress = Annotated[str, AfterValidator(_canonical_address)]


class ListenerOptions(PluginOptions):
    """What every item under `listen` has; each type of listener adds its own.

    An option that bears the name of one under `limits` takes its value from there
    when left out, whatever its own default says.
    """

    type: str = option(REQUIRED, "What is spoken on the port.")
    port: int = option(REQUIRED, "The port; 0 lets the system choose one.", ge=0, le=65535)
    address: ListenAddress = option(
        "::", "The address to listen on; `::` is every address, of IPv6 and of IPv4."
    )
    proxy_protocol: bool = option(
        False, "Expect each connection to begin with a PROXY protocol header."
    )
    trusted_proxies: tuple[Network, ...] = option(
        (), "Where connections with such a header may come from; all others are closed."
    )

    @model_validator(mode="after")
    def _name_trusted_proxies(self) -> Self:
        # Else anybody could claim any address, and with it pass rules about addresses.
        if self.proxy_protocol and not self.trusted_proxies:
            raise ValueError("proxy_protocol needs trusted_proxies")
        return self
