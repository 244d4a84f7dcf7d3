"""The reference of options: one description per option, and a JSON Schema for editors."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stonechat.options.addresses import DomainTemplate
from stonechat.options.files import SecretFile
from stonechat.options.written import Written

_NAMES = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Any: "anything",
    type(None): "null",
    SecretFile: "path of a file with a secret",
    DomainTemplate: "domain, with @HOST@ for the virtual host",
}

_BOUNDS = {
    "ge": "at least {}",
    "gt": "more than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "multiple_of": "a multiple of {}",
    "min_length": "at least {} long",
    "max_length": "at most {} long",
    "pattern": "matches {}",
}
_PLAIN_BOUNDS = {"multiple_of", "min_length", "max_length", "pattern"}


@dataclass(frozen=True, slots=True)
class OptionDoc:
    """One row of a table of options.

    An option inside another's mapping has a dotted name (`tls.ciphers`); `[]`
    stands for each item of a list, `*` for each name in a mapping. `default` is
    "" for an option that must be given.
    """

    name: str
    type: str
    default: str
    sentence: str
    bounds: str
    is_required: bool


def describe_options(model: type[BaseModel], prefix: str = "") -> list[OptionDoc]:
    """Every option of a model, those of nested models after their parent."""
    rows = []
    for name, field in model.model_fields.items():
        rows.append(
            OptionDoc(
                name=prefix + name,
                type=_type_text(field.annotation, field.metadata),
                default="" if field.is_required() else show_value(field, field.default),
                sentence=field.description or "",
                bounds=bounds_text(field),
                is_required=field.is_required(),
            )
        )
        for path, inner in _nested_models(field.annotation):
            rows.extend(describe_options(inner, f"{prefix}{name}{path}."))
    return rows


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a model of options."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(),
    }


def models_within(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a value of this type holds, in a list or a mapping too."""
    return (model for _path, model in _nested_models(annotation))


def show_value(field: FieldInfo, value: object) -> str:
    """A value as it would be written in a file, on one line."""
    return _show(value, _written(field.annotation, field.metadata))


def _show(value: object, written: Written | None) -> str:
    if isinstance(value, str):
        return str(value) or '""'  # also a default that is written with its unit
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        given = [name for name in fields if name in value.model_fields_set]
        return _braced({name: show_value(fields[name], getattr(value, name)) for name in given})
    if isinstance(value, Mapping):
        return _braced({str(key): _show(item, written) for key, item in value.items()})
    if isinstance(value, Set):
        return f"[{', '.join(sorted(_show(item, written) for item in value))}]"
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return f"[{', '.join(_show(item, written) for item in value)}]"
    return str(value) if written is None else written.show(value)


def _braced(parts: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {text}" for name, text in parts.items()) + "}"


def _written(annotation: Any, metadata: Iterable[Any] = ()) -> Written | None:
    """How the type, or the innermost type of a collection of it, is written."""
    for mark in metadata:
        if isinstance(mark, Written):
            return mark
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
        return _written(annotation, metadata)
    for inner in reversed(get_args(annotation)):
        if (found := _written(inner)) is not None:
            return found
    return None


def _type_text(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    for mark in metadata:
        if isinstance(mark, Written):
            return mark.name
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(inner[0], inner[1:])
    if origin is Literal:
        return _either([str(word) for word in inner])
    if origin in (Union, types.UnionType):
        return _either([_type_text(kind) for kind in inner])
    if origin in (list, tuple, set, frozenset, Sequence):
        return f"list of {_type_text(inner[0])}" if inner else "list"
    if origin in (dict, Mapping):
        return f"mapping of {_type_text(inner[0])} to {_type_text(inner[1])}"
    if annotation in _NAMES:
        return _NAMES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _either([str(member.value) for member in annotation])
    return getattr(annotation, "__name__", str(annotation))


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def bounds_text(field: FieldInfo) -> str:
    """The bounds given to `option()`, in the unit of the option."""
    written = _written(field.annotation, field.metadata)
    given = {
        name: getattr(mark, name)
        for mark in field.metadata
        for name in _BOUNDS
        if getattr(mark, name, None) is not None
    }
    show = {name: str if name in _PLAIN_BOUNDS else _shower(written) for name in given}
    return ", ".join(_BOUNDS[name].format(show[name](bound)) for name, bound in given.items())


def _shower(written: Written | None) -> Callable[[object], str]:
    return lambda bound: _show(bound, written)


def _nested_models(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """Each model within a type, with what has to stand between its parent's name and its own."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
        return
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated or origin in (Union, types.UnionType):
        step = ""
    else:
        step = ".*" if origin in (dict, Mapping) else "[]"
    for kind in inner:
        for path, model in _nested_models(kind):
            yield step + path, model
