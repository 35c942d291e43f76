"""`ohmlet compare`: a layer as a circuit, beside the exact product and the quadratic IR drop, as a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ohmlet.cli.explain import settings

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["compare_command"]

PICTURES = (".png", ".pdf", ".svg")


@click.command("compare")
@click.argument("config")
@settings
@click.option("--weights", metavar="FILE", help="A checkpoint, .pt or .safetensors, whose layer it is; random weights unless given.")
@click.option("--layer", metavar="NAME", help="The layer of the checkpoint, such as 0 or encoder.fc; the first matrix unless given.")
@click.option("--shape", default="128x128", show_default=True, metavar="OUTxIN", help="Of random weights.")
@click.option("--sizes", default="32,64,128", show_default=True, help="Largest inputs and outputs of a crossbar.")
@click.option("--ohms", default="0.5,2,8", show_default=True, help="Resistances of a segment of word and bit line.")
@click.option("--inputs", default=32, show_default=True, type=click.IntRange(1, 100_000), help="Random input vectors.")
@click.option("--positive", is_flag=True, help="Inputs from 0 to 1, as behind a ReLU, instead of both signs.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of weights, inputs and devices.")
@click.option("--out", default="compare.png", show_default=True, metavar="FILE", help="The picture, .png, .pdf or .svg.")
def compare_command(
    config: str,
    changes: Sequence[str],
    weights: str | None,
    layer: str | None,
    shape: str,
    sizes: str,
    ohms: str,
    inputs: int,
    positive: bool,
    seed: int,
    out: str,
) -> None:
    """Compare ways to compute one layer on CONFIG, a file or preset with tile circuit, and say when the approximation holds.

    Each size of crossbar and resistance gets the exact product, the quadratic IR drop of tile inference, the circuit, and its surrogate.
    """
    from ohmlet.circuit_comparison import compare_circuit
    from ohmlet.circuit_comparison_plot import draw
    from ohmlet.config.analog import load_config
    from ohmlet.config.dotted import assignment
    from ohmlet.errors import ConfigError
    from ohmlet.experiment.checkpoint import whole

    target = Path(out)
    if target.suffix not in PICTURES:
        raise ConfigError(f"--out {target} is no picture: end it in {', '.join(PICTURES)}")
    if not target.parent.is_dir():
        raise ConfigError(f"--out {target}: there is no folder {target.parent}")
    if layer is not None and weights is None:
        raise ConfigError("--layer has no effect without --weights: give both or neither")
    hardware = load_config(config).override(dict(assignment(change) for change in changes))
    found = compare_circuit(
        hardware,
        None if weights is None else _matrix(weights, layer),
        shape=_pair(shape),
        sizes=[int(each) for each in _numbers("--sizes", sizes)],
        ohms=_numbers("--ohms", ohms),
        inputs=inputs,
        positive=positive,
        seed=seed,
    )
    head = ("size", "ohm", "crossbars", "circuit", "quadratic", "q. - circuit", "s. - circuit", "ms q. / circuit / s.")
    cells: list[tuple[str, ...]] = [head]
    for row in found.rows:
        errors = (f"{each:.2g}" for each in (row.circuit, row.quadratic, row.quadratic_off, row.surrogate_off))
        times = " / ".join(f"{1e3 * each:.2g}" for each in row.seconds[1:])
        cells.append((str(row.size), f"{row.ohm:g}", str(row.crossbars), *errors, times))
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    click.echo("relative L2 errors of the circuit, the quadratic IR drop (q.) and the surrogate (s.)")
    for line in cells:
        click.echo("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    for words in found.holds():
        click.echo(words)
    with whole(target) as path:
        draw(found, ", ".join((Path(config).name, *changes)), path)
    click.echo(f"written: {target}")


def _numbers(option: str, words: str) -> list[float]:
    from ohmlet.errors import ConfigError

    try:
        return [float(each) for each in words.split(",")]
    except ValueError:
        raise ConfigError(f"{option} {words} is no list of numbers with commas between, such as 32,64") from None


def _pair(words: str) -> tuple[int, int]:
    from ohmlet.errors import ConfigError

    try:
        rows, columns = (int(each) for each in words.split("x"))
    except ValueError:
        raise ConfigError(f"--shape {words} is no pair such as 128x64, outputs first") from None
    if min(rows, columns) < 1:
        raise ConfigError(f"--shape {words}: a layer has at least one output and one input")
    return rows, columns


def _matrix(file: str, layer: str | None) -> Tensor:
    """Return the weight [out, in] of a checkpoint's layer; raises ConfigError with the names that there are."""
    import torch

    from ohmlet.errors import ConfigError

    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    held: Any
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        held = load_file(path)
    else:
        held = torch.load(path, weights_only=True, map_location="cpu")
    matrices = {
        name: value for name, value in held.items() if isinstance(value, torch.Tensor) and value.ndim > 1 and value.is_floating_point()
    }
    names = [name for name in matrices if layer is None or name in (layer, f"{layer}.weight")]
    if not names:
        raise ConfigError(f"{path} has no matrix {layer or ''}; it has {', '.join(matrices) or 'none'}")
    return matrices[names[0]].flatten(1)
