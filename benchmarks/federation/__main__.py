"""What it costs to send over one stream between two servers, beside Prosody and ejabberd.

    python benchmarks/federation OUTDIR [ROUNDS]

Of each kind two servers are started, on one processor, and users of one write to users of the
other: in the clear to their own servers, and from one to the other over one stream in TLS,
which the servers have opened by their certificates. In turn, ROUNDS times (3), each kind is
measured with 1 and with 10 messages in flight for each pair of users. Result lines go to
OUTDIR/federation.jsonl, and a table of medians is printed: messages delivered for each second
of processor time that the sending and the receiving server used.

Environment:
    KINDS   which servers, "stonechat prosody ejabberd" by default
    SECS    measured seconds of each case, 3 by default
    PAIRS   how many pairs of users, 50 by default
"""

import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from load import Load
from servers import GENERATOR_CPU, KINDS, TICK, Measured, Stage

WINDOWS = (1, 10)
WARMUP_SECONDS = 1.0
DRAIN_SECONDS = 10.0

FIGURES = ("sending", "receiving")

Result = dict[str, Any]


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    names = os.environ.get("KINDS", " ".join(KINDS)).split()
    pairs, seconds = int(os.environ.get("PAIRS", "50")), float(os.environ.get("SECS", "3"))
    os.sched_setaffinity(0, {GENERATOR_CPU})
    results: list[Result] = []
    with ExitStack() as stack, (out / "federation.jsonl").open("a") as file:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="federation-"))
        stage = Stage(Path(directory))
        stack.callback(stage.close)
        couples = {name: _couple(stack, stage, name, pairs) for name in names}
        loads = {name: Load(*couple, pairs) for name, couple in couples.items()}
        for _ in range(rounds):
            for window in WINDOWS:
                for name in names:
                    result = measure(couples[name], loads[name], window, seconds)
                    results.append({"server": name, "window": window, **result})
                    print(json.dumps(results[-1]), file=file, flush=True)
    print("\n".join(table(results)))


def _couple(stack: ExitStack, stage: Stage, name: str, pairs: int) -> tuple[Measured, Measured]:
    sender, receiver = (
        KINDS[name](stage, f"{name}-{which}.example") for which in ("one", "other")
    )
    for server in (sender, receiver):
        stack.callback(server.kill)
        server.start()
        for number in range(pairs):
            server.make_account(f"u{number}")
    return sender, receiver


def measure(couple: tuple[Measured, Measured], load: Load, window: int, seconds: float) -> Result:
    load.begin(window)
    load.run(WARMUP_SECONDS)
    received, began = load.received, time.monotonic()
    before = [server.cpu_seconds for server in couple]
    load.run(seconds)
    out, in_ = (
        max(server.cpu_seconds - was, TICK) for server, was in zip(couple, before, strict=True)
    )
    count, took = load.received - received, time.monotonic() - began
    load.drain(DRAIN_SECONDS)
    return {
        "count": count,
        "rate": round(count / took),
        "sending_cpu_s": round(out, 2),
        "receiving_cpu_s": round(in_, 2),
        "sending": round(count / out),
        "receiving": round(count / in_),
        "lost": load.missing,
        "reordered": load.reordered,
        "streams": couple[1].streams_in,
    }


def table(results: list[Result]) -> list[str]:
    """Medians, as Markdown."""
    rows: defaultdict[tuple[str, int], list[Result]] = defaultdict(list)
    for result in results:
        rows[result["server"], result["window"]].append(result)
    lines = ["| server | in flight | sending | receiving | streams | faults |", "|" + "---|" * 6]
    for (server, window), row in sorted(rows.items(), key=lambda item: item[0][1]):
        sending, receiving = (round(median(each[key] for each in row)) for key in FIGURES)
        faults = max(each["lost"] + each["reordered"] for each in row)
        streams = max(each["streams"] for each in row)
        lines.append(
            f"| {server} | {window} | {sending:,} | {receiving:,} | {streams} | {faults} |"
        )
    return lines


if __name__ == "__main__":
    main()
