"""How long crossbars with resistive wires take beside other solvers: `make bench-peers` writes benchmarks/crossbar.json and a table.

The job is an n x n crossbar of 1 to 100 kilo-ohm cells with segments of 2 ohm, one input, solved to a proven relative error of 1e-8. The
peers take turns with it in one run: badcrossbar 1.1.0, exact, and the fixed-point iteration of CrossSim 3.2 with its step tuned by hand for
each size, to 1e-6. CrossSim is in no package index, so its iteration is written out in peers_crossbar.py. The least of several times
counts, and processor times beside it, which other work on the machine changes less. Without the peers (`.venv-peers`) their columns stay
empty.
"""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from ohmlet_kernels.crossbar_solve import Cubic, Wires, crossbar_solve

HERE = Path(__file__).parent
PEER = HERE.parent / ".venv-peers/bin/python"
THREADS = 2
SIZES = (64, 128, 256, 512)
BATCH = 32
REPEATS = {64: 30, 128: 20, 256: 10, 512: 5}
TWO_OHM = Wires(r_word=2.0, r_bit=2.0, r_source=2.0, r_sense=2.0)
Times = tuple[float, float]
Call = Callable[[str, int], tuple[float, float, list[float]]]


def job(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the conductances and the voltages that all solvers get."""
    generator = np.random.default_rng(0)
    g = 1 / generator.uniform(1e3, 1e5, (n, n))
    return torch.from_numpy(g), torch.from_numpy(generator.uniform(0, 0.2, (n, 1))).T.contiguous()


def inputs(n: int) -> torch.Tensor:
    """Return a batch of voltages."""
    return torch.from_numpy(np.random.default_rng(1).uniform(0, 0.2, (BATCH, n)))


@contextmanager
def peer() -> Iterator[Call | None]:
    """Yield a call of a peer by name and size; nothing where the peers are absent."""
    if not PEER.exists():
        yield None
        return
    command = [str(PEER), "-W", "ignore", str(HERE / "peers_crossbar.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        sent, answers = process.stdin, process.stdout

        def call(name: str, n: int) -> tuple[float, float, list[float]]:
            sent.write(json.dumps([name, n]) + "\n")
            sent.flush()
            wall, processor, output = json.loads(answers.readline())
            return wall, processor, output

        yield call
        sent.close()


def least(calls: Sequence[Callable[[], object]], repeats: int) -> list[Times]:
    """Return the least wall time and the least processor time of all threads, in ms, of calls that take turns."""
    for call in calls:
        call()
    times = []
    for _ in range(repeats):
        turn = []
        for call in calls:
            start, begun = time.perf_counter(), time.process_time()
            call()
            turn.append((1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - begun)))
        times.append(turn)
    return [(min(wall for wall, _ in each), min(processor for _, processor in each)) for each in zip(*times, strict=True)]


def measured(n: int, kernel: str, other: Call | None) -> dict[str, Any]:
    """Return the times of one size, and how far the peers' outputs lie from ours."""
    g, v = job(n)
    row: dict[str, Any] = {"n": n}
    one, batch = (partial(crossbar_solve, g, volts, TWO_OHM, kernel=kernel) for volts in (v, inputs(n)))
    (row["ms"], row["processor_ms"]), (row["batch_ms"], row["batch_processor_ms"]) = least((one, batch), REPEATS[n])
    row["batch_ratio"] = row["batch_ms"] / row["ms"]
    row["batch_processor_ratio"] = row["batch_processor_ms"] / row["processor_ms"]
    exact = crossbar_solve(g, v, TWO_OHM, kernel=kernel, rtol=1e-12).output[0]
    found = crossbar_solve(g, v, TWO_OHM, kernel=kernel)
    row["error"], row["error_bound"] = float((found.output[0] - exact).norm() / exact.norm()), float(found.error_bound)
    if other is not None:
        for name in ("badcrossbar", "fixed_point"):
            answers = [other(name, n) for _ in range(3)]
            row[f"{name}_ms"], row[f"{name}_processor_ms"] = (min(answer[k] for answer in answers) for k in (0, 1))
            row[f"{name}_difference"] = float((torch.tensor(answers[0][2], dtype=torch.float64) - exact).norm() / exact.norm())
            row[f"{name}_ratio"] = row[f"{name}_ms"] / row["ms"]
            row[f"{name}_processor_ratio"] = row[f"{name}_processor_ms"] / row["processor_ms"]
    return row


def metal_oxide(kernel: str) -> dict[str, float]:
    """Return the times of a 128 x 128 product of odd cubic cells at 0.4 V, with A1 and A3 of metal-oxide memristors of 10 to 300 uS."""
    generator = torch.Generator().manual_seed(0)
    g = 1e-6 * (10 + 290 * torch.rand((128, 128), generator=generator, dtype=torch.float64))
    third = 6596 * g.square() + 1.2 * g
    v = 0.4 * torch.rand((1, 128), generator=generator, dtype=torch.float64)
    wires = Wires(r_word=20.0, r_bit=20.0, r_source=10.0, r_sense=10.0, drive="double")
    ((wall, processor),) = least((partial(crossbar_solve, g, v, wires, iv=Cubic(third), kernel=kernel),), 10)
    found = crossbar_solve(g, v, wires, iv=Cubic(third), kernel=kernel)
    return {"ms": wall, "processor_ms": processor, "newton_steps": int(found.iterations), "error_bound": float(found.error_bound)}


def memory(kernel: str) -> float:
    """Return by how many MB the peak of one solution of 512 x 512 lies above what this process held before it."""
    small, volts = job(8)
    crossbar_solve(small, volts, TWO_OHM, kernel=kernel)
    g, v = job(512)
    held = Path("/proc/self/statm")
    unit = 1 if sys.platform == "darwin" else 1 << 10
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if held.exists():
        # The peak so far may lie higher: importing and compiling take memory that is given back.
        before = int(held.read_text("ascii").split()[1]) * resource.getpagesize()
    crossbar_solve(g, v, TWO_OHM, kernel=kernel)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before) / 1e6


def main() -> int:
    """Measure, write the figures and print the tables."""
    torch.set_num_threads(THREADS)
    engine = sys.argv[1] if len(sys.argv) > 1 else "auto"
    kernel = "reference" if engine == "triton" else engine
    peak = memory(kernel)
    with peer() as other:
        rows = [measured(n, kernel, other) for n in SIZES]
    cubic = metal_oxide(kernel)
    table = Table(title=f"2 ohm segments, proven error below 1e-8, {THREADS} threads, engine {engine}; processor ms in brackets")
    for head in ("size", "one input", "error", f"{BATCH} inputs", "of one", "badcrossbar", "faster", "fixed point, tuned", "faster"):
        table.add_column(head, justify="right")
    for row in rows:
        cells = [f"{row['n']}", _both(row, ""), f"{row['error']:.0e}", _both(row, "batch_"), f"{row['batch_ratio']:.1f}x"]
        for name in ("badcrossbar", "fixed_point"):
            cells += [_both(row, f"{name}_"), f"{row[f'{name}_ratio']:.0f}x"] if f"{name}_ms" in row else ["", ""]
        table.add_row(*cells)
    Console(width=140).print(table)
    print(f"nonlinear 128x128, {cubic['newton_steps']} Newton steps: {cubic['ms']:.1f} ms ({cubic['processor_ms']:.1f} of processor time)")
    print(f"peak memory added by 512x512: {peak:.0f} MB")
    about = {"torch": torch.__version__, "python": platform.python_version(), "threads": THREADS, "engine": engine}
    results = {**about, "rows": rows, "metal_oxide": cubic, "peak_mb": peak}
    (HERE / "crossbar.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if "badcrossbar_ms" not in rows[0]:
        print("the peers are absent: make bench-peers installs them", file=sys.stderr)
    return 0


def _both(row: dict[str, Any], name: str) -> str:
    return f"{row[f'{name}ms']:.2f} ({row[f'{name}processor_ms']:.2f})"


if __name__ == "__main__":
    sys.exit(main())
