"""Converter `custom_pair`: the conductances of each weight are read from a table."""

from __future__ import annotations

import itertools

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import number, numbers, one_of, table
from ohmlet_noise_models.formulas import interpolate

__all__ = ["CustomPair"]


@frozen(kw_only=True)
class CustomPair(ConductanceConverter):
    """One or more pairs of devices per weight whose conductances follow a table of states, such as one optimised against drift.

    State i has the conductances g_k+[i] and g_k-[i] of pair k and amounts to d_i = sum_k f_k (g_k+[i] - g_k-[i]); d = max_i |d_i|.

        g_k(w) = straight lines between (w_i, g_k[i])    w = sum_k f_k (g_k+ - g_k-) / d
        nodes: read   w_i = d_i / d, so every weight comes back; d_i must ascend from -d to d
        nodes: even   w_i evenly spaced over [-1, 1], whatever the states amount to; weights between them come back distorted

    `conductances` holds the rows 1+, 1-, 2+, 2-, and so on, each over the states.

    References: Mackin et al., Nat. Commun. 13, 3765 (2022), doi:10.1038/s41467-022-31405-1.
    """

    factors: tuple[float, ...] = numbers((1.0,), "factor of each pair", gt=0.0)
    conductances: tuple[tuple[float, ...], ...] = table(
        ((0.0, 0.0, 25.0), (25.0, 0.0, 0.0)), "one row per device, one column per state", unit="uS", ge=0.0
    )
    g_max_uS: float = number(25.0, "largest conductance of a device", unit="uS", gt=0.0)  # noqa: N815 - the unit is written so
    g_min_uS: float = number(0.0, "smallest conductance of a device", unit="uS", ge=0.0)  # noqa: N815
    nodes: str = one_of("read", ("read", "even"), "the weights that states stand for: what they read as, or evenly spaced ones")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        lengths = {len(row) for row in self.conductances}
        if len(self.conductances) != self.devices or len(lengths) != 1 or min(lengths) < 2:
            raise ConfigError(
                f"'conductances' needs {self.devices} rows (two per factor) of one length, at least 2; it has rows of "
                f"{', '.join(str(len(row)) for row in self.conductances)}"
            )
        outside = [g for row in self.conductances for g in row if not self.g_min_uS <= g <= self.g_max_uS]
        if outside:
            raise ConfigError(f"'conductances' leave {self.g_min_uS:g} to {self.g_max_uS:g} uS: {outside!r}")
        states = self.differences
        if self.full == 0.0:
            raise ConfigError("'conductances' amount to zero in every state")
        ends = min(-states[0], states[-1])
        if self.nodes == "read" and (any(b <= a for a, b in itertools.pairwise(states)) or ends < (1 - 1e-6) * self.full):
            raise ConfigError(
                f"the states amount to {', '.join(f'{d:g}' for d in states)} uS, which does not ascend from -{self.full:g} to "
                f"{self.full:g} uS; correct 'conductances', or set nodes: even"
            )

    @property
    def devices(self) -> int:
        """Two devices per factor."""
        return 2 * len(self.factors)

    @property
    def window(self) -> ConductanceWindow:
        """The window [g_min, g_max] in uS."""
        return ConductanceWindow(self.g_min_uS, self.g_max_uS)

    @property
    def differences(self) -> tuple[float, ...]:
        """What each state amounts to, in uS."""
        signed = [sign * f for f in self.factors for sign in (1.0, -1.0)]
        return tuple(sum(s * g for s, g in zip(signed, state, strict=True)) for state in zip(*self.conductances, strict=True))

    @property
    def full(self) -> float:
        """What a weight of 1 amounts to, in uS."""
        return max(abs(d) for d in self.differences)

    def to_conductances(self, w: Tensor) -> Tensor:
        """Return conductances [devices, ..., out, in] (uS)."""
        states = len(self.conductances[0])
        even = tuple(2.0 * i / (states - 1) - 1.0 for i in range(states))
        nodes = even if self.nodes == "even" else tuple(d / self.full for d in self.differences)
        return torch.stack([interpolate(w, nodes, row) for row in self.conductances])

    def to_weights(self, g: Tensor) -> Tensor:
        """Return weights [..., out, in]."""
        total = torch.zeros_like(g[0])
        for f, (plus, minus) in zip(self.factors, g.unflatten(0, (len(self.factors), 2)), strict=True):
            total = total + f * (plus - minus)
        return total / self.full

    def equations(self) -> tuple[str, ...]:
        """Return the mapping with its values."""
        total = " + ".join(f"{f:g} (g{k}+ - g{k}-)" for k, f in enumerate(self.factors, start=1))
        states = ", ".join(f"({' '.join(f'{g:g}' for g in state)})" for state in zip(*self.conductances, strict=True))
        return (f"w = ({total}) / {self.full:g} uS", f"states [uS]: {states}; straight lines between, nodes {self.nodes}")
