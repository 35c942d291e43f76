"""Input ranges for crossbars with 5-bit converters: as they happen to be, calibrated from data, and learned from there.

    python examples/calibrate_ranges.py

A small network learns the handwritten digits of scikit-learn and is put on crossbars whose ranges know nothing of its activations: they
are far too wide. Calibration measures a quantile of what each crossbar sees; training with the hardware in the loop then learns the
ranges too. The lower the quantile, the finer a DAC's step and the more inputs clip. Takes half a minute.
"""

from __future__ import annotations

import copy

import click
import torch
from rich.console import Console
from rich.progress import track
from torch import nn

import ohmlet
from ohmlet.experiment.data import Digits, Split
from ohmlet.experiment.imports import Imports
from ohmlet.experiment.train import accuracy

HARDWARE = {
    "tile": {
        "type": "inference",
        "forward": {
            "dac": {"bits": 5},
            "adc": {"bits": 5, "bound": 4.0},
            "input_range": {"type": "learned", "init": 30.0, "init_batches": 0},
            "out_noise": 0.04,
        },
    },
    "seed": 1,
}


def train(model: nn.Module, data: Split, epochs: int, lr: float, words: str, console: Console) -> None:
    """Train in place by Adam, in batches of 32."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for epoch in track(range(epochs), words, console=console, disable=not console.is_terminal, transient=True):
        order = torch.randperm(len(data.train_x), generator=torch.Generator().manual_seed(epoch))
        for some in order.split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(data.train_x[some]), data.train_y[some]).backward()
            optimizer.step()


@click.command(help=__doc__.partition("\n")[0])
@click.option("--epochs", type=click.IntRange(1), default=15, show_default=True, help="Of digital training.")
@click.option("--aware-epochs", type=click.IntRange(1), default=5, show_default=True, help="With the hardware in the loop.")
@click.option("--seed", type=int, default=0, show_default=True)
def main(epochs: int, aware_epochs: int, seed: int) -> None:
    """Train, convert, calibrate, train again, and print the accuracies."""
    console = Console()
    torch.manual_seed(seed)
    data = Digits().load(Imports(False))
    inputs = data.train_x[0].numel()
    model = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    train(model, data, epochs, 2e-3, "digital training", console)
    rows = [("digital", accuracy(model, data.test_x, data.test_y))]
    ohmlet.convert(model, HARDWARE)

    def measure(words: str, measured: nn.Module) -> None:
        # Noise is addressed by sample: every line is measured with the same draws.
        fresh = copy.deepcopy(measured)
        rows.append((words, accuracy(fresh, data.test_x, data.test_y)))

    measure("on crossbars, ranges of 30", model)
    batches = data.train_x.split(100)
    for quantile in (0.9, 0.99, 0.9999, 1.0):
        total = len(batches)
        with console.status("calibrating") as status:
            report = ohmlet.calibrate(
                model,
                batches,
                quantile=quantile,
                progress=lambda done, total=total, status=status: status.update(f"calibrating, batch {done} of {total}"),
            )
        measure(f"calibrated, quantile {quantile:g}", model)
    console.print(f"the last calibration\n{report}\n", highlight=False)
    train(model, data, aware_epochs, 1e-3, "training with the hardware", console)
    measure("and trained with the hardware", model)
    for words, value in rows:
        console.print(f"{words:<32}{100 * value:5.1f} %", highlight=False)


if __name__ == "__main__":
    main()
