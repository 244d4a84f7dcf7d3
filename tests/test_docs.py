"""The documentation is complete, it builds, and what it shows is true."""

from __future__ import annotations

import ast
import html
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from stonechat import hookspecs
from stonechat.cli import exit_codes
from stonechat.cli.init import STANDARD
from stonechat.core import plugin_loader
from stonechat.core.config import load_configuration_text
from stonechat.core.config_model import (
    ClientListener,
    Cluster,
    ComponentListener,
    ConfigurationFile,
    ServerListener,
)
from stonechat.core.config_reader import read
from stonechat.core.metrics import render
from stonechat.options import PluginOptions, describe_options, option

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

sys.path.insert(0, str(DOCS / "_ext"))
import stonechat_reference  # noqa: E402
from stonechat_reference import api, commands, protocols  # noqa: E402
from stonechat_reference.distributions import Distribution, all_distributions  # noqa: E402

BUILD_SECONDS = 300

PAGES = sorted(
    page
    for page in DOCS.rglob("*.md")
    if not {"_build", "_generated"} & set(page.relative_to(DOCS).parts)
)
DISTRIBUTIONS = list(all_distributions())
READMES = [each.directory / "README.md" for each in DISTRIBUTIONS]
READMES.append(ROOT / "kernel/README.md")
TOP = sorted(ROOT.glob("*.md"))
EVERYTHING = [*PAGES, *READMES, *TOP]

_FENCE = re.compile(
    r"^(?P<indent> *)```(?:\{code-block\} )?(?P<language>\w*) *\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """The blocks of code in these languages, without options of the directive."""
    for found in _FENCE.finditer(text_of(page)):
        if found["language"] in languages:
            lines = [line.removeprefix(found["indent"]) for line in found["text"].split("\n")]
            while lines and lines[0].startswith(":"):
                lines.pop(0)
            yield "\n".join(lines).strip("\n")


# The site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as HTML; a warning of Sphinx's is an error."""
    missing = [name for name in ("sphinx", "myst_parser", "furo") if find_spec(name) is None]
    if missing and not os.environ.get("STONECHAT_REQUIRE_SERVERS"):
        pytest.skip(f"not installed: {', '.join(missing)}")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", target / "doctrees", DOCS, target / "html"],
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target / "html"


def shown(site: Path, page: str) -> str:
    return (site / page).read_text(encoding="utf-8")


def as_code(name: str) -> str:
    """A name as Sphinx writes it where the source has it between backticks."""
    return f'<span class="pre">{html.escape(name)}</span>'


def test_every_hook_is_documented(site: Path):
    page = shown(site, "reference/hooks.html")
    missing = [h for h in hookspecs.KINDS if f'id="stonechat.hookspecs.{h}"' not in page]
    assert not missing


def test_every_option_of_the_configuration_is_documented(site: Path):
    page = shown(site, "reference/configuration.html")
    names = {row.name.rpartition("*.")[2] for row in describe_options(ConfigurationFile)}
    for model in (ClientListener, ServerListener, ComponentListener, Cluster):
        names |= {row.name for row in describe_options(model)}
    sections = {name.partition(".")[0] for name in names}
    # A section's own table leaves the name of the section out.
    missing = [
        name
        for name in sorted(names)
        if as_code(name) not in page
        and (name.partition(".")[0] not in sections or as_code(name.partition(".")[2]) not in page)
    ]
    assert not missing


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda each: each.page)
def test_every_distribution_has_a_page_with_its_options(site: Path, distribution):
    page = shown(site, f"plugins/{distribution.page}.html")
    model = getattr(distribution.cls, "Options", None)
    rows = describe_options(model) if model is not None else []
    assert [row.name for row in rows if as_code(row.name) not in page] == []
    assert f"plugins/{distribution.page}.html" in shown(site, "index.html")


def test_every_command_is_documented(site: Path):
    page = shown(site, "reference/commands.html")
    for words in commands.every_command():
        assert f'id="stonechat-{words.replace(" ", "-")}"' in page, words


def test_every_public_module_is_documented(site: Path):
    pages = "".join(path.read_text(encoding="utf-8") for path in site.glob("reference/*.html"))
    missing = [m for m in api.modules() if f'id="module-stonechat.{m}"' not in pages]
    assert not missing


def test_every_exit_status_is_documented():
    numbers = {value for value in vars(exit_codes).values() if isinstance(value, int)}
    rows = stonechat_reference.pages()["exit-codes.md"].splitlines()[2:]
    assert {int(row.split("|")[1]) for row in rows} == numbers


def test_what_is_generated_is_on_some_page():
    included = {
        name for page in PAGES for name in re.findall(r"_generated/([\w-]+\.md)", text_of(page))
    }
    # Those of plugins are within the text of a plugin's page.
    inside = {f"options-{each.page}.md" for each in DISTRIBUTIONS}
    assert included | inside == set(stonechat_reference.pages())


def test_every_metric_is_documented_and_every_documented_metric_exists(server):
    server.host("capulet.example", ping={})
    rendered = dict(re.findall(r"^# TYPE (\S+) (\S+)$", render(server.kernel), re.MULTILINE))
    page = text_of(DOCS / "reference/metrics.md")
    assert dict(re.findall(r"^\| `(\w+)` \| (\w+) ", page, re.MULTILINE)) == rendered


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda each: each.page)
def test_what_a_readme_says_is_supported_is_in_the_table_of_protocols(distribution):
    rows = stonechat_reference.pages()["protocols.md"].splitlines()
    own = " ".join(row for row in rows if f"/{distribution.page}.md)" in row)
    assert [name for name in protocols.mentioned(distribution) if name not in own] == []


def test_a_row_of_the_table_of_protocols_is_one_bullet_of_a_readme(tmp_path: Path):
    place = tmp_path / "ping"
    place.mkdir()
    (place / "README.md").write_text(
        "# stonechat-ping\n\n## What of the XEP is supported\n\n"
        "- XEP-0199, XMPP Ping (`urn:xmpp:ping`, alone), is asked\n  and answered.\n"
        "- XEP-0198, Stream Management: not\n\n  at all.\n\n"
        "What is behind the list is no part of it.\n\n## Limits\n"
    )
    rows = [(row.name, row.what) for row in protocols._rows(Distribution("plugin", place))]
    assert rows == [
        ("XEP-0199", "XMPP Ping (`urn:xmpp:ping`, alone): is asked and answered."),
        ("XEP-0198", "Stream Management: not at all."),
    ]


# What the pages say


@pytest.mark.parametrize("page", EVERYTHING, ids=label)
def test_links_lead_somewhere(page: Path):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text_of(page))
    relative = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in relative if not (page.parent / target).exists()] == []


class WelcomeOptions(PluginOptions):
    """Those of the plugin that the guide for authors makes."""

    text: str = option("Welcome!", "What newcomers are told.")


def resolve(kind, name):
    return WelcomeOptions if name == "welcome" else plugin_loader.options_of(kind, name)


def configurations() -> Iterator[tuple[str, str]]:
    """Every example of a configuration, with the page that it is from."""
    for page in PAGES:
        for block in blocks(page, "yaml"):
            yield label(page), block
    for page in READMES:
        for block in re.findall(r"(?:^ {4}.*\n|^\n)+", text_of(page), re.MULTILINE):
            if re.match(r"\s*(plugins|hosts|auth|access):", block):
                yield label(page), re.sub(r"^ {4}", "", block, flags=re.MULTILINE)
    generated = stonechat_reference.pages()["access-rules.md"]
    for block in re.findall(r"```yaml\n(.*?)```", generated, re.DOTALL):
        yield "access-rules.md", block


@pytest.mark.parametrize(("page", "text"), list(configurations()))
def test_an_example_of_a_configuration_is_right(page, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"[\w./-]+\.(?:pem|key|secret)\b", text):
        path = tmp_path / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a plague\n")
    # Many show one section only.
    if "hosts" not in read(text, page).data:
        text = f"hosts: {{example.org: {{}}}}\n{text}"
    load_configuration_text(text, page, resolve)


def command_lines() -> Iterator[tuple[str, str]]:
    """Every command of ours that a page tells to type."""
    for page in EVERYTHING:
        for block in blocks(page, "console", "sh", "ini"):
            for line in block.replace("\\\n", " ").split("\n"):
                found = re.search(r"(?:^(?:\$ )?|/bin/)(stonechat .*)", line)
                if found:
                    yield label(page), " ".join(found[1].split())
        indented = re.findall(r"^ {4}(stonechat .*)", text_of(page), re.MULTILINE)
        spans = re.findall(r"`(stonechat [a-z][^`]*)`", text_of(page))
        for line in (*indented, *spans):
            yield label(page), " ".join(line.split())


def made_by_the_guide() -> list[str]:
    guide = text_of(DOCS / "how-to/write-a-plugin.md")
    return re.findall(r'@command\("([\w-]+)"', guide)


@pytest.mark.parametrize(("page", "line"), sorted(set(command_lines())))
def test_a_command_that_a_page_names_exists(page: str, line: str):
    words = shlex.split(re.sub(r"[|<>].*", "", line))[1:]
    if words[0] in ("--help", "--version", "COMMAND"):
        return
    known = [*commands.every_command(), *made_by_the_guide()]
    name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
    assert name in known or any(each.startswith(f"{name} ") for each in known)
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    if given:
        assert given <= commands.options_of(name) | {"--help"}


@pytest.mark.parametrize(
    ("heading", "kind", "marked"),
    [("plugin", "plugin", set(STANDARD)), ("auth backend", "auth", {"internal"})],
)
def test_the_readme_names_every_one_and_marks_those_that_are_on_from_the_start(
    heading, kind, marked
):
    _, _, table = text_of(ROOT / "README.md").partition(f"\n| {heading} |")
    named: dict[str, bool] = {}
    for cell in re.findall(r"^\| (`\w.*?) \|", table.partition("\n\n")[0], re.MULTILINE):
        names = [name for name in re.findall(r"`([\w]+)`", cell) if "/" not in cell]
        named |= dict.fromkeys(names, cell.endswith(" *"))
    assert sorted(named) == sorted(each.name for each in DISTRIBUTIONS if each.kind == kind)
    assert {name for name, is_marked in named.items() if is_marked} == marked


@pytest.mark.parametrize("page", EVERYTHING, ids=label)
def test_a_script_that_a_page_names_exists(page: Path):
    for name in set(re.findall(r"\bscripts/\w+", text_of(page))):
        assert os.access(ROOT / name, os.X_OK) or name == "scripts/environment"


def test_the_table_of_delivery_rules_is_the_one_that_the_kernel_keeps():
    """The same table, wider, is in the test of the session manager."""
    source = ast.parse(text_of(ROOT / "kernel/tests/core/test_delivery.py"))
    kept = next(
        node.value.value
        for node in source.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RULES"
    )
    outcomes = {"it": "D", "most available": "M", "all available": "A", "kept": "O"}
    outcomes |= {"error": "E", "dropped": "S"}
    page = text_of(DOCS / "explanation/delivery-rules.md")
    rows = [
        [cell.strip() for cell in row.split("|")] for row in re.findall(r"^\|(.*)\|$", page, re.M)
    ]
    documented = {row[0]: row[1:] for row in rows if len(row) == 7}
    for line in filter(None, map(str.strip, kept.split("\n"))):
        type_, state, address, outcome = (part.strip() for part in line.split("  ") if part)
        nobody, one, several, match, no_match, no_account = documented[type_]
        bare = {"one": one, "several": several}.get(state, nobody)
        if state == "no account":
            expected = no_account
        elif address == "match":
            expected = match
        elif address == "no-match":
            expected = bare if no_match == "as bare" else no_match
        else:
            expected = bare
        assert outcomes[expected] == outcome, line
