"""How much of what algorithms transferred from one array to another has arrived there."""

from __future__ import annotations

from attrs import frozen
from torch import nn

from ohmlet.errors import ConfigError

__all__ = ["TransferReport", "transfer_report"]


@frozen
class TransferReport:
    """Transfers of one crossbar's algorithm so far: Delta is what was to be added to an array, delta what its weights have gained."""

    transfers: int
    residual: float
    """Mean of |delta - Delta| / |Delta|, Frobenius norms: pulses that got lost, and noise."""
    worst: float
    """The largest of them."""
    reached: float
    """Mean of <delta, Delta> / |Delta|^2: below one where trains or devices were saturated; noise averages out."""

    def __str__(self) -> str:
        return (
            f"{self.transfers} transfers: residual {self.residual:.3g} on average, at worst {self.worst:.3g}; "
            f"{self.reached:.1%} of what was transferred has arrived"
        )


def transfer_report(model: nn.Module) -> dict[str, TransferReport]:
    """Return what has arrived of the transfers of every crossbar whose algorithm keeps account of them, by the algorithm's name.

    Such an algorithm's module has a method `transferred() -> TransferReport | None`, None before the first transfer. Raises
    ConfigError when there is none in the model.
    """
    asked = {name: module for name, module in model.named_modules() if hasattr(module, "transferred")}
    if not asked:
        raise ConfigError("no algorithm here keeps account of its transfers: lrtt does, in a model that has been converted")
    found = {name: module.transferred() for name, module in asked.items()}
    return {name: report for name, report in found.items() if report is not None}
