"""A small GPT-2 from Hugging Face's transformers, converted, fine-tuned for the hardware, and evaluated on drifting PCM chips.

    python examples/tiny_gpt2.py

The model is built from a config, so nothing is downloaded, and reads the characters of examples/notebook.txt. Every matrix becomes
crossbars: those of attention and MLP (transformers' own Conv1D) and the head, which is tied with the embedding; looking a character up
needs no product and stays digital. Needs transformers: pip install transformers.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click
import torch
from language import Text, compare, train
from rich.console import Console
from torch import Tensor, nn


class Logits(nn.Module):
    """A causal language model of transformers, from characters [B, T] to nothing but logits [B, T, characters]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.model(x, use_cache=False).logits
        return logits


def gpt2(characters: int, width: int, layers: int, length: int) -> Logits:
    """Return a GPT-2 with random weights; ends with a message when transformers is not installed."""
    try:
        with warnings.catch_warnings():
            # Importing a model's module meets deprecations that are not ours.
            warnings.simplefilter("ignore")
            from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        raise click.ClickException(
            "this example needs Hugging Face's transformers, which is not installed: pip install transformers"
        ) from None
    config = GPT2Config(
        vocab_size=characters,
        n_positions=length,
        n_embd=width,
        n_layer=layers,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    return Logits(GPT2LMHeadModel(config))


@click.command(help=__doc__.partition("\n")[0])
@click.option("--text", type=click.Path(exists=True, path_type=Path), default=Path(__file__).with_name("notebook.txt"), help="To learn.")
@click.option("--width", type=click.IntRange(4), default=64, show_default=True, help="Size of the embedding, a multiple of 4.")
@click.option("--layers", type=click.IntRange(1), default=2, show_default=True, help="Transformer blocks.")
@click.option("--steps", type=click.IntRange(1), default=800, show_default=True, help="Of digital training.")
@click.option("--aware-steps", type=click.IntRange(1), default=600, show_default=True, help="Of hardware-aware training.")
@click.option("--noise", type=float, default=2.0, show_default=True, help="Factor on the PCM's programming error and read noise.")
@click.option("--weight-noise", type=float, default=0.1, show_default=True, help="In hardware-aware training, of the largest weight.")
@click.option("--instances", type=click.IntRange(1), default=10, show_default=True, help="Chips.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "path", type=click.Path(path_type=Path), help="Where results go as well.")
def main(
    text: Path,
    width: int,
    layers: int,
    steps: int,
    aware_steps: int,
    noise: float,
    weight_noise: float,
    instances: int,
    seed: int,
    path: Path | None,
) -> None:
    """Train, convert, train again, program, and print the cost over time."""
    console = Console()
    if width % 4:
        raise click.BadParameter(f"{width} is no multiple of 4, the number of attention heads", param_hint="--width")
    torch.manual_seed(seed)
    read = Text(text, length=40)
    model = gpt2(len(read.characters), width, layers, read.length)
    train("digital training", model, read, steps, 3e-3, seed, console)
    compare(model, read, (noise, weight_noise), aware_steps, 1e-3, instances, seed, path, console)


if __name__ == "__main__":
    main()
