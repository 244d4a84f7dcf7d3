"""The plugins and auth backends of this repository: their classes, and their READMEs."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[3]

Kind = Literal["plugin", "auth"]
_FOLDERS: dict[Kind, str] = {"plugin": "plugins", "auth": "auth_backends"}
_PACKAGES: dict[Kind, str] = {"plugin": "stonechat_{}", "auth": "stonechat_auth_{}"}
_CLASSES: dict[Kind, str] = {"plugin": "Plugin", "auth": "Backend"}


@dataclass(frozen=True)
class Distribution:
    """One directory under `plugins/` or `auth_backends/`."""

    kind: Kind
    directory: Path

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        return self.directory.name

    @property
    def page(self) -> str:
        """Its page, and the file of generated text that the page includes."""
        return self.name if self.kind == "plugin" else f"auth-{self.name}"

    @cached_property
    def cls(self) -> Any:
        module = importlib.import_module(_PACKAGES[self.kind].format(self.name))
        return getattr(module, _CLASSES[self.kind])

    @cached_property
    def shell_commands(self) -> dict[str, Any]:
        """What it brings to the command line (`stonechat.shell`), by name."""
        settings = ConfigParser(interpolation=None)
        settings.read(self.directory / "setup.cfg", encoding="utf-8")
        lines = settings["options.entry_points"].get("stonechat.cli", "").strip().splitlines()
        found = {}
        for line in lines:
            name, _, place = (part.strip() for part in line.partition("="))
            module, _, attribute = place.partition(":")
            found[name] = getattr(importlib.import_module(module), attribute)
        return found

    @property
    def first_line(self) -> str:
        """The first line of the docstring: what the thing is for."""
        module = importlib.import_module(_PACKAGES[self.kind].format(self.name))
        return (module.__doc__ or "").partition("\n")[0]

    @cached_property
    def readme(self) -> str:
        return (self.directory / "README.md").read_text(encoding="utf-8")

    def section(self, beginning: str) -> str:
        """What stands in the README under the heading that begins so; empty without one."""
        found = re.search(
            rf"^## {beginning}.*?\n(.*?)(?=^## |\Z)", self.readme, re.MULTILINE | re.DOTALL
        )
        return found[1].strip("\n") if found else ""


def all_distributions() -> Iterator[Distribution]:
    for kind, folder in _FOLDERS.items():
        for path in sorted((ROOT / folder).glob("*/setup.cfg")):
            yield Distribution(kind, path.parent)


def all_plugins() -> Iterator[Distribution]:
    return (found for found in all_distributions() if found.kind == "plugin")
