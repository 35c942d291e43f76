"""Update algorithm `tiki_taka`: gradients gather on a fast array and are transferred to a slow one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.cells import CellArray
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.spec import number
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update.transfer import Rule
from ohmlet_optimizers.chain import Chain, ChainModule
from ohmlet_optimizers.transfers import Reads

__all__ = ["TikiTaka"]


@frozen(kw_only=True)
class TikiTaka(Chain):
    """Tiki-Taka: a fast array A gathers the gradient around its symmetry point, and its slices are added to the weights C.

        A <- A - lr_A d x^T                        every vector, lr_A = fast_lr (x lr)
        C[:, s] <- C[:, s] + lr_T read(A)[:, s]    every `transfer_every`, s the next slice, lr_T = transfer_lr (x lr)
        w = gamma A + C

    With arrays `between` every array is transferred to the next in the same way. Raises ConfigError for settings without effect.

    References: Gokmen and Haensch, Front. Neurosci. 14, 103 (2020), doi:10.3389/fnins.2020.00103.
    """

    with_reset_prob: float = number(0.0, "probability that a column of the fast array is reset after it was read", ge=0, le=1)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.with_reset_prob and not self.transfer_columns:
            raise ConfigError(f"with_reset_prob {self.with_reset_prob!r} resets columns: set transfer_columns, or leave it out")

    def build(self, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> nn.Module:
        """Return the module of one crossbar."""
        return TikiTakaModule(self, site, arrays, pulses)

    def equations(self) -> tuple[str, ...]:
        """Return the updates with their values."""
        lr_fast, lr_transfer = (
            f"{rate:g}{' lr' * scaled}" for rate, scaled in ((self.fast_lr, self.scale_fast_lr), (self.transfer_lr, self.scale_transfer_lr))
        )
        unit = "mini-batches" if self.units_in_mbatch else "vectors"
        return (
            f"fast <- fast - {lr_fast} d x^T, coded in pulses",
            f"next[s] <- next[s] + {lr_transfer} read(array)[s], every {self.transfer_every:g} {unit}",
            f"w = {' + '.join(f'{share:g} {name}' for share, name in zip(self.shares(), self.arrays(), strict=True) if share)}",
        )


class TikiTakaModule(ChainModule):
    """The arrays of `tiki_taka`; what is read goes straight to the next array."""

    def digital(self, stage: int, values: Tensor, reads: Reads, lr: float) -> tuple[Tensor, float]:
        """Return the read-outs, negative since updates subtract, and the transfer's learning rate."""
        return -values, self.transfer_rate(stage, lr)

    def rule(self, lr: float) -> tuple[Rule, float] | None:
        """Return what `digital` does between two arrays as an engine's transfer is told, and the transfer's learning rate."""
        return None if self.spec.with_reset_prob else (Rule(), self.transfer_rate(0, lr))

    def after_read(self, stage: int, source: CellArray, reads: Reads, noise: Stream) -> Callable[[int], None] | None:
        """Return the reset of the fast array's columns."""
        probability = self.spec.with_reset_prob
        if stage or probability == 0 or not reads.slices:
            return None
        drawn = noise.at(reads.ordinals).uniform("reset", reads.ordinals.new_zeros((len(reads.slices), 1, 1), dtype=torch.float64))
        fires = (drawn.flatten() < probability).tolist()

        def reset(t: int) -> None:
            if fires[t]:
                mask = torch.zeros_like(source.weights(), dtype=torch.bool)
                mask[:, reads.slices[t]] = True
                source.reset(mask, noise)

        return reset
