"""Retention drift of devices during training: a power law of the time since a cell was written."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.spec import number
from ohmlet_kernels.noise import Stream

__all__ = ["Drift"]


@frozen(kw_only=True)
class Drift:
    """Power-law drift of the weight w0 that a cell was written to, t after it was.

        w(t) = (w0 + a) max(t / t_0, 1)^-nu - a,   a = g_offset wg_ratio + w_offset
        nu   = nu_i (1 + nu_std xi) - nu_k (ln g - log_g0),   g = (w - w_offset) / wg_ratio + g_offset,   nu_i = nu (1 + nu_dtod xi_i)

    xi_i is drawn once per device, xi at every call. A cell whose weight has changed by more than `reset_tol` since the last call
    counts as written right after that call. Weights are normalised; `wg_ratio` and the offsets say which conductance one stands for.

    Source: Nandakumar et al., J. Appl. Phys. 124, 152135 (2018), doi:10.1063/1.5042408.
    """

    nu: float = number(0.0, "mean drift exponent")
    nu_dtod: float = number(0.0, "spread of the exponent over devices, relative", ge=0)
    nu_std: float = number(0.0, "spread of a device's exponent from call to call, relative", ge=0)
    t_0: float = number(1.0, "time after writing at which drift starts", unit="s", gt=0)
    reset_tol: float = number(1e-7, "change of a weight by which a cell counts as written", ge=0)
    wg_ratio: float = number(1.0, "weight per conductance", gt=0)
    g_offset: float = number(0.0, "conductance at w = w_offset, in units of weight / wg_ratio")
    w_offset: float = number(0.0, "weight at conductance g_offset")
    nu_k: float = number(0.0, "fall of the exponent with the logarithm of the conductance")
    log_g0: float = number(0.0, "logarithm of the conductance at which nu holds")
    w_noise_std: float = number(0.0, "spread added to every weight at every call", ge=0)

    def __attrs_post_init__(self) -> None:
        if self.log_g0 and not self.nu_k:
            raise ConfigError(f"log_g0 = {self.log_g0:g} has no effect without nu_k: set it or leave log_g0 out")
        for name in ("nu_dtod", "nu_std"):
            if getattr(self, name) and not self.nu:
                raise ConfigError(f"{name} = {getattr(self, name):g} has no effect without nu: set it or leave {name} out")

    def at(self, w: Tensor, state: Mapping[str, Tensor], exponents: Tensor, seconds: float, noise: Stream) -> tuple[Tensor, Tensor, Tensor]:
        """Return the drifted weights [out, in], the time since each was written in units of t_0, and what it was written to.

        `state` holds `elapsed`, `start` and `last` of the call before.
        """
        written = (w - state["last"]).abs() > self.reset_tol
        elapsed = w.new_tensor(seconds / self.t_0) + state["elapsed"].masked_fill(written, 0.0)
        start = w.where(written, state["start"])
        nu = exponents
        if self.nu_std:
            nu = nu * (1 + self.nu_std * noise.normal("exponent", w))
        if self.nu_k:
            nu = nu - self.nu_k * (((w - self.w_offset) / self.wg_ratio + self.g_offset).log() - self.log_g0)
        factor, shift = elapsed.clamp_min(1.0) ** -nu, self.g_offset * self.wg_ratio + self.w_offset
        after = start * factor + shift * (factor - 1)
        if self.w_noise_std:
            after = after + self.w_noise_std * noise.normal("weight", w)
        return after, elapsed, start
