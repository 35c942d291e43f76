"""How long pulsed updates take beside aihwkit's: `make bench-peers` writes benchmarks/update.json and prints the table.

A crossbar is updated with a batch of inputs and errors: probabilities, random trains, coincidences, and a noisy step of a device for
each. Both simulators take turns in one run, on two threads, with the same numbers; the least of several times counts. `per core` compares
processor times, which other work on the machine changes less. Without the peer (`.venv-peers`) its columns stay empty and the exit
status is 2.
"""

from __future__ import annotations

import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ohmlet.cells import build_array
from ohmlet.config.structure import structure
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.nn.kernels import kernels_of
from ohmlet_kernels.noise import Stream

HERE = Path(__file__).parent
PEER = HERE.parent / ".venv-peers/bin/python"
THREADS = 2
DEVICES = ("soft_bounds", "exp_step", "constant_step", "reram_es")
DENSITIES = {"sparse": (0.3, 0.02), "medium": (0.3, 0.1), "dense": (0.5, 0.5)}
"""Mean probabilities that a slot of an input's and of an error's train fires; both are spread evenly from zero to twice that."""
REPEATS = {"sparse": 30, "medium": 15, "dense": 5}
Call = Callable[[dict[str, Any] | None], tuple[float, float]]
LENGTH = 31


def vectors(samples: int, lines: int, mean: float, seed: int) -> torch.Tensor:
    """Return numbers of either sign whose absolute values are uniform in (0, 2 mean)."""
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.rand((samples, lines), generator=generator) - 1) * 2 * mean


def cases() -> list[dict[str, Any]]:
    """Return the crossbars of one layer in training."""
    return [
        {"device": device, "what": what, "rows": 512, "columns": 512, "batch": 32, "p_x": p_x, "p_d": p_d, "rate": LENGTH, "managed": False}
        for device in DEVICES
        for what, (p_x, p_d) in DENSITIES.items()
    ]


def ours(case: dict[str, Any], engine: str) -> Callable[[], None]:
    """Return the update of one case, from the numbers to the weights."""
    cell = structure(case["device"], UnitCell)
    key = torch.tensor(1234)
    array = build_array(cell, ArraySite(case["rows"], case["columns"], key, kernels_of(engine), lambda *_: None))  # type: ignore[arg-type]
    x, d = vectors(case["batch"], case["columns"], case["p_x"], 1), vectors(case["batch"], case["rows"], case["p_d"], 2)
    pulses = PulsedUpdate(update_management=case["managed"], update_bl_management=case["managed"])
    noise, rate = Stream(key, torch.arange(case["batch"])), case["rate"] * array.granularity
    return lambda: array.pulse(x, d, rate, pulses, noise)


@contextmanager
def peer() -> Iterator[Call | None]:
    """Yield a call that times the peer: a case to begin with, None for once more; nothing where the peer is absent."""
    if not PEER.exists():
        yield None
        return
    command = [str(PEER), str(HERE / "peers_update.py"), str(THREADS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        sent, answers = process.stdin, process.stdout

        def call(case: dict[str, Any] | None) -> tuple[float, float]:
            if case is not None:
                x, d = vectors(case["batch"], case["columns"], case["p_x"], 1), vectors(case["batch"], case["rows"], case["p_d"], 2)
                sent.write(json.dumps({**case, "x": x.tolist(), "d": d.tolist()}))
            sent.write("\n")
            sent.flush()
            wall, processor = map(float, answers.readline().split())
            return wall, processor

        yield call
        sent.close()


def measured(case: dict[str, Any], engine: str, other: Call | None) -> dict[str, Any]:
    """Return the least times of one case in ms, and processor times of all threads, the simulators taking turns."""
    update = ours(case, engine)
    update()
    if other is not None:
        other(case)
    own, theirs = [], []
    for _ in range(REPEATS[case["what"]]):
        start, begun = time.perf_counter(), time.process_time()
        update()
        own.append((1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - begun)))
        if other is not None:
            theirs.append(other(None))
    row = {**case, "ratio": None}
    for name, times in (("", own), ("peer_", theirs)):
        if times:
            row[f"{name}ms"], row[f"{name}processor_ms"] = (min(each) for each in zip(*times, strict=True))
    if theirs:
        row["ratio"], row["processor_ratio"] = row["peer_ms"] / row["ms"], row["peer_processor_ms"] / row["processor_ms"]
    return row


def main() -> int:
    """Measure, write the figures and print the table."""
    torch.set_num_threads(THREADS)
    engine = sys.argv[1] if len(sys.argv) > 1 else "auto"
    with peer() as other:
        rows = [measured(case, engine, other) for case in cases()]
    ratios = [row["ratio"] for row in rows if row["ratio"] is not None]
    results: dict[str, Any] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": THREADS,
        "engine": engine,
        "peer": "aihwkit 1.2.0" if ratios else None,
        "rows": rows,
    }
    table = Table(title=f"pulsed update of a 512x512 crossbar, batch 32, {LENGTH} slots, {THREADS} threads, engine {engine}")
    for head in ("device", "pulses", "ms", "aihwkit ms", "faster", "per core"):
        table.add_column(head, justify="left" if head in ("device", "pulses") else "right")
    for row in rows:
        beside = (f"{row['peer_ms']:.1f}", f"{row['ratio']:.1f}x", f"{row['processor_ratio']:.1f}x") if row["ratio"] else ()
        table.add_row(row["device"], f"{row['what']} ({row['p_x']:g}, {row['p_d']:g})", f"{row['ms']:.1f}", *beside)
    console = Console()
    console.print(table)
    if ratios:
        results["geometric_mean"], results["minimum"] = math.exp(sum(map(math.log, ratios)) / len(ratios)), min(ratios)
    (HERE / "update.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if not ratios:
        print("the peer is absent: make bench-peers installs it", file=sys.stderr)
        return 2
    print(f"geometric mean: {results['geometric_mean']:.1f}x")
    print(f"minimum: {results['minimum']:.1f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
