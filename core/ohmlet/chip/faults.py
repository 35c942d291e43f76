"""Stuck devices: how likely they are, or which ones they are."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import number
from ohmlet_kernels.noise import Stream

__all__ = ["Faults"]


@frozen(kw_only=True)
class Faults:
    """Devices that hold one conductance whatever is written, each device independently of all others.

    With u uniform in (0, 1), once per device and chip instance:

        g = on_uS                              u < stuck_on
        g = off_uS                             stuck_on <= u < stuck_on + stuck_off
        g = g_min + (g_max - g_min) v          the next stuck_random, v uniform in (0, 1) once per device
        healthy                                otherwise

    A stuck device neither drifts nor shows read noise. Raising a probability keeps the devices that were stuck on before. Raises
    ConfigError for probabilities that sum to more than 1, for none above 0, or for a conductance that no device is stuck at.
    """

    stuck_on: float = number(0.0, "probability of a device to be stuck at on_uS", ge=0.0, le=1.0)
    stuck_off: float = number(0.0, "probability of a device to be stuck at off_uS", ge=0.0, le=1.0)
    stuck_random: float = number(0.0, "probability of a device to be stuck anywhere within the converter's window", ge=0.0, le=1.0)
    on_uS: float | None = number(None, "left out: the largest conductance of the converter", unit="uS", ge=0.0)  # noqa: N815
    off_uS: float | None = number(None, "left out: the smallest conductance of the converter", unit="uS", ge=0.0)  # noqa: N815

    def __attrs_post_init__(self) -> None:
        total = self.stuck_on + self.stuck_off + self.stuck_random
        if total > 1.0 + 1e-12:
            raise ConfigError(f"'stuck_on', 'stuck_off' and 'stuck_random' are probabilities and sum to {total:g}, which is more than 1")
        if total == 0.0:
            raise ConfigError("no device is ever stuck: set 'stuck_on', 'stuck_off' or 'stuck_random', or leave faults out")
        for value, probability, name in ((self.on_uS, self.stuck_on, "on"), (self.off_uS, self.stuck_off, "off")):
            if value is not None and probability == 0.0:
                raise ConfigError(f"'{name}_uS' is {value:g} and 'stuck_{name}' is 0, so no device is stuck there; set both or neither")

    def draw(self, g: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return the stuck conductances (uS) of one device per weight, NaN where it is healthy: [instances, groups?, out, in].

        `g` [..., out, in] states sizes and dtype; `noise` has one key per instance (and group).
        """
        u = noise.uniform("fault", g)
        on = window.g_max if self.on_uS is None else self.on_uS
        off = window.g_min if self.off_uS is None else self.off_uS
        stuck = u.new_full((), float("nan")).expand_as(u)
        if self.stuck_random:
            anywhere = window.g_min + (window.g_max - window.g_min) * noise.uniform("conductance", g)
            stuck = anywhere.where(u < self.stuck_on + self.stuck_off + self.stuck_random, stuck)
        stuck = u.new_full((), off).where(u < self.stuck_on + self.stuck_off, stuck)
        return u.new_full((), on).where(u < self.stuck_on, stuck)
