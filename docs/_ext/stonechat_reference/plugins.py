"""The text of a plugin's page: its README, with the options where a reader looks for them."""

from __future__ import annotations

from stonechat_reference.distributions import Distribution, all_distributions
from stonechat_reference.markdown import Pages, escaped, table
from stonechat_reference.options import options_of


def pages() -> Pages:
    found = {f"plugin-{each.page}.md": page_of(each) for each in all_distributions()}
    found["plugins.md"] = _list()
    return found


def page_of(distribution: Distribution) -> str:
    """The README with a section on options before the one on what is supported."""
    options = f"## Options\n\n{options_of(distribution.cls)}\n"
    before, what, after = distribution.readme.partition("\n## What")
    return f"{before}\n{options}{what}{after}"


def _list() -> str:
    rows = (
        (
            f"[{each.name}](../plugins/{each.page}.md)",
            each.kind if each.kind == "plugin" else "auth backend",
            escaped(each.first_line),
        )
        for each in all_distributions()
    )
    return table(("Name", "Kind", "What it does"), rows) + "\n"
