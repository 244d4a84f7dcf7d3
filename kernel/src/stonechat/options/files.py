"""Options that name a file: a path, and a file that holds a secret."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema

from stonechat.options.written import Written

_LARGEST_SECRET = 65536


def parse_path(value: object, info: ValidationInfo) -> Path:
    """A path; a relative one starts from the folder of the configuration file.

    That folder comes in the validation context as "directory". Options made
    without one, in a test, start from the working directory.
    """
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("must be the path of a file or folder")
    return Path((info.context or {}).get("directory", ""), value)


LocalPath = Annotated[
    Path,
    PlainValidator(parse_path),
    PlainSerializer(str),
    WithJsonSchema({"type": "string"}),
    Written("path"),
]


def _is_readable(path: Path) -> Path:
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


ReadableFile = Annotated[LocalPath, AfterValidator(_is_readable), Written("path of a file")]


class Secret:
    """A text that must not reach a log: neither `repr` nor `str` gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        own, foreign = (secret._text.encode("utf-8", "surrogatepass") for secret in (self, other))
        return hmac.compare_digest(own, foreign)

    # A dict or a set would look at the hash first, which is not constant time.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Secret(hidden)"


class SecretFile:
    """A file that holds a secret; a relative path starts from the configuration file.

    The file is read when the options are made: a missing one stops the start,
    and a new secret comes into force as a whole, at the next reload.
    """

    __slots__ = ("_secret", "path")

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._secret = _read_secret(self.path)

    def read(self) -> Secret:
        """The content, without the line end that editors put after it."""
        return self._secret

    def __repr__(self) -> str:
        return f"SecretFile({str(self.path)!r})"

    def __str__(self) -> str:
        return str(self.path)

    def __eq__(self, other: object) -> bool:
        """Equal if path and secret are: a changed secret is a changed option."""
        if not isinstance(other, SecretFile):
            return NotImplemented
        return self.path == other.path and self._secret == other._secret

    def __hash__(self) -> int:
        return hash(self.path)

    @classmethod
    def _parse(cls, value: object, info: ValidationInfo) -> SecretFile:
        return value if isinstance(value, cls) else cls(parse_path(value, info))

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls._parse, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "description": "Path of a file that holds the secret."}


def _read_secret(path: Path) -> Secret:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_SECRET + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > _LARGEST_SECRET:
        raise ValueError(f"{path} is too large to be a secret")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None
    text = text.rstrip("\r\n")
    if not text:
        raise ValueError(f"{path} is empty")
    return Secret(text)
