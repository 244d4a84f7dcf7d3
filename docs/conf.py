"""Sphinx: how the documentation is built.

    sphinx-build -W --keep-going -b html docs docs/_build/html

Everything below `reference/_generated` is made from the code, see `_ext/stonechat_reference`.
"""

import sys
from pathlib import Path

import stonechat

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Stonechat"
author = "The Stonechat developers"
copyright = "The Stonechat developers, Apache License 2.0"
version = release = stonechat.__version__

extensions = ["myst_parser", "stonechat_reference"]
# Included by other pages, and none of their own.
exclude_patterns = ["_build", "reference/_generated"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Code without a language is a configuration, a command or a stanza: nothing to guess.
highlight_language = "none"
add_module_names = False
# The built-in `type` in an annotation, and our attributes of that name.
suppress_warnings = ["ref.python"]
maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"Stonechat {version}"
html_static_path = ["_static"]
html_css_files = ["stonechat.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
