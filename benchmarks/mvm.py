"""How long analog layers take beside `torch.nn.Linear`: `make bench` writes benchmarks/results.json and prints the table.

Forward and backward of one 512x512 layer in training, and 25 chip instances at six times against a loop over instances. One thread,
medians of repeated calls, ratios within this run: machines are noisy, so compare ratios, not milliseconds.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import ohmlet

CONVERTERS: dict[str, Any] = {"dac": {"bits": 8}, "adc": {"bits": 8, "bound": 10.0}, "out_noise": 0.04}
MODIFIER = {"modifier": {"type": "add_normal", "std": 0.08}}
FEATURES: dict[str, Any] = {
    "ideal": {"tile": "ideal"},
    "converters, output and weight noise": {"tile": {"type": "inference", "forward": CONVERTERS, "training": MODIFIER}},
    "the same, PCM read noise and IR drop": {
        "tile": {"type": "inference", "forward": {**CONVERTERS, "weight_noise": "pcm_read", "ir_drop": "quadratic"}, "training": MODIFIER}
    },
}


def median_ms(call: Callable[[], object], repeats: int = 40) -> float:
    """Return the median time of a call in ms, after two that are not counted."""
    times = []
    for index in range(repeats + 2):
        start = time.perf_counter()
        call()
        if index >= 2:
            times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def forward_backward(layer: nn.Module, x: torch.Tensor) -> Callable[[], object]:
    """Return one step of training without its optimizer."""

    def call() -> None:
        y = layer(x)
        y.backward(torch.ones_like(y))

    return call


def layers(engine: str) -> list[dict[str, Any]]:
    """Return times of forward and backward for each set of features and batch."""
    rows = []
    for batch in (32, 128, 512):
        x = torch.randn(batch, 512, requires_grad=True)
        base = median_ms(forward_backward(nn.Linear(512, 512), x))
        rows.append({"what": "nn.Linear", "batch": batch, "ms": base, "ratio": 1.0})
        for what, config in FEATURES.items():
            layer = ohmlet.convert(nn.Linear(512, 512), {**config, "engine": engine if what != "ideal" else "auto"}).model.train()
            ms = median_ms(forward_backward(layer, x))
            rows.append({"what": what, "batch": batch, "ms": ms, "ratio": ms / base})
    return rows


def chips() -> dict[str, float]:
    """Return how much faster 25 instances at six times are at once than one by one."""
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    ohmlet.convert(model, "pcm_inference")
    chip, x = ohmlet.program(model, 25, seed=0), torch.rand(64, 64)
    times = ["1 s", "1 min", "1 h", "1 day", "1 month", "1 year"]
    views = [chip.at(t) for t in times]
    together = median_ms(lambda: [view(x) for view in views], 5)
    with torch.no_grad():
        singles = [view.instance(index) for view in views for index in range(25)]
        apart = median_ms(lambda: [single(x) for single in singles], 5)
    return {"together_ms": together, "one_by_one_ms": apart, "ratio": apart / together}


def main() -> None:
    """Measure, write the figures and print the table."""
    torch.set_num_threads(1)
    engine = sys.argv[1] if len(sys.argv) > 1 else "auto"
    rows, instances = layers(engine), chips()
    results = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": 1,
        "engine": engine,
        "layers": rows,
        "chips": instances,
    }
    path = Path(__file__).parent / "results.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    table = Table(title=f"forward and backward of a 512x512 layer, one thread, engine {engine}")
    for head in ("", "batch", "ms", "over nn.Linear"):
        table.add_column(head, justify="left" if not head else "right")
    for row in rows:
        table.add_row(row["what"], str(row["batch"]), f"{row['ms']:.2f}", f"{row['ratio']:.2f}x")
    console = Console()
    console.print(table)
    console.print(f"25 chip instances at six times: {instances['ratio']:.1f}x faster at once than one by one; written: {path.name}")


if __name__ == "__main__":
    main()
