"""What the two language-model examples share: a text as characters, training on it, and its cost on chips that drift."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import ohmlet
from ohmlet.experiment.checkpoint import whole
from ohmlet.experiment.progress import Bars

__all__ = ["Text", "bits_on_chips", "compare", "hardware", "show", "train", "write"]

TIMES = ("1 s", "1 h", "1 day", "1 month", "1 year")


class Text:
    """A text as numbers: its first nine tenths to train on, the rest, which training never sees, to be evaluated on."""

    def __init__(self, path: Path, length: int) -> None:
        text = path.read_text("utf-8")
        self.characters = sorted(set(text))
        numbers = torch.tensor([self.characters.index(character) for character in text])
        cut = len(numbers) * 9 // 10
        self.length, self.train, held_out = length, numbers[:cut], numbers[cut:]
        pieces = (len(held_out) - 1) // length
        if pieces < 1:
            raise click.ClickException(f"{path} is too short: a tenth of it must be longer than {length} characters")
        self.held_out = [(held_out[: pieces * length].view(-1, length), held_out[1 : pieces * length + 1].view(-1, length))]

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return random pieces of the training text [size, length] and the same one character later."""
        starts = torch.randint(len(self.train) - self.length, (size, 1), generator=generator) + torch.arange(self.length)
        return self.train[starts], self.train[starts + 1]


def hardware(noise: float, weight_noise: float) -> dict[str, Any]:
    """Return the config: the preset `pcm_inference` at `noise` times its programming error and read noise, trained with weight noise."""
    return {
        "preset": "pcm_inference",
        "tile": {
            "training": {"modifier": {"type": "add_normal", "std": weight_noise}, "clip": {"type": "layer_gaussian", "sigma": 2.5}},
            "noise_model": {"type": "pcm", "prog_noise_scale": noise, "read_noise_scale": noise},
        },
    }


def train(name: str, model: nn.Module, text: Text, steps: int, lr: float, seed: int, console: Console) -> None:
    """Minimise the cross-entropy of the next character with Adam, the learning rate falling to zero."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
    model.train()
    with Bars(console).stage(name, steps) as stage:
        for _ in range(steps):
            x, y = text.batch(16, generator)
            loss = nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            stage.advance()
            stage.note(f"{float(loss.detach()) / math.log(2):.2f} bits per character")
    model.eval()


def bits(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return -log2 p of the next character, mean over a piece of text: [..., B, T, C] and [B, T] to [..., B]."""
    labels = labels.expand(*outputs.shape[:-1])
    return -outputs.log_softmax(-1).gather(-1, labels[..., None]).squeeze(-1).mean(-1) / math.log(2)


@torch.no_grad()
def digital_bits(model: nn.Module, text: Text) -> float:
    """Return the bits per character that a digital model needs for the held-out text."""
    return float(torch.cat([bits(model(x), y) for x, y in text.held_out]).mean())


def bits_on_chips(name: str, model: nn.Module, text: Text, instances: int, seed: int, console: Console) -> dict[str, list[float]]:
    """Return the bits per character of each chip at each of TIMES."""
    chip = ohmlet.program(model, instances, seed=seed)
    found = {}
    with Bars(console).stage(name, len(TIMES)) as stage:
        for t in TIMES:
            found[t] = chip.at(t).evaluate(text.held_out, bits).tolist()
            stage.advance()
    return found


def compare(
    model: nn.Module,
    text: Text,
    chips: tuple[float, float],
    steps: int,
    lr: float,
    instances: int,
    seed: int,
    path: Path | None,
    console: Console,
) -> None:
    """Train a digital model further, directly and for the hardware, and print and write what both cost on `chips` (noise, weight noise)."""
    # The direct mapping must not meet the clip of hardware-aware training, and gets as many steps.
    config = ohmlet.AnalogConfig.parse(hardware(*chips))
    direct, aware = copy.deepcopy(model), copy.deepcopy(model)
    train("the same, further", direct, text, steps, lr, seed + 1, console)
    digital = digital_bits(direct, text)
    click.echo(str(ohmlet.convert(direct, config.override({"tile.training": {}, "seed": seed}))))
    ohmlet.convert(aware, config.override({"seed": seed}))
    train("hardware-aware training", aware, text, steps, lr, seed + 1, console)

    rows = {"direct": bits_on_chips("direct chips", direct, text, instances, seed, console)}
    rows["hw-aware"] = bits_on_chips("hardware-aware chips", aware, text, instances, seed, console)
    show(digital, rows, console)
    write(path, digital, rows)


def show(digital: float, rows: dict[str, dict[str, list[float]]], console: Console) -> None:
    """Print bits per character and, below, perplexity: mean±standard deviation over chips at each time."""
    instances = len(next(iter(next(iter(rows.values())).values())))
    for title, of in (("bits per character", lambda b: b), ("perplexity, 2^bits", lambda b: 2.0**b)):
        table = Table(title=f"held-out text, {title}, mean±spread of {instances} chips", box=None, title_justify="left", pad_edge=False)
        table.add_column("")
        for t in TIMES:
            table.add_column(t, justify="right", no_wrap=True)
        table.add_row("digital", f"{of(digital):.2f}")
        for name, by_time in rows.items():
            table.add_row(name, *(_cell([of(b) for b in by_time[t]]) for t in TIMES))
        console.print(table)


def _cell(values: Sequence[float]) -> str:
    found = torch.tensor(values, dtype=torch.float64)
    return f"{found.mean():.2f}" + (f"±{found.std():.2f}" if len(found) > 1 else "")


def write(path: Path | None, digital: float, rows: dict[str, dict[str, list[float]]]) -> None:
    """Write the results as JSON, whole or not at all, unless there is no path."""
    if path is not None:
        with whole(path) as new:
            new.write_text(json.dumps({"digital": digital, "chips": rows}, indent=1) + "\n", "utf-8")
