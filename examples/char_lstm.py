"""An LSTM that predicts the next character, on drifting PCM chips, mapped directly and trained for the hardware.

    python examples/char_lstm.py

The text is examples/notebook.txt. An LSTM's four gates are two crossbars, one for the input and one for the hidden state; both are read at
every character, so errors come back through time. Bits per character: 0 is certain, log2 of the alphabet's size is guessing.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from language import Text, compare, train
from rich.console import Console
from torch import Tensor, nn


class CharLSTM(nn.Module):
    """Characters [B, T] to logits of the next ones [B, T, characters]."""

    def __init__(self, characters: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(characters, 24)
        self.lstm = nn.LSTM(24, hidden, batch_first=True)
        self.decode = nn.Linear(hidden, characters)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.decode(self.lstm(self.embed(x))[0])


@click.command(help=__doc__.partition("\n")[0])
@click.option("--text", type=click.Path(exists=True, path_type=Path), default=Path(__file__).with_name("notebook.txt"), help="To learn.")
@click.option("--hidden", type=click.IntRange(1), default=96, show_default=True, help="Size of the hidden state.")
@click.option("--steps", type=click.IntRange(1), default=600, show_default=True, help="Of digital training.")
@click.option("--aware-steps", type=click.IntRange(1), default=600, show_default=True, help="Of hardware-aware training.")
@click.option("--noise", type=float, default=4.0, show_default=True, help="Factor on the PCM's programming error and read noise.")
@click.option("--weight-noise", type=float, default=0.15, show_default=True, help="In hardware-aware training, of the largest weight.")
@click.option("--instances", type=click.IntRange(1), default=10, show_default=True, help="Chips.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "path", type=click.Path(path_type=Path), help="Where results go as well.")
def main(
    text: Path, hidden: int, steps: int, aware_steps: int, noise: float, weight_noise: float, instances: int, seed: int, path: Path | None
) -> None:
    """Train, convert, train again, program, and print the cost over time."""
    console = Console()
    torch.manual_seed(seed)
    read = Text(text, length=40)
    model = CharLSTM(len(read.characters), hidden)
    train("digital training", model, read, steps, 5e-3, seed, console)
    compare(model, read, (noise, weight_noise), aware_steps, 2e-3, instances, seed, path, console)


if __name__ == "__main__":
    main()
