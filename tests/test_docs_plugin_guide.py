"""The plugin that the guide for authors makes: written out, installed, and its tests run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[1] / "docs/how-to/write-a-plugin.md"

SECONDS = 120

_FILE = re.compile(r"^```\{code-block\} \w+\n:caption: (\S+)\n\n(.*?)^```$", re.M | re.S)


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def distribution(tmp_path: Path) -> Path:
    """The folder as it is after every file of the guide was put where its caption says."""
    place = tmp_path / "stonechat-welcome"
    for name, text in _FILE.findall(GUIDE.read_text(encoding="utf-8")):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return place


def test_the_plugin_of_the_guide_installs_and_passes_its_tests(distribution: Path, tmp_path: Path):
    site = tmp_path / "site"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    # What it requires is here already.
    run(*pip, "--no-deps", "--no-build-isolation", "--target", site, distribution, cwd=tmp_path)
    output = run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        cwd=distribution,
        PYTHONPATH=str(site),
    )
    assert re.search(r"^11 passed", output, re.MULTILINE)


def test_the_guide_has_the_files_that_plugin_new_writes(distribution: Path, tmp_path: Path):
    begun = tmp_path / "begun"
    stonechat = (sys.executable, "-m", "stonechat.cli")
    run(*stonechat, "plugin", "new", "welcome", "--directory", begun, cwd=tmp_path)
    written, shown = (
        {path.relative_to(top) for path in top.rglob("*") if path.is_file()}
        for top in (begun, distribution)
    )
    assert written - shown == {Path("README.md")}
    assert shown - written == {Path("tests/test_dice.py"), Path("tests/test_quiet.py")}
