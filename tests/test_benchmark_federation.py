"""That `benchmarks/federation` measures what it says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "federation"
SECONDS = 120.0  # a bound on a hang


@pytest.mark.parametrize("kind", ["stonechat", "prosody", "ejabberd"])
def test_all_that_is_sent_arrives_over_one_stream(needs, tmp_path, kind):
    if kind != "stonechat":
        needs({"prosody": "prosody", "ejabberd": "ejabberdctl"}[kind])
    done = subprocess.run(
        [sys.executable, BENCHMARK, tmp_path, "1"],
        env={**os.environ, "KINDS": kind, "SECS": "0.5", "PAIRS": "3"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = [
        json.loads(line) for line in (tmp_path / "federation.jsonl").read_text().splitlines()
    ]
    assert [(each["server"], each["window"]) for each in results] == [(kind, 1), (kind, 10)]
    for each in results:
        assert each["count"] > 0
        assert (each["lost"], each["reordered"], each["streams"]) == (0, 0, 1)
        assert each["sending"] == pytest.approx(each["count"] / each["sending_cpu_s"], 0.5)
    assert f"| {kind} | 10 |" in done.stdout
