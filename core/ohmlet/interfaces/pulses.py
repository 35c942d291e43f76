"""How an update of a crossbar is coded in pulses."""

from __future__ import annotations

from typing import NamedTuple

from attrs import frozen

from ohmlet.errors import ConfigError
from ohmlet.spec import boolean, integer, number, one_of

__all__ = ["PULSE_TYPES", "PulsedUpdate", "Pulses"]

PULSE_TYPES = ("stochastic_compressed", "stochastic", "mean_count", "deterministic_implicit", "none", "none_with_device")


class Pulses(NamedTuple):
    """The numbers that `ohmlet_kernels.pulsed_update.trains` takes; see PulsedUpdate."""

    pulse_type: str
    desired_bl: int
    fixed_bl: bool
    update_management: bool
    update_bl_management: bool
    um_grad_scale: float
    resolution: float
    x_resolution: float
    d_resolution: float
    stochastic_rounding: bool


@frozen(kw_only=True)
class PulsedUpdate:
    """Pulse trains on rows and columns whose coincidences update the cells: dw = -lr d x^T in expectation.

    Source: Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016), doi:10.3389/fnins.2016.00333; update management: Gokmen, Onen and
    Haensch, Front. Neurosci. 11, 538 (2017), doi:10.3389/fnins.2017.00538.
    """

    pulse_type: str = one_of(
        "stochastic_compressed",
        PULSE_TYPES,
        "stochastic_compressed: trains of both signs at once; stochastic: positive and negative inputs one after the other; mean_count: "
        "as many pulses as expected; deterministic_implicit: rounded products; none: floating point, no device; none_with_device: floating "
        "point, then the device's bounds",
    )
    desired_bl: int = integer(31, "pulses in a train, or the most with update_bl_management", ge=1, le=4096)
    fixed_bl: bool = boolean(True, "without update_bl_management: always desired_bl pulses, also where the learning rate asks for more")
    update_management: bool = boolean(True, "scale inputs and errors so that both fire equally often")
    update_bl_management: bool = boolean(True, "shorten trains to what the largest product needs; implies update_management")
    um_grad_scale: float = number(1.0, "factor on the errors in update management; below 1 lets the largest clip", gt=0)
    resolution: float = number(0.0, "step of the pulse probabilities of trains; 0 for none", ge=0, le=1)
    x_resolution: float = number(0.0, "step of the inputs' probabilities, deterministic_implicit only; 0 for none", ge=0, le=1)
    d_resolution: float = number(0.0, "step of the errors' probabilities, deterministic_implicit only; 0 for none", ge=0, le=1)
    stochastic_rounding: bool = boolean(False, "round the probabilities up or down at random")

    def __attrs_post_init__(self) -> None:
        implicit = self.pulse_type == "deterministic_implicit"
        for name in ("x_resolution", "d_resolution"):
            if getattr(self, name) and not implicit:
                raise ConfigError(f"{name} has no effect with pulse_type {self.pulse_type}: leave it out or use deterministic_implicit")
        if self.resolution and (implicit or self.pulse_type.startswith("none")):
            raise ConfigError(f"resolution has no effect with pulse_type {self.pulse_type}: leave it out")
        if self.stochastic_rounding and not (self.resolution or self.x_resolution or self.d_resolution):
            raise ConfigError("stochastic_rounding has no effect without a resolution: set one or leave it out")

    def equations(self) -> tuple[str, ...]:
        """Return how updates are coded, for `ohmlet explain`."""
        length = f"at most {self.desired_bl}" if self.update_bl_management else f"{self.desired_bl}"
        managed = ", inputs and errors balanced" if self.update_management or self.update_bl_management else ""
        return (f"pulses {self.pulse_type}, {length} a train{managed}",)

    def numbers(self) -> Pulses:
        """Return the settings as plain numbers for the kernels."""
        return Pulses(
            self.pulse_type,
            self.desired_bl,
            self.fixed_bl,
            self.update_management or self.update_bl_management,
            self.update_bl_management,
            self.um_grad_scale,
            self.resolution,
            self.x_resolution,
            self.d_resolution,
            self.stochastic_rounding,
        )
