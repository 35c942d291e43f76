"""How long analog layers take beside `torch.nn.Linear`: `make bench` writes benchmarks/results.json and prints the table.

Forward and backward of one 512x512 layer in training, what it keeps for backward, and 25 chip instances at six times against a loop
over instances. One thread, the least of many times taken in turns, ratios within this run: machines are noisy and busy. Columns of
other simulators are filled by `make bench-peers`.
"""

from __future__ import annotations

import json
import platform
import subprocess
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
PCM = {"weight_noise": "pcm_read", "ir_drop": "quadratic", "input_range": "learned"}
FEATURES: dict[str, Any] = {
    "ideal": {"tile": "ideal"},
    "converters, output and weight noise": {"tile": {"type": "inference", "forward": CONVERTERS, "training": MODIFIER}},
    "standard preset": {"tile": {"type": "inference", "forward": {**CONVERTERS, **PCM}}},
    "standard preset and weight noise": {"tile": {"type": "inference", "forward": {**CONVERTERS, **PCM}, "training": MODIFIER}},
}
"""The standard preset: converters, output noise, PCM read noise, IR drop and learned input ranges."""
BATCHES = (32, 128, 512)
PEERS = Path(__file__).parent.parent / ".venv-peers/bin/python"


def least_ms(calls: list[Callable[[], object]], repeats: int) -> list[float]:
    """Return the least time of each call in ms of this thread, taken in turns so that a busy machine is busy for all."""
    least = [float("inf")] * len(calls)
    for _ in range(repeats):
        for index, call in enumerate(calls):
            call()
            for _ in range(3):
                start = time.thread_time()
                call()
                least[index] = min(least[index], time.thread_time() - start)
    return [1e3 * each for each in least]


def forward_backward(layer: nn.Module, x: torch.Tensor) -> Callable[[], object]:
    """Return one step of training without its optimizer."""

    def call() -> None:
        y = layer(x)
        y.backward(torch.ones_like(y))

    return call


def kept_bytes(layer: nn.Module, x: torch.Tensor) -> int:
    """Return the bytes that a forward pass keeps for backward, parameters and buffers left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*layer.parameters(), *layer.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
        return sum(size for pointer, size in kept.items() if pointer not in own)


def layers(engine: str) -> list[dict[str, Any]]:
    """Return times of forward and backward, and what is kept between them, for each set of features and batch."""
    rows = []
    for batch in BATCHES:
        x = torch.randn(batch, 512, requires_grad=True)
        made: dict[str, nn.Module] = {"nn.Linear": nn.Linear(512, 512)}
        for what, config in FEATURES.items():
            chosen = {**config, "engine": engine if what != "ideal" else "auto"}
            made[what] = ohmlet.convert(nn.Linear(512, 512), chosen).model.train()
        times = least_ms([forward_backward(layer, x) for layer in made.values()], max(6, 2048 // batch))
        kept = [kept_bytes(layer, x) for layer in made.values()]
        for what, ms, size in zip(made, times, kept, strict=True):
            rows.append({"what": what, "batch": batch, "ms": ms, "ratio": ms / times[0], "kept": size / kept[0]})
    return rows


def peers() -> list[dict[str, Any]]:
    """Return the ratios of other simulators, none without their environment."""
    if not PEERS.exists():
        return []
    command = [str(PEERS), str(Path(__file__).parent / "peers.py"), ",".join(map(str, BATCHES))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"the other simulators failed and are left out:\n{done.stderr[-2000:]}", file=sys.stderr)
        return []
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def chips() -> dict[str, float]:
    """Return how much faster 25 instances at six times are at once than one by one."""
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    ohmlet.convert(model, "pcm_inference")
    chip, x = ohmlet.program(model, 25, seed=0), torch.rand(64, 64)
    times = ["1 s", "1 min", "1 h", "1 day", "1 month", "1 year"]
    views = [chip.at(t) for t in times]
    with torch.no_grad():
        singles = [view.instance(index) for view in views for index in range(25)]
        together, apart = least_ms([lambda: [view(x) for view in views], lambda: [single(x) for single in singles]], 8)
    return {"together_ms": together, "one_by_one_ms": apart, "ratio": apart / together}


def main() -> None:
    """Measure, write the figures and print the table."""
    torch.set_num_threads(1)
    engine = sys.argv[1] if len(sys.argv) > 1 else "auto"
    rows, others, instances = layers(engine), peers(), chips()
    results = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": 1,
        "engine": engine,
        "layers": rows,
        "peers": others,
        "chips": instances,
    }
    path = Path(__file__).parent / "results.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    table = Table(title=f"forward and backward of a 512x512 layer, one thread, engine {engine}")
    names = list(dict.fromkeys(other["peer"] for other in others))
    for head in ("", "batch", "ms", "over nn.Linear", "kept", *names):
        table.add_column(head, justify="left" if not head else "right")
    beside = {(other["peer"], other["what"], other["batch"]): f"{other['ratio']:.1f}x" for other in others}
    for row in rows:
        columns = [beside.get((name, row["what"], row["batch"]), "") for name in names]
        table.add_row(row["what"], str(row["batch"]), f"{row['ms']:.2f}", f"{row['ratio']:.2f}x", f"{row['kept']:.2f}x", *columns)
    console = Console()
    console.print(table)
    console.print("over nn.Linear: time; kept: memory kept for backward; other simulators: time of a whole step, over nn.Linear's")
    console.print(f"25 chip instances at six times: {instances['ratio']:.1f}x faster at once than one by one; written: {path.name}")


if __name__ == "__main__":
    main()
