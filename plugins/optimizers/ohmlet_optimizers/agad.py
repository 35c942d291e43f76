"""Update algorithm `agad`: chopped transfer whose reference is computed on the fly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.spec import boolean, number
from ohmlet_kernels.pulsed_update.transfer import Rule
from ohmlet_optimizers.chopped import Chopped, ChoppedModule
from ohmlet_optimizers.choppers import Chopping
from ohmlet_optimizers.transfers import run

__all__ = ["AGAD"]


@frozen(kw_only=True)
class AGAD(Chopped):
    """Analog gradient accumulation with dynamic reference: the mean of earlier read-outs is the zero of the fast array.

        A <- A - lr_A d (c_in x)^T                                  every vector
        H[s] <- H[s] + lambda c_in[s] (v - P[s])                    v = read(A)[s]
        C[s] <- C[s] + n step g_C                                   n = trunc(H[s]), at most the pulses of `transfer_update`
        M[s] <- (1 - beta) M[s] + beta v                            beta = min(tail_weightening / N, 1), N = 1/in_chop_prob >= 2
        P[s] <- M[s]                                                at the read after a flip of c_in[s]

    c_in flips every N sweeps, with in_chop_random at random as well. In the first N sweeps, whose reference is not known, nothing is
    written. lr_A, lambda, momentum and forget_buffer are those of `c_ttv2`; buffer_cap limits what is left of H to buffer_cap times the
    pulses of `transfer_update`. Raises ConfigError for settings without effect.

    References: Rasch, Carta, Fagbohungbe and Gokmen, Nat. Commun. 15, 7133 (2024), doi:10.1038/s41467-024-51221-z.
    """

    in_chop_random: bool = boolean(False, "flip at random, too")
    tail_weightening: float = number(5.0, "weight of a period's last reads in the reference; 1 weighs the last N equally", gt=0)
    buffer_cap: float = number(0.0, "largest |H| after a write in units of transfer_update's pulses; 0 is no limit", ge=0)
    correct_accumulation: bool = boolean(False, "divide reads by their number since the flip, at most 1/g_A")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if not self.in_chop_prob:
            raise ConfigError("in_chop_prob 0 leaves the reference without a period: set it above 0, or take c_ttv2")
        if self.buffer_cap and self.forget_buffer:
            raise ConfigError(f"buffer_cap {self.buffer_cap!r} has no effect with forget_buffer: set that to false, or leave it out")

    def flips(self) -> tuple[float, int, int, float]:
        """Return the probability of random flips, the period of regular ones and the sweep in it, and the probability along slices."""
        return (self.in_chop_prob if self.in_chop_random else 0.0), self.chop_period, self.chop_period - 1, 0.0

    def build(self, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> nn.Module:
        """Return the module of one crossbar."""
        return AGADModule(self, site, arrays, pulses)

    def equations(self) -> tuple[str, ...]:
        """Return the updates with their values."""
        return (
            *self.common_equations(),
            f"H[s] <- H[s] + lambda c_in[s] (v - P[s]); c_in[s] flips every {self.chop_period} sweeps, then P[s] <- M[s]",
            f"M[s] <- M[s] + {min(self.tail_weightening / self.chop_period, 1.0):g} (v - M[s])",
        )


class AGADModule(ChoppedModule):
    """The state of `agad`: the running means `mean` and the references `reference` [out, in], and which slices were flipped."""

    states = (*ChoppedModule.states, "mean", "reference", "flipped")

    def __init__(self, spec: AGAD, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> None:
        super().__init__(spec, site, arrays, pulses)
        self.mean: Tensor
        self.reference: Tensor
        self.flipped: Tensor
        self.register_buffer("mean", torch.zeros_like(self.buffer))
        self.register_buffer("reference", torch.zeros_like(self.buffer))
        self.register_buffer("flipped", torch.zeros_like(self.in_signs, dtype=torch.bool))

    def rule(self, gain: Any) -> Rule | None:
        """Return what `digital` does as an engine's transfer is told, or None for what that does not know."""
        spec, most = self.spec, self.spec.transfer_update.desired_bl
        if spec.correct_accumulation:
            return None
        beta = min(spec.tail_weightening / spec.chop_period, 1.0)
        return Rule(
            gain,
            most=most,
            momentum=spec.momentum,
            forget=spec.forget_buffer,
            period=spec.chop_period,
            beta=beta,
            cap=spec.buffer_cap * most,
        )

    def digital(self, values: Tensor, slices: list[int], factor: float | Tensor, signs: Chopping, chunk: slice) -> Tensor:
        """Return the numbers of pulses [T, width] from what was read of slices, none of them twice; updates buffer and references."""
        spec, held, mean, reference = self.spec, *(self.slices.of(state) for state in (self.buffer, self.mean, self.reference))
        at = run(slices)
        sweep = torch.tensor(signs.sweep[chunk], device=values.device)[:, None]
        beta = min(spec.tail_weightening / spec.chop_period, 1.0)
        if spec.correct_accumulation:
            factor = factor / (sweep % spec.chop_period + 1).clamp(max=1 / self.fast.granularity)
        reference[at] = torch.where(self.flipped[at][:, None], mean[at], reference[at])
        n, after = self.fire(held[at] + signs.read_line[chunk] * (values - reference[at]) * factor)
        if spec.buffer_cap:
            limit = spec.buffer_cap * spec.transfer_update.desired_bl
            after = torch.where(n != 0, after.clamp(-limit, limit), after)
        held[at] = after
        mean[at] = (1 - beta) * mean[at] + beta * values
        self.flipped[at] = signs.flipped[chunk]
        return torch.where(sweep > spec.chop_period, n, 0.0)
