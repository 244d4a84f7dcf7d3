"""What the reference calls a type of option, and how a value of it is written in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Written:
    """Metadata of an `Annotated` type: its name in the reference, and value to text."""

    name: str
    show: Callable[[Any], str] = str
