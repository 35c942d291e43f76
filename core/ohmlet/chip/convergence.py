"""How a write-verify loop converged, crossbar by crossbar, as numbers and as a table."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from attrs import asdict, field, frozen
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ohmlet.chip.write_verify import Outcome

__all__ = ["Convergence", "ConvergenceRow"]

WIDTH = 120
"""Columns of the table as text."""


@frozen(kw_only=True)
class ConvergenceRow:
    """One crossbar, all its devices in all chip instances; errors are |g - target| of what devices hold, in uS."""

    crossbar: str
    devices: int
    iterations: int = field(metadata={"doc": "writes of the device that took most"})
    accepted: float = field(metadata={"doc": "fraction whose last read was within tolerance"})
    within: float = field(metadata={"doc": "fraction that holds a conductance within tolerance, as no read noise would show"})
    never: float = field(metadata={"doc": "fraction that never converged, stuck devices included"})
    stuck: float
    error_median_uS: float  # noqa: N815 - the unit is written so
    error_p95_uS: float  # noqa: N815
    error_p99_uS: float  # noqa: N815
    error_max_uS: float  # noqa: N815
    pulses_mean: float
    pulses_max: int


@frozen
class Convergence:
    """One row per crossbar; `print` shows them as a table, `rows` and `to_plain` are for programs."""

    rows: tuple[ConvergenceRow, ...]

    def to_plain(self) -> list[dict[str, Any]]:
        """Return the rows as plain data, ready for JSON."""
        return [asdict(row) for row in self.rows]

    def table(self) -> Table:
        """Return the rows as a table of rich."""
        title = "write-verify; errors are |g - target| of what devices hold, in uS"
        made = Table(title=title, box=None, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left", header_style="bold")
        made.add_column("crossbar")
        for head in ("devices", "writes", "accepted", "within", "never", "stuck", "median", "95 %", "99 %", "max", "pulses", "most"):
            made.add_column(head, justify="right", no_wrap=True)
        for row in self.rows:
            shares = (row.accepted, row.within, row.never, row.stuck)
            errors = (row.error_median_uS, row.error_p95_uS, row.error_p99_uS, row.error_max_uS)
            made.add_row(
                row.crossbar,
                str(row.devices),
                str(row.iterations),
                *(f"{100 * share:.3g} %" for share in shares),
                *(f"{error:.3g}" for error in errors),
                f"{row.pulses_mean:.3g}",
                str(row.pulses_max),
            )
        return made

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
        console.print(self.table())
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]


def converged(crossbar: str, outcomes: list[Outcome], target: Tensor, tolerance: Tensor, stuck: Tensor | None) -> ConvergenceRow:
    """Return the row of a crossbar from the outcome of each of its devices; target and tolerance are [devices, groups?, out, in]."""
    error = np.concatenate([(outcome.g - wanted).abs().flatten().cpu().numpy() for outcome, wanted in zip(outcomes, target, strict=True)])
    inside = [bool_mean((outcome.g - wanted).abs() <= most) for outcome, wanted, most in zip(outcomes, target, tolerance, strict=True)]
    accepted = sum(bool_mean(outcome.accepted) for outcome in outcomes) / len(outcomes)
    quantiles = np.quantile(error, (0.5, 0.95, 0.99, 1.0))
    return ConvergenceRow(
        crossbar=crossbar,
        devices=error.size,
        iterations=max(int(outcome.iterations.max()) for outcome in outcomes),
        accepted=accepted,
        within=sum(inside) / len(inside),
        never=sum(bool_mean(~outcome.accepted) for outcome in outcomes) / len(outcomes),
        stuck=0.0 if stuck is None else bool_mean(~stuck.isnan()),
        error_median_uS=float(quantiles[0]),
        error_p95_uS=float(quantiles[1]),
        error_p99_uS=float(quantiles[2]),
        error_max_uS=float(quantiles[3]),
        pulses_mean=sum(float(outcome.pulses.double().mean()) for outcome in outcomes) / len(outcomes),
        pulses_max=max(int(outcome.pulses.max()) for outcome in outcomes),
    )


def bool_mean(mask: Tensor) -> float:
    """Return the fraction that is true."""
    return int(mask.sum()) / mask.numel()
