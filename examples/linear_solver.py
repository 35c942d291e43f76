"""A linear system solved with analog products and digital residuals: convergence to 1e-10 in spite of the crossbar's errors.

    python examples/linear_solver.py

Conjugate gradients with every product on the crossbar stop at the crossbar's error. Iterative refinement takes a rough analog solution as
a correction only: the residual of the true system is worked out digitally in float64, and the crossbar solves for what is left, which is
as hard in relative terms as before, so each round removes the same factor. This is mixed-precision in-memory computing: Le Gallo et al.,
Nat. Electron. 1, 246 (2018), doi:10.1038/s41928-018-0054-8.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import ohmlet
from ohmlet.experiment.checkpoint import whole

Vector = NDArray[np.float64]
Product = Callable[[Vector], Any]


def system(size: int, seed: int) -> tuple[Vector, Vector]:
    """Return a covariance-like matrix, A_ij = 1/|i - j| and A_ii = 1 + sqrt(i), and a right-hand side of normals."""
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    matrix = 1.0 / np.maximum(distance, 1) + np.diag(np.sqrt(np.arange(1, size + 1)))
    return matrix, np.random.default_rng(seed).standard_normal(size)


def conjugate_gradients(product: Product, b: Vector, steps: int, seen: Callable[[Vector], None] = lambda x: None) -> Vector:
    """Return an approximate solution after so many products; `seen` is told of every iterate."""
    x, r = np.zeros_like(b), b.copy()
    p, rr = r.copy(), float(r @ r)
    for _ in range(steps):
        q = product(p)
        curvature = float(p @ q)
        if curvature <= 0.0:  # the noise has turned the matrix over: go no further
            break
        alpha = rr / curvature
        x, r = x + alpha * p, r - alpha * q
        before, rr = rr, float(r @ r)
        p = r + rr / before * p
        seen(x)
    return x


def refined(product: Product, matrix: Vector, b: Vector, rounds: int, inner: int) -> list[float]:
    """Return the relative residuals of iterative refinement, the first of x = 0."""
    x, norm, residuals = np.zeros_like(b), float(np.linalg.norm(b)), []
    for _ in range(rounds):
        r = b - matrix @ x
        residuals.append(float(np.linalg.norm(r)) / norm)
        x = x + conjugate_gradients(product, r, inner)
    return [*residuals, float(np.linalg.norm(b - matrix @ x)) / norm]


def alone(product: Product, matrix: Vector, b: Vector, steps: int) -> list[float]:
    """Return the true relative residuals of conjugate gradients that see nothing but one kind of product."""
    norm, residuals = float(np.linalg.norm(b)), [1.0]
    conjugate_gradients(product, b, steps, lambda x: residuals.append(float(np.linalg.norm(b - matrix @ x)) / norm))
    return residuals


def draw(found: dict[str, tuple[list[int], list[float]]], path: Path) -> None:
    """Write the residuals over the number of products."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for name, (products, residuals) in found.items():
        axis.semilogy(products, residuals, marker="o", markersize=3, label=name)
    axis.set_xlabel("products with the matrix inside conjugate gradients")
    axis.set_ylabel("relative residual ‖b - A x‖ / ‖b‖")
    axis.set_ylim(bottom=1e-13)
    axis.grid(alpha=0.3)
    axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as new:
        figure.savefig(new, dpi=120, metadata={"Software": None})


@click.command(help=__doc__.partition("\n")[0])
@click.option("--size", type=click.IntRange(2), default=64, show_default=True, help="Of the system.")
@click.option("--config", default="pcm_inference", show_default=True, help="The crossbar: a preset or a file.")
@click.option("--rounds", type=click.IntRange(1), default=25, show_default=True, help="Of refinement.")
@click.option("--inner", type=click.IntRange(1), default=4, show_default=True, help="Analog products in each round.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--plot", type=click.Path(path_type=Path), default=Path("runs/linear_solver.png"), show_default=True, help="Where the plot goes."
)
def main(size: int, config: str, rounds: int, inner: int, seed: int, plot: Path) -> None:
    """Solve one system digitally, on the crossbar alone, and with refinement."""
    console = Console()
    matrix, b = system(size, seed)
    analog = ohmlet.array(matrix, ohmlet.load_config(config), seed=seed)
    error = np.linalg.norm(analog.read() - matrix) / np.linalg.norm(matrix)
    console.print(f"{analog}, condition number {np.linalg.cond(matrix):.3g}; its cells are {error:.2%} off", highlight=False)
    steps = rounds * inner
    found = {
        "digital": alone(lambda x: matrix @ x, matrix, b, min(steps, size)),
        "analog alone": alone(lambda x: analog @ x, matrix, b, steps),
        "analog, refined": refined(lambda x: analog @ x, matrix, b, rounds, inner),
    }
    for name, residuals in found.items():
        console.print(f"{name:16} best relative residual {min(residuals):.1e}, last {residuals[-1]:.1e}", highlight=False)
    refinement = found["analog, refined"]
    reached = next((index for index, residual in enumerate(refinement) if residual < 1e-10), None)
    if refinement[-1] > 1.0:
        console.print("refinement diverges: the crossbar's error is too large for a matrix of this condition")
    elif reached is None:
        console.print("refinement has not come to 1e-10: give it more --rounds, or fewer --inner products, whose noise adds up")
    else:
        rate = refinement[reached] ** (1 / reached)
        console.print(f"1e-10 after {reached} rounds of {inner} products, a factor {rate:.2f} each", highlight=False)
    draw({name: ([k * (inner if name.endswith("refined") else 1) for k in range(len(each))], each) for name, each in found.items()}, plot)
    console.print(f"written: {plot}", highlight=False)


if __name__ == "__main__":
    main()
