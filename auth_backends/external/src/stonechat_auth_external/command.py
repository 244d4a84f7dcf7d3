"""The option that names the program: a list of words, or one line that is split into them."""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from stonechat.options import Written


@dataclass(frozen=True, slots=True)
class ProgramLine:
    """What to run, and the folder to run it in: that of the configuration file."""

    words: tuple[str, ...]
    directory: str

    def __str__(self) -> str:
        return shlex.join(self.words)

    @property
    def program(self) -> str:
        """The path of the program; ValueError if there is none that can be run."""
        name = self.words[0]
        if "/" not in name:
            found = shutil.which(name)
            if found is None:
                raise ValueError(f"there is no program {name} in the search path")
            return found
        path = Path(self.directory, name)
        if not path.is_file():
            raise ValueError(f"there is no program {path}")
        if not os.access(path, os.X_OK):
            raise ValueError(f"{path} cannot be executed; see its permissions")
        return str(path.absolute())


def _parse(value: object, info: ValidationInfo) -> ProgramLine:
    if isinstance(value, ProgramLine):
        return value
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise ValueError(f"cannot be split into words: {error}") from None
    elif isinstance(value, list | tuple) and all(isinstance(word, str) for word in value):
        words = list(value)
    else:
        words = []
    if not words or not words[0] or any("\0" in word for word in words):
        raise ValueError("must be a program and its arguments, as a list or in one line")
    line = ProgramLine(tuple(words), str((info.context or {}).get("directory", "")) or ".")
    _ = line.program  # found now, so that a missing one stops the start
    return line


Program = Annotated[
    ProgramLine,
    PlainValidator(_parse),
    PlainSerializer(str),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    ),
    Written("program and its arguments"),
]
