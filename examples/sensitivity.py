"""Which layers of a digits CNN mind the hardware: each one alone on chips, the others digital.

    python examples/sensitivity.py

Prints a table and writes it as a bar plot. A layer that costs much is worth more devices per weight, or is kept digital; one that costs
nothing can live with worse ones. Here the noise is four times that of PCM, since digits at nominal noise hardly lose anything.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import click
import torch
from rich.console import Console
from torch import nn

import ohmlet
from ohmlet.experiment.data import Digits
from ohmlet.experiment.imports import Imports
from ohmlet.experiment.progress import Bars
from ohmlet.experiment.run import batches
from ohmlet.experiment.sensitivity import sensitivity


def network() -> nn.Module:
    """Return three convolutions and two fully connected layers for images of 8x8 pixels."""
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(1, 8, 3, padding=1),
        "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(8, 16, 3, padding=1),
        "relu2": nn.ReLU(),
        "pool2": nn.MaxPool2d(2),
        "conv3": nn.Conv2d(16, 16, 3, padding=1),
        "relu3": nn.ReLU(),
        "pool3": nn.MaxPool2d(2),
        "flat": nn.Flatten(),
        "full4": nn.Linear(64, 32),
        "relu4": nn.ReLU(),
        "full5": nn.Linear(32, 10),
    }
    return nn.Sequential(OrderedDict(layers))


@click.command(help=__doc__.partition("\n")[0])
@click.option("--epochs", type=click.IntRange(1), default=20, show_default=True, help="Of digital training.")
@click.option("--noise", type=float, default=4.0, show_default=True, help="Factor on the PCM's programming error and read noise.")
@click.option("--time", "t", default="1 day", show_default=True, help="After the first read-out.")
@click.option("--instances", type=click.IntRange(2), default=25, show_default=True, help="Chips.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--plot", type=click.Path(path_type=Path), default=Path("sensitivity.png"), show_default=True, help="Where the plot goes.")
def main(epochs: int, noise: float, t: str, instances: int, seed: int, plot: Path) -> None:
    """Train digitally, convert, and put one layer on chips at a time."""
    console = Console()
    torch.manual_seed(seed)
    split = Digits().load(Imports())
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    with Bars(console).stage("digital training", epochs) as stage:
        for _ in range(epochs):
            for some in torch.randperm(len(split.train_x)).split(32):
                loss = nn.functional.cross_entropy(model(split.train_x[some]), split.train_y[some])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            stage.advance()
        stage.note(f"loss {float(loss.detach()):.3f}")

    scales = {"tile.noise_model.prog_noise_scale": noise, "tile.noise_model.read_noise_scale": noise}
    ohmlet.convert(model, ohmlet.load_config("pcm_inference").override(scales))
    test = batches(split)
    found = sensitivity(
        model,
        lambda view: 100 * view.accuracy(test),
        t=t,
        instances=instances,
        seed=seed,
        quantity="test accuracy in %",
        progress=Bars(console),
    )
    console.print(found)
    found.draw(plot)
    console.print(f"written: {plot}", highlight=False)


if __name__ == "__main__":
    main()
