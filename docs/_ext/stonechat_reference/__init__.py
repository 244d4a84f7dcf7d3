"""Makes the reference from the code: written anew, into one folder, whenever the site is built.

Hand-written pages include the files; nothing under `reference/_generated` is kept in the
repository, and `tests/test_docs.py` sees to it that none of it stays unread.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stonechat_reference import api, commands, hooks, limits, options, plugins, protocols
from stonechat_reference.markdown import Pages

if TYPE_CHECKING:
    from sphinx.application import Sphinx

FOLDER = Path("reference/_generated")


def pages() -> Pages:
    """Every generated file: its path below `FOLDER`, and its Markdown."""
    found: Pages = {}
    for part in (api, commands, hooks, limits, options, plugins, protocols):
        found |= part.pages()
    return found


def write(documentation: Path) -> None:
    """Bring the folder up to date; what has not changed keeps its date, and is not read again."""
    folder = documentation / FOLDER
    wanted = pages()
    for name, text in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*.md"):
        if path.relative_to(folder).as_posix() not in wanted:
            path.unlink()


def setup(app: Sphinx) -> dict[str, Any]:
    # Before Sphinx looks which files there are.
    app.connect("config-inited", lambda app, _config: write(Path(app.srcdir)))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
