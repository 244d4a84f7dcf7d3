"""The examples of tests in the reference of the test kit are true."""

import re
import subprocess
import sys
from pathlib import Path

from witnesses import DEADLINE

PAGE = Path(__file__).parents[2] / "docs/reference/api-testing.md"
_FILE = re.compile(r"^```\{code-block\} python\n:caption: (\S+)\n\n(.*?)^```$", re.M | re.S)


def test_the_examples_of_the_reference_pass(tmp_path):
    for name, text in _FILE.findall(PAGE.read_text(encoding="utf-8")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    assert re.search(r"^3 passed", done.stdout, re.MULTILINE), done.stdout + done.stderr
