"""Update algorithm `ttv2`: Tiki-Taka with a digital buffer between the arrays."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.config import part
from ohmlet.interfaces.device import ArraySite
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.spec import boolean, number
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update.transfer import Rule
from ohmlet_optimizers.chain import Chain, ChainModule
from ohmlet_optimizers.transfers import Reads, rounds

__all__ = ["TTv2"]


@frozen(kw_only=True)
class TTv2(Chain):
    """Tiki-Taka version 2: what is read from the fast array is gathered in a digital buffer H, which filters the devices' noise.

        A <- A - lr_A d x^T                        every vector, lr_A = fast_lr (x lr)
        H[s] <- H[s] + lr_T read(A)[s]             every `transfer_every`, lr_T = transfer_lr (x lr)
        n = trunc(H[s] / (thres_scale g)), at most the pulses of `transfer_update`; g the slow device's step
        C[s] <- C[s] + n step g                    where n is not 0, and H[s] <- momentum H[s], or with forget_buffer off
                                                   H[s] <- H[s] - (1 - momentum) n thres_scale g

    The weights are w = gamma A + C, and lr_T is multiplied by gamma where it is not 0. Raises ConfigError for settings without effect.

    References: Gokmen, Front. Artif. Intell. 4, 699148 (2021), doi:10.3389/frai.2021.699148.
    """

    thres_scale: float = number(1.0, "threshold of the buffer in steps of the device that is written", gt=0)
    step: float = number(1.0, "size of a write in steps of that device", gt=0)
    momentum: float = number(0.1, "share of the buffer that a write leaves", ge=0, lt=1)
    forget_buffer: bool = boolean(True, "a write leaves `momentum` of the whole buffer, also of what was not written")
    transfer_update: PulsedUpdate = part(
        PulsedUpdate,
        "how transfers are coded in pulses",
        {"desired_bl": 1, "update_management": False, "update_bl_management": False},
    )

    def build(self, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> nn.Module:
        """Return the module of one crossbar."""
        return TTv2Module(self, site, arrays, pulses)

    def equations(self) -> tuple[str, ...]:
        """Return the updates with their values."""
        lr_fast, lr_transfer = (
            f"{rate:g}{' lr' * scaled}" for rate, scaled in ((self.fast_lr, self.scale_fast_lr), (self.transfer_lr, self.scale_transfer_lr))
        )
        unit, after = "mini-batches" if self.units_in_mbatch else "vectors", f"{self.momentum:g} H"
        if not self.forget_buffer:
            after = f"H - {1 - self.momentum:g} n {self.thres_scale:g} g"
        return (
            f"fast <- fast - {lr_fast} d x^T, coded in pulses",
            f"H[s] <- H[s] + {lr_transfer} read(array)[s], every {self.transfer_every:g} {unit}",
            f"next[s] <- next[s] + n {self.step:g} g, n = trunc(H[s] / ({self.thres_scale:g} g)) up to {self.transfer_update.desired_bl}",
            f"H <- {after} where n is not 0",
            f"w = {' + '.join(f'{share:g} {name}' for share, name in zip(self.shares(), self.arrays(), strict=True) if share)}",
        )


class TTv2Module(ChainModule):
    """The arrays of `ttv2` and their buffers `buffer` [stages, out, in]."""

    states = (*ChainModule.states, "buffer")

    def __init__(self, spec: TTv2, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> None:
        super().__init__(spec, site, arrays, pulses)
        self.buffer: Tensor
        self.register_buffer("buffer", torch.zeros((len(arrays) - 1, site.rows, site.columns), device=site.key.device))

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        """Bring the slow array to w [out, in] by its share; the buffers and the other arrays start at zero."""
        super().set_weights(w, noise)
        self.buffer.zero_()

    def gain(self, stage: int, lr: float) -> float:
        """Return what read-outs are multiplied by on their way into the buffer."""
        rate, (share, after) = abs(self.transfer_rate(stage, lr)), self.shares[stage : stage + 2]
        return rate * share / after if share and after else rate

    def rule(self, lr: float) -> tuple[Rule, float]:
        """Return what `digital` does between two arrays as an engine's transfer is told, and the learning rate of one pulse."""
        spec, step = self.spec, self.chain[1].granularity
        most, threshold = spec.transfer_update.desired_bl, spec.thres_scale * step
        return Rule(self.gain(0, lr), threshold, most, spec.momentum, spec.forget_buffer), spec.step * step

    def digital(self, stage: int, values: Tensor, reads: Reads, lr: float) -> tuple[Tensor, float]:
        """Return the numbers of pulses, negative since updates subtract, and the learning rate of one."""
        spec, step, rate = self.spec, self.chain[stage + 1].granularity, self.gain(stage, lr)
        threshold, held, out = spec.thres_scale * step, self.slices.of(self.buffer[stage]), []
        for chunk in rounds(reads.slices):
            at = reads.slices[chunk]
            h = held[at] + rate * values[chunk]
            n = (h / threshold).trunc().clamp(-spec.transfer_update.desired_bl, spec.transfer_update.desired_bl)
            after = spec.momentum * h if spec.forget_buffer else h - (1 - spec.momentum) * n * threshold
            held[at] = torch.where(n != 0, after, h)
            out.append(-n)
        return torch.cat(out), spec.step * step
