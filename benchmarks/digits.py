"""How long an epoch of training in memory takes beside plain torch and aihwkit: writes benchmarks/digits.json and prints the table.

The network is 64-64-32-10 with sigmoids, in batches of 5, on scikit-learn's digits: small crossbars, where what happens around the
pulses counts. Ours is trained by `TrainingStep`, as `ohmlet run` does it, and in a column of its own by the lines of a loop, as plain torch
and the peer are. Converters and output noise are the peer's defaults without its bound management. All take turns in one run, on one
thread; the least of several epochs counts. Without the peer (`.venv-peers`) its column stays empty.
"""

from __future__ import annotations

import json
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
from sklearn.datasets import load_digits
from torch import nn

import ohmlet
from ohmlet.optim import AnalogSGD, TrainingStep

HERE = Path(__file__).parent
PEER = HERE.parent / ".venv-peers/bin/python"
LAYERS = ((64, 64), (64, 32), (32, 10))
BATCH, LR, DW_MIN, EPOCHS = 5, 0.1, 0.05, 4
IO = {"dac": {"bits": 7}, "adc": {"bits": 9, "bound": 12.0}, "out_noise": 0.06, "input_range": {"type": "abs_max"}}
ALGORITHMS = ("fp", "sgd", "tiki_taka", "ttv2", "c_ttv2", "agad", "mixed_precision")
Epoch = Callable[[], float]


def tile(algorithm: str) -> dict[str, Any]:
    """Return the tile of an algorithm with its own defaults."""
    cell = {"type": "soft_bounds_reference", "dw_min": DW_MIN}
    cells: dict[str, Any] = {"fast": cell, "slow": cell}
    if algorithm in ("sgd", "mixed_precision"):
        cells = {"device": "gokmen_vlasov" if algorithm == "sgd" else cell}
    return {"type": "in_memory", "update_algorithm": {"type": algorithm, **cells}, "forward": IO, "backward": IO}


def ours(algorithm: str, x: torch.Tensor, y: torch.Tensor, engine: str, by_hand: bool = False) -> Epoch:
    """Return one epoch of training, which returns its time in ms: by TrainingStep, or by the four lines of a loop written by hand."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for ins, outs in LAYERS:
        layers += [nn.Linear(ins, outs), nn.Sigmoid()]
    model = nn.Sequential(*layers[:-1], nn.LogSoftmax(-1))
    if algorithm != "fp":
        mapping = {"scales": "columnwise", "omega": 0.6}
        ohmlet.convert(model, {"tile": tile(algorithm), "mapping": mapping, "engine": engine})
    optimizer = torch.optim.SGD(model.parameters(), LR) if algorithm == "fp" else AnalogSGD(model.parameters(), LR)
    step = TrainingStep(model, nn.functional.nll_loss, optimizer)

    def line_by_line(inputs: torch.Tensor, target: torch.Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.nll_loss(model(inputs), target).backward()
        optimizer.step()

    def epoch() -> float:
        start = time.perf_counter()
        take = line_by_line if algorithm == "fp" or by_hand else step
        for first in range(0, len(x), BATCH):
            take(x[first : first + BATCH], y[first : first + BATCH])
        return 1e3 * (time.perf_counter() - start)

    return epoch


@contextmanager
def peer(x: torch.Tensor, y: torch.Tensor) -> Iterator[Callable[[str], Epoch] | None]:
    """Yield what begins a training of the peer and returns its epochs; nothing where the peer is absent."""
    if not PEER.exists():
        yield None
        return
    with subprocess.Popen([str(PEER), str(HERE / "peers_digits.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        sent, answers = process.stdin, process.stdout

        def call(line: str = "") -> float:
            sent.write(line + "\n")
            sent.flush()
            return float(answers.readline())

        def begin(algorithm: str) -> Epoch:
            case = {"algorithm": algorithm, "layers": LAYERS, "batch": BATCH, "lr": LR, "dw_min": DW_MIN, "x": x.tolist(), "y": y.tolist()}
            call(json.dumps(case))
            return call

        yield begin
        sent.close()


def main() -> int:
    """Measure, write the figures and print the table."""
    torch.set_num_threads(1)
    engine = sys.argv[1] if len(sys.argv) > 1 else "auto"
    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    rows: list[dict[str, Any]] = []
    plain = ours("fp", x, y, engine)
    plain()
    with peer(x, y) as begin:
        for algorithm in ALGORITHMS:
            epoch = plain if algorithm == "fp" else ours(algorithm, x, y, engine)
            theirs = begin(algorithm) if begin is not None and algorithm != "fp" else None
            by_hand = ours(algorithm, x, y, engine, True)
            epoch()
            by_hand()
            times = [(epoch(), plain(), theirs() if theirs is not None else None, by_hand()) for _ in range(EPOCHS)]
            own, beside = min(each[0] for each in times), min(each[1] for each in times)
            own = beside if algorithm == "fp" else own
            row: dict[str, Any] = {"algorithm": algorithm, "ms": own, "fp_ms": beside, "of_fp": own / beside}
            if algorithm != "fp":
                row["by_hand_ms"] = min(each[3] for each in times)
            if theirs is not None:
                row["peer_ms"] = min(each[2] for each in times if each[2] is not None)
            rows.append(row)
    table = Table(title=f"epoch of digits, 64-64-32-10, batch {BATCH}, one thread, engine {engine}")
    for head in ("digits epoch", "ms", "of fp", "by hand ms", "aihwkit ms"):
        table.add_column(head, justify="left" if head == "digits epoch" else "right")
    for row in rows:
        beside_it = f"{row['peer_ms']:.0f}" if "peer_ms" in row else ""
        by_hand_ms = f"{row['by_hand_ms']:.0f}" if "by_hand_ms" in row else ""
        table.add_row(row["algorithm"], f"{row['ms']:.0f}", f"{row['of_fp']:.1f}x", by_hand_ms, beside_it)
    Console().print(table)
    known = {"torch": torch.__version__, "python": platform.python_version(), "engine": engine, "rows": rows}
    (HERE / "digits.json").write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
