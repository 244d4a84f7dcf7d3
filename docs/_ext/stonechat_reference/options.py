"""Tables of options: from the models that check them."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from stonechat.core import access, config_model
from stonechat.options import OptionDoc, describe_options
from stonechat_reference.distributions import all_distributions
from stonechat_reference.markdown import Pages, code, escaped, table

# The sections of the file, each a table of its own; what is left is the top of the file.
_SECTIONS = (
    "hosts",
    "access",
    "tls",
    "storage",
    "federation",
    "dns",
    "limits",
    "log",
    "watchdog",
)


def pages() -> Pages:
    rows = describe_options(config_model.ConfigurationFile)
    found = {
        "options-top.md": option_table(row for row in rows if "." not in row.name),
        "options-listen.md": option_table(describe_options(config_model.ClientListener)),
        "options-listen-component.md": option_table(
            describe_options(config_model.ComponentListener)
        ),
        "options-listen-s2s.md": option_table(describe_options(config_model.ServerListener)),
        "options-cluster.md": option_table(describe_options(config_model.Cluster)),
        "access-rules.md": _access_rules(),
    }
    for section in _SECTIONS:
        below = [_shortened(row, section) for row in rows if _is_below(row, section)]
        found[f"options-{section}.md"] = option_table(below)
    for distribution in all_distributions():
        found[f"options-{distribution.page}.md"] = options_of(distribution.cls)
    return found


def options_of(cls: type) -> str:
    """The table of a plugin or a backend, or a sentence."""
    model: type[BaseModel] | None = getattr(cls, "Options", None)
    rows = describe_options(model) if model is not None else []
    return option_table(rows) if rows else "It has no options.\n"


def option_table(rows: Iterable[OptionDoc]) -> str:
    return (
        table(
            ("Option", "Type", "Default", "What it does"),
            ((code(row.name), _type(row), _default(row), escaped(row.sentence)) for row in rows),
        )
        + "\n"
    )


def _type(row: OptionDoc) -> str:
    if row.bounds.startswith("matches "):
        return f"{row.type}, matching {code(row.bounds.removeprefix('matches '))}"
    bounds = f", {row.bounds}" if row.bounds else ""
    return f"{row.type}{bounds}"


def _default(row: OptionDoc) -> str:
    return "must be given" if row.is_required else code(row.default)


def _is_below(row: OptionDoc, section: str) -> bool:
    # What a host has under these names is what stands at the top, once more.
    again = ("hosts.*.access.", "hosts.*.federation.")
    return row.name.startswith(f"{section}.") and not row.name.startswith(again)


def _shortened(row: OptionDoc, section: str) -> OptionDoc:
    """Without the name of the section, and of the item in it."""
    name = row.name.removeprefix(f"{section}.").removeprefix("*.")
    return OptionDoc(name, row.type, row.default, row.sentence, row.bounds, row.is_required)


def _access_rules() -> str:
    """How a rule is read, in the words of the module that reads it."""
    _first, _, text = (access.__doc__ or "").partition("\n\n")
    example, _, rest = text.partition("\n\n")
    return f"```yaml\n{_dedented(example)}\n```\n\n{rest}"


def _dedented(block: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in block.split("\n"))
