"""The example of a test with slixmpp in the reference of the test kit is true."""

import re
import subprocess
import sys
from pathlib import Path

from witnesses import DEADLINE

PAGE = Path(__file__).parents[2] / "docs/reference/api-testing.md"
_FILE = re.compile(r"^```\{code-block\} python\n:caption: (\S+)\n\n(.*?)^```$", re.M | re.S)


def test_the_example_of_the_reference_passes(tmp_path):
    ((name, text),) = _FILE.findall(PAGE.read_text(encoding="utf-8"))
    (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    assert re.search(r"^2 passed", done.stdout, re.MULTILINE), done.stdout + done.stderr
