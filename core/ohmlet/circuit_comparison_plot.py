"""The picture of a layer computed as a circuit and by approximations: errors, outputs side by side, and where voltage is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ohmlet.circuit_comparison import CircuitComparison

__all__ = ["draw"]

COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")
EXACT = 1e-5
"""Errors below are those of single precision: linear cells have an exact surrogate."""


def draw(found: CircuitComparison, title: str, path: str | Path) -> None:
    """Write the picture: errors against size for each resistance, outputs against the circuit's, and the map of lost voltage."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    errors, outputs, lost = figure.subplots(1, 3)
    for number, ohm in enumerate(dict.fromkeys(row.ohm for row in found.rows)):
        rows, colour = [row for row in found.rows if row.ohm == ohm], COLOURS[number % len(COLOURS)]
        at = [row.size for row in rows]
        errors.plot(at, [row.circuit for row in rows], color=colour, marker="o", label=f"{ohm:g} ohm")
        errors.plot(at, [row.quadratic_off for row in rows], color=colour, marker="s", linestyle="--")
        if max(row.surrogate_off for row in rows) > EXACT:
            errors.plot(at, [row.surrogate_off for row in rows], color=colour, marker="^", linestyle=":")
    for words, marker, line in (
        ("circuit against exact product", "o", "-"),
        ("quadratic IR drop against circuit", "s", "--"),
        ("surrogate against circuit", "^", ":"),
    )[: 3 if max(row.surrogate_off for row in found.rows) > EXACT else 2]:
        errors.plot([], [], color="grey", marker=marker, linestyle=line, label=words)
    errors.set_xscale("log", base=2)
    sizes = sorted({row.size for row in found.rows})
    errors.set_xticks(sizes, [str(size) for size in sizes], minor=False)
    errors.set_yscale("log")
    errors.set_xlabel("inputs and outputs of a crossbar, at most")
    errors.set_ylabel("relative L2 error")
    errors.set_title("errors")
    errors.legend(fontsize="x-small")
    errors.grid(alpha=0.3)
    last = found.rows[-1]
    for y, words, colour in ((found.exact, "exact product", "grey"), (found.quadratic, "quadratic IR drop", "tab:orange")):
        outputs.plot(found.circuit.ravel(), y.ravel(), ".", markersize=3, color=colour, alpha=0.5, label=words)
    outputs.plot(found.circuit.ravel(), found.surrogate.ravel(), ".", markersize=2, color="tab:blue", alpha=0.5, label="surrogate")
    ends = [float(np.min(found.circuit)), float(np.max(found.circuit))]
    outputs.plot(ends, ends, color="black", linewidth=0.8)
    outputs.set_xlabel("output of the circuit")
    outputs.set_ylabel("output otherwise")
    outputs.set_title(f"outputs, {last.size} x {last.size}, {last.ohm:g} ohm")
    outputs.legend(fontsize="x-small", markerscale=3)
    outputs.grid(alpha=0.3)
    image = lost.imshow(100 * found.lost, aspect="auto", cmap="viridis")
    figure.colorbar(image, ax=lost, label="% of the read voltage")
    lost.set_xlabel("bit line")
    lost.set_ylabel("word line")
    lost.set_title("lost on the way to cells, all inputs full scale")
    figure.suptitle(title)
    # Where and when it was drawn has no place in a picture that is drawn alike each time.
    nameless = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    figure.savefig(path, dpi=120, metadata=nameless.get(Path(path).suffix))
