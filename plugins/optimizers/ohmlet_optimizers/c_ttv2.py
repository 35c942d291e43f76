"""Update algorithm `c_ttv2`: buffered transfer with choppers that average out the fast devices' offsets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

__all__ = ["ChoppedTTv2"]


@frozen(kw_only=True)
class ChoppedTTv2(Chopped):
    """Chopped Tiki-Taka version 2: signs c flip on the fast array's lines, so that its offsets cancel in the buffer.

        A <- A - lr_A (c_out d) (c_in x)^T            every vector
        H[s] <- H[s] + lambda c_in[s] c_out read(A)[s]
        C[s] <- C[s] + n step g_C                     n = trunc(H[s]), at most the pulses of `transfer_update`;
                                                      where n is not 0, H <- momentum H, or with forget_buffer off
                                                      H <- H - (1 - momentum) n
        lr_A = fast_lr (x lr), with auto_scale fast_lr desired_bl g_A / (<max|x|> <max|d|>) (x lr)
        lambda = lr_T / G, with correct_gradient_magnitudes lr_T g_A / (lr_A G g_C); lr_T = transfer_lr (x lr) (x gamma if not 0)
        G = buffer_granularity g_A, times auto_granularity / (slices transfer_every) where that is not 0

    After its read a slice's sign c_in flips with probability in_chop_prob, or every 1/in_chop_prob sweeps; after a sweep each c_out flips
    with out_chop_prob. The weights are w = gamma (c_out c_in^T) A + C. Raises ConfigError for settings without effect.

    References: Rasch, Carta, Fagbohungbe and Gokmen, Nat. Commun. 15, 7133 (2024), doi:10.1038/s41467-024-51221-z.
    """

    in_chop_random: bool = boolean(True, "flip at random, not regularly")
    out_chop_prob: float = number(0.0, "probability that a sign along the slices flips after a sweep", ge=0, le=1)
    no_buffer: bool = boolean(False, "write what one read is worth and forget the rest")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if not self.in_chop_random and not self.in_chop_prob:
            raise ConfigError("in_chop_random has no effect with in_chop_prob 0: leave it out")
        if self.no_buffer and (self.momentum or not self.forget_buffer):
            raise ConfigError("momentum and forget_buffer have no effect with no_buffer: leave them out")

    def flips(self) -> tuple[float, int, int, float]:
        """Return the probability of random flips, the period of regular ones and the sweep in it, and the probability along slices."""
        regular = 0 if self.in_chop_random else self.chop_period
        return (self.in_chop_prob if self.in_chop_random else 0.0), regular, regular - 1, self.out_chop_prob

    def build(self, site: ArraySite, arrays: Mapping[str, nn.Module], pulses: PulsedUpdate) -> nn.Module:
        """Return the module of one crossbar."""
        return ChoppedTTv2Module(self, site, arrays, pulses)

    def equations(self) -> tuple[str, ...]:
        """Return the updates with their values."""
        flips = f"with probability {self.in_chop_prob:g}" if self.in_chop_random else f"every {self.chop_period} sweeps"
        before = "" if self.no_buffer else "H[s] + "
        return (
            *self.common_equations(),
            f"H[s] <- {before}lambda c_in[s] c_out v; signs flip {flips}, across slices with {self.out_chop_prob:g}",
        )


class ChoppedTTv2Module(ChoppedModule):
    """The state of `c_ttv2`."""

    def rule(self, gain: Any) -> Rule:
        """Return what `digital` does as an engine's transfer is told."""
        spec = self.spec
        return Rule(gain, most=spec.transfer_update.desired_bl, momentum=spec.momentum, forget=spec.forget_buffer, keep=not spec.no_buffer)

    def digital(self, values: Tensor, slices: list[int], factor: float | Tensor, signs: Chopping, chunk: slice) -> Tensor:
        """Return the numbers of pulses [T, width] from what was read of slices, none of them twice; updates the buffer."""
        held, at = self.slices.of(self.buffer), run(slices)
        omega = signs.read_line[chunk] * signs.read_across[chunk] * values * factor
        if not self.spec.no_buffer:
            omega = held[at] + omega
        n, held[at] = self.fire(omega)
        return n
